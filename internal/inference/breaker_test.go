package inference

import (
	"testing"
	"testing/synctest"
	"time"
)

func newTestBreaker() *breaker {
	b := newBoard()
	b.configure(Ollama, "m")
	return b.get(Ollama, "m")
}

// call makes a call that ends in class, and says whether it was admitted.
func (b *breaker) call(class string) bool {
	p, _, ok := b.admit()
	if !ok {
		return false
	}
	if class == OK {
		p.settle(nil, nil)
	} else {
		p.settle(&failure{class: class}, nil)
	}
	return true
}

func (b *breaker) calls(n int, class string) {
	for range n {
		b.call(class)
	}
}

func TestBreakerOpens(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		calls func(b *breaker)
		state string
	}{
		{"four failures", func(b *breaker) { b.calls(4, Unavailable) }, stateClosed},
		{"five failures", func(b *breaker) { b.calls(5, Unavailable) }, stateOpen},
		{"of different kinds", func(b *breaker) {
			b.calls(2, Timeout)
			b.calls(2, Server)
			b.calls(1, Truncated)
		}, stateOpen},
		{"interrupted by an answer", func(b *breaker) {
			b.calls(4, Unavailable)
			b.call(OK)
			b.calls(4, Unavailable)
		}, stateClosed},
		{"not interrupted by a client's mistake", func(b *breaker) {
			b.calls(4, Unavailable)
			b.call(Request)
			b.call(Unavailable)
		}, stateOpen},
		{"nine times busy", func(b *breaker) { b.calls(9, Overloaded) }, stateClosed},
		{"ten times busy", func(b *breaker) { b.calls(10, Overloaded) }, stateOpen},
		{"one refused key", func(b *breaker) { b.call(Auth) }, stateOpen},
		{"what says nothing about the provider", func(b *breaker) {
			for _, class := range []string{Request, TooLarge, Unsupported, Misconfigured, QueueFull, Cancelled, OutOfBudget, Unchecked} {
				b.calls(20, class)
			}
		}, stateClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newTestBreaker()
			tc.calls(b)
			if got := b.status().State; got != tc.state {
				t.Errorf("state %s, want %s", got, tc.state)
			}
		})
	}
}

func TestBreakerIsClosedByProbeAndTrial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		b.calls(5, Unavailable)
		<-time.After(10 * time.Minute)
		if b.call(OK) {
			t.Fatal("a call was admitted before a probe")
		}
		if ready, _ := b.startProbe(); !ready {
			t.Fatal("no probe is due after ten minutes")
		}
		if again, _ := b.startProbe(); again {
			t.Fatal("two probes at once")
		}
		b.endProbe(nil)
		trial, _, ok := b.admit()
		if _, wait, second := b.admit(); !ok || second || wait <= 0 {
			t.Fatalf("trial %v and a call beside it %v, want the trial alone", ok, second)
		}
		trial.settle(nil, nil)
		if got := b.status(); got.State != stateClosed || !got.NextProbe.IsZero() {
			t.Errorf("%+v after the trial, want closed", got)
		}
	})
}

func TestBreakerOpensForLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		b.calls(5, Unavailable)
		for i, want := range []time.Duration{10, 20, 40, 60, 60, 60} {
			want *= time.Second
			_, due := b.startProbe()
			if d := time.Until(due); d < want*8/10 || d > want*12/10 {
				t.Errorf("probe %d in %v, want %v within a fifth", i, d, want)
			}
			<-time.After(time.Until(due))
			if ready, _ := b.startProbe(); !ready {
				t.Fatal("the probe isn't due when it was said to be")
			}
			if i%2 == 0 {
				b.endProbe(&failure{class: Server})
				continue
			}
			b.endProbe(nil)
			b.call(Server) // the trial fails
		}
	})
}

func TestBreakerIgnoresLateNews(t *testing.T) {
	t.Parallel()
	b := newTestBreaker()
	early, _, _ := b.admit()
	b.calls(5, Unavailable)
	early.settle(nil, nil)
	if got := b.status().State; got != stateOpen {
		t.Errorf("state %s after a late answer, want open", got)
	}
	b.startProbeNow()
	b.endProbe(nil)
	late := permit{b: b}
	late.settle(&failure{class: Server}, nil)
	if got := b.status().State; got != stateHalfOpen {
		t.Errorf("state %s after a late failure, want half open", got)
	}
}

// TestBreakerTellsOfItsOpeningOnce: calls that were under way when it opened fail too.
func TestBreakerTellsOfItsOpeningOnce(t *testing.T) {
	t.Parallel()
	b := newTestBreaker()
	var told []string
	b.left = func(_ *breaker, class string) { told = append(told, class) }
	late, _, _ := b.admit()
	b.calls(5, Server)
	late.settle(&failure{class: Auth}, nil)
	if len(told) != 1 || told[0] != Server {
		t.Errorf("told %q, want server once", told)
	}
}

// startProbeNow makes the probe due at once.
func (b *breaker) startProbeNow() {
	b.mu.Lock()
	b.due = time.Now()
	b.mu.Unlock()
	b.startProbe()
}

func TestCancelledTrialLeavesTheWayOpen(t *testing.T) {
	t.Parallel()
	b := newTestBreaker()
	b.calls(5, Unavailable)
	b.startProbeNow()
	b.endProbe(nil)
	if !b.call(Cancelled) || !b.call(OK) {
		t.Error("the next call after a cancelled trial was not admitted")
	}
}

func TestModelsOfClientsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.configure(Ollama, "kept")
		for i := range 3 * maxNamed {
			b.get(Ollama, string(rune('a'+i)))
			time.Sleep(time.Second)
		}
		all := b.all()
		if len(all) != maxNamed+1 {
			t.Errorf("%d breakers, want %d", len(all), maxNamed+1)
		}
		for _, br := range all {
			if !br.configured && br.model < string(rune('a'+2*maxNamed)) {
				t.Errorf("%s is kept, which was asked long ago", br.model)
			}
		}
		b.get(Ollama, "kept").call(Misconfigured)
		b.absent(Ollama, "kept")
		b.absent(Ollama, all[len(all)-1].model)
		if n := len(b.all()); n != maxNamed {
			t.Errorf("%d breakers without the one that there isn't, want %d", n, maxNamed)
		}
		time.Sleep(2 * forgetAfter)
		if all := b.all(); len(all) != 1 || all[0].model != "kept" {
			t.Errorf("%d breakers after a while, want the configured one", len(all))
		}
	})
}
