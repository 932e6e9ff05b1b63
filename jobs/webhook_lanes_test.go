package jobs

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

// Receivers that hang and receivers that fail don't keep the others waiting.
func TestWebhookReceiversThatHangSlowNobodyDown(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t, func(_ *Deps, c *webhook.Config) { c.Timeout = time.Minute })
	var endpoints []string
	var healthy []*receiver
	for i := range 10 {
		switch i % 5 {
		case 0, 1:
			endpoints = append(endpoints, s.endpoint(s.answers(hangs).URL))
		case 2:
			endpoints = append(endpoints, s.endpoint(s.answers(status(500)).URL))
		default:
			r := s.answers(status(200))
			healthy = append(healthy, r)
			endpoints = append(endpoints, s.endpoint(r.URL))
		}
	}
	s.work(8)
	began := time.Now()
	s.tell(40, endpoints...)
	for _, r := range healthy {
		s.eventually("a healthy receiver has all", func() error {
			if n := r.different(); n != 40 {
				return fmt.Errorf("it has %d", n)
			}
			return nil
		})
	}
	if took := time.Since(began); took > 45*time.Second {
		t.Errorf("the healthy ones waited for those that hang: %s", took)
	}
}

// A lane that fails is paused; then one goes ahead, over all workers; and it widens step by step.
func TestWebhookBreaker(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	var well atomic.Bool
	proceed := make(chan struct{})
	to := s.answers(func(w http.ResponseWriter, q *http.Request) {
		if well.Load() {
			<-proceed
			status(200)(w, q)
			return
		}
		status(500)(w, q)
	})
	finish := sync.OnceFunc(func() { close(proceed) })
	t.Cleanup(finish)
	endpoint := s.endpoint(to.URL)
	const workers = 10 // one job at a time each, so that what one knows doesn't help another
	for range workers {
		s.work(1)
	}
	ids := s.tell(40, endpoint)
	s.eventually("the lane is paused", func() error {
		if l := s.lane(endpoint); l.Failures < store.BreakAfter || l.Pause == 0 {
			return fmt.Errorf("it is %+v", l)
		}
		return nil
	})
	// Each of the others may have looked at the lane just before it broke.
	if l := s.lane(endpoint); l.Pause > 11 || l.Failures >= store.BreakAfter+workers {
		t.Errorf("the lane is %+v: want about ten seconds after five failures", l)
	}
	s.waits("those under way are back", 0, `SELECT count(*) FROM river_job WHERE state = 'running'`)
	before := len(to.got())

	well.Store(true)
	// Many come at the same moment when the pause is over, as when several sweeps admitted them.
	s.admitted(ids[20:28])
	s.eventually("one goes ahead", func() error {
		if n := len(to.got()) - before; n == 0 {
			return fmt.Errorf("none does")
		}
		return nil
	})
	s.waits("all others are put off", 1, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND (state = 'running' OR scheduled_at <= now() AND state IN ('available', 'scheduled'))`)
	if n := len(to.got()) - before; n != 1 {
		t.Fatalf("%d went ahead at once", n)
	}
	if l := s.lane(endpoint); l.Pause < 10 {
		t.Errorf("the one that went ahead has the lane for %.0f s: %+v", l.Pause, l)
	}
	// The next ones wait for each other: never more than the lane has proved to take.
	done := 0
	for range 4 {
		proceed <- struct{}{}
		done++
		s.waits("it succeeded", done, `SELECT count(*) FROM webhook_deliveries WHERE status = 'succeeded'`)
		to.mu.Lock()
		now := to.now
		to.mu.Unlock()
		if most := 2 + done; now > most {
			t.Errorf("%d are under way after %d successes", now, done)
		}
	}
	finish()
	s.soonUntil(len(ids))
	if l := s.lane(endpoint); l.Failures != 0 || l.Successes != 8 || l.Pause != 0 {
		t.Errorf("the lane is %+v", l)
	}
	if most := to.most; most > 10 || most < 3 {
		t.Errorf("%d were under way at a time", most)
	}
	// Of all that failed and succeeded the log has what changed.
	log := s.logged.String()
	for _, line := range []string{`level=WARN msg="webhook receiver fails and is left alone for a while"`, `level=INFO msg="webhook receiver is well again"`} {
		if n := strings.Count(log, line); n != 1 || !strings.Contains(log, endpoint) {
			t.Errorf("the log has %d times %q:\n%s", n, line, log)
		}
	}
	if strings.Contains(log, "http") || strings.Contains(log, "whsec_") {
		t.Errorf("the log shows where it goes, or with what:\n%s", log)
	}
}

// admitted has some deliveries come at once, whatever places their lane has, at the end of its pause.
func (s *webhookSite) admitted(ids []string) {
	s.t.Helper()
	turns := make([]store.Turn, len(ids))
	for i, id := range ids {
		turns[i] = store.Turn{OrganizationID: s.organization, DeliveryID: id, Run: 1}
	}
	s.must(s.deps.DB.Tx(s.t.Context(), func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`UPDATE webhook_deliveries SET admitted = true, next_attempt_at = now() WHERE id = ANY ($1)`, ids)
		b.Queue(`UPDATE webhook_lanes SET paused_until = now() WHERE paused_until IS NOT NULL`)
		if err := tx.SendBatch(s.t.Context(), b).Close(); err != nil {
			return err
		}
		return s.insert(tx, insertTurns(turns)...)
	}))
}

// soonUntil has all come at once again and again, until so many have succeeded.
func (s *webhookSite) soonUntil(want int) {
	s.t.Helper()
	s.eventually("all succeed", func() error {
		got := s.count(`SELECT count(*) FROM webhook_deliveries WHERE status = 'succeeded'`)
		if got == want {
			return nil
		}
		if s.count(`SELECT count(*) FROM river_job WHERE state = 'running' OR state = 'available' AND scheduled_at <= now()`) == 0 {
			s.soon()
		}
		return fmt.Errorf("%d did of %d", got, want)
	})
}

// However much waits for a receiver that is dead, it costs few executions.
func TestDeadReceiverCostsLittle(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	to := s.answers(status(500))
	endpoint := s.endpoint(to.URL)
	s.work(10)
	s.work(10)
	s.tell(1000, endpoint)
	const rounds = 25
	for round := range rounds {
		s.waits("nothing is under way", 0, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND (state = 'running' OR scheduled_at <= now() AND state IN ('available', 'scheduled'))`)
		if round >= 5 && s.lane(endpoint).Failures < store.BreakAfter {
			t.Fatalf("the lane is %+v", s.lane(endpoint))
		}
		s.soon()
	}
	s.waits("nothing is under way", 0, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND (state = 'running' OR scheduled_at <= now() AND state IN ('available', 'scheduled'))`)
	attempts, executions := len(to.got()), s.executions.Load()
	t.Logf("%d pauses: %d attempts, %d executions, %d of 1000 have jobs", rounds, attempts, executions,
		s.count(`SELECT count(*) FROM webhook_deliveries WHERE admitted`))
	if attempts < rounds || attempts > rounds+20 || executions > 4*rounds+40 {
		t.Errorf("%d pauses cost %d attempts and %d executions", rounds, attempts, executions)
	}
}

// A limit of so many a minute holds over all workers.
func TestWebhookRateLimitHolds(t *testing.T) {
	t.Parallel()
	options, err := redis.ParseURL(localstack.TestRedis(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	s := newWebhookSite(t, func(d *Deps, _ *webhook.Config) {
		l := ratelimit.New(ratelimit.Config{Window: time.Minute, Redis: options, Timeout: 5 * time.Second, Log: d.Log})
		t.Cleanup(func() { _ = l.Close() })
		d.Webhooks.Limiter = l
	})
	to := s.answers(status(200))
	free := s.answers(status(200))
	s.work(10)
	s.work(10)
	began := time.Now()
	s.tell(100, s.endpoint(to.URL, "rate_limit", 60), s.endpoint(free.URL))
	s.waits("others are not held up", 100, `SELECT count(*) FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id WHERE d.status = 'succeeded' AND e.rate_limit IS NULL`)
	s.waits("the rest is put off", 0, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND (state = 'running' OR scheduled_at <= now() AND state IN ('available', 'scheduled'))`)
	if n := len(to.got()); n != 60 && time.Since(began) < 50*time.Second {
		t.Errorf("%d went through, want 60", n)
	}
	if n := s.executions.Load(); n > 230 {
		t.Errorf("%d executions for 160 attempts", n)
	}
}

