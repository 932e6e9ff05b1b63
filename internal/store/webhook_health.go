package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// BreakAfter is after how many failures in a row a lane is paused, and one delivery at a time goes ahead.
	BreakAfter = 5
	// A lane is as wide as it gets after so many successes in a row.
	widestAfter = 8
)

// A LaneChange is what attempts have shown of a lane's receiver: failures first, then successes.
type LaneChange struct {
	OrganizationID, LaneID string
	Failures, Successes    int
	// Probe says that the failing one had gone ahead after a pause, so that its end begins another.
	Probe bool
	// Pause is for how long the receiver wished to be left alone; 0: it did not say.
	Pause time.Duration
	// Asked says that one succeeded that somebody had asked for, past a pause: then nothing is left of the pause.
	Asked bool
}

// A LaneState is what a lane came to by a failure.
type LaneState struct {
	Failures int       // in a row
	Since    time.Time // of the first of them
	Age      time.Duration
}

// A lane that is well is written every few seconds only, however much goes through it. What the receiver wished for outlasts
// the success of one that was under way when it did.
const laneSucceeded = `
UPDATE webhook_lanes
SET failures = 0, failing_since = NULL, successes = least(successes + $3, $4), last_success_at = now(), updated_at = now(),
    paused_until = CASE WHEN failures < $5 AND NOT $6 THEN paused_until END
WHERE organization_id = $1 AND id = $2
  AND (failures > 0 OR successes < $4 OR last_success_at IS NULL OR last_success_at < now() - interval '10 seconds'
       OR $6 AND paused_until IS NOT NULL)`

// After a silence the next failure is the first of a row: how the receiver did meanwhile nobody knows.
const laneForgets = `
UPDATE webhook_lanes SET failures = 0, failing_since = NULL
WHERE organization_id = $1 AND id = $2 AND failures > 0 AND last_failure_at < now() - $3::interval`

// Pauses are as long as it has failed for, so that each is about twice the one before; a receiver that wishes for a longer one
// has it, for a shorter one not. Of many that fail at the same time one begins the pause. An endpoint that is disabled is not
// judged.
const laneFailed = `
UPDATE webhook_lanes l
SET failures = failures + $3, failing_since = coalesce(failing_since, now()), successes = 0, last_failure_at = now(), updated_at = now(),
    paused_until = CASE
        WHEN failures + $3 >= $4 AND ($5 OR paused_until IS NULL OR paused_until <= now())
        THEN now() + greatest($6::interval,
            least(greatest(now() - failing_since, interval '10 seconds'), interval '10 minutes') * (0.9 + 0.2 * random()))
        WHEN $6::interval > interval '0' THEN greatest(paused_until, now() + $6::interval)
        ELSE paused_until END
WHERE organization_id = $1 AND id = $2
  AND NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.organization_id = l.organization_id AND e.id = l.id
                  AND (e.status = 'disabled' OR e.deleted_at IS NOT NULL))
RETURNING failures, failing_since, now() - failing_since`

// ChangeLanes writes down what attempts have shown of lanes, in the caller's transaction, and gives the state of those
// that failed. What failed before a silence of so long counts no more. The caller gives each lane once, in the order of
// organization and id: the locks are taken in it.
func ChangeLanes(ctx context.Context, tx pgx.Tx, list []LaneChange, silence time.Duration) (map[Lane]LaneState, error) {
	if len(list) == 0 {
		return nil, nil
	}
	failing := make(map[Lane]LaneState)
	b := &pgx.Batch{}
	for _, c := range list {
		lane := Lane{c.OrganizationID, c.LaneID}
		if c.Failures > 0 {
			b.Queue(laneForgets, c.OrganizationID, c.LaneID, silence)
			b.Queue(laneFailed, c.OrganizationID, c.LaneID, c.Failures, BreakAfter, c.Probe, c.Pause).Query(func(rows pgx.Rows) error {
				states, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LaneState])
				if len(states) > 0 && c.Successes == 0 {
					failing[lane] = states[0]
				}
				return err
			})
		}
		if c.Successes > 0 {
			b.Queue(laneSucceeded, c.OrganizationID, c.LaneID, c.Successes, widestAfter, BreakAfter, c.Asked)
		}
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("note what came of lane %s: %w", list[0].LaneID, err)
	}
	return failing, nil
}

// Of several that come when a pause is over, one finds it so.
const claimProbe = `
UPDATE webhook_lanes SET paused_until = now() + $4::interval, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND failures >= $3 AND (paused_until IS NULL OR paused_until <= now())`

// ClaimProbe has a delivery go ahead of the others of its lane, which stays paused for so long; false: another does.
func (db *DB) ClaimProbe(ctx context.Context, lane Lane, length time.Duration) (bool, error) {
	tag, err := db.exec(ctx, claimProbe, lane.OrganizationID, lane.ID, BreakAfter, length)
	if err != nil {
		return false, fmt.Errorf("go ahead in lane %s: %w", lane.ID, err)
	}
	return tag.RowsAffected() > 0, nil
}
