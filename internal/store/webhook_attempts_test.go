package store_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// Of two tries of one delivery that end together one decides, and what is written down twice stands there once.
func TestTriesAreSettledOnce(t *testing.T) {
	t.Parallel()
	s := newLanes(t)
	lane := s.lane(laneOwner, 0, "")
	first, second := s.wait(lane, 1)[0], s.wait(lane, 1)[0]
	try := func(id string, started time.Time) store.DeliveryAttempt {
		return store.DeliveryAttempt{DeliveryKey: store.DeliveryKey{OrganizationID: laneOwner, DeliveryID: id}, Run: 1, Attempt: 1,
			StartedAt: started, Code: "timeout", RequestHeaders: json.RawMessage("{}"), Status: store.DeliveryPending, Next: time.Minute}
	}
	now := time.Now()
	list := []store.DeliveryAttempt{try(second, now), try(first, now), try(second, now.Add(time.Second))}
	for turn, want := range [][]bool{{true, true, false}, {false, false, false}} {
		var decided []bool
		err := s.db.Tx(t.Context(), func(tx pgx.Tx) (err error) {
			decided, err = store.SettleDeliveries(t.Context(), tx, list)
			return err
		})
		if err != nil || !slices.Equal(decided, want) {
			t.Errorf("turn %d: decided %v, %v, want %v", turn, decided, err, want)
		}
	}
	var tries int
	if err := s.db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM webhook_attempts`).Scan(&tries); err != nil || tries != len(list) {
		t.Errorf("%d tries are written down, %v, want %d", tries, err, len(list))
	}
}
