package workers

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// newSweep is one that has looked at nothing yet.
func (s *site) newSweep() *webhookSweep {
	s.t.Helper()
	client, err := NewInserter(s.db.Pool(), s.telling(), s.logged.log())
	if err != nil {
		s.t.Fatal(err)
	}
	return &webhookSweep{db: s.db, river: client, log: s.logged.log()}
}

// sweepWebhooks is one turn of a sweep that has just begun.
func (s *site) sweepWebhooks() {
	s.t.Helper()
	if err := s.newSweep().turn(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// waits puts deliveries into the lane of an endpoint, as they are before anybody looked.
func (s *site) waits(organizationID, endpointID string, n int) (ids []string) {
	s.t.Helper()
	for range n {
		ids = append(ids, outbox.NewID())
	}
	s.exec(`INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose)
		SELECT $1, id, $2, $2, gen_random_uuid(), 'contact.created', 'event' FROM unnest($3::uuid[]) AS id`, organizationID, endpointID, ids)
	return ids
}

// queued counts River's jobs of an endpoint's deliveries, in a state or in any.
func (s *site) queued(endpointID, state string) int {
	s.t.Helper()
	return s.count(`SELECT count(*) FROM river_job r JOIN webhook_deliveries d ON (r.args ->> 'delivery_id')::uuid = d.id
		WHERE d.endpoint_id = $1 AND r.kind = 'webhook.deliver' AND ($2 = '' OR r.state::text = $2)`, endpointID, state)
}

func TestSweepFillsPlacesThatNobodyGaveAway(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newDatabase(t), newNATSURL(t))
	e, paused := s.endpoint(organization, "*"), s.endpoint(elsewhere, "*")
	s.exec(`INSERT INTO webhook_lanes (organization_id, id, paused_until) VALUES ($1, $2, now() + interval '1 hour')`, elsewhere, paused)
	s.waits(organization, e, 5)
	s.waits(elsewhere, paused, 5)
	for range 3 {
		s.sweepWebhooks()
	}
	if n := s.queued(e, ""); n != 2 {
		t.Errorf("%d jobs of a lane that nobody looked at, want 2", n)
	}
	if n := s.queued(paused, ""); n != 0 {
		t.Errorf("%d jobs of a lane that is paused", n)
	}
	s.exec(`UPDATE webhook_lanes SET paused_until = now() WHERE id = $1`, paused)
	s.sweepWebhooks()
	if n := s.queued(paused, ""); n != 2 {
		t.Errorf("%d jobs after the pause, want 2", n)
	}
}

// However many lanes there are, each has its turn.
func TestSweepGoesRoundAllLanes(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newDatabase(t), newNATSURL(t))
	const lanes = 1203
	s.exec(`WITH made AS (
		INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
		SELECT $1, gen_random_uuid(), 'https://example.com/', '{*}', 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=' FROM generate_series(1, $2::integer)
		RETURNING id)
		INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose)
		SELECT $1, gen_random_uuid(), id, id, gen_random_uuid(), 'contact.created', 'event' FROM made`, organization, lanes)
	sweep := s.newSweep()
	for range 3 {
		if err := sweep.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.count(`SELECT count(*) FROM river_job`); n != lanes {
		t.Errorf("%d jobs of %d lanes", n, lanes)
	}
	if n := s.count(`SELECT count(*) FROM river_job WHERE priority = 4`); n != lanes-jobs.Webhook.Share {
		t.Errorf("%d of them are beyond the share, want %d", n, lanes-jobs.Webhook.Share)
	}
	late := s.endpoint(organization, "*")
	s.waits(organization, late, 1)
	if err := sweep.turn(t.Context()); err != nil || s.queued(late, "") != 1 {
		t.Errorf("the next round begins with %d jobs, %v", s.queued(late, ""), err)
	}
}

func TestDeliveriesThatRiverLostAreMade(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newDatabase(t), newNATSURL(t))
	for name, lose := range map[string]string{
		"deleted":   `DELETE FROM river_job r`,
		"cancelled": `UPDATE river_job r SET state = 'cancelled', finalized_at = now()`,
		"discarded": `UPDATE river_job r SET state = 'discarded', finalized_at = now()`,
		"completed": `UPDATE river_job r SET state = 'completed', finalized_at = now()`,
		"overtaken": `UPDATE river_job r SET args = jsonb_set(args, '{run}', '0')`,
	} {
		e := s.endpoint(organization, "*")
		s.waits(organization, e, 1)
		s.sweepWebhooks()
		of := ` WHERE args ->> 'delivery_id' = (SELECT id::text FROM webhook_deliveries WHERE endpoint_id = $1)`
		live := func() int {
			return s.count(`SELECT count(*) FROM river_job`+of+` AND state IN ('available', 'running', 'scheduled') AND args ->> 'run' = '1'`, e)
		}
		age := func() {
			s.exec(`UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 minute' WHERE endpoint_id = $1`, e)
		}
		for _, state := range []string{"available", "running", "scheduled"} { // it is not lost
			s.exec(`UPDATE river_job r SET state = $2::text::river_job_state`+of, e, state)
			age()
			s.sweepWebhooks()
			if n := live(); n != 1 {
				t.Fatalf("%s: %d jobs while one is %s, want 1", name, n, state)
			}
		}
		s.exec(lose+of, e)
		s.exec(`UPDATE webhook_deliveries SET next_attempt_at = now() WHERE endpoint_id = $1`, e)
		s.sweepWebhooks()
		if n := live(); n != 0 {
			t.Errorf("%s: it was started %d times at once, though it may be on the way", name, n)
		}
		age()
		s.sweepWebhooks()
		s.sweepWebhooks()
		if n := live(); n != 1 {
			t.Errorf("%s: it was started %d times, want 1", name, n)
		}
	}
}

