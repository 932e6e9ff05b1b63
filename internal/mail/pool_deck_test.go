package mail

import (
	"context"
	"errors"
	"testing"
)

// TestTheNextMailGetsReadyBesideTheOneBefore has one connection, whose mail waits for the server's answer.
func TestTheNextMailGetsReadyBesideTheOneBefore(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	peer := newPeer(t, func(_ int, verb, _ string) string {
		if verb == "." {
			<-answer
		}
		return ""
	})
	p := newPool(t, peer.config())
	results := make(chan error, 3)
	send := func(to string, commit func(context.Context) error) {
		_, err := p.Send(t.Context(), envelope(to), content, commit)
		results <- err
	}
	go send("first@recipient.test", nil)
	peer.wait(t, ".", 1)
	second, third := make(chan struct{}), make(chan struct{})
	go send("second@recipient.test", func(context.Context) error { close(second); return nil })
	<-second // while the first still has the only connection
	go send("third@recipient.test", func(context.Context) error { close(third); return nil })
	until(t, p, func(s Status) bool { return s.Waiting == 2 })
	select {
	case <-third:
		t.Error("the mail after the next got ready as well")
	default:
	}
	if n := peer.count("MAIL"); n != 1 {
		t.Errorf("MAIL was said %d times before the first was through", n)
	}
	close(answer)
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if peer.mails() != 3 || peer.connections() != 2 {
		t.Errorf("%d mails, %d connections", peer.mails(), peer.connections())
	}
}

func TestACommitThatFailsInTheQueueLeavesIt(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	peer := newPeer(t, func(_ int, verb, _ string) string {
		if verb == "." {
			<-answer
		}
		return ""
	})
	p := newPool(t, peer.config())
	first := make(chan error, 1)
	go func() {
		_, err := send(t, p, "first@recipient.test")
		first <- err
	}()
	peer.wait(t, ".", 1)
	fault := errors.New("cancelled meanwhile")
	_, err := p.Send(t.Context(), envelope("second@recipient.test"), content, func(context.Context) error { return fault })
	if !errors.Is(err, fault) {
		t.Fatalf("got %v", err)
	}
	if s := p.Status(); s.Waiting != 0 || s.Busy != 1 {
		t.Errorf("it stays in the queue: %+v", s)
	}
	close(answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := send(t, p, "third@recipient.test"); err != nil || peer.count("RCPT TO:<second") != 0 || peer.connections() != 2 {
		t.Errorf("%v, heard %q", err, peer.lines())
	}
}
