package jobs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

func TestWebhookIsDelivered(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	to := s.answers(status(204))
	endpoint := s.endpoint(to.URL, "headers", `{"Authorization":"Bearer opensesame","X-Team":"blue"}`)
	s.work(4)
	id := s.tell(1, endpoint)[0]
	d := s.ends(id, store.DeliverySucceeded)
	if d.Attempts != 1 || d.StatusCode == nil || *d.StatusCode != 204 || d.ErrorCode != nil || d.Admitted {
		t.Errorf("the delivery is %+v", d)
	}
	hits := to.got()
	if len(hits) != 1 || !strings.Contains(hits[0].body, hits[0].id) || hits[0].header.Get("Authorization") != "Bearer opensesame" ||
		hits[0].header.Get("X-Payaid-Event") != "invoice.paid" {
		t.Fatalf("the receiver got %+v", hits)
	}
	var request, response, body []byte
	var latency, code int
	s.must(s.deps.DB.Pool().QueryRow(t.Context(), `SELECT request_headers, response_headers, coalesce(response_body, ''), latency_ms, status_code FROM webhook_attempts
		WHERE delivery_id = $1 AND run = 1 AND attempt = 1 AND error_code IS NULL AND address LIKE '127.0.0.1:%'`, id).Scan(&request, &response, &body, &latency, &code))
	if h := header(t, request); h.Get("X-Team") != "blue" || strings.Contains(string(request), "sesame") || code != 204 || header(t, response).Get("Date") == "" {
		t.Errorf("kept of the attempt: %s, %s", request, response)
	}
	s.waits("River's job is done", 1, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND state = 'completed'`)
	if l := s.lane(endpoint); l.Failures != 0 || l.Successes != 1 {
		t.Errorf("the lane is %+v", l)
	}
}

// What comes of each answer.
func TestWebhookOutcomes(t *testing.T) {
	t.Parallel()
	onADate := func(w http.ResponseWriter, q *http.Request) {
		status(503, "Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))(w, q)
	}
	for name, c := range map[string]struct {
		answer    http.HandlerFunc
		status    string // of the delivery
		code      string
		next      [2]time.Duration // until the next attempt
		failures  int
		pause     [2]float64
		disabled  string
		withBody  string
		statusSet int
	}{
		"error":                {status(500), "pending", "status", [2]time.Duration{4 * time.Second, 7 * time.Second}, 1, [2]float64{}, "", "internal server error", 500},
		"redirect":             {status(302, "Location", "http://127.0.0.1:1/"), "pending", "redirect", [2]time.Duration{4 * time.Second, 7 * time.Second}, 1, [2]float64{}, "", "found", 302},
		"not found":            {status(404), "pending", "status", [2]time.Duration{4 * time.Second, 7 * time.Second}, 1, [2]float64{}, "", "not found", 404},
		"gone":                 {status(410), "failed", "gone", [2]time.Duration{}, 0, [2]float64{}, "gone", "gone", 410},
		"busy":                 {status(429, "Retry-After", "120"), "pending", "status", [2]time.Duration{119 * time.Second, 122 * time.Second}, 1, [2]float64{110, 121}, "", "too many requests", 429},
		"a date":               {onADate, "pending", "status", [2]time.Duration{60 * time.Second, 92 * time.Second}, 1, [2]float64{50, 91}, "", "service unavailable", 503},
		"garbage":              {status(503, "Retry-After", "soon"), "pending", "status", [2]time.Duration{4 * time.Second, 7 * time.Second}, 1, [2]float64{}, "", "service unavailable", 503},
		"for years":            {status(503, "Retry-After", "999999999"), "pending", "status", [2]time.Duration{24 * time.Hour, 24*time.Hour + 2*time.Second}, 1, [2]float64{3500, 3601}, "", "service unavailable", 503},
		"a wait without pause": {status(500, "Retry-After", "60"), "pending", "status", [2]time.Duration{59 * time.Second, 62 * time.Second}, 1, [2]float64{}, "", "internal server error", 500},
		"no answer":            {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "pending", "protocol", [2]time.Duration{4 * time.Second, 7 * time.Second}, 1, [2]float64{}, "", "", 0},
		"too slow":             {hangs, "pending", "timeout", [2]time.Duration{4 * time.Second, 7 * time.Second}, 1, [2]float64{}, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t, func(_ *Deps, config *webhook.Config) {
				if c.code == webhook.Timeout {
					config.Timeout = time.Second
				}
			})
			var asked atomic.Bool
			to := s.answers(func(w http.ResponseWriter, q *http.Request) {
				if asked.CompareAndSwap(false, true) {
					c.answer(w, q)
				} else {
					hangs(w, q) // the next attempt, which comes while the first is looked at
				}
			})
			endpoint := s.endpoint(to.URL)
			s.work(2)
			id := s.tell(1, endpoint)[0]
			d := s.tried(id, 1)
			if d.Status != c.status || d.code() != c.code || d.Error == nil || strings.Contains(*d.Error, "token") {
				t.Errorf("the delivery is %s with %s: %v", d.Status, d.code(), d.Error)
			}
			if got := deref(d.StatusCode); got != c.statusSet {
				t.Errorf("status code %d, want %d", got, c.statusSet)
			}
			if d.NextAttemptAt != nil {
				if wait := d.NextAttemptAt.Sub(d.UpdatedAt); wait < c.next[0] || wait > c.next[1] {
					t.Errorf("the next attempt is after %s, want %s to %s", wait, c.next[0], c.next[1])
				}
			}
			s.waits("the endpoint is as it should be", 1, `SELECT count(*) FROM webhook_endpoints WHERE coalesce(disabled_code, '') = $1`, c.disabled)
			if l := s.lane(endpoint); l.Failures != c.failures || l.Pause < c.pause[0] || l.Pause > c.pause[1] || l.Successes != 0 {
				t.Errorf("the lane is %+v", l)
			}
			var body string
			s.must(s.deps.DB.Pool().QueryRow(t.Context(), `SELECT convert_from(coalesce(response_body, ''), 'UTF8') FROM webhook_attempts WHERE delivery_id = $1`, id).Scan(&body))
			if body != c.withBody {
				t.Errorf("kept of the answer: %q, want %q", body, c.withBody)
			}
		})
	}
}

func deref(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// A delivery goes on until it is taken, under one id.
func TestWebhookIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	failing := make(chan int, 3)
	for _, code := range []int{500, 404, 502} {
		failing <- code
	}
	to := s.answers(func(w http.ResponseWriter, q *http.Request) {
		select {
		case code := <-failing:
			status(code)(w, q)
		default:
			status(200)(w, q)
		}
	})
	endpoint := s.endpoint(to.URL)
	s.work(2)
	id := s.tell(1, endpoint)[0]
	for n := 1; n <= 3; n++ {
		s.tried(id, n)
		s.waits("it waits for its time", 1, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND state IN ('scheduled', 'available') AND scheduled_at > now()`)
		s.soon()
	}
	if d := s.ends(id, store.DeliverySucceeded); d.Attempts != 4 || d.ErrorCode != nil {
		t.Errorf("the delivery is %+v", d)
	}
	if hits := to.got(); len(hits) != 4 || to.different() != 1 {
		t.Errorf("the receiver got %d requests for %d events", len(hits), to.different())
	}
	var codes []string
	s.must(s.deps.DB.Pool().QueryRow(t.Context(), `SELECT array_agg(attempt || ':' || coalesce(status_code, 0) ORDER BY attempt) FROM webhook_attempts`).Scan(&codes))
	if got := fmt.Sprint(codes); got != "[1:500 2:404 3:502 4:200]" {
		t.Errorf("the attempts are %s", got)
	}
	if l := s.lane(endpoint); l.Failures != 0 || l.FailingSince != nil || l.Successes != 1 {
		t.Errorf("the lane is %+v", l)
	}
	if executions := s.executions.Load(); executions != 4 {
		t.Errorf("%d executions, want 4", executions)
	}
}

