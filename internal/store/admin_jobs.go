package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of a job as the operator sees them, beside those that its client knows.
const (
	Waiting   = "waiting"   // put off: for its next attempt, or for something that is away
	Scheduled = "scheduled" // for later
)

// An AdminJob is a job without its content, as the operator's lists show it: a row of jobs, or with Internal one of
// River's that facts or the clock started and that no client knows of.
type AdminJob struct {
	ID               string     `db:"id"` // a UUID, or River's number
	Internal         bool       `db:"internal"`
	RiverJobID       *int64     `db:"river_job_id"`
	RiverState       *string    `db:"river_state"` // of an internal one
	OrganizationID   *string    `db:"organization_id"`
	OrganizationName *string    `db:"organization_name"`
	Kind             string     `db:"kind"`
	Queue            string     `db:"queue"`
	Status           string     `db:"status"`
	Priority         int        `db:"priority"` // 1 high, 2 normal, 3 low, 4 last
	Overflow         bool       `db:"overflow"`
	Run              int        `db:"run"`
	Attempt          int        `db:"attempt"`
	MaxAttempts      int        `db:"max_attempts"`
	RunAt            time.Time  `db:"run_at"`
	CreatedAt        time.Time  `db:"created_at"`
	NextAttemptAt    *time.Time `db:"next_attempt_at"`
	StartedAt        *time.Time `db:"started_at"`
	FinishedAt       *time.Time `db:"finished_at"`
	WaitingReason    *string    `db:"waiting_reason"`
	ErrorCode        *string    `db:"error_code"`
	ErrorDetail      *string    `db:"error_detail"`
	RequestID        *string    `db:"request_id"`
	Worker           *string    `db:"worker"` // that has it, or had it last
	Version          int64      `db:"version"`
}

// A Source says which jobs a list is of.
type Source int

// The sources: all jobs, those that clients and cues handed over, those that facts and the clock started.
const (
	AllJobs Source = iota
	RequestedJobs
	InternalJobs
)

// Routine says whether internal jobs that simply succeeded are in a list.
type Routine int

// They are left out, or shown.
const (
	RoutineHidden Routine = iota
	RoutineShown
)

// An Order of a list, by the time when its rows were made.
type Order int

// Newest first, or oldest.
const (
	NewestFirst Order = iota
	OldestFirst
)

// before says that a row of the moment x stands before one of y.
func (o Order) before(x, y time.Time) bool {
	if o == OldestFirst {
		return x.Before(y)
	}
	return x.After(y)
}

// An AdminJobFilter narrows the operator's list of jobs. Zero fields don't.
type AdminJobFilter struct {
	Status         string
	Kinds          []string
	Queue          string
	Priority       int
	OrganizationID string
	CreatedAfter   time.Time
	CreatedBefore  time.Time
	FinishedAfter  time.Time
	FinishedBefore time.Time
	Error          string // in the error's code or text, whatever the case of its letters
	Text           string // in what the job was given, as JSON, whatever the case
	RequestID      string
	EventID        string
	Fingerprint    string // of a group of failures
	Source         Source
	Routine        Routine
	Order          Order
}

// An AdminJobPlace is where a list goes on: behind these ids. Empty ones are its beginning, "-" its end.
type AdminJobPlace struct {
	Requested string `json:"r"`
	Internal  string `json:"i"`
}

// endOfSource is the place behind all.
const endOfSource = "-"

// Done reports whether nothing comes behind the place.
func (p AdminJobPlace) Done() bool { return p.Requested == endOfSource && p.Internal == endOfSource }

// An AdminJobPage is a part of a list.
type AdminJobPage struct {
	Jobs []AdminJob
	Next AdminJobPlace
	// SearchedUntil is how far was looked when the time for looking was over before the page was full; nil: it wasn't.
	SearchedUntil *time.Time
}

