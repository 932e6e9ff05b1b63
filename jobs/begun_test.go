package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// underWay are the calls of a job that are noted as under way, as provider:attempt.
func (s *site) underWay(id string) (list []string) {
	s.t.Helper()
	rows, err := s.db.Pool().Query(s.t.Context(),
		`SELECT provider || ':' || attempt FROM ai_calls_begun WHERE job_id = $1 ORDER BY started_at`, id)
	s.must(err)
	list, err = pgx.CollectRows(rows, pgx.RowTo[string])
	s.must(err)
	return list
}

func (s *site) begins(id, call string) {
	s.t.Helper()
	s.eventually("the call "+call+" is noted", func() error {
		if got := s.underWay(id); !slices.Contains(got, call) {
			return fmt.Errorf("under way are %q", got)
		}
		return nil
	})
}

// settled waits until nothing of a job is under way, and wants these calls.
func (s *site) settled(id string, want ...string) {
	s.t.Helper()
	s.eventually("no call is under way", func() error {
		if got := s.underWay(id); len(got) > 0 {
			return fmt.Errorf("under way are %q", got)
		}
		return nil
	})
	if got := s.calls(id); !slices.Equal(got, want) {
		s.t.Errorf("calls %q, want %q", got, want)
	}
}

const aCompletion = `{"prompt":"hello","max_tokens":20}`

func TestCallIsKnownWhileItIsUnderWay(t *testing.T) {
	t.Parallel()
	s := working(t)
	s.ollama.Only("/api/chat").Every(faults.Pace(30 * time.Millisecond))
	id := s.submit("ai.completion", aCompletion)
	s.begins(id, "ollama:1")
	var noted, recorded string
	s.scan(&noted, `SELECT id::text FROM ai_calls_begun WHERE job_id = $1`, id)
	s.answer(id)
	s.settled(id, "ollama:"+s.answer(id).Attempts[0].Outcome)
	s.scan(&recorded, `SELECT id::text FROM ai_calls WHERE job_id = $1 AND usd_inr = 90`, id)
	if noted != recorded {
		t.Errorf("the call was noted as %s and is recorded as %s", noted, recorded)
	}
}

func TestNoLivingProcessLeavesCallsUnderWay(t *testing.T) {
	t.Parallel()
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		s := working(t)
		s.ollama.Only("/api/chat").Every(faults.Hang)
		id := s.submit("ai.completion", `{"prompt":"hello","mode":"relaxed"}`)
		s.begins(id, "ollama:1")
		s.must(s.db.Tx(t.Context(), func(tx pgx.Tx) error { return jobs.Cancel(t.Context(), tx, s.job(id)) }))
		s.settled(id, "ollama:cancelled")
	})
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		s := working(t)
		s.ollama.Only("/api/chat").Every(func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
			s.begins(s.newest(), "ollama:1")
			faults.OllamaStatus(400, "no")(w, r, pass)
		})
		id := s.submit("ai.completion", aCompletion)
		s.ends(id, store.Failed)
		s.settled(id, "ollama:request")
	})
	t.Run("panicked", func(t *testing.T) {
		t.Parallel()
		var s *site
		s = newSite(t, func(_ *inference.Config, d *jobs.Deps) { d.Model = panicking{&s} })
		s.deps.Model = panicking{&s}
		s.worker(map[string]int{"ai": 1})
		id := s.submit("ai.completion", aCompletion, func(j *store.Job) { j.MaxAttempts = 1 })
		s.ends(id, store.Failed)
		s.settled(id, "ollama:lost")
	})
}

func (s *site) newest() (id string) {
	s.scan(&id, `SELECT id::text FROM jobs ORDER BY id DESC LIMIT 1`)
	return id
}

// panicking is a model that breaks in the middle of a call.
type panicking struct{ s **site }

// Answer implements jobs.Model.
func (p panicking) Answer(_ context.Context, q inference.Prompt, _ inference.Sink) (inference.Answer, error) {
	q.Begun(inference.Attempt{ID: outbox.NewID(), Provider: inference.Ollama, Model: "m", StartedAt: time.Now()}, "")
	(*p.s).begins((*p.s).newest(), "ollama:1")
	panic("broken")
}

