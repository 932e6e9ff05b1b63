package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// What can be done with many jobs at once.
const (
	BulkRetry  = "retry"
	BulkCancel = "cancel"
	BulkDelete = "delete"
)

// States of a bulk action.
const (
	BulkQueued  = "queued"
	BulkRunning = "running"
	BulkDone    = "done"
	BulkStopped = "stopped"
)

// A BulkAction is what an operator wants done with many jobs, and how far it has come.
type BulkAction struct {
	ID              string          `db:"id"`
	Action          string          `db:"action"`
	Filter          json.RawMessage `db:"filter"`
	Status          string          `db:"status"`
	Total           int             `db:"matched"`
	Capped          bool            `db:"capped"`
	Position        int             `db:"position"`
	Done            int             `db:"done"`
	Skipped         int             `db:"skipped"`
	Failed          int             `db:"failed"`
	Reasons         map[string]int  `db:"reasons"`
	AskedBy         BulkAsker       `db:"asked_by"`
	StopRequestedAt *time.Time      `db:"stop_requested_at"`
	StartedAt       *time.Time      `db:"started_at"`
	FinishedAt      *time.Time      `db:"finished_at"`
	CreatedAt       time.Time       `db:"created_at"`
}

// Over reports whether nothing more comes of it.
func (b BulkAction) Over() bool { return b.Status == BulkDone || b.Status == BulkStopped }

// A BulkAsker is who asked for a bulk action, so that its end is noted under the same name as its beginning.
type BulkAsker struct {
	KeyID     string  `json:"key_id"`
	KeyOf     string  `json:"key_of"` // organization of the key
	KeyName   string  `json:"key_name"`
	Role      string  `json:"role"`
	SessionID *string `json:"session_id"`
	Address   *string `json:"address"`
	RequestID *string `json:"request_id"`
}

const bulkColumns = `id::text, action, filter, status, matched, capped, position, done, skipped, failed, reasons, asked_by,
    stop_requested_at, started_at, finished_at, created_at`

// A BulkItem is a job that a bulk action is about, as it stood when that was asked.
type BulkItem struct {
	N              int     `db:"n"`
	OrganizationID *string `db:"of_organization"`
	JobID          *string `db:"job_id"`       // nil: no client asked for it
	RiverJobID     *int64  `db:"river_job_id"` // of such a one
	Run            int     `db:"run"`
	Status         string  `db:"status"`
	Outcome        *string `db:"outcome"` // nil: its turn has not come
	Reason         *string `db:"reason"`
	Detail         *string `db:"detail"`

	EndedAt *time.Time `db:"-"` // as it was when it was matched; not kept
}

const bulkItemColumns = `n, of_organization::text, job_id::text, river_job_id, run, status, outcome, reason, detail`

const insertBulkAction = `
INSERT INTO bulk_actions (id, action, filter, matched, capped, asked_by)
VALUES ($1, $2, $3, $4, $5,
        jsonb_set($6::jsonb, '{key_name}', to_jsonb(coalesce((SELECT name FROM api_keys
            WHERE organization_id = nullif($7::text, '')::uuid AND id::text = $8), '` + configuredKey + `'))))
RETURNING ` + bulkColumns

// InsertBulkAction writes a bulk action down with the jobs that it is about.
func InsertBulkAction(ctx context.Context, tx pgx.Tx, b BulkAction, items []BulkItem) (BulkAction, error) {
	rows, err := tx.Query(ctx, insertBulkAction, b.ID, b.Action, b.Filter, len(items), b.Capped, b.AskedBy, b.AskedBy.KeyOf, b.AskedBy.KeyID)
	if err != nil {
		return b, fmt.Errorf("write bulk action %s: %w", b.ID, err)
	}
	if b, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[BulkAction]); err != nil {
		return b, fmt.Errorf("write bulk action: %w", err)
	}
	columns := []string{"bulk_id", "n", "of_organization", "job_id", "river_job_id", "run", "status"}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"bulk_items"}, columns, pgx.CopyFromSlice(len(items), func(i int) ([]any, error) {
		item := items[i]
		return []any{b.ID, i + 1, item.OrganizationID, item.JobID, item.RiverJobID, item.Run, item.Status}, nil
	}))
	if err != nil {
		return b, fmt.Errorf("write the %d jobs of bulk action %s: %w", len(items), b.ID, err)
	}
	return b, nil
}

