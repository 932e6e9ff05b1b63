package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

const someSilence = 28 * time.Hour

// changes writes down what attempts have shown of a lane.
func (s *lanesSite) changes(l store.Lane, c store.LaneChange) (store.LaneState, bool) {
	s.t.Helper()
	c.OrganizationID, c.LaneID = l.OrganizationID, l.ID
	var states map[store.Lane]store.LaneState
	s.must(s.db.Tx(s.t.Context(), func(tx pgx.Tx) (err error) {
		states, err = store.ChangeLanes(s.t.Context(), tx, []store.LaneChange{c}, someSilence)
		return err
	}))
	state, ok := states[l]
	return state, ok
}

// pause is for how long a lane was paused by what was written down last; 0: it is not.
func (s *lanesSite) pause(l store.Lane) (pause time.Duration) {
	s.t.Helper()
	s.must(s.db.Pool().QueryRow(s.t.Context(), `SELECT greatest('0', coalesce(paused_until - updated_at, '0')) FROM webhook_lanes WHERE id = $1`, l.ID).Scan(&pause))
	return pause
}

// A receiver wishes for longer pauses than it has by failing, never for shorter ones.
func TestPausesOfLanes(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	failed := func(n int, ago string) string {
		return fmt.Sprintf("failures = %d, failing_since = now() - interval '%s'", n, ago)
	}
	for name, c := range map[string]struct {
		set    string
		change store.LaneChange
		want   [2]time.Duration
	}{
		"a few failures":              {failed(3, "1 hour"), store.LaneChange{Failures: 1}, [2]time.Duration{}},
		"too many":                    {failed(4, "1 minute"), store.LaneChange{Failures: 1}, [2]time.Duration{54 * time.Second, 10 * time.Minute}},
		"too many at once":            {"", store.LaneChange{Failures: 5}, [2]time.Duration{9 * time.Second, 11 * time.Second}},
		"too many, and a short wish":  {failed(4, "0"), store.LaneChange{Failures: 1, Pause: time.Second}, [2]time.Duration{9 * time.Second, 20 * time.Second}},
		"too many, and a long wish":   {failed(4, "0"), store.LaneChange{Failures: 1, Pause: time.Hour}, [2]time.Duration{time.Hour, time.Hour}},
		"a probe":                     {failed(20, "1 hour") + ", paused_until = now() + interval '30 s'", store.LaneChange{Failures: 1, Probe: true}, [2]time.Duration{9 * time.Minute, 11 * time.Minute}},
		"a probe with a short wish":   {failed(20, "1 hour") + ", paused_until = now() + interval '30 s'", store.LaneChange{Failures: 1, Probe: true, Pause: time.Second}, [2]time.Duration{9 * time.Minute, 11 * time.Minute}},
		"a probe with a long wish":    {failed(20, "1 hour") + ", paused_until = now() + interval '30 s'", store.LaneChange{Failures: 1, Probe: true, Pause: time.Hour}, [2]time.Duration{time.Hour, time.Hour}},
		"under way as it broke":       {failed(7, "1 hour") + ", paused_until = now() + interval '10 hours'", store.LaneChange{Failures: 2}, [2]time.Duration{9 * time.Hour, 10 * time.Hour}},
		"under way, and a short wish": {failed(7, "1 hour") + ", paused_until = now() + interval '10 hours'", store.LaneChange{Failures: 2, Pause: time.Second}, [2]time.Duration{9 * time.Hour, 10 * time.Hour}},
		"a wish":                      {"", store.LaneChange{Failures: 1, Pause: time.Minute}, [2]time.Duration{time.Minute, time.Minute}},
		"a wish for less than before": {failed(1, "0") + ", paused_until = now() + interval '10 hours'", store.LaneChange{Failures: 1, Pause: time.Minute}, [2]time.Duration{9 * time.Hour, 10 * time.Hour}},
		"a success after a wish":      {failed(1, "0") + ", paused_until = now() + interval '10 hours'", store.LaneChange{Successes: 1}, [2]time.Duration{9 * time.Hour, 10 * time.Hour}},
		"one asked for after a wish":  {failed(1, "0") + ", paused_until = now() + interval '10 hours'", store.LaneChange{Successes: 1, Asked: true}, [2]time.Duration{}},
		"one asked for, and another was taken before": {"successes = 8, last_success_at = now(), paused_until = now() + interval '10 hours'",
			store.LaneChange{Successes: 1, Asked: true}, [2]time.Duration{}},
		"a success after too many": {failed(7, "1 hour") + ", paused_until = now() + interval '30 s'", store.LaneChange{Successes: 1}, [2]time.Duration{}},
	} {
		l := s.lane(laneOwner, 0, c.set)
		s.changes(l, c.change)
		if got := s.pause(l); got < c.want[0] || got > c.want[1] {
			t.Errorf("%s: the lane is paused for %s, want %s to %s", name, got, c.want[0], c.want[1])
		}
	}
}