// Class implements jobs.Model.
func (panicking) Class(inference.Prompt) string { return "m" }

// An attempt that was taken for dead comes back when another has begun: it must leave alone what isn't its own.
func TestZombieLeavesItsSuccessorsCalls(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.submit("ai.completion", aCompletion)
	hold := func(attempt int) store.Hold {
		taken, errs := store.StartJobs(t.Context(), s.db, []store.Start{{OrganizationID: s.organization, JobID: id, Run: 1, Attempt: attempt}})
		s.must(errs[0])
		return taken[0].Hold()
	}
	begin := func(h store.Hold, attempt int) (call string, err error) {
		call = outbox.NewID()
		return call, store.AppendJobEvents(t.Context(), s.relaxed, h, nil, store.BegunCall{ID: call, Attempt: attempt,
			Kind: "ai.completion", Provider: "ollama", Model: "m", FallbackReason: "timeout", StartedAt: time.Now().Add(-time.Minute)})
	}
	settle := func(h store.Hold, own ...string) {
		b := &pgx.Batch{}
		store.QueueSettleCalls(b, h, own)
		s.must(s.db.Send(t.Context(), b))
	}
	zombie := hold(1)
	first, err := begin(zombie, 1)
	s.must(err)
	successor := hold(2)
	second, err := begin(successor, 2)
	s.must(err)
	if _, err := begin(zombie, 1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the zombie begins another call with %v, want a conflict", err)
	}
	settle(zombie, first)
	if got := s.underWay(id); !slices.Equal(got, []string{"ollama:2"}) {
		t.Errorf("under way are %q, want the successor's", got)
	}
	third, err := begin(successor, 2)
	s.must(err)
	settle(successor, second, third)
	s.settled(id, "ollama:lost", "ollama:lost", "ollama:lost")
}

// What died with its process, and no attempt came after, is written down by the cleaning; what may still go on
// is left alone.
func TestCleaningLosesOldCalls(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	begun := func(age time.Duration, job string) (call string) {
		call = outbox.NewID()
		s.exec(`INSERT INTO ai_calls_begun (organization_id, id, job_id, attempt, kind, provider, model, fallback_reason, started_at)
			VALUES ($1, $2, $3, 1, 'ai.chat', 'groq', 'm', 'timeout', now() - $4::interval)`, s.organization, call, job, age)
		return call
	}
	ended, running := s.submit("ai.completion", aCompletion), s.submit("ai.completion", aCompletion)
	_, errs := store.StartJobs(t.Context(), s.db, []store.Start{
		{OrganizationID: s.organization, JobID: running, Run: 1, Attempt: 1}, {OrganizationID: s.organization, JobID: ended, Run: 1, Attempt: 1}})
	s.must(errors.Join(errs...))
	s.must(s.db.Tx(t.Context(), func(tx pgx.Tx) error { return jobs.Cancel(t.Context(), tx, s.job(ended)) }))
	old, gone := begun(time.Hour, ended), begun(time.Hour, outbox.NewID())
	young, worked := begun(10*time.Minute, ended), begun(time.Hour, running)
	s.must(s.db.CleanUp(t.Context(), store.Retention{BegunCalls: 30 * time.Minute, Jobs: time.Hour, APIKeys: time.Hour}))
	ids := func(table string) (list []string) {
		rows, err := s.db.Pool().Query(t.Context(), `SELECT id::text FROM `+table+` ORDER BY id`)
		s.must(err)
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		s.must(err)
		return list
	}
	if got := ids("ai_calls_begun"); !slices.Equal(got, []string{young, worked}) {
		t.Errorf("under way are %q, want the young one %s and the one that is worked %s", got, young, worked)
	}
	if got := ids("ai_calls WHERE outcome = 'lost' AND fallback_reason = 'timeout' AND run_ms = 0"); !slices.Equal(got, []string{old, gone}) {
		t.Errorf("lost are %q, want %s and %s", got, old, gone)
	}
}