func TestWhatWaitsForNothingEnds(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newDatabase(t), newNATSURL(t))
	off, deleted, purged, well := s.endpoint(organization, "*"), s.endpoint(organization, "*"), s.endpoint(organization, "*"), s.endpoint(elsewhere, "*")
	for _, id := range []string{off, deleted, purged} {
		s.waits(organization, id, 700)
	}
	s.waits(elsewhere, well, 3)
	putOff := s.waits(organization, off, 1)
	s.exec(`UPDATE webhook_deliveries SET admitted = true, next_attempt_at = now() + interval '6 hours' WHERE id = $1`, putOff[0])
	s.exec(`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'failing', disabled_at = now() WHERE id = $1`, off)
	s.exec(`UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1`, deleted)
	s.exec(`DELETE FROM webhook_endpoints WHERE id = $1`, purged)
	sweep := s.newSweep()
	for turn := range 2 {
		if err := sweep.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.count(`SELECT count(*) FROM webhook_deliveries WHERE status = 'failed' AND endpoint_id = $1`, deleted); turn == 0 && n != 500 {
			t.Errorf("%d end in a turn, want 500", n)
		}
	}
	for id, want := range map[string]string{off: "failed endpoint_disabled 701", deleted: "failed endpoint_deleted 700",
		purged: "failed endpoint_deleted 700", well: "pending  3"} {
		var got string
		s.scan(&got, `SELECT string_agg(status || ' ' || code || ' ' || n, ', ') FROM (
			SELECT status, coalesce(error_code, '') AS code, count(*) AS n FROM webhook_deliveries WHERE endpoint_id = $1 GROUP BY 1, 2) AS g`, id)
		if got != want {
			t.Errorf("they are %s, want %s", got, want)
		}
	}
	if n := s.count(`SELECT count(*) FROM webhook_deliveries WHERE status = 'failed' AND (error IS NULL OR attempts > 0 OR admitted)`); n != 0 {
		t.Errorf("%d ended without a word", n)
	}
	if n := s.count(`SELECT count(*) FROM river_job r JOIN webhook_deliveries d ON (args ->> 'delivery_id')::uuid = d.id WHERE d.endpoint_id <> $1`, well); n != 0 {
		t.Errorf("%d jobs were started for nothing", n)
	}
}

