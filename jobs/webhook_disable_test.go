package jobs

import (
	"context"
	"net/http"
	"testing"

	"github.com/payaid/payaid/internal/store"
)

// When it is our network that is away, everybody's endpoints fail at the same time: none is disabled for it.
func TestWebhookIsNotDisabledWhileNobodyIsReached(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	to := s.answers(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	endpoint, other := s.endpoint(to.URL), s.endpoint(to.URL)
	s.tell(1, other)
	s.exec(`DELETE FROM river_job`)
	s.exec(`UPDATE webhook_lanes SET failures = 3, last_success_at = now() - interval '1 day', failing_since = now() - interval '5 hours', last_failure_at = now()`)
	waiting := s.tell(3, endpoint)
	s.exec(`DELETE FROM river_job`)
	s.exec(`UPDATE webhook_lanes SET failures = 99, failing_since = now() - interval '20 hours' WHERE id = $1`, endpoint)
	s.work(4)
	s.asked(waiting[0])
	s.tried(waiting[0], 1)
	s.waits("River's job is put off", 1, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND state = 'scheduled'`)
	if n := s.count(`SELECT count(*) FROM webhook_endpoints WHERE status = 'disabled'`); n != 0 {
		t.Fatal("the endpoint is disabled while nobody is reached")
	}
	if l := s.lane(endpoint); l.Failures < 100 {
		t.Errorf("the lane failed %d times, want 100 at least", l.Failures)
	}
	s.exec(`UPDATE webhook_lanes SET last_success_at = now(), failures = 0, failing_since = NULL WHERE id = $1`, other)
	s.asked(waiting[1])
	s.waits("the endpoint is disabled when others are reached", 1, `SELECT count(*) FROM webhook_endpoints WHERE id = $1 AND disabled_code = 'failing'`, endpoint)
}

// A receiver that was left says that it wants no more when another has taken its place.
func TestWebhookIsNotDisabledByAnotherReceiver(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	arrived, proceed := make(chan struct{}), make(chan struct{})
	left := s.answers(func(w http.ResponseWriter, q *http.Request) {
		arrived <- struct{}{}
		<-proceed
		status(410)(w, q)
	})
	to := s.answers(status(204))
	endpoint := s.endpoint(left.URL)
	waiting := s.tell(20, endpoint)
	begun := s.count(`SELECT count(*) FROM webhook_deliveries WHERE admitted`)
	s.work(4)
	for range begun {
		s.reached(arrived)
	}
	s.exec(`UPDATE webhook_endpoints SET url = $1, version = version + 1`, to.URL)
	close(proceed)
	for _, id := range waiting[:begun] {
		s.ends(id, store.DeliveryFailed)
	}
	s.waits("River's jobs are done", begun, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND state = 'completed'`)
	if n := s.count(`SELECT count(*) FROM webhook_endpoints WHERE status = 'disabled'`); n != 0 {
		t.Error("the endpoint is disabled by a receiver that it no longer has")
	}
	s.sweep()
	for _, id := range waiting[begun:] {
		s.ends(id, store.DeliverySucceeded)
	}
}

// A receiver that wants no more is not sent what waits, however long it takes to disable its endpoint.
func TestNothingFollowsGone(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	to := s.answers(status(410))
	endpoint := s.endpoint(to.URL)
	s.tell(50, endpoint)
	begun := s.count(`SELECT count(*) FROM webhook_deliveries WHERE admitted`)
	if begun == 0 || begun == 50 {
		t.Fatalf("%d of 50 have a place, want some to wait", begun)
	}
	hold, err := s.deps.DB.Pool().Begin(t.Context())
	s.must(err)
	defer func() { _ = hold.Rollback(context.Background()) }()
	_, err = hold.Exec(t.Context(), `SELECT FROM webhook_endpoints FOR NO KEY UPDATE`)
	s.must(err)
	s.work(4)
	s.waits("all are asked that have a place", begun, `SELECT least($1, count(*)) FROM webhook_attempts`, begun)
	if n := s.count(`SELECT count(*) FROM webhook_deliveries WHERE admitted`); n != 0 {
		t.Errorf("%d deliveries came to have a place", n)
	}
	s.must(hold.Rollback(t.Context()))
	s.waits("all end", 50, `SELECT count(*) FROM webhook_deliveries WHERE status = 'failed'`)
	if n := len(to.got()); n != begun {
		t.Errorf("the receiver got %d requests, want %d", n, begun)
	}
}
