package mail

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

var (
	faulty   = &Refusal{Class: Channel, Step: StepConnect, Cause: io.EOF}
	badLogin = &Refusal{Class: Channel, Step: StepAuth, Code: 535, Enhanced: "5.7.8", Reply: "no"}
)

// try lets one mail through that ends so; it is false where none was admitted.
func try(t *testing.T, b *breaker, err error) bool {
	t.Helper()
	trial, refusal := b.admit()
	if refusal != nil {
		return false
	}
	b.settle(t.Context(), err, trial)
	return true
}

func TestTheBreakerOpensByFaultsInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(5*time.Second, time.Minute)
		for range 3 {
			for range faultsToOpen - 1 {
				try(t, b, faulty)
			}
			// What the server says about a recipient shows that it is there.
			try(t, b, &Refusal{Class: Deferred, Step: StepRcpt, Code: 450})
		}
		if s := b.status(); s.State != stateClosed {
			t.Fatalf("it is %s", s.State)
		}
		for range faultsToOpen {
			try(t, b, &Refusal{Class: Unknown, Step: StepDot, Cause: io.EOF})
		}
		s := b.status()
		if s.State != stateOpen || s.LastFault == "" || time.Until(s.Until) < 5*time.Second || time.Until(s.Until) > 6*time.Second {
			t.Fatalf("after the faults: %+v", s)
		}
		_, err := b.admit()
		r := wantRefusal(t, err, Channel, StepBreaker)
		if !r.Until.Equal(s.Until) {
			t.Errorf("it says until %v, want %v", r.Until, s.Until)
		}
	})
}

func TestOneTrialIsMadeAndDecides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(5*time.Second, time.Minute)
		for range faultsToOpen {
			try(t, b, faulty)
		}
		time.Sleep(7 * time.Second)
		trial, err := b.admit()
		if err != nil || !trial {
			t.Fatalf("after the pause: %v, %v", trial, err)
		}
		if try(t, b, nil) {
			t.Fatal("a second mail went beside the trial")
		}
		// One that began before all this says nothing.
		if b.settle(t.Context(), nil, false) != unchanged {
			t.Error("a late success closed it")
		}
		if b.settle(t.Context(), faulty, true) != opened {
			t.Error("the trial failed and left it")
		}
		if left := time.Until(b.status().Until); left < 10*time.Second {
			t.Errorf("the second pause is %v, want twice the first", left)
		}
		time.Sleep(13 * time.Second)
		trial, _ = b.admit()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		b.settle(gone, faulty, trial) // the caller left
		if trial, _ = b.admit(); !trial {
			t.Error("a trial that was called off isn't followed by another")
		}
		if b.settle(t.Context(), nil, trial) != recovered || !try(t, b, nil) {
			t.Error("the trial went well and left it open")
		}
		for range faultsToOpen {
			try(t, b, faulty)
		}
		if left := time.Until(b.status().Until); left > 6*time.Second {
			t.Errorf("after a recovery the pause is %v", left)
		}
	})
}

func TestAWrongPasswordOpensAtOnceAndForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(5*time.Second, 5*time.Minute)
		for i, least := range []time.Duration{5, 10, 20, 20} {
			if !try(t, b, badLogin) {
				t.Fatalf("try %d was not admitted", i)
			}
			left := time.Until(b.status().Until)
			if left < least*time.Minute || left > least*time.Minute*6/5 {
				t.Errorf("pause %d is %v", i, left)
			}
			time.Sleep(left)
		}
	})
}

func TestTheStatusNamesNobody(t *testing.T) {
	t.Parallel()
	b := newBreaker(time.Second, time.Second)
	b.settle(t.Context(), classify(StepRcpt, reply("554 5.7.1 <asha@shop.example>: Relay access denied"), true), false)
	if got, want := b.status().LastFault, "rcpt: 554 5.7.1 <…>: Relay access denied"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMailBeginsSlowlyAfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{}
		count := func(d time.Duration) (n int) {
			for end := time.Now().Add(d); ; n++ {
				if wait := p.reserve(time.Now()); wait > 0 {
					if time.Now().Add(wait).After(end) {
						time.Sleep(time.Until(end))
						return n
					}
					time.Sleep(wait)
				} else if p.ramping.IsZero() {
					return n
				}
			}
		}
		if n := count(time.Second); n != 0 {
			t.Fatalf("paced without a reason: %d", n)
		}
		p.ramp()
		if n := count(rampStep); n < 14 || n > 17 {
			t.Errorf("%d mails in the first step, want 15", n)
		}
		if n := count(rampStep); n < 27 || n > 33 {
			t.Errorf("%d mails in the second step, want 30", n)
		}
		time.Sleep(rampSteps * rampStep)
		if wait := p.reserve(time.Now()); wait != 0 {
			t.Errorf("paced for ever: %v", wait)
		}
	})
}

func TestARateIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{rate: 10}
		begin := time.Now()
		for range 21 {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("21 mails began within %v, want 2s", took)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		fault := errors.New("gone")
		cancel(fault)
		if err := p.wait(ctx); !errors.Is(err, fault) {
			t.Errorf("a caller who left: %v", err)
		}
	})
}
