package mail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// until waits for what the pool says about itself.
func until(t *testing.T, p *Pool, ok func(Status) bool) {
	t.Helper()
	late := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); !ok(p.Status()); <-tick.C {
		if time.Now().After(late) {
			t.Fatalf("the pool stays at %+v", p.Status())
		}
	}
}

func TestMailsGetAConnectionInTheirOrder(t *testing.T) {
	t.Parallel()
	begin := make(chan struct{})
	peer := newPeer(t, func(_ int, verb, line string) string {
		if verb == "RCPT" && strings.Contains(line, "<first@") {
			<-begin
		}
		return ""
	})
	p := newPool(t, peer.config())
	var sending sync.WaitGroup
	var want []string
	for i := range 12 {
		to := fmt.Sprintf("%d@recipient.test", i)
		if i == 0 {
			to = "first@recipient.test"
		}
		want = append(want, to)
		sending.Go(func() {
			if _, err := send(t, p, to); err != nil {
				t.Error(err)
			}
		})
		until(t, p, func(s Status) bool { return s.Busy == 1 && s.Waiting == i })
	}
	close(begin)
	sending.Wait()
	var got []string
	for _, line := range peer.lines() {
		if to, ok := strings.CutPrefix(line, "RCPT TO:<"); ok {
			got = append(got, to[:strings.Index(to, ">")])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("they went as %v", got)
	}
	if peer.connections() != 2 { // one asked for STARTTLS
		t.Errorf("%d connections", peer.connections())
	}
}

func TestThereAreNoMoreConnectionsThanAllowed(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	peer := newPeer(t, func(_ int, verb, _ string) string {
		switch verb {
		case "MAIL":
			for n := now.Add(1); ; {
				if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
					return ""
				}
			}
		case ".":
			now.Add(-1)
		}
		return ""
	})
	c := peer.config()
	c.Connections = 3
	p := newPool(t, c)
	var sending sync.WaitGroup
	for range 60 {
		sending.Go(func() {
			if _, err := send(t, p, "b@recipient.test"); err != nil {
				t.Error(err)
			}
		})
	}
	sending.Wait()
	if most.Load() > 3 || peer.mails() != 60 || peer.connections() > 6 {
		t.Errorf("%d at a time, %d mails, %d connections", most.Load(), peer.mails(), peer.connections())
	}
}

func TestACallerWhoLeavesTheQueueLosesNoConnection(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	p := newPool(t, peer.config())
	fault := errors.New("cancelled by hand")
	var sending sync.WaitGroup
	for range 200 {
		ctx, cancel := context.WithCancelCause(t.Context())
		sending.Go(func() {
			_, err := p.Send(ctx, envelope("b@recipient.test"), content, nil)
			if err != nil && !errors.Is(err, fault) {
				t.Errorf("%v", err)
			}
		})
		sending.Go(func() { cancel(fault) })
	}
	sending.Wait()
	if s := p.Status(); s.Busy != 0 || s.Waiting != 0 || s.State != stateClosed {
		t.Errorf("left behind: %+v", s)
	}
	if _, err := send(t, p, "b@recipient.test"); err != nil {
		t.Error(err)
	}
}

func TestTheEndOfTheContextBeforeTheContentCallsOff(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"CONNECT", "EHLO", "MAIL", "RCPT", "DATA"} {
		peer := newPeer(t, func(_ int, v, _ string) string {
			if v == verb {
				return hang
			}
			return ""
		})
		p := newPool(t, peer.config())
		ctx, cancel := context.WithCancelCause(t.Context())
		fault := errors.New("cancelled by hand")
		done := make(chan error, 1)
		go func() {
			_, err := p.Send(ctx, envelope("b@recipient.test"), content, nil)
			done <- err
		}()
		if verb == "CONNECT" {
			until(t, p, func(s Status) bool { return s.Busy == 1 })
		} else {
			peer.wait(t, verb, 1)
		}
		begin := time.Now()
		cancel(fault)
		err := <-done
		var r *Refusal
		if !errors.As(err, &r) || r.Class != Channel || !errors.Is(err, fault) || time.Since(begin) > 5*time.Second {
			t.Errorf("at %s: %v after %v", verb, err, time.Since(begin))
		}
		if s := p.Status(); s.LastFault != "" {
			t.Errorf("at %s: the channel is blamed: %s", verb, s.LastFault)
		}
	}
}

