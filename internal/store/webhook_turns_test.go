package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// lanesSite is a database in which deliveries wait.
type lanesSite struct {
	t    *testing.T
	db   *store.DB
	next int
}

const laneOwner = "0197aaaa-0000-7000-8000-000000000001"

func newLanes(t *testing.T) *lanesSite {
	t.Helper()
	return &lanesSite{t: t, db: open(t, newDatabase(t), store.System)}
}

func (s *lanesSite) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.db.Pool().Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *lanesSite) id() string {
	s.next++
	return fmt.Sprintf("0197bbbb-0000-7000-8000-%012x", s.next)
}

// lane makes one of an endpoint of an organization, with so many waiting; set changes the lane's row.
func (s *lanesSite) lane(organizationID string, waiting int, set string) store.Lane {
	s.t.Helper()
	l := store.Lane{OrganizationID: organizationID, ID: s.id()}
	s.exec(`INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
		VALUES ($1, $2, 'https://example.com/', '{*}', 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=')`, l.OrganizationID, l.ID)
	s.exec(`INSERT INTO webhook_lanes (organization_id, id) VALUES ($1, $2)`, l.OrganizationID, l.ID)
	if set != "" {
		s.exec(`UPDATE webhook_lanes SET `+set+` WHERE id = $1`, l.ID)
	}
	s.wait(l, waiting)
	return l
}

// wait puts deliveries into a lane, and returns their ids.
func (s *lanesSite) wait(l store.Lane, n int) (ids []string) {
	s.t.Helper()
	for range n {
		id := s.id()
		s.exec(`INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose)
			VALUES ($1, $2, $3, $3, gen_random_uuid(), 'contact.created', 'event')`, l.OrganizationID, id, l.ID)
		ids = append(ids, id)
	}
	return ids
}