// What is over ends without a request, and all of it.
func TestWebhookIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ change, code string }{
		"disabled": {`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'owner', disabled_at = now()`, store.EndpointDisabled},
		"deleted":  {`UPDATE webhook_endpoints SET deleted_at = now()`, store.EndpointDeleted},
		"expired":  {`UPDATE webhook_deliveries SET begun_at = now() - interval '3 days 1 minute'`, store.DeliveryExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			to := s.answers(status(200))
			ids := s.tell(1500, s.endpoint(to.URL))
			other := s.answers(status(200))
			s.exec(c.change)
			fine := s.tell(1, s.endpoint(other.URL))[0]
			s.work(4)
			s.ends(fine, store.DeliverySucceeded)
			if d := s.ends(ids[0], store.DeliveryFailed); d.code() != c.code || d.Attempts != 0 || d.Error == nil {
				t.Errorf("the delivery is %+v", d)
			}
			s.waits("all of them end", 1500, `SELECT count(*) FROM webhook_deliveries WHERE status = 'failed' AND error_code = $1 AND finished_at IS NOT NULL AND NOT admitted`, c.code)
			if n := len(to.got()); n > 0 {
				t.Errorf("the receiver got %d requests", n)
			}
			if n := s.executions.Load(); n > 20 {
				t.Errorf("it took %d executions", n)
			}
		})
	}
}

