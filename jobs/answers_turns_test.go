package jobs_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// isAsked waits until a model server was asked so many questions.
func (s *site) isAsked(p *faults.Proxy, n int) {
	s.t.Helper()
	s.eventually("the model is asked", func() error {
		if got := asked(p); got != n {
			return fmt.Errorf("%d questions of %d", got, n)
		}
		return nil
	})
}

const hello = `{"prompt":"Say hello."}`

// A job that asks for others is cancelled: one of them asks in its place.
func TestACancelledJobHandsItsQuestionOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, answering)
	s.ollama.Next(faults.Hang)
	s.worker(map[string]int{"ai": 4})
	s.another(map[string]int{"ai": 4})
	first := s.submit("ai.completion", hello)
	s.isAsked(s.ollama, 1)
	others := s.submitMany(6, "ai.completion", hello)
	s.eventually("the others are at it", func() error {
		var n int
		if s.scan(&n, `SELECT count(*) FROM jobs WHERE started_at IS NOT NULL`); n != 7 {
			return fmt.Errorf("%d have begun", n)
		}
		return nil
	})
	s.cancel(first)
	fresh := 0
	for _, a := range s.allSucceed(others) {
		if !a.Cached {
			fresh++
		}
	}
	s.ends(first, store.Cancelled)
	if n := asked(s.ollama); n != 2 || fresh != 1 {
		t.Errorf("the model was asked %d times for %d fresh answers; want once by the first, and once for the others", n, fresh)
	}
}

// A process is killed while it asks for others: one of them asks in its place, within seconds, and its own job
// finds the answer when it is taken up again.
func TestAKilledProcessHandsItsQuestionOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, answering)
	s.ollama.Next(faults.Hang)
	kill := s.process()
	first := s.submit("ai.completion", hello)
	s.isAsked(s.ollama, 1)
	s.worker(map[string]int{"ai": 4})
	others := s.submitMany(6, "ai.completion", hello)
	s.waits(others[0])
	killed := time.Now()
	kill()
	answers := s.allSucceed(append(others, first))
	t.Logf("all were answered %s after the kill", time.Since(killed))
	fresh := 0
	for _, a := range answers {
		if !a.Cached {
			fresh++
		}
	}
	if n := asked(s.ollama); n != 2 || fresh != 1 {
		t.Errorf("the model was asked %d times for %d fresh answers; want once by the killed, and once for all", n, fresh)
	}
	if got := s.tally(); got.HitRate != 6.0/7 {
		t.Errorf("the calls say %+v, want 6 of 7 from the cache", got)
	}
}

// Who has waited a moment makes place for other questions, says for what, and comes back.
func TestTheSameQuestionMakesPlace(t *testing.T) {
	t.Parallel()
	s := newSite(t, answering)
	open := make(chan struct{})
	s.ollama.Next(held(open))
	s.worker(map[string]int{"ai": 2})
	first := s.submit("ai.completion", hello)
	s.isAsked(s.ollama, 1)
	same := s.submitMany(5, "ai.completion", hello)
	other := s.submit("ai.completion", `{"prompt":"Say something else."}`)
	if reason := s.waits(same[0]); reason != "The same question is being answered for another job." {
		t.Errorf("it waits: %s", reason)
	}
	if a := s.answer(other); a.Cached {
		t.Error("another question was answered from the cache")
	}
	if j := s.job(first); j.Terminal() {
		t.Fatalf("the first is %s", j.Status)
	}
	close(open)
	if a := s.answer(first); a.Cached {
		t.Error("the first was answered from the cache")
	}
	for _, a := range s.allSucceed(same) {
		if !a.Cached {
			t.Error("one was asked anew")
		}
	}
	if j := s.job(same[0]); j.Attempt != 1 {
		t.Errorf("waiting used up attempts: it is the %d.", j.Attempt)
	}
}

// Who is in a hurry doesn't wait for one who has minutes, and what either gets is for all.
func TestTheHurriedDontWaitForTheRelaxed(t *testing.T) {
	t.Parallel()
	s := newSite(t, answering)
	open := make(chan struct{})
	s.ollama.Next(held(open))
	s.worker(map[string]int{"ai": 4})
	relaxed := s.submit("ai.completion", `{"prompt":"Say hello.","mode":"relaxed"}`)
	s.isAsked(s.ollama, 1)
	if a := s.answer(s.submit("ai.completion", hello)); a.Cached || s.job(relaxed).Terminal() {
		t.Errorf("got %+v", a)
	}
	if a := s.answer(s.submit("ai.completion", `{"prompt":"Say hello.","mode":"relaxed"}`)); !a.Cached {
		t.Errorf("got %+v, want the hurried one's", a)
	}
	close(open)
	s.answer(relaxed)
}

