package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// MostInBulk is how many jobs one bulk action is about at most.
const MostInBulk = 100_000

// Reasons for which a bulk action leaves a job as it is.
const (
	SkipGone      = "gone"      // there is no such job any more
	SkipRetried   = "retried"   // somebody has tried it again since
	SkipChanged   = "changed"   // it has ended since, or ended otherwise, or has begun again
	SkipRunning   = "running"   // it is being worked
	SkipEnded     = "ended"     // there is nothing left to cancel
	SkipUnended   = "not_ended" // what has not ended can't be deleted
	SkipSucceeded = "succeeded" // there is nothing to try again
	SkipDue       = "due"       // it runs anyway, as soon as it can
)

// BulkUnfit is why something can't be done with a job that was in one state when it was asked and is in another now; "":
// it can.
func BulkUnfit(action, was, now string) string {
	if hasEnded(was) != hasEnded(now) || hasEnded(now) && was != now {
		return SkipChanged
	}
	switch {
	case action == BulkCancel && hasEnded(now):
		return SkipEnded
	case action == BulkDelete && !hasEnded(now):
		return SkipUnended
	case action == BulkRetry && now == Succeeded:
		return SkipSucceeded
	case action == BulkRetry && now == Running:
		return SkipRunning
	case action == BulkRetry && now == Queued:
		return SkipDue
	}
	return ""
}

func hasEnded(status string) bool {
	return status == Succeeded || status == Failed || status == Cancelled
}

// BulkMatches are the jobs that a filter lets through, as they stood in one moment.
type BulkMatches struct {
	AsOf     time.Time // by the clock of the database
	Items    []BulkItem
	Capped   bool // there are more than MostInBulk; these are the newest
	ByStatus map[string]int
	ByKind   map[string]int
	Sample   []AdminJob // the first of them
	// ByOrganization leaves out internal jobs, which belong to none.
	ByOrganization map[string]int
}

const (
	matchPage   = 5000
	matchSample = 10
)

// MatchJobs finds all jobs that a filter lets through, the newest first. ErrSlow where that takes longer than it may.
func (db *DB) MatchJobs(ctx context.Context, f AdminJobFilter, atMost time.Duration) (BulkMatches, error) {
	until := time.Now().Add(atMost)
	m := BulkMatches{ByStatus: make(map[string]int), ByKind: make(map[string]int), ByOrganization: make(map[string]int)}
	err := db.asOperator(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, atMost, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT now()`).Scan(&m.AsOf); err != nil {
			return fmt.Errorf("find jobs for a bulk action: %w", err)
		}
		for at := (AdminJobPlace{}); !at.Done() && !m.Capped; {
			if time.Now().After(until) {
				return fmt.Errorf("find jobs for a bulk action: %w", ErrSlow)
			}
			page, err := AdminJobs(ctx, tx, f, at, matchPage, time.Until(until))
			if err != nil {
				return err
			}
			m.add(page.Jobs)
			at = page.Next
		}
		return nil
	})
	return m, err
}

func (m *BulkMatches) add(list []AdminJob) {
	for _, j := range list {
		if len(m.Items) == MostInBulk {
			m.Capped = true
			return
		}
		if len(m.Sample) < matchSample {
			m.Sample = append(m.Sample, j)
		}
		m.ByStatus[j.Status]++
		m.ByKind[j.Kind]++
		item := BulkItem{OrganizationID: j.OrganizationID, Run: j.Run, Status: j.Status, EndedAt: j.FinishedAt}
		if id := j.ID; j.Internal {
			item.OrganizationID = nil // as its arguments say, which may be anything
			item.RiverJobID = j.RiverJobID
		} else {
			item.JobID = &id
		}
		if item.OrganizationID != nil {
			m.ByOrganization[*item.OrganizationID]++
		}
		m.Items = append(m.Items, item)
	}
}

// LeaveOutEndedAfter drops the jobs that ended after a moment.
func (m *BulkMatches) LeaveOutEndedAfter(at time.Time) {
	m.Items = slices.DeleteFunc(m.Items, func(i BulkItem) bool { return i.EndedAt != nil && i.EndedAt.After(at) })
}
