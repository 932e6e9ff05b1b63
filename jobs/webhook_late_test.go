package jobs

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

// A worker that was taken for dead comes back when another has made the next attempt: what it says is kept, and undoes
// nothing. But what the receiver took is taken.
func TestWebhookAttemptComesLate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		late   int // what the first one is answered at last
		status string
	}{"fails": {500, store.DeliveryPending}, "succeeds": {200, store.DeliverySucceeded}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			arrived, proceed := make(chan struct{}, 9), make(chan struct{})
			var first atomic.Bool
			to := s.answers(func(w http.ResponseWriter, q *http.Request) {
				arrived <- struct{}{}
				if first.CompareAndSwap(false, true) {
					<-proceed
					status(c.late)(w, q)
					return
				}
				status(503, "Retry-After", "3600")(w, q) // there is no other attempt meanwhile
			})
			endpoint := s.endpoint(to.URL)
			s.work(4)
			id := s.tell(1, endpoint)[0]
			s.reached(arrived)
			s.must(s.deps.DB.Tx(t.Context(), func(tx pgx.Tx) error {
				return s.insert(tx, insertTurns([]store.Turn{{OrganizationID: s.organization, DeliveryID: id, Run: 1}})...)
			}))
			then := s.tried(id, 1)
			s.waits("the second one is noted", 1, `SELECT count(*) FROM webhook_attempts`)
			close(proceed)
			s.waits("the late one is noted", 2, `SELECT count(*) FROM webhook_attempts WHERE run = 1`)
			now := s.delivery(id)
			if now.Status != c.status || now.Attempts != 1 {
				t.Errorf("the delivery is %+v", now)
			}
			if c.status == store.DeliveryPending && (!now.NextAttemptAt.Equal(*then.NextAttemptAt) || deref(now.StatusCode) != 503 || s.lane(endpoint).Failures != 1) {
				t.Errorf("the late one made %+v of %+v; the lane is %+v", now, then, s.lane(endpoint))
			}
		})
	}
}

// A process that stops in the middle of an attempt gives the delivery back at once.
func TestWebhookIsCutOff(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	var well atomic.Bool
	arrived := make(chan struct{}, 9)
	to := s.answers(func(w http.ResponseWriter, q *http.Request) {
		arrived <- struct{}{}
		if !well.Load() {
			hangs(w, q)
			return
		}
		status(200)(w, q)
	})
	endpoint := s.endpoint(to.URL)
	stop := s.work(4)
	id := s.tell(1, endpoint)[0]
	s.reached(arrived)
	stop()
	d := s.delivery(id)
	if d.Status != store.DeliveryPending || d.Attempts != 1 || d.code() != "cancelled" || d.NextAttemptAt.Sub(d.UpdatedAt) > time.Second {
		t.Errorf("the delivery is %+v", d)
	}
	if l := s.lane(endpoint); l.Failures != 0 {
		t.Errorf("the lane is %+v", l)
	}
	well.Store(true)
	s.work(4)
	if d := s.ends(id, store.DeliverySucceeded); d.Attempts != 2 || to.different() != 1 {
		t.Errorf("the delivery is %+v, the receiver got %d events", d, to.different())
	}
}

// stalled is a client that reaches nobody before its caller gives up.
type stalled struct{ begun chan struct{} }

// Send implements WebhookClient.
func (c stalled) Send(ctx context.Context, _ webhook.Request) webhook.Answer {
	c.begun <- struct{}{}
	<-ctx.Done()
	return webhook.Answer{StartedAt: time.Now(), Code: webhook.Cancelled, Detail: "it was called off"}
}

// What the receiver has not seen is no attempt.
func TestWebhookIsCutOffBeforeItWasSent(t *testing.T) {
	t.Parallel()
	client := stalled{make(chan struct{}, 9)}
	s := newWebhookSite(t, func(d *Deps, _ *webhook.Config) { d.Webhooks.Client = client })
	stop := s.work(4)
	id := s.tell(1, s.endpoint("http://127.0.0.1:1/"))[0]
	<-client.begun
	stop()
	if d := s.delivery(id); d.Status != store.DeliveryPending || d.Attempts != 0 || d.ErrorCode != nil || !d.Admitted {
		t.Errorf("the delivery is %+v", d)
	}
	s.waits("the work is back", 1, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND state IN ('available', 'retryable', 'scheduled')`)
	if n := s.count(`SELECT count(*) FROM webhook_attempts`); n != 0 {
		t.Errorf("%d attempts are noted", n)
	}
}

// A process without a client leaves deliveries to others.
func TestWebhookWaitsForAProcessThatDelivers(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	s.deps.Webhooks = Webhooks{}
	s.work(2)
	id := s.tell(1, s.endpoint("http://127.0.0.1:1/"))[0]
	s.waits("it is put off", 1, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND state = 'scheduled'`)
	if d := s.delivery(id); d.Status != store.DeliveryPending || d.Attempts != 0 {
		t.Errorf("the delivery is %+v", d)
	}
}