// A delivery is given up after three days, though its turn never came.
func TestWhatWaitedTooLongEnds(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newDatabase(t), newNATSURL(t))
	e := s.endpoint(organization, "*")
	s.exec(`INSERT INTO webhook_lanes (organization_id, id, paused_until) VALUES ($1, $2, now() + interval '1 hour')`, organization, e)
	aged := func(created, begun time.Duration) string {
		id := uuidAt(time.Now().Add(-created))
		s.exec(`INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, begun_at)
			VALUES ($1, $2, $3, $3, gen_random_uuid(), 'contact.created', 'event', now() - $4::interval)`, organization, id, e, begun)
		return id
	}
	const day = 24 * time.Hour
	want := map[string]string{
		aged(4*day, 4*day): "expired", aged(3*day+time.Minute, 3*day+time.Minute): "expired",
		aged(10*day, time.Hour): "", aged(2*day, 2*day): "", aged(0, 0): "",
	}
	s.sweepWebhooks()
	for id, code := range want {
		var got string
		if s.scan(&got, `SELECT coalesce(error_code, '') FROM webhook_deliveries WHERE id = $1`, id); got != code {
			t.Errorf("it ends with %q, want %q", got, code)
		}
	}
}

// uuidAt is an id (UUIDv7) as it would have been made at a time.
func uuidAt(at time.Time) string {
	fresh := outbox.NewID()
	ms := fmt.Sprintf("%012x", at.UnixMilli())
	return ms[:8] + "-" + ms[8:] + fresh[13:]
}

// The sweep of one process doesn't wait for that of another.
func TestOneSweepsAtATime(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newDatabase(t), newNATSURL(t))
	e := s.endpoint(organization, "*")
	s.waits(organization, e, 1)
	s.tx(func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock($1)`, sweepWebhooksLock)
		s.sweepWebhooks()
		if s.queued(e, "") != 0 {
			t.Error("two sweep at a time")
		}
		return err
	})
	s.sweepWebhooks()
	if s.queued(e, "") != 1 {
		t.Error("nobody sweeps afterwards")
	}
}

// A lane stands still for no longer than a turn of the sweep, whoever died.
func TestWorkerSweepsWebhooks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	e := s.endpoint(organization, "*")
	s.waits(organization, e, 1)
	s.worker()
	eventually(t, "it is admitted", func() error {
		if s.queued(e, "") == 0 {
			return errors.New("it waits")
		}
		return nil
	})
}

// What a restored copy has pending goes on.
func TestDeliveriesOutliveARestore(t *testing.T) {
	t.Parallel()
	s := siteAt(t, newDatabase(t), newNATSURL(t))
	e := s.endpoint(organization, "*")
	ids := s.waits(organization, e, 4)
	s.sweepWebhooks()
	if err := store.RegisterWorker(t.Context(), s.db.Pool(), store.WorkerProcess{ID: "of then", Host: "x", PID: 1, Queues: []byte(`{}`), Version: "x"}); err != nil {
		t.Fatal(err)
	}
	s.exec(`UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = '{of then}' WHERE args ->> 'delivery_id' = $1`, ids[0])
	table := s.reviving(forgetting{make(chan struct{}, 1)})
	if _, err := Revive(t.Context(), s.db, append(table, s.telling()[len(s.table()):]...), s.logged.log()); err != nil {
		t.Fatal(err)
	}
	s.sweepWebhooks()
	var waiting []string
	rows, err := s.db.Pool().Query(t.Context(), `SELECT args ->> 'delivery_id' FROM river_job WHERE kind = 'webhook.deliver' AND state IN ('available', 'retryable', 'scheduled') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	if waiting, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(waiting, ids[:2]) {
		t.Errorf("%v wait in the queue, want %v: %v", waiting, ids[:2], err)
	}
}
