package store_test

import (
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