// What goes to one receiver that is well comes about as it happened.
func TestWebhookOrderIsRoughlyThatOfEvents(t *testing.T) {
	t.Parallel()
	s := newWebhookSite(t)
	to := s.answers(status(200))
	s.work(20)
	const n = 200
	s.tell(n, s.endpoint(to.URL))
	s.waits("all are delivered", n, `SELECT count(*) FROM webhook_deliveries WHERE status = 'succeeded'`)
	hits := to.got()
	var ids []string
	for _, h := range hits {
		ids = append(ids, h.id)
	}
	sorted := slices.Sorted(slices.Values(ids))
	off := 0
	for i, id := range ids {
		place, _ := slices.BinarySearch(sorted, id)
		off += max(place-i, i-place)
	}
	if mean := off / len(ids); mean > 20 { // by chance it would be a third of them all
		t.Errorf("events came %d places from their own", mean)
	}
	if len(ids) != n {
		t.Errorf("%d requests for %d events", len(ids), n)
	}
}

// Of twenty that fail at the same moment one disables the endpoint, and says so.
func TestWebhookIsDisabledOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change, code string
		answer       int
	}{
		"a hundred failures": {`UPDATE webhook_lanes SET failures = 99, failing_since = now() - interval '1 hour'`, "failing", 500},
		"three days":         {`UPDATE webhook_lanes SET failures = 7, failing_since = now() - interval '3 days'`, "failing", 500},
		"gone":               {`UPDATE webhook_lanes SET successes = 8`, "gone", 410},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWebhookSite(t)
			arrived := make(chan struct{}, 100)
			together := make(chan struct{})
			to := s.answers(func(w http.ResponseWriter, q *http.Request) {
				arrived <- struct{}{}
				<-together
				status(c.answer)(w, q)
			})
			release := sync.OnceFunc(func() { close(together) })
			t.Cleanup(release)
			endpoint := s.endpoint(to.URL)
			waiting := s.tell(50, endpoint)
			s.exec(`DELETE FROM river_job`)
			s.exec(`UPDATE webhook_deliveries SET admitted = false`)
			s.exec(c.change)
			for _, id := range waiting[:20] {
				s.asked(id)
			}
			s.work(25)
			s.work(25)
			for range 20 {
				s.reached(arrived)
			}
			release()
			s.waits("the endpoint is disabled", 1, `SELECT count(*) FROM webhook_endpoints WHERE status = 'disabled' AND disabled_code = $1`, c.code)
			s.waits("all end", 50, `SELECT count(*) FROM webhook_deliveries WHERE status = 'failed'`)
			if n := s.count(`SELECT count(*) FROM outbox WHERE type = 'webhook.disabled' AND data::jsonb ->> 'code' = $1`, c.code); n != 1 {
				t.Errorf("it was stated %d times", n)
			}
			var reason string
			s.must(s.deps.DB.Pool().QueryRow(t.Context(), `SELECT disabled_reason FROM webhook_endpoints`).Scan(&reason))
			t.Log(reason)
			s.waits("all attempts are noted", 20, `SELECT count(*) FROM webhook_attempts`)
			if n := len(to.got()); n != 20 {
				t.Errorf("the receiver got %d requests", n)
			}
		})
	}
}
