package mail

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInboxAnswersEachRecipientByItself(t *testing.T) {
	t.Parallel()
	book := &ledger{take: func(_ context.Context, address string) error {
		if address == "bounces+later@example.com" {
			return errors.New("the database is away")
		}
		return nil
	}}
	addr, _ := serveInbox(t, InboxConfig{Reports: book})
	c := call(t, addr).hello()
	c.says(250, "RCPT TO:<bounces+a@example.com>")
	if got := c.says(550, "RCPT TO:<nobody@example.com>"); !strings.HasPrefix(got, "5.1.1") {
		t.Errorf("answer to a foreign address: %s", got)
	}
	if got := c.says(451, "RCPT TO:<away@example.com>"); !strings.HasPrefix(got, "4.3.0") || strings.Contains(got, "key") {
		t.Errorf("answer when nothing can be told: %s", got)
	}
	c.says(250, "RCPT TO:<bounces+later@example.com>")
	c.says(250, "RCPT TO:<bounces+a@example.com>") // twice is twice an answer
	c.sends(sample(t, "postfix-550"))
	c.wants(250)
	if got := c.wants(451); strings.Contains(got, "database") {
		t.Errorf("the answer tells of our affairs: %s", got)
	}
	c.wants(250)

	c.says(250, "MAIL FROM:<>")
	c.says(250, "RCPT TO:<bounces+later@example.com>")
	c.sends(sample(t, "vacation"))
	c.wants(250) // it means nothing, so nothing is needed for it
	c.says(250, "MAIL FROM:<asha@example.org>")
	c.says(250, "RCPT TO:<bounces+c@example.com>")
	c.sends(sample(t, "arf-yahoo"))
	c.wants(250)
	c.says(221, "QUIT")
	want := []string{"bounces+a@example.com delivery", "bounces+a@example.com delivery", "bounces+c@example.com feedback"}
	if got := book.got(); !slices.Equal(got, want) {
		t.Errorf("taken: %q", got)
	}
}

func TestInboxActsOnWholeMessagesOnly(t *testing.T) {
	t.Parallel()
	book := &ledger{}
	addr, stop := serveInbox(t, InboxConfig{Reports: book})
	c := call(t, addr).hello()
	c.says(250, "RCPT TO:<bounces+a@example.com>")
	c.says(354, "DATA")
	// All that is read of it, and more, but not the dot.
	if _, err := c.c.Write(append(sample(t, "postfix-550"), bytes.Repeat([]byte("epilogue\r\n"), 10000)...)); err != nil {
		t.Fatal(err)
	}
	_ = c.c.Close()
	stop()
	if got := book.got(); len(got) > 0 {
		t.Errorf("half a message was acted on: %q", got)
	}
}

func TestInboxHasLimits(t *testing.T) {
	t.Parallel()
	book := &ledger{}
	addr, _ := serveInbox(t, InboxConfig{Reports: book, MaxMessage: 10000})
	long := append(sample(t, "postfix-550"), []byte(strings.Repeat("0123456789abcdef\r\n", 1000))...)
	t.Run("message", func(t *testing.T) {
		t.Parallel()
		c := call(t, addr).hello()
		c.says(250, "RCPT TO:<bounces+a@example.com>")
		c.sends(long)
		c.wants(552)
		c.says(552, "MAIL FROM:<> SIZE=10001")
		c.says(250, "NOOP")
	})
	t.Run("recipients", func(t *testing.T) {
		t.Parallel()
		c := call(t, addr).hello()
		for i := range maxInboxRecipients {
			c.says(250, "RCPT TO:<bounces+%d@example.com>", i)
		}
		c.says(452, "RCPT TO:<bounces+more@example.com>")
	})
	t.Run("line of a command", func(t *testing.T) {
		t.Parallel()
		c := call(t, addr)
		go func() { _, _ = c.c.Write([]byte(strings.Repeat("a", 2*maxInboxLine))) }()
		c.hungUp()
	})
	t.Run("line of a message", func(t *testing.T) {
		t.Parallel()
		addr, _ := serveInbox(t, InboxConfig{Reports: book})
		c := call(t, addr).hello()
		c.says(250, "RCPT TO:<bounces+a@example.com>")
		c.says(354, "DATA")
		go func() { _, _ = c.c.Write([]byte(strings.Repeat("a", 2*maxInboxLine))) }()
		c.wants(554)
	})
	t.Run("wrong protocol", func(t *testing.T) {
		t.Parallel()
		c := call(t, addr)
		c.wants(220)
		c.says(500, "EHLO test")
		c.says(502, "AUTH PLAIN AGEAYg==")
	})
	t.Cleanup(func() {
		if got := book.got(); len(got) > 0 {
			t.Errorf("taken: %q", got)
		}
	})
}

