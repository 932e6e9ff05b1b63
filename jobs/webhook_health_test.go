package jobs

import (
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/internal/store"
)

// settled waits until no worker has a delivery in hands.
func (s *webhookSite) settled() {
	s.t.Helper()
	s.waits("nothing is under way", 0, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND (state = 'running' OR scheduled_at <= now() AND state IN ('available', 'scheduled'))`)
}

func (s *webhookSite) disabled() bool {
	s.t.Helper()
	return s.count(`SELECT count(*) FROM webhook_endpoints WHERE status = 'disabled' AND disabled_code = 'failing'`) == 1
}

// Who asks for a second of patience with every answer is left alone for as long as others that fail.
func TestShortRetryAfterDoesNotSwitchTheBreakerOff(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	to := s.answers(status(503, "Retry-After", "1"))
	id := s.tell(1, s.endpoint(to.URL))[0]
	s.exec(`UPDATE webhook_lanes SET failures = 10, failing_since = now()`)
	s.work(2)
	s.tried(id, 1)
	if n := s.count(`SELECT count(*) FROM webhook_lanes WHERE failures = 11 AND paused_until - last_failure_at >= interval '9 seconds'`); n != 1 {
		t.Error("the pause after the one that went ahead is shorter than nine seconds")
	}
}

// Where few events happen, the last attempt at one is before three days are over, and no other comes.
func TestWebhookIsDisabledWhenADeliveryIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		begun, failing string // ago
		attempts       int
		want           bool
	}{
		"it failed all the while":          {"70 hours", "69 hours 50 minutes", 11, true},
		"it did well in between":           {"70 hours", "40 hours", 11, false},
		"there is another attempt":         {"70 hours", "69 hours 50 minutes", 3, false},
		"all of its attempts came at once": {"1 hour", "1 hour", 11, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			id := s.tell(1, s.endpoint(s.answers(status(500)).URL))[0]
			s.exec(`UPDATE webhook_deliveries SET begun_at = now() - $1::interval, attempts = $2`, c.begun, c.attempts)
			s.exec(`UPDATE webhook_lanes SET failures = 4, failing_since = now() - $1::interval, last_failure_at = now() - interval '24 hours'`, c.failing)
			s.work(2)
			s.tried(id, c.attempts+1)
			s.settled()
			facts := s.count(`SELECT count(*) FROM outbox WHERE type = 'webhook.disabled'`)
			if got := s.disabled(); got != c.want || got != (facts == 1) {
				t.Errorf("it is disabled: %t, want %t; that was stated %d times", got, c.want, facts)
			}
		})
	}
}

// Mended on Thursday, and sent the next event on Monday: one failure then is one failure.
func TestWebhookIsNotDisabledForWhatWasLongAgo(t *testing.T) {
	t.Parallel()
	for last, want := range map[string]bool{"20 hours": true, "3 days": false} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			endpoint := s.endpoint(s.answers(status(502)).URL)
			id := s.tell(1, endpoint)[0]
			s.exec(`UPDATE webhook_lanes SET failures = 7, failing_since = now() - interval '5 days', last_failure_at = now() - $1::interval`, last)
			s.work(2)
			s.tried(id, 1)
			s.settled()
			if got := s.disabled(); got != want {
				t.Errorf("it is disabled: %t, want %t", got, want)
			}
			if l := s.lane(endpoint); !want && l.Failures != 1 {
				t.Errorf("the lane is %+v", l)
			}
		})
	}
}

// A host that says of a URL what it thinks of it is there: the callbacks to others of its URLs go on.
func TestCallbacksGoOnWhereTheirHostAnswers(t *testing.T) {
	t.Parallel()
	for code, failures := range map[int]int{404: 0, 410: 0, 500: 10} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			to := s.answers(status(code))
			job := newJob(t, s.deps)
			url, origin := to.URL, "http://127.0.0.1"
			lane := store.CallbackLane(s.organization, origin)
			e := store.WebhookEvent{OrganizationID: s.organization, ID: lane.ID, Type: "job.completed",
				Body: `{"id":"` + lane.ID + `","type":"job.completed","data":{"job_id":"` + job + `","version":1}}`}
			d := store.NewDelivery{Lane: lane, ID: lane.ID, JobID: &job, URL: &url, Origin: &origin, EventID: e.ID, EventType: e.Type, Purpose: "callback"}
			s.put([]store.WebhookEvent{e}, []store.NewDelivery{d}, []store.Lane{lane})
			s.exec(`UPDATE webhook_lanes SET failures = 9, failing_since = now()`)
			s.work(2)
			s.tried(d.ID, 1)
			if n := s.count(`SELECT count(*) FROM webhook_lanes WHERE failures = $1 AND (paused_until IS NULL) = ($1 = 0)`, failures); n != 1 {
				t.Errorf("the lane is %+v, want %d failures", s.lane(lane.ID), failures)
			}
		})
	}
}

// One that somebody asked for opens the lane when it is taken, also where the receiver wished for the pause.
func TestReplayThatIsTakenEndsThePause(t *testing.T) {
	t.Parallel()
	for _, failures := range []int{1, 7} {
		t.Run(strconv.Itoa(failures), func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			endpoint := s.endpoint(s.answers(status(200)).URL)
			ids := s.tell(3, endpoint)
			s.exec(`DELETE FROM river_job`)
			s.exec(`UPDATE webhook_deliveries SET admitted = false`)
			s.exec(`UPDATE webhook_lanes SET failures = $1, failing_since = now(), last_failure_at = now(), paused_until = now() + interval '1 hour'`, failures)
			s.work(2)
			s.asked(ids[0])
			for _, id := range ids {
				s.ends(id, store.DeliverySucceeded)
			}
		})
	}
}

// Where the sweep was before the job of whoever asked, and what it began found the receiver paused, that job goes all the
// same.
func TestWebhookAskedForGoesThoughItWasHandedBack(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{200: store.DeliverySucceeded, 500: store.DeliveryPending} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			id := s.tell(1, s.endpoint(s.answers(status(code)).URL))[0]
			s.exec(`UPDATE webhook_lanes SET failures = 7, failing_since = now(), last_failure_at = now(), paused_until = now() + interval '1 hour'`)
			s.work(2)
			s.waits("it is handed back", 1, `SELECT count(*) FROM webhook_deliveries WHERE NOT admitted`)
			s.must(s.deps.DB.Tx(t.Context(), func(tx pgx.Tx) error {
				return s.insert(tx, river.InsertManyParams{InsertOpts: &river.InsertOpts{Queue: Webhook.Name, MaxAttempts: 25},
					Args: deliverWebhookArgs{OrganizationID: s.organization, DeliveryID: id, Run: 1, Now: true}})
			}))
			if d := s.tried(id, 1); d.Status != want || d.Admitted != (want == store.DeliveryPending) {
				t.Errorf("the delivery is %+v", d)
			}
		})
	}
}

// A test that the sweep has begun is as good as one that was asked for.
func TestWebhookTestNeedsNobodyToAsk(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	id := s.tell(1, s.endpoint(s.answers(status(200)).URL))[0]
	s.exec(`UPDATE webhook_deliveries SET purpose = 'test'`)
	s.exec(`UPDATE webhook_lanes SET failures = 7, failing_since = now(), last_failure_at = now(), paused_until = now() + interval '1 hour'`)
	s.work(2)
	s.ends(id, store.DeliverySucceeded)
}