const selectBulkAction = `SELECT ` + bulkColumns + ` FROM bulk_actions WHERE id = $1`

// ReadBulkAction reads a bulk action.
func ReadBulkAction(ctx context.Context, tx pgx.Tx, id string) (BulkAction, error) {
	return oneBulkAction(ctx, tx, "read", selectBulkAction, id)
}

// LockBulkAction reads a bulk action and keeps others from carrying it out until the transaction ends.
func LockBulkAction(ctx context.Context, tx pgx.Tx, id string) (BulkAction, error) {
	return oneBulkAction(ctx, tx, "lock", selectBulkAction+` FOR UPDATE`, id)
}

func oneBulkAction(ctx context.Context, tx pgx.Tx, verb, sql, id string, more ...any) (BulkAction, error) {
	rows, err := tx.Query(ctx, sql, append([]any{id}, more...)...)
	if err != nil {
		return BulkAction{}, fmt.Errorf("%s bulk action %s: %w", verb, id, err)
	}
	b, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[BulkAction])
	if err != nil {
		return b, fmt.Errorf("%s bulk action %s: %w", verb, id, notFound(err))
	}
	return b, nil
}

const selectBulkActions = `
SELECT ` + bulkColumns + ` FROM bulk_actions WHERE $1 = '' OR bulk_actions.id < nullif($1, '')::uuid
ORDER BY bulk_actions.id DESC LIMIT $2`

// BulkActions lists bulk actions, newest first.
func BulkActions(ctx context.Context, tx pgx.Tx, before string, limit int) ([]BulkAction, error) {
	rows, err := tx.Query(ctx, selectBulkActions, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list bulk actions: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[BulkAction])
	if err != nil {
		return nil, fmt.Errorf("list bulk actions: %w", err)
	}
	return list, nil
}

const requestStop = `
UPDATE bulk_actions SET stop_requested_at = coalesce(stop_requested_at, now()), updated_at = now()
WHERE id = $1 AND status IN ('queued', 'running')
RETURNING ` + bulkColumns

// StopBulkAction has a bulk action end after the jobs that it has in hands. One that is over is ErrConflict.
func StopBulkAction(ctx context.Context, tx pgx.Tx, id string) (BulkAction, error) {
	b, err := oneBulkAction(ctx, tx, "stop", requestStop, id)
	if err == nil {
		return b, nil
	}
	if b, err := ReadBulkAction(ctx, tx, id); err != nil {
		return b, err
	}
	return b, fmt.Errorf("stop bulk action %s: %w", id, ErrConflict)
}

const (
	selectBulkItems    = `SELECT ` + bulkItemColumns + ` FROM bulk_items WHERE bulk_id = $1 AND n > $2 ORDER BY n LIMIT $3`
	selectBulkFailures = `SELECT ` + bulkItemColumns + ` FROM bulk_items WHERE bulk_id = $1 AND n > $2 AND outcome = 'failed' ORDER BY n LIMIT $3`
	selectBulkSkipped  = `
SELECT ` + bulkItemColumns + ` FROM (
    SELECT *, row_number() OVER (PARTITION BY reason ORDER BY n) AS nth FROM bulk_items
    WHERE bulk_id = $1 AND n > $2 AND outcome = 'skipped') AS skipped
WHERE nth <= $3 ORDER BY reason, n`
)

// NextBulkItems are the jobs of a bulk action whose turn it is.
func NextBulkItems(ctx context.Context, tx pgx.Tx, b BulkAction, limit int) ([]BulkItem, error) {
	return bulkItems(ctx, tx, selectBulkItems, b.ID, b.Position, limit)
}

// BulkFailures are the first jobs with which a bulk action could not do what was asked.
func BulkFailures(ctx context.Context, tx pgx.Tx, id string, limit int) ([]BulkItem, error) {
	return bulkItems(ctx, tx, selectBulkFailures, id, 0, limit)
}

// BulkSkipped are the first jobs that a bulk action left as they were, so many for each reason.
func BulkSkipped(ctx context.Context, tx pgx.Tx, id string, limit int) ([]BulkItem, error) {
	return bulkItems(ctx, tx, selectBulkSkipped, id, 0, limit)
}

