package store_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// Whoever tells of events, once or again, and whoever ends attempts in the same lane don't wait for one another: each
// has in hands what the other is about to change.
func TestTellingWaitsForNoAttempt(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]store.Repeat{"once": store.TellOnce, "again": store.TellAgain} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newLanes(t)
			l := s.lane(laneOwner, 2, "")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			s.admit(10, l)
			var told []store.WebhookEvent
			var list []store.NewDelivery
			var ids, event []string
			rows, err := s.db.Pool().Query(ctx, `SELECT id::text, event_id::text FROM webhook_deliveries ORDER BY id`)
			s.must(err)
			for rows.Next() {
				var id, e string
				s.must(rows.Scan(&id, &e))
				ids, event = append(ids, id), append(event, e)
			}
			s.must(rows.Err())
			s.exec(`UPDATE webhook_deliveries SET status = 'failed', admitted = false, next_attempt_at = NULL, finished_at = now() WHERE id = $1`, ids[1])
			for _, e := range append(event, s.id()) {
				told = append(told, store.WebhookEvent{OrganizationID: laneOwner, ID: e, Type: "contact.created", Body: "{}"})
				list = append(list, store.NewDelivery{Lane: l, ID: s.id(), EndpointID: &l.ID, EventID: e, EventType: "contact.created", Purpose: "event"})
			}
			ending, err := s.db.Pool().Begin(ctx)
			s.must(err)
			defer func() { _ = ending.Rollback(t.Context()) }()
			_, err = store.SettleDeliveries(ctx, ending, []store.DeliveryAttempt{{DeliveryKey: store.DeliveryKey{OrganizationID: laneOwner, DeliveryID: ids[0]},
				Run: 1, Attempt: 1, StartedAt: time.Now(), RequestHeaders: json.RawMessage(`{}`), Status: store.DeliveryPending, Next: time.Second, Code: "status"}})
			s.must(err)
			telling, err := s.db.Pool().Begin(ctx)
			s.must(err)
			defer func() { _ = telling.Rollback(t.Context()) }()
			b, made := &pgx.Batch{}, 0
			store.QueueDeliveries(b, told, list, again, &made)
			s.must(telling.SendBatch(ctx, b).Close())
			_, err = store.ChangeLanes(ctx, ending, []store.LaneChange{{OrganizationID: l.OrganizationID, LaneID: l.ID, Failures: 1}}, time.Hour)
			s.must(err)
			s.must(telling.Commit(ctx))
			s.must(ending.Commit(ctx))
			want, run := 1, 1
			if again == store.TellAgain {
				want, run = 2, 2
			}
			var got int
			s.must(s.db.Pool().QueryRow(ctx, `SELECT run FROM webhook_deliveries WHERE id = $1`, ids[1]).Scan(&got))
			if made != want || got != run {
				t.Errorf("%d deliveries are made, want %d; the one that had failed has run %d, want %d", made, want, got, run)
			}
		})
	}
}

func (s *lanesSite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
