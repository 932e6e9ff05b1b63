package mail

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNothingButAnAddressGoesIntoACommand(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	p := newPool(t, peer.config())
	for _, bad := range []string{"", "x", "@d.test", "x@", "x@d.test> NOTIFY=NEVER", "x@d.test\r\nRSET", "a b@d.test", "<x@d.test",
		"ü@d.test", "x@d.test\x00", strings.Repeat("x", 250) + "@d.test"} {
		_, err := send(t, p, bad)
		if r := wantRefusal(t, err, Rejected, StepRcpt); r.Suppress {
			t.Errorf("%q is suppressed", bad)
		}
		if bad == "" {
			continue // no return path is allowed
		}
		if _, err := p.Send(t.Context(), Envelope{From: bad, To: "b@d.test"}, content, nil); err == nil {
			t.Errorf("return path %q is taken", bad)
		}
	}
	for _, id := range []string{"a b", "a\r\nb", "é", strings.Repeat("x", 101)} {
		if _, err := p.Send(t.Context(), Envelope{ID: id, To: "b@d.test"}, content, nil); err == nil {
			t.Errorf("id %q is taken", id)
		}
	}
	if peer.connections() != 0 {
		t.Errorf("the server was asked: %q", peer.lines())
	}
	if _, err := p.Send(t.Context(), Envelope{To: "b@d.test"}, content, nil); err != nil {
		t.Error(err)
	}
}

func TestContentWithStrayLineEndsIsNotSent(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	p := newPool(t, peer.config())
	for _, bad := range []string{"a\nb\r\n", "a\rb\r\n", "a\n.\r\nb\r\n", "a\r\r\n", "no end", "a\r"} {
		if _, err := p.Send(t.Context(), envelope("b@d.test"), []byte(bad), nil); err == nil {
			t.Errorf("%q is sent", bad)
		}
	}
	if peer.connections() != 0 {
		t.Error("the server was asked")
	}
}

func TestAMailOverTheServersLimitIsNotTried(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, func(_ int, verb, _ string) string {
		if verb == "EHLO" {
			return "250-peer.test\n250 SIZE 50"
		}
		return ""
	})
	p := newPool(t, peer.config())
	for range 6 {
		_, err := send(t, p, "b@recipient.test")
		wantRefusal(t, err, TooLarge, StepMail)
	}
	if peer.count("MAIL") != 0 || peer.connections() != 2 {
		t.Errorf("%d connections, heard %q", peer.connections(), peer.lines())
	}
}

func TestAServerThatTricklesItsAnswerIsLeft(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
			if _, err := conn.Write([]byte("2")); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	p := newPool(t, Config{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, CommandTimeout: 200 * time.Millisecond})
	begin := time.Now()
	_, err = send(t, p, "b@recipient.test")
	wantRefusal(t, err, Channel, StepConnect)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it held us for %v", took)
	}
}

func TestAServerThatNeverStopsTalkingIsLeft(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("250-more of the same, more of the same, more of the same\n", 100)
	peer := newPeer(t, func(_ int, verb, _ string) string {
		if verb == "MAIL" {
			return strings.Repeat(line, 300) + "250 at last"
		}
		return ""
	})
	p := newPool(t, peer.config())
	_, err := send(t, p, "b@recipient.test")
	wantRefusal(t, err, Channel, StepMail)
	if !errors.Is(err, errTalkative) {
		t.Errorf("got %v", err)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	for mechanisms, want := range map[string][]string{
		"PLAIN LOGIN": {"AUTH PLAIN AHVzZXIAc2VjcmV0LXdvcmQ="},
		"LOGIN":       {"AUTH LOGIN", "dXNlcg==", "c2VjcmV0LXdvcmQ="},
		"CRAM-MD5":    nil,
		"":            nil,
	} {
		peer := newPeer(t, func(_ int, verb, line string) string {
			switch {
			case verb == "EHLO" && mechanisms != "":
				return "250-peer.test\n250 AUTH " + mechanisms
			case line == "AUTH LOGIN":
				return "334 VXNlciBOYW1lAA==" // "User Name\0", as some servers say it
			case line == "dXNlcg==":
				return "334 UGFzc3dvcmQ6"
			case strings.HasPrefix(line, "AUTH PLAIN"), line == "c2VjcmV0LXdvcmQ=":
				return "235 2.7.0 ok"
			}
			return ""
		})
		c := peer.config()
		c.User, c.Password = "user", "secret-word"
		p := newPool(t, c)
		err := p.Check(t.Context())
		if want == nil {
			if r := wantRefusal(t, err, Channel, StepAuth); !r.ours() {
				t.Errorf("%q: %v is tried again as if it would mend itself", mechanisms, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", mechanisms, err)
		}
		for _, line := range want {
			if !slices.Contains(peer.lines(), line) {
				t.Errorf("%q: heard %q, without %q", mechanisms, peer.lines(), line)
			}
		}
		if peer.count("MAIL") != 0 || peer.count("QUIT") != 1 {
			t.Errorf("%q: a check said %q", mechanisms, peer.lines())
		}
	}
}

// elsewhere is a connection to another machine.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 587} }

func TestPlaintextIsForThisMachineUnlessAllowed(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	for _, c := range []struct {
		allowed bool
		far     bool
		want    error
	}{{false, false, errNoTLS}, {false, true, errPlaintext}, {true, true, errNoTLS}} {
		config := peer.config()
		config.AllowPlaintext = c.allowed
		d := newDialer(config.withDefaults())
		s, err := d.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.far {
			s.Conn = elsewhere{s.Conn}
		}
		_, err = d.encrypt(t.Context(), s, false)
		if got := d.tlsRefusal(s, err); !errors.Is(got, c.want) {
			t.Errorf("%+v: %v", c, got)
		}
		s.Close()
	}
}

// deaf is a connection whose kernel takes half of what ends a mail.
type deaf struct{ net.Conn }

func (d deaf) Write(b []byte) (int, error) {
	if !strings.HasSuffix(string(b), "\r\n.\r\n") {
		return d.Conn.Write(b)
	}
	n, _ := d.Conn.Write(b[:len(b)/2])
	return n, net.ErrClosed
}

func TestAnEndThatWasNotSentIsNotUnknown(t *testing.T) {
	t.Parallel()
	peer := newPeer(t, nil)
	p := newPool(t, peer.config())
	c, err := p.dialer.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.socket.Conn = deaf{c.socket.Conn}
	s := &submission{pool: p, conn: c, envelope: envelope("b@recipient.test"), content: content}
	if err := s.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = s.data(t.Context())
	wantRefusal(t, err, Channel, StepBody)
	if peer.mails() != 0 || s.conn != nil {
		t.Errorf("%d mails, and the connection is kept: %v", peer.mails(), s.conn != nil)
	}
}

func TestTheConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {Host: "x"}, {Host: "x", Port: 70000}, {Host: "x", Port: 25, User: "u"},
		{Host: "x", Port: 25, Password: "p"}, {Host: "x", Port: 25, Rate: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestAServerThatIsAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p := newPool(t, Config{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port})
	called := false
	_, err = p.Send(t.Context(), envelope("b@recipient.test"), content, func(context.Context) error { called = true; return nil })
	wantRefusal(t, err, Channel, StepConnect)
	if called {
		t.Error("commit was called without a connection")
	}
}