func bulkItems(ctx context.Context, tx pgx.Tx, sql, id string, after, limit int) ([]BulkItem, error) {
	rows, err := tx.Query(ctx, sql, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read jobs of bulk action %s: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[BulkItem])
	if err != nil {
		return nil, fmt.Errorf("read jobs of bulk action %s: %w", id, err)
	}
	return list, nil
}

// Outcomes of a job in a bulk action.
const (
	BulkItemDone    = "done"
	BulkItemSkipped = "skipped"
	BulkItemFailed  = "failed"
)

// A BulkOutcome is what became of one job of a bulk action.
type BulkOutcome struct {
	N       int
	Outcome string
	Reason  string // of one that was skipped or failed
	Detail  string
}

const (
	noteBulkItems = `
UPDATE bulk_items i SET outcome = o.outcome, reason = nullif(o.reason, ''), detail = nullif(o.detail, '')
FROM unnest($2::int[], $3::text[], $4::text[], $5::text[]) AS o (n, outcome, reason, detail)
WHERE i.bulk_id = $1 AND i.n = o.n`
	moveBulkAction = `
UPDATE bulk_actions SET status = 'running', started_at = coalesce(started_at, now()), position = position + $2, done = done + $3,
    skipped = skipped + $4, failed = failed + $5, reasons = $6, updated_at = now()
WHERE id = $1`
)

// maxBulkDetail is as the table checks.
const maxBulkDetail = 1000

// MoveBulkAction writes down what became of the next jobs of a bulk action that is locked, in the transaction that has
// changed them: after a crash it goes on behind them.
func MoveBulkAction(ctx context.Context, tx pgx.Tx, b *BulkAction, list []BulkOutcome) error {
	n := len(list)
	numbers, outcomes, reasons, details := make([]int, n), make([]string, n), make([]string, n), make([]string, n)
	moved := *b
	moved.Reasons = make(map[string]int, len(b.Reasons))
	for reason, times := range b.Reasons {
		moved.Reasons[reason] = times
	}
	for i, o := range list {
		numbers[i], outcomes[i], reasons[i], details[i] = o.N, o.Outcome, o.Reason, Storable(o.Detail, maxBulkDetail)
		moved.Position++
		switch o.Outcome {
		case BulkItemDone:
			moved.Done++
		case BulkItemSkipped:
			moved.Skipped++
		default:
			moved.Failed++
		}
		if o.Reason != "" {
			moved.Reasons[o.Reason]++
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(noteBulkItems, b.ID, numbers, outcomes, reasons, details)
	batch.Queue(moveBulkAction, b.ID, n, moved.Done-b.Done, moved.Skipped-b.Skipped, moved.Failed-b.Failed, moved.Reasons)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("note %d jobs of bulk action %s: %w", n, b.ID, err)
	}
	*b = moved
	return nil
}

const endBulkAction = `
UPDATE bulk_actions SET status = $2, started_at = coalesce(started_at, now()), finished_at = now(), updated_at = now()
WHERE id = $1 RETURNING ` + bulkColumns

// EndBulkAction ends a bulk action that is locked, and notes its report in the audit log.
func EndBulkAction(ctx context.Context, tx pgx.Tx, b BulkAction, status string) error {
	b, err := oneBulkAction(ctx, tx, "end", endBulkAction, b.ID, status)
	if err != nil {
		return err
	}
	report, err := json.Marshal(map[string]any{"status": b.Status, "total": b.Total, "done": b.Done, "skipped": b.Skipped,
		"failed": b.Failed, "reasons": b.Reasons})
	if err != nil {
		return fmt.Errorf("encode the report of bulk action %s: %w", b.ID, err)
	}
	who := b.AskedBy
	return Audit(ctx, tx, who.KeyOf, AuditEntry{KeyID: who.KeyID, Role: who.Role, SessionID: who.SessionID, Address: who.Address,
		RequestID: who.RequestID, Action: "bulk.end", Target: "bulk", TargetID: b.ID, Outcome: AuditDone, After: report})
}

const deleteBulkActions = `
DELETE FROM bulk_actions WHERE id IN (
    SELECT id FROM bulk_actions WHERE finished_at < $1 LIMIT least($2, 10))`