// Who heard nothing for longer than any wait may have been mended and well since.
func TestFailuresBeforeASilenceDoNotCount(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	for last, want := range map[string]int{"27 hours": 100, "29 hours": 1} {
		l := s.lane(laneOwner, 0, "failures = 99, failing_since = now() - interval '5 days', last_failure_at = now() - interval '"+last+"'")
		got, ok := s.changes(l, store.LaneChange{Failures: 1})
		if !ok || got.Failures != want || (got.Age > 5*24*time.Hour) != (want == 100) || want == 1 && got.Age != 0 {
			t.Errorf("failing again after %s: %+v, %t", last, got, ok)
		}
	}
}

// What another job has tried meanwhile is that job's.
func TestOneThatWasTriedIsNotHandedBack(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	id := s.wait(s.lane(laneOwner, 0, ""), 1)[0]
	s.exec(`UPDATE webhook_deliveries SET admitted = true, attempts = 1`)
	for attempts, want := range []bool{true, false} {
		var admitted bool
		s.must(s.db.HandBackDelivery(t.Context(), store.DeliveryKey{OrganizationID: laneOwner, DeliveryID: id}, 1, attempts))
		s.must(s.db.Pool().QueryRow(t.Context(), `SELECT admitted FROM webhook_deliveries`).Scan(&admitted))
		if admitted != want {
			t.Errorf("handed back as it was after %d attempts it is admitted: %t, want %t", attempts, admitted, want)
		}
	}
}

// Nothing ends of an endpoint that was enabled since somebody saw it disabled.
func TestWhatWaitsForAnEnabledEndpointDoesNotEnd(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	want := make(map[string]string)
	lanes := []store.Lane{{OrganizationID: laneOwner, ID: s.id()}}
	for set, status := range map[string]string{"description = 'x'": "pending", "status = 'disabled', disabled_code = 'owner', disabled_at = now()": "failed", "deleted_at = now()": "failed"} {
		l := s.lane(laneOwner, 3, "")
		s.exec(`UPDATE webhook_endpoints SET `+set+` WHERE id = $1`, l.ID)
		lanes = append(lanes, l)
		want[l.ID] = status
	}
	gone := lanes[0]
	s.wait(gone, 3)
	want[gone.ID] = "failed"
	s.exec(`UPDATE webhook_deliveries SET admitted = true, next_attempt_at = now() + interval '1 hour'
		WHERE id IN (SELECT DISTINCT ON (lane_id) id FROM webhook_deliveries ORDER BY lane_id, id)`)
	ended := 0
	s.must(s.db.Tx(t.Context(), func(tx pgx.Tx) (err error) {
		ended, err = store.EndWaiting(t.Context(), tx, lanes, store.Ending{Code: store.EndpointDisabled, Detail: "x"}, 100)
		return err
	}))
	if ended != 9 {
		t.Errorf("%d end, want 9", ended)
	}
	for lane, status := range want {
		var n int
		s.must(s.db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM webhook_deliveries WHERE lane_id = $1 AND status = $2`, lane, status).Scan(&n))
		if n != 3 {
			t.Errorf("%d of 3 are %s", n, status)
		}
	}
}
