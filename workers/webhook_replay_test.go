package workers

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/jobs"
)

// replays states that somebody wants an endpoint to hear of the last hour again, and works until it has.
func (s *site) replays(endpointID string, change ...func(*events.WebhookReplayRequested)) {
	s.t.Helper()
	f := events.WebhookReplayRequested{EndpointID: endpointID, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), Version: 2}
	for _, change := range change {
		change(&f)
	}
	s.states(organization, f)
	s.drained()
	eventually(s.t, "the replay is done", func() error {
		if n := s.count(`SELECT count(*) FROM river_job WHERE kind = 'webhook.replay' AND state <> 'completed'`); n != 0 {
			return fmt.Errorf("%d are not", n)
		}
		return nil
	})
	// Whoever asks for many keeps no backup from being made.
	if n := s.count(`SELECT count(*) FROM river_job WHERE kind = 'webhook.replay' AND priority <> 4`); n != 0 {
		s.t.Errorf("%d replays go before chores", n)
	}
}

func failed(f *events.WebhookReplayRequested) { f.Failed = true }
func missed(f *events.WebhookReplayRequested) { f.Missed = true }

// maintaining works replays alone: what is to be delivered stays in the queue.
func (s *site) maintaining() {
	s.relay()
	s.worker(func(c *Config) { c.Table, c.Queues = s.telling(), map[string]int{"maintenance": 2} })
}

