package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/jobs"
)

// noticing tells which entry was asked for last.
type noticing struct {
	*cachetag.Cache
	last atomic.Pointer[cachetag.Entry]
}

func (n *noticing) Claim(ctx context.Context, e cachetag.Entry, lane string, wait time.Duration) *cachetag.Claim {
	n.last.Store(&e)
	return n.Cache.Claim(ctx, e, lane, wait)
}

// spoil changes what is kept where was asked last.
func (n *noticing) spoil(t *testing.T, with func(kept []byte) []byte) {
	t.Helper()
	claim := n.Cache.Claim(t.Context(), *n.last.Load(), "test", 0)
	defer claim.Release(t.Context())
	if claim.Outcome != cachetag.Hit {
		t.Fatalf("what was kept is a %s", claim.Outcome)
	}
	value := with(claim.Value)
	claim.Spoilt()
	claim.Keep(t.Context(), value)
}

// What is kept and is no answer of a model to the question reaches nobody, and is replaced.
func TestASpoiltCopyIsReplaced(t *testing.T) {
	t.Parallel()
	answers := &noticing{}
	s := working(t, answering, func(_ *inference.Config, d *jobs.Deps) {
		answers.Cache = d.Cache.(*cachetag.Cache)
		d.Answers = answers
	})
	changed := func(name string, value any) func([]byte) []byte {
		return func(kept []byte) []byte {
			var fields map[string]any
			s.must(json.Unmarshal(kept, &fields))
			fields[name] = value
			other, err := json.Marshal(fields)
			s.must(err)
			return other
		}
	}
	constant := func(value string) func([]byte) []byte { return func([]byte) []byte { return []byte(value) } }
	spoilt := map[string]func([]byte) []byte{
		"nothing": constant(""), "null": constant("null"), "an empty object": constant("{}"), "a list": constant("[]"),
		"a text": constant(`"hello"`), "half": func(kept []byte) []byte { return kept[:len(kept)/2] },
		"no text": changed("text", ""), "no model": changed("model", ""), "an answer of the rules": changed("provider", "rules"),
		"a copy of a copy": changed("provider", "cache"), "a saving that is a loss": changed("shadow_nano_usd", -1),
		"another shape": changed("json", map[string]any{"summary": 7}), "an unknown field": changed("secret", "x"),
	}
	for kind, input := range map[string]string{
		"ai.completion": `{"prompt":"hello"}`, "ai.contact_summary": fmt.Sprintf(`{"contact_id":%q}`, s.contact("Asha Rao", nil)),
	} {
		if a := s.answer(s.submit(kind, input)); a.Provider != inference.Ollama {
			t.Fatalf("%s was answered by %s", kind, a.Provider)
		}
		for what, with := range spoilt {
			answers.spoil(t, with)
			if a := s.answer(s.submit(kind, input)); a.Cached || a.Provider != inference.Ollama || a.Text == "" {
				t.Errorf("%s, with %s in the cache: %+v", kind, what, a)
			}
			if a := s.answer(s.submit(kind, input)); !a.Cached || a.Text == "" {
				t.Errorf("%s, after %s was replaced: %+v", kind, what, a)
			}
		}
	}
}

// U+0000 in an answer costs nobody the answer, nor does it fail all who ask the same.
func TestAnAnswerThatNoDatabaseTakes(t *testing.T) {
	t.Parallel()
	s := working(t, answering)
	s.ollama.Next(faults.OllamaSays("a\x00b", "stop"))
	for _, cached := range []bool{false, true} {
		if a := s.answer(s.submit("ai.completion", `{"prompt":"hello"}`)); a.Text != "a\uFFFDb" || a.Cached != cached {
			t.Errorf("got %+v", a)
		}
	}
}
