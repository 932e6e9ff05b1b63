package mail

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// peer is a server that says what the test wants, for what no real one does on request. Unless told otherwise it
// accepts everything, and is as strict as Postfix on a transaction within one.
type peer struct {
	listener net.Listener
	running  sync.WaitGroup
	// answer is what it says to a verb ("CONNECT", "EHLO", …, "." for the end of the content) on its nth connection:
	// "" is the usual answer, cut ends the connection, hang says nothing until the test is over.
	answer func(n int, verb, line string) string

	mu       sync.Mutex
	conns    int
	released chan struct{} // closed when the test is over
	heard    []string      // all lines, contents left out
	accepted []string      // contents
	spoke    chan struct{}
}

const (
	cut      = "cut"
	hang     = "hang"
	cutBody  = "cut body" // in answer to DATA: asks for the content and reads none
	hangBody = "hang body"
)

func newPeer(t *testing.T, answer func(n int, verb, line string) string) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{listener: l, answer: answer, spoke: make(chan struct{}), released: make(chan struct{})}
	p.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns++
			n := p.conns
			p.mu.Unlock()
			p.running.Go(func() { p.serve(n, conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(p.released)
		p.running.Wait()
	})
	return p
}

// dialogue is one connection.
type dialogue struct {
	*peer
	n    int
	conn net.Conn
	in   *bufio.Reader
	open bool // a transaction
}

func (p *peer) serve(n int, conn net.Conn) {
	defer conn.Close()
	d := &dialogue{peer: p, n: n, conn: conn, in: bufio.NewReader(conn)}
	if _, goOn := d.say("CONNECT", "", "220 peer.test ESMTP"); !goOn {
		return
	}
	for d.turn() {
	}
}

// say answers; yes is whether that was the usual answer or like it.
func (d *dialogue) say(verb, line, usual string) (yes, goOn bool) {
	text := d.choose(verb, line, usual)
	return text[0] == usual[0], d.send(text)
}

func (d *dialogue) choose(verb, line, usual string) string {
	if d.answer != nil {
		if special := d.answer(d.n, verb, line); special != "" {
			return special
		}
	}
	return usual
}

func (d *dialogue) send(text string) bool {
	switch text {
	case cutBody, hangBody:
		d.conn.Write([]byte("354 go ahead\r\n"))
		text = strings.TrimSuffix(text, " body")
	}
	switch text {
	case cut:
		return false
	case hang:
		select {
		case <-d.released:
		case <-time.After(20 * time.Second):
		}
		return false
	}
	_, err := d.conn.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"))
	return err == nil
}

// turn takes one command.
func (d *dialogue) turn() bool {
	line, err := d.in.ReadString('\n')
	if err != nil {
		return false
	}
	line = strings.TrimSpace(line)
	verb := strings.ToUpper(strings.Fields(line + " ?")[0])
	d.note(line)
	usual := "250 2.0.0 Ok"
	switch verb {
	case "EHLO":
		usual = "250-peer.test\n250-SIZE 30000000\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250 DSN"
	case "MAIL":
		if d.open {
			usual = "503 5.5.1 Error: nested MAIL command"
		}
	case "DATA":
		usual = "354 End data with <CR><LF>.<CR><LF>"
	case "QUIT":
		usual = "221 2.0.0 Bye"
	}
	yes, goOn := d.say(verb, line, usual)
	switch {
	case !goOn || verb == "QUIT":
		return false
	case verb == "MAIL" && usual[0] == '2':
		d.open = yes
	case verb == "RSET":
		d.open = false
	case verb == "DATA" && yes:
		return d.content()
	}
	return true
}

// content takes a mail.
func (d *dialogue) content() bool {
	content, err := readContent(d.in)
	if err != nil {
		return false
	}
	d.note(".")
	d.open = false
	text := d.choose(".", "", "250 2.0.0 Ok: queued as 4jXKk96hrCz3S")
	if text[0] == '2' {
		d.mu.Lock()
		d.accepted = append(d.accepted, content)
		d.mu.Unlock()
	}
	return d.send(text)
}

func readContent(in *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

func (p *peer) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, line)
	close(p.spoke)
	p.spoke = make(chan struct{})
}

// wait returns when the nth line with the prefix has come.
func (p *peer) wait(t *testing.T, prefix string, n int) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		p.mu.Lock()
		count, spoke := p.countLocked(prefix), p.spoke
		p.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-spoke:
		case <-late:
			t.Fatalf("%q came %d times, want %d; heard %q", prefix, count, n, p.lines())
		}
	}
}

func (p *peer) countLocked(prefix string) (n int) {
	for _, line := range p.heard {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func (p *peer) count(prefix string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.countLocked(prefix)
}

func (p *peer) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.heard)
}

func (p *peer) mails() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.accepted)
}

func (p *peer) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns
}

func (p *peer) config() Config {
	return Config{Host: "127.0.0.1", Port: p.listener.Addr().(*net.TCPAddr).Port, Hello: "client.test", Connections: 1,
		CommandTimeout: 10 * time.Second, SubmissionTimeout: 10 * time.Second, IdleTimeout: time.Minute}
}

// newPool runs a pool until the test is over.
func newPool(t *testing.T, c Config) *Pool {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

var content = []byte("From: a@sender.test\r\nTo: b@recipient.test\r\nSubject: x\r\n\r\n.A line with a dot\r\n")

func envelope(to string) Envelope { return Envelope{ID: "mail-1", From: "bounces@sender.test", To: to} }

func send(t *testing.T, p *Pool, to string) (Receipt, error) {
	t.Helper()
	return p.Send(t.Context(), envelope(to), content, nil)
}

// wantRefusal gives the refusal of a class and step, and ends the test where it is another.
func wantRefusal(t *testing.T, err error, class Class, step string) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if r.Class != class || r.Step != step {
		t.Fatalf("got %s at %s (%v), want %s at %s", r.Class, r.Step, err, class, step)
	}
	return r
}
