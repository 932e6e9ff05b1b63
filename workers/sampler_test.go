package workers

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
)

// sampledSite has a database and nothing else.
func sampledSite(t *testing.T) *site {
	s := &site{t: t, url: newDatabase(t), plays: make(map[string]play), logged: &record{}}
	s.db, s.relaxed = s.open("test"), s.open("test-relaxed")
	return s
}

func (s *site) sampler(past func(context.Context, int) ([]minutes.Minute, error)) *sampler {
	return &sampler{db: s.relaxed, id: "test", queues: []string{"ai", "mail"}, past: past, log: s.logged.log()}
}

// A look at queues counts what waits and works, and how long the oldest has; of a minute it keeps the deepest.
func TestQueuesAreSampled(t *testing.T) {
	t.Parallel()
	s := sampledSite(t)
	p := s.sampler(nil)
	s.exec(`INSERT INTO river_job (args, kind, max_attempts, queue, state, scheduled_at, priority, finalized_at)
		SELECT '{}', 'x', 3, 'mail', state, now() - age, 1, CASE WHEN state = 'completed' THEN now() END
		FROM (VALUES ('available'::river_job_state, interval '90 s'), ('available', '5 s'), ('running', '1 s'), ('retryable', '-1 h'),
			('scheduled', '-1 h'), ('scheduled', '100 s'), ('completed', '1 h')) AS v (state, age)`)
	s.exec(`INSERT INTO worker_processes (id, host, pid, queues, version) VALUES ('w', 'h', 1, '{"mail":8}', 'v'), ('u', 'h', 2, '{"mail":4,"ai":1}', 'v')`)
	if err := p.sampleQueues(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got store.QueueSample
	row := s.db.Pool().QueryRow(t.Context(), `SELECT available, running, retryable, scheduled, oldest_ms, workers, places FROM queue_states WHERE queue = 'mail'`)
	if err := row.Scan(&got.Available, &got.Running, &got.Retryable, &got.Scheduled, &got.OldestMS, &got.Workers, &got.Places); err != nil {
		t.Fatal(err)
	}
	if got.Available != 2 || got.Running != 1 || got.Retryable != 1 || got.Scheduled != 2 || got.Workers != 2 || got.Places != 12 {
		t.Errorf("got %+v", got)
	}
	if got.OldestMS == nil || *got.OldestMS < 100_000 || *got.OldestMS > 160_000 {
		t.Errorf("the oldest waits for %v ms, want that which River's leader has not moved yet, 100 s", got.OldestMS)
	}
	s.exec(`DELETE FROM river_job WHERE state = 'available'`)
	if err := p.sampleQueues(t.Context()); err != nil {
		t.Fatal(err)
	}
	var deepest, samples, nothing int
	if s.scan(&deepest, `SELECT max(available) FROM queue_minutes WHERE queue = 'mail'`); deepest != 2 {
		t.Errorf("the deepest is %d, want 2", deepest)
	}
	if s.scan(&samples, `SELECT sum(samples) FROM queue_minutes WHERE queue = 'mail'`); samples != 2 {
		t.Errorf("%d looks, want 2", samples)
	}
	if s.scan(&nothing, `SELECT count(*) FROM queue_minutes WHERE outcomes IS NOT NULL`); nothing != 0 {
		t.Errorf("what ended is known of %d minutes, and nobody counted", nothing)
	}
}

// One of many processes measures, and rests fifty times as long as that took.
func TestOneSamples(t *testing.T) {
	t.Parallel()
	s := sampledSite(t)
	var measured int
	measure := func(context.Context) error { measured++; return nil }
	for _, id := range []string{"a", "b", "c"} {
		p := s.sampler(nil)
		p.id = id
		if err := p.sample(t.Context(), "x", time.Minute, measure); err != nil {
			t.Fatal(err)
		}
	}
	if measured != 1 {
		t.Errorf("%d processes measured, want 1", measured)
	}
	s.exec(`UPDATE samplers SET next_at = now()`)
	p := s.sampler(nil)
	slow := func(context.Context) error { <-time.After(50 * time.Millisecond); return errors.New("broken") }
	if err := p.sample(t.Context(), "x", time.Second, slow); err == nil {
		t.Error("the failure is lost")
	}
	var rest float64
	if s.scan(&rest, `SELECT extract(epoch FROM next_at - began_at)::float8 FROM samplers`); rest < 2.5 {
		t.Errorf("it rests for %g s after 50 ms, want 2.5 at least", rest)
	}
}

// minuteOf is a minute in which jobs ended, one of which took a millisecond.
func minuteOf(at time.Time, outcomes map[string]int64) minutes.Minute {
	m := minutes.Minute{At: at, Worked: true}
	if outcomes == nil {
		return m
	}
	times := minutes.Times{Count: 1, Sum: time.Millisecond, Longest: time.Millisecond, Classes: []int64{1}}
	m.Queues = map[string]minutes.Queue{"mail": {Outcomes: outcomes, Waits: times, Times: times}}
	m.Kinds = map[string]minutes.Kind{"mail.send": {Queue: "mail", Outcomes: outcomes, Times: times}}
	return m
}

// What processes counted is noted by the minute and summed up by the hour; a minute without workers stays unknown, and
// a Redis that has lost something takes nothing back.
func TestWorkIsNoted(t *testing.T) {
	t.Parallel()
	s := sampledSite(t)
	begin := time.Now().UTC().Truncate(time.Hour).Add(-time.Hour)
	list := []minutes.Minute{
		minuteOf(begin, map[string]int64{"succeeded": 3, "failed": 1}),
		minuteOf(begin.Add(time.Minute), nil),
		{At: begin.Add(2 * time.Minute)}, // of which nobody knows
		minuteOf(begin.Add(3*time.Minute), map[string]int64{"succeeded": 2}),
	}
	away := false
	p := s.sampler(func(context.Context, int) ([]minutes.Minute, error) {
		if away {
			return nil, errors.New("away")
		}
		return list, nil
	})
	measure := func() {
		t.Helper()
		if err := p.sampleWork(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	measure()
	measure() // again changes nothing
	rows := func(span store.Span) []store.QueueMinute {
		t.Helper()
		list, err := store.QueueMinutes(t.Context(), s.db.Pool(), span, "mail", begin, begin.Add(2*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	got := rows(store.Minutes)
	if len(got) != 3 || got[0].Outcomes["succeeded"] != 3 || got[1].Outcomes == nil || len(got[1].Outcomes) != 0 || got[2].Outcomes["succeeded"] != 2 {
		t.Fatalf("got %+v", got)
	}
	if got[0].Available != nil || got[0].OldestMS != nil {
		t.Errorf("nobody looked at the queue, and it says %+v", got[0])
	}
	hour := rows(store.Hours)
	if len(hour) != 1 || hour[0].Outcomes["succeeded"] != 5 || hour[0].Outcomes["failed"] != 1 || hour[0].Available != nil {
		t.Fatalf("of the hour got %+v", hour)
	}
	var runs minutes.Times
	if err := json.Unmarshal(hour[0].Runs, &runs); err != nil || runs.Count != 2 {
		t.Errorf("of the hour %d times, %v", runs.Count, err)
	}
	list = []minutes.Minute{minuteOf(begin, map[string]int64{"succeeded": 1}), minuteOf(begin.Add(3*time.Minute), map[string]int64{"succeeded": 7})}
	measure()
	if got := rows(store.Minutes); got[0].Outcomes["succeeded"] != 3 || got[2].Outcomes["succeeded"] != 7 {
		t.Errorf("after Redis lost a part of one and learnt more of the other: got %+v", got)
	}
	away = true
	measure()
	if got := rows(store.Minutes); len(got) != 3 {
		t.Errorf("without Redis %d minutes are known", len(got))
	}
	kinds, err := store.KindMinutes(t.Context(), s.db.Pool(), store.Hours, "mail.send", begin, begin.Add(time.Hour))
	if err != nil || len(kinds) != 1 || kinds[0].Outcomes["succeeded"] != 10 || kinds[0].Queue != "mail" {
		t.Errorf("of the kind got %+v, %v", kinds, err)
	}
}

// Jobs that ended are counted over all organizations; what doesn't exist any more is not there.
func TestJobsAreCounted(t *testing.T) {
	t.Parallel()
	s := sampledSite(t)
	s.exec(`INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, event_id, finished_at, error)
		SELECT gen_random_uuid(), gen_random_uuid(), 'mail.send', 'mail', status, 1, '{}', gen_random_uuid(),
			CASE WHEN status <> 'queued' THEN now() END, CASE WHEN status = 'failed' THEN '{}'::jsonb END
		FROM unnest('{succeeded,succeeded,failed,queued}'::text[]) AS status`)
	p := s.sampler(nil)
	count := func() map[string]int64 {
		t.Helper()
		if err := p.countJobs(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := store.JobCounts(t.Context(), s.db.Pool())
		if err != nil {
			t.Fatal(err)
		}
		n := make(map[string]int64)
		for _, c := range list {
			if !c.Exact || c.Kind != "mail.send" || c.Queue != "mail" {
				t.Errorf("got %+v", c)
			}
			n[c.Status] = c.N
		}
		return n
	}
	if got := count(); len(got) != 2 || got["succeeded"] != 2 || got["failed"] != 1 {
		t.Errorf("got %v", got)
	}
	s.exec(`DELETE FROM jobs WHERE status = 'failed'`)
	if got := count(); len(got) != 1 || got["succeeded"] != 2 {
		t.Errorf("got %v", got)
	}
}