// AdminJobs lists jobs of all organizations. What no index answers is looked for in one part of the list after the
// other, until the page is full or the time for it is over.
func AdminJobs(ctx context.Context, tx pgx.Tx, f AdminJobFilter, from AdminJobPlace, limit int, patience time.Duration) (AdminJobPage, error) {
	until := time.Now().Add(patience)
	requested := newJobSearch(f, requestedJobs, from.Requested, limit)
	internal := newJobSearch(f, internalJobs, from.Internal, limit)
	if f.Source == InternalJobs {
		requested.at = endOfSource
	}
	if f.leavesInternalOut() {
		internal.at = endOfSource
	}
	if err := requested.run(ctx, tx, until); err != nil {
		return AdminJobPage{}, fmt.Errorf("list jobs: %w", err)
	}
	if len(requested.found) > limit {
		internal.enough = &requested.found[limit-1].CreatedAt
	}
	if err := internal.run(ctx, tx, until); err != nil {
		return AdminJobPage{}, fmt.Errorf("list jobs: %w", err)
	}
	page := mergeSearches(f.Order, requested, internal, limit)
	if err := nameThem(ctx, tx, page.Jobs); err != nil {
		return AdminJobPage{}, fmt.Errorf("list jobs: %w", err)
	}
	return page, nil
}

// leavesInternalOut reports whether the filter names what only requested jobs have, or what of the internal ones is
// routine and was not asked for.
func (f AdminJobFilter) leavesInternalOut() bool {
	switch f.Source {
	case RequestedJobs:
		return true
	case InternalJobs:
		return f.RequestID != "" || f.EventID != ""
	}
	return f.RequestID != "" || f.EventID != "" || f.Status == Succeeded && f.Routine == RoutineHidden
}

const nameJobs = `
SELECT j.id, (SELECT o.name FROM organizations o WHERE o.id = j.organization_id),
       CASE WHEN j.running THEN (SELECT r.attempted_by[array_upper(r.attempted_by, 1)] FROM river_job r WHERE r.id = j.river_job_id) END
FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::boolean[]) AS j (id, organization_id, river_job_id, running)`

// nameThem adds names of organizations, and of the workers that have requested jobs.
func nameThem(ctx context.Context, tx pgx.Tx, list []AdminJob) error {
	if len(list) == 0 {
		return nil
	}
	ids, organizations, river, running := make([]string, len(list)), make([]*string, len(list)), make([]*int64, len(list)), make([]bool, len(list))
	at := make(map[string]*AdminJob, len(list))
	for i, j := range list {
		ids[i], organizations[i], river[i], running[i] = j.ID, j.OrganizationID, j.RiverJobID, j.Status == Running && !j.Internal
		at[j.ID] = &list[i]
	}
	rows, err := tx.Query(ctx, nameJobs, ids, organizations, river, running)
	if err != nil {
		return err
	}
	var id string
	var name, worker *string
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &worker}, func() error {
		at[id].OrganizationName = name
		if worker != nil {
			at[id].Worker = worker
		}
		return nil
	})
	return err
}

// mergeSearches gives what two searches found in one order. Where one stopped early nothing is shown of the other
// that lies beyond, as it would be out of order.
func mergeSearches(order Order, a, b *jobSearch, limit int) AdminJobPage {
	page := AdminJobPage{Next: AdminJobPlace{Requested: a.at, Internal: b.at}}
	before := order.before
	for _, s := range []*jobSearch{a, b} {
		if s.stopped != nil && (page.SearchedUntil == nil || before(*s.stopped, *page.SearchedUntil)) {
			page.SearchedUntil = s.stopped
		}
	}
	i, j := 0, 0
	for len(page.Jobs) < limit && (i < len(a.found) || j < len(b.found)) {
		s, n := a, &i
		if i == len(a.found) || j < len(b.found) && before(b.found[j].CreatedAt, a.found[i].CreatedAt) {
			s, n = b, &j
		}
		next := s.found[*n]
		if page.SearchedUntil != nil && before(*page.SearchedUntil, next.CreatedAt) {
			break
		}
		page.Jobs = append(page.Jobs, next)
		*n++
	}
	page.Next.Requested, page.Next.Internal = a.placeAfter(i), b.placeAfter(j)
	if len(page.Jobs) == limit {
		page.SearchedUntil = nil
	}
	return page
}