func TestInboxTakesItsTimeFromNobody(t *testing.T) {
	t.Parallel()
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		addr, _ := serveInbox(t, InboxConfig{Reports: &ledger{}, Patience: 100 * time.Millisecond})
		c := call(t, addr).hello()
		if said := c.hungUp(); !strings.HasPrefix(said, "421 ") {
			t.Errorf("said %q", said)
		}
	})
	t.Run("silence in a message", func(t *testing.T) {
		t.Parallel()
		addr, _ := serveInbox(t, InboxConfig{Reports: &ledger{}, Patience: 100 * time.Millisecond})
		c := call(t, addr).hello()
		c.says(250, "RCPT TO:<bounces+a@example.com>")
		c.says(354, "DATA")
		if _, err := c.c.Write([]byte("Subject: wait")); err != nil {
			t.Fatal(err)
		}
		c.wants(451)
		c.hungUp()
	})
	t.Run("talk", func(t *testing.T) {
		t.Parallel()
		addr, _ := serveInbox(t, InboxConfig{Reports: &ledger{}, Lifetime: 200 * time.Millisecond})
		c := call(t, addr).hello()
		begun := time.Now()
		for time.Since(begun) < 30*time.Second {
			if c.PrintfLine("NOOP") != nil {
				return
			}
			if line, err := c.ReadLine(); err != nil || strings.HasPrefix(line, "421") {
				return
			}
		}
		t.Error("the connection outlived its time")
	})
}

func TestInboxLetsSoManyIn(t *testing.T) {
	t.Parallel()
	addr, _ := serveInbox(t, InboxConfig{Reports: &ledger{}, Connections: 2})
	first := call(t, addr).hello()
	call(t, addr).hello()
	third := call(t, addr)
	third.wants(421)
	third.hungUp()
	first.says(221, "QUIT")
	first.hungUp()
	for range 1000 { // its place is free as soon as the server has closed it
		c := call(t, addr)
		if code, _, err := c.ReadResponse(0); err == nil && code == 220 {
			return
		}
	}
	t.Error("a place that was left stays taken")
}

func TestInboxEndsWithAnswers(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	book := &ledger{take: func(context.Context, string) error {
		close(begun)
		<-goOn
		return nil
	}}
	addr, stop := serveInbox(t, InboxConfig{Reports: book, Grace: time.Hour})
	idle := call(t, addr).hello()
	c := call(t, addr).hello()
	c.says(250, "RCPT TO:<bounces+a@example.com>")
	c.sends(sample(t, "postfix-550"))
	<-begun
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	idle.hungUp()
	select {
	case <-stopped:
		t.Error("it ended without an answer")
	default:
	}
	close(goOn)
	c.wants(250)
	c.hungUp()
	<-stopped
	if got := book.got(); len(got) != 1 {
		t.Errorf("taken: %q", got)
	}
}

func TestInboxWaitsNotForEver(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	book := &ledger{take: func(ctx context.Context, _ string) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}}
	addr, stop := serveInbox(t, InboxConfig{Reports: book, Grace: 50 * time.Millisecond})
	c := call(t, addr).hello()
	c.says(250, "RCPT TO:<bounces+a@example.com>")
	c.sends(sample(t, "postfix-550"))
	<-begun
	stop()
	if said := c.hungUp(); strings.HasPrefix(said, "250") {
		t.Errorf("said %q of what was not taken", said)
	}
}

func TestInboxSurvivesPanics(t *testing.T) {
	t.Parallel()
	addr, _ := serveInbox(t, InboxConfig{Reports: &ledger{take: func(context.Context, string) error { panic("oh") }}})
	c := call(t, addr).hello()
	c.says(250, "RCPT TO:<bounces+a@example.com>")
	c.sends(sample(t, "postfix-550"))
	c.wants(451)
	call(t, addr).hello()
}

// TestInboxStandsBy: two processes on one machine have the same setting; one takes the reports, and the other when
// the first is gone.
func TestInboxStandsBy(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	second := NewInbox(InboxConfig{Listen: addr, Reports: &ledger{}, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- second.Run(ctx) }()
	first, stop := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- NewInbox(second.InboxConfig).Serve(first, listener) }()
	call(t, addr).hello()
	stop()
	if err := <-gone; err != nil {
		t.Error(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody took over")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	odd := NewInbox(InboxConfig{Listen: "192.0.2.1:24", Reports: &ledger{}, Log: slog.New(slog.DiscardHandler)})
	if err := odd.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "LMTP_LISTEN") {
		t.Errorf("an address that can't be had: %v", err)
	}
}

func TestInboxAdmitsWhoWasNamed(t *testing.T) {
	t.Parallel()
	d := &door{allow: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("2001:db8::7/128")}}
	for from, want := range map[string]bool{"127.0.0.1:9": true, "[::1]:9": true, "[::ffff:127.0.0.1]:9": true, "172.20.0.3:9": true,
		"[::ffff:172.20.0.3]:9": true, "[2001:db8::7]:9": true, "[2001:db8::8]:9": false, "192.0.2.1:9": false, "10.0.0.1:9": false} {
		if got := d.admits(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))); got != want {
			t.Errorf("%s is admitted: %v, want %v", from, got, want)
		}
	}
	if d.admits(&net.UnixAddr{}) {
		t.Error("an address of no network is admitted")
	}
}