func TestReplayOfFailedDeliveries(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.maintaining()
	e, other := s.endpoint(organization, "*"), s.endpoint(organization, "*")
	s.exec(`INSERT INTO webhook_lanes (organization_id, id, paused_until) SELECT organization_id, id, now() + interval '1 hour' FROM webhook_endpoints`)
	ids := s.waits(organization, e, 1200)
	fails := `UPDATE webhook_deliveries SET status = 'failed', error_code = 'status', attempts = 3, admitted = false, next_attempt_at = NULL, finished_at = now() WHERE id = ANY($1)`
	s.exec(fails, ids)
	s.exec(fails, s.waits(organization, other, 3))
	s.exec(`UPDATE webhook_deliveries SET created_at = now() - interval '2 hours' WHERE id = $1`, ids[0])
	s.exec(`UPDATE webhook_deliveries SET finished_at = now() + interval '5 minutes' WHERE id = $1`, ids[1]) // after it was asked for
	s.exec(`UPDATE webhook_deliveries SET status = 'succeeded', error_code = NULL WHERE id = $1`, ids[2])
	s.exec(`UPDATE webhook_deliveries SET purpose = 'test' WHERE id = $1`, ids[3])
	s.exec(`UPDATE webhook_lanes SET paused_until = NULL`)
	s.replays(e, failed)
	if n := s.count(`SELECT count(*) FROM webhook_deliveries WHERE run = 2 AND status = 'pending' AND attempts = 0 AND error_code IS NULL
		AND id = ANY($1)`, ids[4:]); n != len(ids)-4 {
		t.Errorf("%d wait again, want %d", n, len(ids)-4)
	}
	if n := s.count(`SELECT count(*) FROM webhook_deliveries WHERE run > 1`); n != len(ids)-4 {
		t.Errorf("%d have a new run, want %d", n, len(ids)-4)
	}
	if n := s.queued(e, ""); n != 2 {
		t.Errorf("%d jobs, want those of two places", n)
	}
	if n := s.count(`SELECT count(*) FROM webhook_deliveries WHERE admitted AND id = ANY($1)`, ids[4:6]); n != 2 {
		t.Errorf("%d of the two oldest go first", n)
	}
	// It is asked for again, as the job is tried again that was killed at the end.
	s.exec(`UPDATE river_job SET state = 'available', finalized_at = NULL WHERE kind = 'webhook.replay'`)
	s.exec(fails, ids[4:6])
	s.exec(`UPDATE webhook_deliveries SET finished_at = now() + interval '1 second' WHERE id = ANY($1)`, ids[4:6])
	eventually(t, "it is done again", func() error {
		if n := s.count(`SELECT count(*) FROM river_job WHERE kind = 'webhook.replay' AND state = 'completed'`); n != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	if n := s.count(`SELECT count(*) FROM webhook_deliveries WHERE run > 2`); n != 0 {
		t.Errorf("%d were replayed twice", n)
	}
	s.exec(`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'owner', disabled_at = now() WHERE id = $1`, other)
	s.replays(other, failed)
	s.replays(outbox.NewID(), failed, missed)
	if n := s.count(`SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = $1 AND run > 1`, other); n != 0 {
		t.Errorf("%d wait for an endpoint that is disabled", n)
	}
}

func TestReplayOfMissedEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.maintaining()
	e := s.endpoint(organization, "contact.*")
	s.states(organization, created())
	s.drained()
	s.exec(`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'failing', disabled_at = now() WHERE id = $1`, e)
	var want []string
	for i := range 700 {
		f := []events.Fact{created(), deleted()}[i%2]
		s.states(organization, f, won())
		s.states(elsewhere, created())
		want = append(want, f.EventType())
	}
	s.drained()
	if n := len(s.heard(e)); n != 1 {
		t.Fatalf("a disabled endpoint was told of %d events", n-1)
	}
	s.replays(e, missed) // disabled still
	if n := len(s.heard(e)); n != 1 {
		t.Fatalf("a replay told a disabled endpoint of %d events", n-1)
	}
	s.exec(`UPDATE webhook_endpoints SET status = 'enabled', disabled_code = NULL, disabled_at = NULL WHERE id = $1`, e)
	s.states(organization, deleted())
	for range 2 {
		s.replays(e, missed)
		if got := s.heard(e); len(got) != len(want)+2 {
			t.Fatalf("told of %d events, want %d", len(got), len(want)+2)
		}
	}
	s.replays(e, missed, func(f *events.WebhookReplayRequested) { f.Until = f.Since })
	// But for the last, which was told before, in their order.
	if got := s.heard(e); !slices.Equal(got[2:], want) {
		t.Error("what was missed is not told in its order")
	}
	if n := s.count(`SELECT count(*) FROM webhook_deliveries d WHERE EXISTS (SELECT FROM webhook_events e WHERE e.id = d.event_id
		AND e.organization_id = d.organization_id) AND organization_id = $1`, organization); n != len(want)+2 {
		t.Errorf("%d deliveries have what is to be sent", n)
	}
}

// The operator's own means: what was dead is told once, and what is replayed is delivered anew.
func TestRedriveAndReplayTell(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	e := s.endpoint(organization, "job.*", "contact.*")
	stop := s.router(s.telling()[1:]) // it doesn't know the kind yet
	s.submit(nil)
	eventually(t, "it is buried", func() error {
		if len(s.dead()) != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	stop()
	if got := s.heard(e); len(got) != 0 {
		t.Fatalf("told of %v, which is dead", got)
	}
	if done, _, err := Redrive(t.Context(), s.db, s.telling(), nil); err != nil || done != 1 {
		t.Fatalf("%d redriven, %v", done, err)
	}
	s.router(s.telling())
	s.states(organization, created(), deleted())
	s.drained()
	told := []string{"job.requested", "contact.created", "contact.deleted"}
	if got := s.heard(e); !slices.Equal(got, told) {
		t.Fatalf("told of %v, want %v", got, told)
	}
	plan := func(want int) Plan {
		t.Helper()
		p, err := PlanReplay(t.Context(), s.db, s.telling(), time.Now().Add(-time.Hour), []string{"contact.created", "contact.deleted"})
		if err != nil || p.Jobs[jobs.DeliverWebhook] != want {
			t.Fatalf("%v planned, %v; want %d deliveries", p.Jobs, err, want)
		}
		return p
	}
	plan(0) // all are under way
	s.exec(`UPDATE webhook_deliveries SET status = 'succeeded', attempts = 1, admitted = false, next_attempt_at = NULL, finished_at = now() WHERE event_type = 'contact.created'`)
	late := s.endpoint(organization, "contact.deleted")
	p := plan(2) // one anew, and one for who came later
	for _, want := range []int{2, 0} {
		if n, err := Replay(t.Context(), s.db, s.telling(), p); err != nil || n != want {
			t.Fatalf("%d started, %v; want %d", n, err, want)
		}
	}
	if n := s.count(`SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = $1 AND event_type = 'contact.created' AND run = 2 AND status = 'pending'`, e); n != 1 {
		t.Errorf("%d delivered anew, want 1", n)
	}
	if got := s.heard(late); !slices.Equal(got, []string{"contact.deleted"}) || s.queued(late, "") != 1 {
		t.Errorf("who came later hears of %v", got)
	}
	if n := s.count(`SELECT count(*) FROM river_job WHERE args ->> 'run' = '2'`); n != 1 {
		t.Errorf("%d jobs of second runs, want 1", n)
	}
}
