package mail

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// cutter stands before a server and cuts the first connection that comes to a step, also where it is encrypted: of
// TLS 1.2 it sees where a piece begins and ends, and what is said in which order is known.
type cutter struct {
	listener net.Listener
	target   string
	step     string
	after    bool // when the server has answered to the step, rather than before it hears of it
	done     atomic.Bool
	running  sync.WaitGroup
}

// pieces of the conversation, as a client of ours says them in TLS.
var pieces = []string{"EHLO2", "AUTH", "MAIL", "RCPT", "DATA", "CONTENT"}

func newCutter(t *testing.T, target, step string, after bool) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, target: target, step: step, after: after}
	c.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			c.running.Go(func() { c.pass(client) })
		}
	})
	t.Cleanup(func() { l.Close(); c.running.Wait() })
	return c
}

func (c *cutter) port() int { return c.listener.Addr().(*net.TCPAddr).Port }

// here says whether this is where to cut, once.
func (c *cutter) here(step string) bool { return c.step == step && !c.done.Swap(true) }

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	if !c.done.Load() && c.here("CONNECT") {
		return
	}
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer server.Close()
	var muted atomic.Bool
	c.running.Go(func() { // what the server says
		defer client.Close()
		defer server.Close()
		buf := make([]byte, 32<<10)
		for first := true; ; first = false {
			n, err := server.Read(buf)
			if n > 0 && (muted.Load() || first && !c.done.Load() && c.here("GREETING")) {
				return
			}
			if n > 0 {
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	in := bufio.NewReader(client)
	tlsPieces, encrypted := 0, false
	for {
		piece, step, err := next(in, &encrypted, &tlsPieces)
		if err != nil {
			return
		}
		if !c.done.Load() && c.here(step) {
			if !c.after {
				return
			}
			muted.Store(true)
		}
		if _, err := server.Write(piece); err != nil {
			return
		}
	}
}

// next reads a line, or a record of TLS, and names it.
func next(in *bufio.Reader, encrypted *bool, n *int) (piece []byte, step string, err error) {
	if !*encrypted {
		line, err := in.ReadBytes('\n')
		verb := strings.ToUpper(strings.Fields(string(line) + " ?")[0])
		*encrypted = verb == "STARTTLS"
		return line, verb, err
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, "", err
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, "", err
	}
	const applicationData = 23
	step = "HANDSHAKE"
	if head[0] == applicationData {
		step = pieces[min(*n, len(pieces)-1)]
		if *n > len(pieces)+50 {
			step = "BODY"
		}
		*n++
	}
	return append(head, body...), step, nil
}

// TestACutAtEachStep cuts the connection to a real server at each step of a submission, before and after the
// server has heard of it, and compares what Send says with the server's log.
func TestACutAtEachStep(t *testing.T) {
	t.Parallel()
	pf := localstack.TestPostfix(t)
	for _, c := range []struct {
		step  string
		after bool
		class Class
		at    string
		taken int
	}{
		{"CONNECT", false, Channel, StepConnect, 0},
		{"GREETING", false, Channel, StepConnect, 0},
		{"EHLO", false, Channel, StepConnect, 0},
		{"EHLO", true, Channel, StepConnect, 0},
		{"STARTTLS", false, Channel, StepConnect, 0},
		{"STARTTLS", true, Channel, StepConnect, 0},
		{"HANDSHAKE", false, Channel, StepTLS, 0},
		{"HANDSHAKE", true, Channel, StepTLS, 0},
		{"EHLO2", false, Channel, StepHello, 0},
		{"EHLO2", true, Channel, StepHello, 0},
		{"AUTH", false, Channel, StepAuth, 0},
		{"AUTH", true, Channel, StepAuth, 0},
		{"MAIL", false, Channel, StepMail, 0},
		{"MAIL", true, Channel, StepMail, 0},
		{"RCPT", false, Channel, StepRcpt, 0},
		{"RCPT", true, Channel, StepRcpt, 0},
		{"DATA", false, Channel, StepData, 0},
		{"DATA", true, Channel, StepData, 0},
		{"BODY", false, Channel, StepBody, 0},
		{"CONTENT", false, Unknown, StepDot, 0},
		{"CONTENT", true, Unknown, StepDot, 1},
	} {
		t.Run(fmt.Sprintf("%s/%v", c.step, c.after), func(t *testing.T) {
			t.Parallel()
			gate := newCutter(t, fmt.Sprintf("127.0.0.1:%d", pf.Submission()), c.step, c.after)
			config := submissionTo(pf)
			config.Port = gate.port()
			p := newPool(t, config)
			p.dialer.tls.MaxVersion = tls.VersionTLS12
			id := fmt.Sprintf("cut-%s-%v@sender.test", strings.ToLower(c.step), c.after)
			content := mailOf(id)
			if c.step == "BODY" {
				content = append(content, bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), 120_000)...)
			}
			_, err := p.Send(t.Context(), envelope("b@recipient.test"), content, nil)
			wantRefusal(t, err, c.class, c.at)
			if !gate.done.Load() {
				t.Error("nothing was cut")
			}
			if c.after && c.taken == 1 {
				// The server may still be writing it down.
				waitTaken(t, pf, id)
			}
			innocent := "after-" + id
			if _, err := p.Send(t.Context(), envelope("b@recipient.test"), mailOf(innocent), nil); err != nil {
				t.Errorf("the next mail: %v", err)
			}
			if n, m := taken(t, pf, id), taken(t, pf, innocent); n != c.taken || m != 1 {
				t.Errorf("taken %d times, want %d; the next %d times, want once", n, c.taken, m)
			}
		})
	}
}

func waitTaken(t *testing.T, pf *localstack.Postfix, id string) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); taken(t, pf, id) == 0; {
		if time.Now().After(late) {
			return
		}
	}
}

// TestACutAfterTheAnswerCostsTheNextMailNothing cuts while the connection is idle.
func TestACutAfterTheAnswerCostsTheNextMailNothing(t *testing.T) {
	t.Parallel()
	pf := localstack.TestPostfix(t)
	gate := localstack.NewGate(t, fmt.Sprintf("127.0.0.1:%d", pf.Submission()))
	config := submissionTo(pf)
	config.Port = portOf(t, gate.Addr())
	p := newPool(t, config)
	for i := range 3 {
		id := fmt.Sprintf("idle-cut-%d@sender.test", i)
		commits := 0
		_, err := p.Send(t.Context(), envelope("b@recipient.test"), mailOf(id), func(context.Context) error { commits++; return nil })
		if err != nil || commits != 1 {
			t.Errorf("%d: %v, %d commits", i, err, commits)
		}
		if n := taken(t, pf, id); n != 1 {
			t.Errorf("%d: taken %d times", i, n)
		}
		gate.Shut()
		gate.Open()
	}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}
