package mail

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestAMailGoesAsItIsWithItsOptions(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	p := newPool(t, peer.config())
	e := Envelope{ID: "0197+x", From: "bounces+1@sender.test", To: "b@recipient.test", Success: true}
	got, err := p.Send(t.Context(), e, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Receipt{Code: 250, Reply: "2.0.0 Ok: queued as 4jXKk96hrCz3S", QueueID: "4jXKk96hrCz3S", DSN: true}
	if got != want {
		t.Errorf("receipt %+v, want %+v", got, want)
	}
	if len(peer.accepted) != 1 || peer.accepted[0] != string(content) {
		t.Errorf("the server has %q", peer.accepted)
	}
	for _, line := range []string{"EHLO client.test",
		"MAIL FROM:<bounces+1@sender.test> BODY=8BITMIME SIZE=77 RET=HDRS ENVID=0197+2Bx",
		"RCPT TO:<b@recipient.test> NOTIFY=SUCCESS,FAILURE ORCPT=RFC822;b@recipient.test"} {
		if !slices.Contains(peer.lines(), line) {
			t.Errorf("it heard %q, without %q", peer.lines(), line)
		}
	}
}

func TestConnectionsAreKeptAndNothingIsSaidBetween(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	p := newPool(t, peer.config())
	for range 3 {
		if _, err := send(t, p, "b@recipient.test"); err != nil {
			t.Fatal(err)
		}
	}
	var verbs []string
	for _, line := range peer.lines() {
		verbs = append(verbs, strings.Fields(line)[0])
	}
	one := []string{"MAIL", "RCPT", "DATA", "."}
	// The first EHLO is of the connection that asked for STARTTLS, which this server doesn't have.
	want := slices.Concat([]string{"EHLO", "EHLO"}, one, one, one)
	if !slices.Equal(verbs, want) {
		t.Errorf("heard %v, want %v", verbs, want)
	}
}

func TestContentWaitsForTheCommit(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	p := newPool(t, peer.config())
	beside := false
	_, err := p.Send(t.Context(), envelope("b@recipient.test"), content, func(context.Context) error {
		peer.wait(t, "RCPT", 1) // it runs beside the first commands
		beside = true
		// Were DATA sent without waiting, it would come while we are here.
		late := time.After(100 * time.Millisecond)
		for {
			select {
			case <-late:
				return nil
			default:
				if peer.count("DATA") > 0 {
					t.Error("DATA was sent before the commit had returned")
					return nil
				}
			}
		}
	})
	if err != nil || !beside || peer.mails() != 1 {
		t.Fatalf("sent: %v, commit called: %v, mails %d", err, beside, peer.mails())
	}
}

func TestAFailedCommitSendsNothing(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	p := newPool(t, peer.config())
	fault := errors.New("no database")
	_, err := p.Send(t.Context(), envelope("b@recipient.test"), content, func(context.Context) error { return fault })
	var r *Refusal
	if !errors.Is(err, fault) || errors.As(err, &r) {
		t.Fatalf("got %v, want the commit's error and no refusal", err)
	}
	if peer.count("DATA") != 0 || peer.count("RSET") != 1 {
		t.Errorf("heard %q", peer.lines())
	}
	if _, err := send(t, p, "c@recipient.test"); err != nil || peer.connections() != 2 {
		t.Errorf("the next mail on the same connection: %v, %d connections", err, peer.connections())
	}
}

func TestACommitThatPanicsLeavesThePoolWell(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	p := newPool(t, peer.config())
	func() {
		defer func() { recover() }()
		_, _ = p.Send(t.Context(), envelope("b@recipient.test"), content, func(context.Context) error { panic("x") })
	}()
	if _, err := send(t, p, "b@recipient.test"); err != nil {
		t.Fatal(err)
	}
	if peer.mails() != 1 || p.Status().Busy != 0 {
		t.Errorf("%d mails, %+v", peer.mails(), p.Status())
	}
}

func TestARefusedRecipientDoesNotSpoilTheNextMail(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, func(_ int, verb, line string) string {
		switch {
		case verb == "RCPT" && strings.Contains(line, "<grey@"):
			return "450 4.2.0 Greylisted"
		case verb == "RCPT" && strings.Contains(line, "<nobody@"):
			return "550 5.1.1 <nobody@recipient.test>: no such user"
		}
		return ""
	})
	p := newPool(t, peer.config())
	_, err := send(t, p, "grey@recipient.test")
	wantRefusal(t, err, Deferred, StepRcpt)
	_, err = send(t, p, "nobody@recipient.test")
	if r := wantRefusal(t, err, Rejected, StepRcpt); !r.Suppress || r.Code != 550 || r.Enhanced != "5.1.1" {
		t.Errorf("%+v", r)
	}
	if _, err := send(t, p, "b@recipient.test"); err != nil {
		t.Fatal(err)
	}
	if peer.connections() != 2 || peer.count("RSET") != 2 {
		t.Errorf("%d connections, heard %q", peer.connections(), peer.lines())
	}
}