func (s *lanesSite) admit(share int, lanes ...store.Lane) (turns []store.Turn) {
	s.t.Helper()
	err := s.db.Tx(s.t.Context(), func(tx pgx.Tx) (err error) {
		turns, err = store.AdmitDeliveries(s.t.Context(), tx, lanes, share)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return turns
}

func TestPlacesOfLanes(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	failing := ", failing_since = now()"
	for name, c := range map[string]struct {
		set  string
		want int
	}{
		"a new one":                      {"", 2},
		"one that widens":                {"successes = 3", 5},
		"a wide one":                     {"successes = 50", 10},
		"one that failed a little":       {"failures = 4" + failing, 2},
		"one that is half open":          {"failures = 5" + failing, 1},
		"one that is half open and wide": {"failures = 9, successes = 9" + failing, 1},
		"a paused one":                   {"paused_until = now() + interval '1 minute', successes = 5", 0},
		"one whose pause is over":        {"paused_until = now() - interval '1 second', failures = 7" + failing, 1},
	} {
		l := s.lane(laneOwner, 12, c.set)
		if got := len(s.admit(1000, l)); got != c.want {
			t.Errorf("%s admits %d, want %d", name, got, c.want)
		}
		if got := len(s.admit(1000, l)); got != 0 {
			t.Errorf("%s admits %d more", name, got)
		}
		// Those that wait for their next attempt hold no place, and those that have ended neither.
		s.exec(`UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 hour' WHERE lane_id = $1 AND admitted`, l.ID)
		if got := len(s.admit(1000, l)); got != min(c.want, 12-c.want) {
			t.Errorf("%s admits %d when the first are put off, want %d", name, got, min(c.want, 12-c.want))
		}
	}
	off := s.lane(laneOwner, 3, "")
	s.exec(`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'owner', disabled_at = now() WHERE id = $1`, off.ID)
	deleted := s.lane(laneOwner, 3, "")
	s.exec(`UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1`, deleted.ID)
	if turns := s.admit(1000, off, deleted, store.Lane{OrganizationID: laneOwner, ID: s.id()}); len(turns) != 0 {
		t.Errorf("lanes that nobody listens at admit %v", turns)
	}
	// The lane's row may come later than its first delivery.
	bare := s.lane(laneOwner, 3, "")
	s.exec(`DELETE FROM webhook_lanes WHERE id = $1`, bare.ID)
	if turns := s.admit(1000, bare); len(turns) != 2 {
		t.Errorf("a lane without a row admits %d, want 2", len(turns))
	}
}

func TestOldestGoFirst(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	l := s.lane(laneOwner, 0, "")
	ids := s.wait(l, 7)
	other := s.lane(laneOwner, 4, "successes = 1")
	for at := 0; at < len(ids); at += 2 {
		turns := s.admit(1000, l)
		var got []string
		for _, turn := range turns {
			got = append(got, turn.DeliveryID)
		}
		if want := ids[at:min(at+2, len(ids))]; !slices.Equal(got, want) {
			t.Fatalf("%v go, want %v", got, want)
		}
		s.exec(`UPDATE webhook_deliveries SET status = 'succeeded', admitted = false, next_attempt_at = NULL, finished_at = now() WHERE id = ANY($1)`, got)
	}
	if turns := s.admit(1000, l, other, l); len(turns) != 3 {
		t.Errorf("%d go in the other lane, want 3", len(turns))
	}
}

func TestShareOfTheQueue(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	beyond := func(turns []store.Turn) (n int) {
		for _, turn := range turns {
			if turn.Beyond {
				n++
			}
		}
		return n
	}
	var lanes []store.Lane
	for range 3 {
		lanes = append(lanes, s.lane(laneOwner, 5, ""))
	}
	elsewhere := s.lane("0197aaaa-0000-7000-8000-000000000002", 5, "")
	if turns := s.admit(4, append(lanes, elsewhere)...); len(turns) != 8 || beyond(turns) != 2 {
		t.Errorf("%d of %d are beyond the share, want 2 of 8", beyond(turns), len(turns))
	}
	// What is put off takes nothing of it.
	s.exec(`UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 hour' WHERE lane_id = ANY($1) AND admitted`, []string{lanes[0].ID, lanes[1].ID})
	if turns := s.admit(4, lanes...); len(turns) != 4 || beyond(turns) != 2 {
		t.Errorf("%d of %d are beyond the share, want 2 of 4", beyond(turns), len(turns))
	}
}

// Two that look at the same moment never take the same, and neither waits for the other.
func TestTurnsAreGivenOnce(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	l := s.lane(laneOwner, 10, "successes = 1")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var both []store.Turn
	err := s.db.Tx(ctx, func(one pgx.Tx) error {
		first, err := store.AdmitDeliveries(ctx, one, []store.Lane{l}, 80)
		if err != nil {
			return err
		}
		both = first
		return s.db.Tx(ctx, func(two pgx.Tx) error {
			second, err := store.AdmitDeliveries(ctx, two, []store.Lane{l}, 80)
			both = append(both, second...)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, turn := range both {
		if seen[turn.DeliveryID] {
			t.Errorf("delivery %s goes twice", turn.DeliveryID)
		}
		seen[turn.DeliveryID] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d go, want 6", len(seen))
	}
}

// Each kind of row is deleted by its age, and what is in use is not.
func TestWebhooksAreCleanedUp(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	fresh, old := s.lane(laneOwner, 0, ""), s.lane(laneOwner, 0, "")
	deleted := s.lane(laneOwner, 0, "")
	callbacks := []store.Lane{{OrganizationID: laneOwner, ID: s.id()}, {OrganizationID: laneOwner, ID: s.id()}}
	for _, l := range callbacks {
		s.exec(`INSERT INTO webhook_lanes (organization_id, id, origin) VALUES ($1, $2, 'https://example.com')`, laneOwner, l.ID)
	}
	ended := `UPDATE webhook_deliveries SET status = 'succeeded', next_attempt_at = NULL, created_at = now() - $2::interval, finished_at = now() - $3::interval WHERE lane_id = $1`
	s.wait(fresh, 2)
	s.exec(ended, fresh.ID, 32*24*time.Hour, 29*24*time.Hour)
	gone := s.wait(old, 3)
	s.exec(ended, old.ID, 32*24*time.Hour, 31*24*time.Hour)
	s.exec(`INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, request_headers) VALUES ($1, $2, 1, 1, now(), 1, '{}')`,
		laneOwner, gone[0])
	s.wait(deleted, 1)
	s.exec(ended, deleted.ID, 33*24*time.Hour, 32*24*time.Hour)
	s.exec(`UPDATE webhook_endpoints SET deleted_at = now() - interval '31 days' WHERE id = $1`, deleted.ID)
	s.exec(`INSERT INTO webhook_events (organization_id, id, type, body, created_at) SELECT organization_id, event_id, event_type, '{}', created_at FROM webhook_deliveries`)
	pending := s.wait(old, 1) // old, and pending still
	s.exec(`UPDATE webhook_deliveries SET created_at = now() - interval '90 days' WHERE id = $1`, pending[0])
	s.exec(`UPDATE webhook_lanes SET updated_at = now() - interval '31 days'`)
	s.exec(`INSERT INTO webhook_deliveries (organization_id, id, lane_id, job_id, url, event_id, event_type, purpose)
		VALUES ($1, $2, $3, gen_random_uuid(), 'https://example.com/', gen_random_uuid(), 'job.completed', 'callback')`, laneOwner, s.id(), callbacks[0].ID)
	clean := func() {
		t.Helper()
		day := 24 * time.Hour
		if err := s.db.CleanUp(t.Context(), store.Retention{IdempotencyKeys: day, JobEvents: day, Jobs: day, APIKeys: day, BegunCalls: day,
			UsageHours: day, Suppressions: day, Webhooks: 30 * day}); err != nil {
			t.Fatal(err)
		}
	}
	clean()
	for sql, want := range map[string]int{
		`SELECT count(*) FROM webhook_deliveries WHERE lane_id = '` + fresh.ID + `'`: 2,
		`SELECT count(*) FROM webhook_deliveries WHERE lane_id = '` + old.ID + `'`:   1,
		`SELECT count(*) FROM webhook_attempts`:                                      0,
		`SELECT count(*) FROM webhook_events`:                                        2,
		`SELECT count(*) FROM webhook_endpoints`:                                     2,
		`SELECT count(*) FROM webhook_lanes WHERE origin IS NOT NULL`:                1,
		`SELECT count(*) FROM webhook_lanes WHERE origin IS NULL`:                    2,
	} {
		var got int
		if err := s.db.Pool().QueryRow(t.Context(), sql).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
}

// A lane that was not used for long is not cleaned up under what is just put into it.
func TestLaneIsKeptForWhatComesIntoIt(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	origin, url, job := "https://example.com", "https://example.com/hook", s.id()
	l := store.CallbackLane(laneOwner, origin)
	s.exec(`INSERT INTO webhook_lanes (organization_id, id, origin, updated_at) VALUES ($1, $2, $3, now() - interval '40 days')`, laneOwner, l.ID, origin)
	event := s.id()
	cleaned := make(chan error, 1)
	err := s.db.Tx(t.Context(), func(tx pgx.Tx) error {
		var made int
		b := &pgx.Batch{}
		store.QueueDeliveries(b, []store.WebhookEvent{{OrganizationID: laneOwner, ID: event, Type: "job.completed", Body: "{}"}},
			[]store.NewDelivery{{Lane: l, ID: s.id(), JobID: &job, URL: &url, Origin: &origin, EventID: event, EventType: "job.completed",
				Purpose: store.DeliveryOfCallback}}, store.TellOnce, &made)
		if err := tx.SendBatch(t.Context(), b).Close(); err != nil || made != 1 {
			return fmt.Errorf("%d made, %w", made, err)
		}
		go func() { cleaned <- s.db.CleanUp(t.Context(), store.Retention{Webhooks: 30 * 24 * time.Hour}) }()
		for waits := false; !waits; { // for the lane
			if err := tx.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))`).Scan(&waits); err != nil {
				return err
			}
			if len(cleaned) > 0 {
				return errors.New("it was cleaned up meanwhile")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-cleaned; err != nil {
		t.Fatal(err)
	}
	if turns := s.admit(80, l); len(turns) != 1 {
		t.Errorf("%d go, want 1", len(turns))
	}
}