// The first gets nothing that can be kept; the next asks for itself.
func TestAFailureIsNotShared(t *testing.T) {
	t.Parallel()
	s := newSite(t, answering, func(c *inference.Config, _ *jobs.Deps) { c.GroqKey = "" })
	open := make(chan struct{})
	bad := faults.OllamaSays("no document", "stop")
	s.ollama.Next(func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		<-open
		bad(w, r, pass)
	}, bad)
	s.worker(map[string]int{"ai": 4})
	const input = `{"prompt":"Rate it.","schema":{"type":"object","properties":{"score":{"type":"integer"}},"required":["score"]}}`
	first := s.submit("ai.completion", input)
	s.isAsked(s.ollama, 1)
	others := s.submitMany(3, "ai.completion", input)
	close(open)
	s.ends(first, store.Failed)
	s.allSucceed(others)
	if n := asked(s.ollama); n != 3 {
		t.Errorf("the model was asked %d times, want twice for the first and once for the others", n)
	}
}

// Redis freezes while one asks and others wait: all get an answer, of the model if need be, and none fails.
func TestAnswersComeWithoutRedis(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*localstack.Gate){"frozen": (*localstack.Gate).Hang, "dead": (*localstack.Gate).Shut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, err := url.Parse(localstack.TestRedis(t).URL())
			if err != nil {
				t.Fatal(err)
			}
			gate := localstack.NewGate(t, address.Host)
			address.Host = gate.Addr()
			cache, err := cachetag.Open(cachetag.Options{URL: address.String()}) // with the times of production
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cache.Close() })
			s := newSite(t, func(c *inference.Config, d *jobs.Deps) {
				d.Cache, d.Answers, c.FastBudget = cache, cache, 10*patience
			})
			open := make(chan struct{})
			var began atomic.Int64
			s.ollama.Every(func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
				if strings.HasSuffix(r.URL.Path, "/api/chat") {
					began.Add(1)
				}
				held(open)(w, r, pass)
			})
			s.worker(map[string]int{"ai": 8})
			ids := s.submitMany(4, "ai.completion", hello)
			s.eventually("one asks", func() error {
				if began.Load() == 0 {
					return fmt.Errorf("nobody does")
				}
				return nil
			})
			leave(gate)
			ids = append(ids, s.submitMany(3, "ai.completion", hello)...)
			s.eventually("those who came later ask too", func() error {
				if n := began.Load(); n < 4 {
					return fmt.Errorf("%d do", n)
				}
				return nil
			})
			close(open)
			for _, a := range s.allSucceed(ids) {
				if a.Text == "" {
					t.Errorf("got %+v", a)
				}
			}
			gate.Open()
			s.eventually("answers are kept again", func() error {
				if s.answer(s.submit("ai.completion", hello)); !s.answer(s.submit("ai.completion", hello)).Cached {
					return fmt.Errorf("they are not")
				}
				return nil
			})
		})
	}
}

// occupied says of every question that another job has been at it for a minute.
type occupied struct{}

func (occupied) Claim(context.Context, cachetag.Entry, string, time.Duration) *cachetag.Claim {
	return &cachetag.Claim{Outcome: cachetag.Busy, Age: time.Minute}
}

// Who waits for another job's answer looks for it once more before its own deadline.
func TestWhoWaitsForTheSameKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	s := working(t, func(_ *inference.Config, d *jobs.Deps) { d.Answers = occupied{} })
	deadline := time.Now().Add(30 * time.Second)
	hurried := s.submit("ai.completion", hello, func(j *store.Job) { j.Deadline = &deadline })
	patient := s.submit("ai.completion", hello)
	s.waits(hurried)
	s.waits(patient)
	if j := s.job(hurried); j.NextAttemptAt == nil || !j.NextAttemptAt.Before(deadline) {
		t.Errorf("it looks again at %v, after its deadline at %s", j.NextAttemptAt, deadline)
	}
	if j := s.job(patient); j.NextAttemptAt == nil || time.Until(*j.NextAttemptAt) < 30*time.Second {
		t.Errorf("without a deadline it looks again at %v, want a minute's wait", j.NextAttemptAt)
	}
}