func TestAConnectionEndsAfterFourRefusalsInARow(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, func(_ int, verb, line string) string {
		if verb == "RCPT" && strings.Contains(line, "<no") {
			return "550 5.1.1 no such user"
		}
		return ""
	})
	p := newPool(t, peer.config())
	for range 3 {
		_, err := send(t, p, "no@recipient.test")
		wantRefusal(t, err, Rejected, StepRcpt)
	}
	if _, err := send(t, p, "b@recipient.test"); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		_, err := send(t, p, "no@recipient.test")
		wantRefusal(t, err, Rejected, StepRcpt)
	}
	peer.wait(t, "QUIT", 1)
	if peer.connections() != 2 {
		t.Errorf("%d connections before the next mail, want 2", peer.connections())
	}
}

func TestAConnectionEndsAfterItsMails(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	c := peer.config()
	c.MailsPerConnection = 2
	p := newPool(t, c)
	for range 5 {
		if _, err := send(t, p, "b@recipient.test"); err != nil {
			t.Fatal(err)
		}
	}
	if quits := peer.count("QUIT"); quits != 2 {
		t.Errorf("left %d times, want 2", quits)
	}
}

func TestAnIdleConnectionIsLeft(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	c := peer.config()
	c.IdleTimeout = 30 * time.Millisecond
	p := newPool(t, c)
	if _, err := send(t, p, "b@recipient.test"); err != nil {
		t.Fatal(err)
	}
	peer.wait(t, "QUIT", 1)
}

func TestAConnectionThatDiedWhileIdleIsReplacedOnce(t *testing.T) {
	t.Parallel()
	for _, how := range []string{cut, "421 4.4.2 peer.test Error: timeout exceeded"} {
		for _, at := range []string{"MAIL", "RCPT"} {
			var seen atomic.Int32
			peer := newPeer(t, func(_ int, verb, _ string) string {
				if verb == at && seen.Add(1) == 2 {
					return how
				}
				return ""
			})
			p := newPool(t, peer.config())
			commits := 0
			for range 2 {
				_, err := p.Send(t.Context(), envelope("b@recipient.test"), content, func(context.Context) error { commits++; return nil })
				if err != nil {
					t.Fatalf("%s at %s: %v", how, at, err)
				}
			}
			if peer.mails() != 2 || commits != 2 {
				t.Errorf("%s at %s: %d mails, %d commits", how, at, peer.mails(), commits)
			}
		}
	}
}

func TestANewConnectionIsNotReplaced(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, func(_ int, verb, _ string) string {
		if verb == "MAIL" {
			return cut
		}
		return ""
	})
	p := newPool(t, peer.config())
	_, err := send(t, p, "b@recipient.test")
	wantRefusal(t, err, Channel, StepMail)
	if n := peer.count("MAIL"); n != 1 {
		t.Errorf("MAIL was said %d times", n)
	}
}

func TestWhereItBreaksDecidesWhatItMeans(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte(strings.Repeat("x", 998)+"\r\n"), 20_000)
	for _, c := range []struct {
		verb    string
		class   Class
		step    string
		content []byte
	}{
		{"CONNECT", Channel, StepConnect, content},
		{"EHLO", Channel, StepConnect, content}, // before STARTTLS, where go-smtp doesn't tell the two apart
		{"MAIL", Channel, StepMail, content},
		{"RCPT", Channel, StepRcpt, content},
		{"DATA", Channel, StepData, content},
		{"BODY", Channel, StepBody, large},
		{".", Unknown, StepDot, content},
		{".", Unknown, StepDot, large},
	} {
		for _, how := range []string{cut, hang} {
			t.Run(c.verb+"/"+how, func(t *testing.T) {
				t.Parallel()
				peer := newPeer(t, func(_ int, verb, _ string) string {
					switch {
					case verb == c.verb:
						return how
					case verb == "DATA" && c.verb == "BODY":
						return how + " body"
					}
					return ""
				})
				config := peer.config()
				config.CommandTimeout, config.SubmissionTimeout = 300*time.Millisecond, 300*time.Millisecond
				if c.verb == "BODY" {
					config.SubmissionTimeout = time.Minute // which is for the answer alone
				}
				p := newPool(t, config)
				begin := time.Now()
				_, err := p.Send(t.Context(), envelope("b@recipient.test"), c.content, nil)
				wantRefusal(t, err, c.class, c.step)
				if took := time.Since(begin); took > 15*time.Second { // the peer itself ends it after 20 s
					t.Errorf("it held us for %v", took)
				}
				if peer.mails() != 0 || peer.count("QUIT")+peer.count("RSET") != 0 {
					t.Errorf("%d mails, heard %d lines", peer.mails(), len(peer.lines()))
				}
			})
		}
	}
}

// A server that looks through a mail for longer than we wait has it, and would get it again.
func TestTheAnswerToAMailHasItsTime(t *testing.T) {
	t.Parallel()
	if got := (Config{}).withDefaults().SubmissionTimeout; got < 5*time.Minute {
		t.Errorf("it is waited for %s", got)
	}
}