func TestAMailUnderWayHasItsTimeAfterTheContextsEnd(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	peer := newPeer(t, func(_ int, verb, _ string) string {
		if verb == "." {
			<-answer
		}
		return ""
	})
	p := newPool(t, peer.config())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.Send(ctx, envelope("b@recipient.test"), content, nil)
		done <- err
	}()
	peer.wait(t, ".", 1)
	cancel()
	select {
	case err := <-done: // as it would if it were cut off
		close(answer)
		t.Fatalf("it ended with the context: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	close(answer)
	if err := <-done; err != nil {
		t.Errorf("the server accepted the mail, and Send says %v", err)
	}
}

func TestAMailUnderWayIsUnknownWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, func(_ int, verb, _ string) string {
		if verb == "." {
			return hang
		}
		return ""
	})
	c := peer.config()
	c.StopGrace = 20 * time.Millisecond
	p := newPool(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := p.Send(ctx, envelope("b@recipient.test"), content, nil)
		done <- err
	}()
	peer.wait(t, ".", 1)
	cancel()
	err := <-done
	wantRefusal(t, err, Unknown, StepDot)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAStopWaitsForWhatIsUnderWayAndLeaves(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	peer := newPeer(t, func(_ int, verb, line string) string {
		switch {
		case verb == "." && line == "":
			<-answer
		case verb == "RCPT" && strings.Contains(line, "<hang@"):
			return hang
		}
		return ""
	})
	c := peer.config()
	c.Connections = 3
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- p.Run(ctx) }()
	results := map[string]chan error{}
	for i, to := range []string{"b@recipient.test", "c@recipient.test", "hang@recipient.test", "waits@recipient.test"} {
		done := make(chan error, 1)
		results[to] = done
		go func() {
			_, err := send(t, p, to)
			done <- err
		}()
		if i < 3 {
			until(t, p, func(s Status) bool { return s.Busy == i+1 })
		} else {
			until(t, p, func(s Status) bool { return s.Waiting == 1 })
		}
	}
	peer.wait(t, ".", 2)
	peer.wait(t, "RCPT TO:<hang@", 1)
	cancel()
	for _, to := range []string{"hang@recipient.test", "waits@recipient.test"} {
		if err := <-results[to]; !errors.Is(err, errStopped) {
			t.Errorf("%s: %v", to, err)
		}
	}
	select {
	case <-stopped:
		t.Fatal("it stopped while mails were under way")
	default:
	}
	close(answer)
	for _, to := range []string{"b@recipient.test", "c@recipient.test"} {
		if err := <-results[to]; err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if n := peer.count("QUIT"); n != 2 {
		t.Errorf("%d connections were left with QUIT, want 2", n)
	}
	if _, err := send(t, p, "late@recipient.test"); !errors.Is(err, errStopped) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestAnIllServerIsLeftAlone(t *testing.T) {
	t.Parallel()
	var ill atomic.Bool
	ill.Store(true)
	var tries atomic.Int32
	peer := newPeer(t, func(_ int, verb, _ string) string {
		if verb == "CONNECT" {
			tries.Add(1)
			if ill.Load() {
				return "421 4.3.2 down for maintenance"
			}
		}
		return ""
	})
	c := peer.config()
	c.Pause = 100 * time.Millisecond
	p := newPool(t, c)
	for range faultsToOpen {
		_, err := send(t, p, "b@recipient.test")
		wantRefusal(t, err, Channel, StepConnect)
	}
	for range 20 {
		_, err := send(t, p, "b@recipient.test")
		wantRefusal(t, err, Channel, StepBreaker)
	}
	if n := tries.Load(); n != faultsToOpen {
		t.Errorf("the server was asked %d times", n)
	}
	if s := p.Status(); s.State != stateOpen || !strings.Contains(s.LastFault, "421") || s.Until.IsZero() {
		t.Errorf("%+v", s)
	}
	ill.Store(false)
	until(t, p, func(s Status) bool { return s.Until.IsZero() || !time.Now().Before(s.Until) })
	if _, err := send(t, p, "b@recipient.test"); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.State != stateClosed {
		t.Errorf("%+v", s)
	}
}

func TestWhoWaitsForAConnectionHearsOfTheFault(t *testing.T) {
	t.Parallel()
	begin := make(chan struct{})
	peer := newPeer(t, func(_ int, verb, _ string) string {
		if verb == "MAIL" {
			<-begin
			return "530 5.7.0 Authentication required"
		}
		return ""
	})
	p := newPool(t, peer.config())
	var sending sync.WaitGroup
	for range 10 {
		sending.Go(func() {
			_, err := send(t, p, "b@recipient.test")
			var r *Refusal
			if !errors.As(err, &r) || r.Class != Channel {
				t.Errorf("got %v", err)
			}
		})
	}
	until(t, p, func(s Status) bool { return s.Waiting == 9 })
	close(begin)
	sending.Wait()
	if n := peer.count("MAIL"); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestAWrongPasswordIsTriedOnce(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, func(_ int, verb, _ string) string {
		switch verb {
		case "EHLO":
			return "250-peer.test\n250 AUTH PLAIN"
		case "AUTH":
			return "535 5.7.8 Error: authentication failed"
		}
		return ""
	})
	c := peer.config()
	c.Connections, c.User, c.Password = 8, "user", "wrong"
	p := newPool(t, c)
	var sending sync.WaitGroup
	for range 30 {
		sending.Go(func() {
			_, err := send(t, p, "b@recipient.test")
			var r *Refusal
			if !errors.As(err, &r) || r.Class != Channel {
				t.Errorf("got %v", err)
			}
		})
	}
	sending.Wait()
	if n := peer.count("AUTH"); n != 1 {
		t.Errorf("the password was tried %d times", n)
	}
}