// Of a test one attempt is made, and what comes of it counts for nobody.
func TestWebhookTest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{"fails": {status(500), store.DeliveryFailed}, "gone": {status(410), store.DeliveryFailed}, "succeeds": {status(200), store.DeliverySucceeded}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			to := s.answers(c.answer)
			endpoint := s.endpoint(to.URL)
			id := s.tell(1, endpoint)[0]
			s.exec(`DELETE FROM river_job`)
			s.exec(`UPDATE webhook_deliveries SET purpose = 'test'`)
			// Whatever the lane and the endpoint say.
			s.exec(`UPDATE webhook_lanes SET failures = 50, failing_since = now() - interval '2 days', paused_until = now() + interval '1 hour'`)
			s.exec(`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'owner', disabled_at = now()`)
			before := s.lane(endpoint)
			s.work(2)
			s.asked(id)
			d := s.ends(id, c.want)
			if d.Attempts != 1 || len(to.got()) != 1 {
				t.Errorf("%d attempts, %d requests", d.Attempts, len(to.got()))
			}
			if l := s.lane(endpoint); l.Failures != 50 || l.Pause < before.Pause-60 {
				t.Errorf("the lane is %+v", l)
			}
			if n := s.count(`SELECT count(*) FROM outbox WHERE type = 'webhook.disabled'`); n != 0 {
				t.Errorf("the endpoint was disabled")
			}
		})
	}
}

// The callback of a job brings what came of it, and nobody disables where it goes.
func TestCallbackIsDelivered(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	to := s.answers(status(410))
	job := newJob(t, s.deps)
	url, origin := to.URL, "http://127.0.0.1"
	lane := store.CallbackLane(s.organization, origin)
	e := store.WebhookEvent{OrganizationID: s.organization, ID: lane.ID, Type: "job.completed",
		Body: `{"id":"` + lane.ID + `","type":"job.completed","data":{"job_id":"` + job + `","version":1}}`}
	d := store.NewDelivery{Lane: lane, ID: lane.ID, JobID: &job, URL: &url, Origin: &origin, EventID: e.ID, EventType: e.Type, Purpose: "callback"}
	s.work(2)
	s.put([]store.WebhookEvent{e}, []store.NewDelivery{d}, []store.Lane{lane})
	if got := s.ends(d.ID, store.DeliveryFailed); got.code() != "gone" || got.Attempts != 1 {
		t.Errorf("the delivery is %+v", got)
	}
	hits := to.got()
	var body struct{ Data map[string]any }
	s.must(json.Unmarshal([]byte(hits[0].body), &body))
	if len(hits) != 1 || body.Data["job_id"] != job || body.Data["status"] != "succeeded" || hits[0].header.Get("Webhook-Signature") == "" {
		t.Errorf("the receiver got %+v", hits)
	}
	if l := s.lane(lane.ID); l.Failures != 0 {
		t.Errorf("the lane is %+v", l)
	}
}

// Where no request was made, as the policy became stricter than it was at the door, the log says why.
func TestWebhookThatMayNotBeSentSaysWhy(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	endpoint := s.endpoint("http://169.254.169.254/latest")
	s.work(2)
	id := s.tell(1, endpoint)[0]
	d := s.tried(id, 1)
	if d.ErrorCode == nil || *d.ErrorCode != webhook.InvalidURL {
		t.Fatalf("the delivery is %+v", d)
	}
	s.waits("the attempt says why", 1, `SELECT count(*) FROM webhook_attempts
		WHERE delivery_id = $1 AND error_code = 'invalid_url' AND error LIKE '%isn''t public' AND request_headers = '{}'`, id)
}
