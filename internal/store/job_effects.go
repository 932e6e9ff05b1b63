package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// An Effect is something that a job did outside Postgres, with the receipt for it.
type Effect struct {
	Key     string          `db:"effect_key"`
	State   string          `db:"state"` // started, done or unknown
	Attempt int             `db:"attempt"`
	Receipt json.RawMessage `db:"receipt"`
}

const beginEffect = `
INSERT INTO job_effects (organization_id, job_id, effect_key, state, attempt) VALUES ($1, $2, $3, 'started', $4)
ON CONFLICT (organization_id, job_id, effect_key) DO NOTHING`

const selectEffect = `
SELECT effect_key, state, attempt, receipt FROM job_effects
WHERE organization_id = $1 AND job_id = $2 AND effect_key = $3`

// BeginEffect notes that an effect is about to happen, before it does. When it was noted before, by an
// attempt that then died or lost its hold, the earlier note comes back and first is false: whoever asks
// must find out what became of that one, or report it as unknown, and not do it again blindly.
func BeginEffect(ctx context.Context, db Execer, h Hold, key string, attempt int) (e Effect, first bool, err error) {
	tag, err := db.Exec(ctx, beginEffect, h.OrganizationID, h.JobID, key, attempt)
	if err != nil {
		return e, false, fmt.Errorf("begin effect %s of job %s: %w", key, h.JobID, err)
	}
	if tag.RowsAffected() == 1 {
		return Effect{Key: key, State: "started", Attempt: attempt}, true, nil
	}
	rows, err := db.Query(ctx, selectEffect, h.OrganizationID, h.JobID, key)
	if err != nil {
		return e, false, fmt.Errorf("read effect %s of job %s: %w", key, h.JobID, err)
	}
	e, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Effect])
	if err != nil {
		return e, false, fmt.Errorf("read effect %s of job %s: %w", key, h.JobID, err)
	}
	return e, false, nil
}

const settleEffect = `
INSERT INTO job_effects (organization_id, job_id, effect_key, state, attempt, receipt, finished_at)
VALUES ($1, $2, $3, $4, $5, $6, now())
ON CONFLICT (organization_id, job_id, effect_key) DO UPDATE
SET state = excluded.state, attempt = excluded.attempt, receipt = excluded.receipt, finished_at = now()
WHERE job_effects.state <> 'done'`

// ErrEffectDone means that the ledger holds a receipt for this effect already.
var ErrEffectDone = errors.New("the effect was recorded before")

// QueueEffect adds the record of an effect, with its receipt, to a batch. Once an effect is done a second
// record is ErrEffectDone, which comes from the batch.
func QueueEffect(b *pgx.Batch, h Hold, e Effect) {
	b.Queue(settleEffect, h.OrganizationID, h.JobID, e.Key, e.State, e.Attempt, e.Receipt).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("settle effect %s of job %s: %w", e.Key, h.JobID, ErrEffectDone)
		}
		return nil
	})
}
