package jobs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/registry"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// pulling is a site before a private Ollama, whose worker works the queue of pulls too.
func pulling(t *testing.T, own *localstack.Ollama, change ...func(*inference.Config, *jobs.Deps)) *site {
	t.Helper()
	s := newSite(t, append(change, func(c *inference.Config, _ *jobs.Deps) { c.OllamaURL = own.URL() })...)
	s.worker(map[string]int{"ai": 2, "maintenance": 2})
	return s
}

func (s *site) pull(model string) (id string) {
	s.t.Helper()
	return s.submit("ai.pull_model", fmt.Sprintf(`{"model":%q,"insecure":true}`, model),
		func(j *store.Job) { j.Queue, j.MaxAttempts = "maintenance", 3 })
}

type progress struct{ Done, Total int64 }

// progress is what a client that follows a job has heard.
func (s *site) progress(id string) (list []progress) {
	s.t.Helper()
	rows, err := s.db.Pool().Query(s.t.Context(), `SELECT data FROM job_events WHERE job_id = $1 AND type = 'progress' ORDER BY seq`, id)
	s.must(err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	s.must(err)
	for _, raw := range all {
		var p progress
		s.must(json.Unmarshal(raw, &p))
		list = append(list, p)
	}
	return list
}

func TestPulledModelAnswers(t *testing.T) {
	t.Parallel()
	from, own := registry.New(t), localstack.NewOllama(t)
	from.Slow(20 * time.Millisecond) // about two seconds in all
	s := pulling(t, own)
	id := s.pull(from.Model())
	j := s.ends(id, store.Succeeded)
	var out struct {
		Model, Digest string
		Size          int64
	}
	s.must(json.Unmarshal(j.Output, &out))
	if out.Model != from.Model() || len(out.Digest) != 64 || out.Size != from.Size() {
		t.Errorf("output %s, want %s with %d bytes", j.Output, from.Model(), from.Size())
	}
	heard, before := s.progress(id), progress{}
	for _, p := range heard {
		if p.Done < before.Done || p.Total < before.Total || p.Done > p.Total || p == before {
			t.Errorf("progress %+v after %+v, want it to grow", p, before)
		}
		before = p
	}
	if len(heard) < 3 || len(heard) > 30 || before != (progress{from.Size(), from.Size()}) {
		t.Errorf("progress %+v, want a few steps up to %d", heard, from.Size())
	}
	a := s.answer(s.submit("ai.completion", fmt.Sprintf(`{"prompt":"Score the lead.","model":%q,"cache":"no-store"}`, from.Model())))
	if a.Provider != inference.Ollama || a.Model != from.Model() || a.Text == "" {
		t.Errorf("answer %+v, want one of the new model", a)
	}
}

func TestCancelledPullStopsAndGoesOnLater(t *testing.T) {
	t.Parallel()
	from, own := registry.New(t), localstack.NewOllama(t)
	from.Slow(100 * time.Millisecond)
	s := pulling(t, own)
	id := s.pull(from.Model())
	s.eventually("a part is there", func() error {
		if p := s.progress(id); len(p) == 0 || p[len(p)-1].Done < 256<<10 {
			return fmt.Errorf("progress %+v", p)
		}
		return nil
	})
	s.cancel(id)
	receive(t, "Ollama leaves the registry", from.Left())
	s.ends(id, store.Cancelled)
	sent := from.Sent()
	from.Slow(0)
	s.ends(s.pull(from.Model()), store.Succeeded)
	if all := from.Sent(); all-sent > int(from.Size())-(128<<10) {
		t.Errorf("%d bytes were sent again after the %d of before; of %d", all-sent, sent, from.Size())
	}
}

// Whoever pulls several models leaves places for what keeps house.
func TestPullsTakeTurns(t *testing.T) {
	t.Parallel()
	slow, quick, own := registry.New(t), registry.New(t), localstack.NewOllama(t)
	slow.Slow(time.Second)
	s := pulling(t, own)
	first := s.pull(slow.Model())
	s.eventually("the pull is on its way", func() error {
		if len(s.progress(first)) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	second := s.pull(quick.Model())
	if reason := s.waits(second); reason != "Another model is being pulled." {
		t.Errorf("it waits for %q", reason)
	}
	slow.Slow(0)
	s.ends(first, store.Succeeded)
	s.exec(`UPDATE river_job SET scheduled_at = now() WHERE state = 'scheduled'`)
	s.ends(second, store.Succeeded)
}

// TestPullOutlivesOllama has Ollama killed in the middle of a pull.
func TestPullOutlivesOllama(t *testing.T) {
	t.Parallel()
	from, own := registry.New(t), localstack.NewOllama(t)
	from.Slow(100 * time.Millisecond)
	s := pulling(t, own)
	id := s.pull(from.Model())
	s.eventually("the pull has begun", func() error {
		if len(s.progress(id)) == 0 {
			return fmt.Errorf("nothing is heard")
		}
		return nil
	})
	own.Kill()
	if reason := s.waits(id); !strings.Contains(reason, "Ollama at ") {
		t.Errorf("it waits for %q", reason)
	}
	s.must(own.WaitReady(t.Context()))
	from.Slow(0)
	if j := s.ends(id, store.Succeeded); j.Attempt != 1 {
		t.Errorf("it took attempt %d", j.Attempt)
	}
}

func TestPullsThatFail(t *testing.T) {
	t.Parallel()
	from := registry.New(t)
	// Where there is a network this keeps Ollama from it.
	own := localstack.NewOllama(t, "HTTPS_PROXY=http://127.0.0.1:1")
	s := pulling(t, own)
	for _, tc := range []struct{ name, model, insecure, code, pointer, says string }{
		{"no network", "mistral:7b-not-here", "false", "registry_unreachable", "", "HTTPS_PROXY"},
		{"nobody there", "127.0.0.1:1/library/tiny", "true", "registry_unreachable", "", "name server"},
		{"no such model", from.Host() + "/library/other:7b", "true", "model_not_found", "/input/model", "check name and tag"},
		{"no such tag", from.Host() + "/library/tiny:70b", "true", "model_not_found", "/input/model", "check name and tag"},
	} {
		id := s.submit("ai.pull_model", fmt.Sprintf(`{"model":%q,"insecure":%s}`, tc.model, tc.insecure),
			func(j *store.Job) { j.Queue, j.MaxAttempts = "maintenance", 3 })
		j := s.ends(id, store.Failed)
		var p struct {
			Code, Detail string
			Errors       []struct{ Pointer string }
		}
		s.must(json.Unmarshal(j.Error, &p))
		if p.Code != tc.code || !strings.Contains(p.Detail, tc.says) || (len(p.Errors) == 1) != (tc.pointer != "") {
			t.Errorf("%s: it fails with %s, want %s that says %q", tc.name, j.Error, tc.code, tc.says)
		}
		if len(p.Errors) == 1 && p.Errors[0].Pointer != tc.pointer {
			t.Errorf("%s: the mistake is at %s, want %s", tc.name, p.Errors[0].Pointer, tc.pointer)
		}
	}
}

func TestPullWithoutOllama(t *testing.T) {
	t.Parallel()
	off := newSite(t, func(c *inference.Config, _ *jobs.Deps) { c.OllamaEnabled = false })
	off.worker(map[string]int{"maintenance": 1})
	if j := off.ends(off.pull("mistral:7b"), store.Failed); problemCode(j.Error) != "ollama_disabled" {
		t.Errorf("it fails with %s, want ollama_disabled", j.Error)
	}
	gone := newSite(t, func(c *inference.Config, _ *jobs.Deps) { c.OllamaURL = "http://127.0.0.1:1" })
	gone.worker(map[string]int{"maintenance": 1})
	if reason := gone.waits(gone.pull("mistral:7b")); reason != "Ollama at http://127.0.0.1:1 refuses connections" {
		t.Errorf("it waits for %q", reason)
	}
}

func TestInputOfPull(t *testing.T) {
	t.Parallel()
	var check func(json.RawMessage) []jobs.Fault
	for _, j := range jobs.All(jobs.Deps{}) {
		if j.Kind == "ai.pull_model" {
			check = j.Spec.Check
			if j.Spec.Scope != "admin" {
				t.Errorf("scope %s, want admin", j.Spec.Scope)
			}
		}
	}
	for _, name := range []string{"mistral:7b", "tiny", "openai/gpt-oss-20b", "hf.co/team/model-GGUF:Q4_K_M", "127.0.0.1:5000/library/tiny:latest"} {
		if faults := check(json.RawMessage(fmt.Sprintf(`{"model":%q}`, name))); len(faults) > 0 {
			t.Errorf("%s is refused: %+v", name, faults)
		}
	}
	for _, name := range []string{"", "-x", "../../etc/passwd", "a/../b", "http://host/library/x", "a b", "a\nb", "a;b", "a?x=1", "a#b", "a@b",
		"user:secret@host/library/x", "a/b/c/d", "host:port/a/b", "a:b:c", "é", strings.Repeat("a", 300), "/a", "a/", "a:"} {
		faults := check(json.RawMessage(fmt.Sprintf(`{"model":%q}`, name)))
		if len(faults) != 1 || faults[0].Pointer != "/model" {
			t.Errorf("%q: %+v, want a fault at /model", name, faults)
		}
	}
	for input, pointer := range map[string]string{`{}`: "/model", `{"model":"m","user":"x"}`: "/user", `{"model":"m","insecure":"yes"}`: "/insecure"} {
		if faults := check(json.RawMessage(input)); len(faults) != 1 || faults[0].Pointer != pointer {
			t.Errorf("%s: %+v, want a fault at %s", input, faults, pointer)
		}
	}
}
