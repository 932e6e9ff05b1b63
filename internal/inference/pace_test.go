package inference

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payaid/payaid/internal/localstack/faults"
)

func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pace
		for range paceLeast {
			if _, known := p.of("m"); known {
				t.Error("a figure from too few calls")
			}
			p.took("m", time.Second)
		}
		p.took("other", 3*time.Second)
		if got, known := p.of("m"); !known || got != time.Second {
			t.Errorf("a call takes %v (%t), want 1s", got, known)
		}
		if got, _ := p.of(everyModel); got != 1400*time.Millisecond {
			t.Errorf("a call of any model takes %v, want 1.4s", got)
		}
		p.atLeast("m", time.Millisecond)
		if got, _ := p.of("m"); got != time.Second {
			t.Errorf("a call that was left early counts: %v", got)
		}
		p.atLeast("m", 2*time.Second)
		if got, _ := p.of("m"); got != 1200*time.Millisecond {
			t.Errorf("a call that was left late doesn't count: %v", got)
		}
		time.Sleep(paceFor + time.Second)
		if _, known := p.of("m"); known {
			t.Error("an old figure is believed")
		}
		p.took("m", 5*time.Second)
		if got := p.spans["m"].average; got != 5*time.Second {
			t.Errorf("the average begins with %v, want what the host does now", got)
		}
	})
}

func TestQueueTime(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ahead, slots int
		want         time.Duration
	}{{0, 2, 0}, {1, 2, 0}, {2, 2, time.Second}, {3, 2, 2 * time.Second}, {9, 2, 8 * time.Second}, {1, 1, 2 * time.Second}, {3, 0, 0}} {
		if got := queueTime(tc.ahead, tc.slots, 2*time.Second); got != tc.want {
			t.Errorf("behind %d at %d slots: %v, want %v", tc.ahead, tc.slots, got, tc.want)
		}
	}
}

// crowd is a gate that lets everybody through and says how many are ahead.
type crowd struct{ ahead, slots int }

func (crowd) Acquire(context.Context) (func(), error) { return func() {}, nil }

func (c crowd) Load(context.Context) (ahead, slots int, err error) { return c.ahead, c.slots, nil }

// The share of a budget of a minute is 36 s, and a first token must come in 14.4 s.
func TestCrowdedGateIsSkipped(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		gate   crowd
		takes  time.Duration // of each of the calls before, 0: there was none
		change func(*rig, *Prompt)
		skips  bool
	}{
		"first token too late":    {gate: crowd{4, 2}, takes: 10 * time.Second, skips: true},
		"end too late":            {gate: crowd{2, 2}, takes: 30 * time.Second, skips: true},
		"in time":                 {gate: crowd{3, 2}, takes: 10 * time.Second},
		"nobody ahead":            {gate: crowd{1, 2}, takes: time.Hour},
		"no call before":          {gate: crowd{1000, 2}},
		"relaxed":                 {gate: crowd{1000, 2}, takes: 10 * time.Second, change: func(_ *rig, p *Prompt) { p.Mode = Relaxed }},
		"local only":              {gate: crowd{1000, 2}, takes: 10 * time.Second, change: func(_ *rig, p *Prompt) { p.LocalOnly = true }},
		"groq's breaker is open":  {gate: crowd{1000, 2}, takes: 10 * time.Second, change: func(r *rig, _ *Prompt) { r.board.get(Groq, "openai/gpt-oss-20b").calls(5, Unavailable) }},
		"groq has no rate left":   {gate: crowd{1000, 2}, takes: 10 * time.Second, change: func(r *rig, _ *Prompt) { r.board.get(Groq, "openai/gpt-oss-20b").limited = time.Now().Add(time.Hour) }},
		"groq refuses: ollama it": {gate: crowd{1000, 2}, takes: 10 * time.Second, change: func(r *rig, _ *Prompt) { r.groq.Every(faults.Reset) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *Config) { c.Gate = tc.gate })
			if tc.takes > 0 {
				for range paceLeast {
					r.pace.took("mistral:7b", tc.takes)
				}
			}
			p := score()
			if tc.change != nil {
				tc.change(r, &p)
			}
			a, err := r.ask(t, p)
			if err != nil {
				t.Fatal(err)
			}
			want := "ollama:ok"
			switch {
			case tc.skips:
				want = "ollama:queue_full groq:ok"
			case strings.HasPrefix(name, "groq refuses"):
				want = "ollama:queue_full groq:unavailable ollama:ok"
			}
			if got := outcomes(a.Attempts); got != want {
				t.Fatalf("attempts %q, want %q", got, want)
			}
			if tc.skips && (a.FallbackReason != QueueFull || a.Attempts[0].Queue > 3*time.Second || len(r.ollama.Requests()) != 0) {
				t.Errorf("fallback %q after %v, Ollama was asked %d times; want to go on at once",
					a.FallbackReason, a.Attempts[0].Queue, len(r.ollama.Requests()))
			}
		})
	}
}

// TestPaceIsMeasured has real calls make the figure.
func TestPaceIsMeasured(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for range paceLeast {
		r.mustAnswer(t, score(), Ollama)
		r.heard.text.Reset()
	}
	got, known := r.pace.of("mistral:7b")
	if !known || got <= 0 || got > 30*time.Second {
		t.Errorf("a call takes %v (%t)", got, known)
	}
}
