package chaos

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/payaid/payaid/internal/localstack/faults"
)

// A boundary is a moment on a mail's way, seen from outside the process: when a text passes on a wire.
type boundary struct {
	name     string
	smtp     bool   // on the wire to the mail server; else on that to Postgres
	toServer bool   // or from it
	text     string // that passes
	commit   bool   // at the end of the transaction in which it passed
	pass     func([]byte) []byte
}

func nothing([]byte) []byte       { return nil }
func whole(data []byte) []byte    { return data }
func halfOf(data []byte) []byte   { return data[:len(data)/2] }
func (b boundary) String() string { return b.name }

const (
	sqlSending  = "SET state = 'sending', claim"
	sqlAccepted = "accepted_at = CASE WHEN"
	sqlEnd      = "SET status = 'succeeded'"
)

var boundaries = []boundary{
	{name: "before it is noted that a mail is being sent", toServer: true, text: sqlSending, pass: nothing},
	{name: "when that was noted, before DATA", smtp: true, toServer: true, text: "DATA\r\n", pass: nothing},
	{name: "inside the content", smtp: true, toServer: true, text: "Auto-Submitted: ", pass: halfOf},
	{name: "between the last dot and the answer", smtp: true, text: "queued as", pass: nothing},
	{name: "when the answer was heard, before it is written down", toServer: true, text: sqlAccepted, pass: nothing},
	{name: "while the answer is committed", toServer: true, text: sqlAccepted, commit: true, pass: whole},
	{name: "when the answer was written down, before the job's end", toServer: true, text: sqlEnd, pass: nothing},
	{name: "while the job's end is committed", toServer: true, text: sqlEnd, commit: true, pass: whole},
}

// A victim is a worker that is killed at boundaries.
type victim struct {
	*process
	aim    atomic.Pointer[boundary]
	struck chan struct{}

	mu    sync.Mutex
	begun map[int]bool // connections to Postgres on which the text of a boundary that ends with a commit has passed
}

func newVictim(t *testing.T, p *post, name string) *victim {
	t.Helper()
	v := &victim{struck: make(chan struct{}, 1), begun: make(map[int]bool)}
	config := p.pool.Config().ConnConfig
	database := faults.NewWire(t, net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), v.atDatabase)
	server := faults.NewWire(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(p.postfix.Plain())), v.atServer)
	v.process = p.mailWorker(name, database.Addr(), server.Addr())
	return v
}

// killAt waits until the worker was killed at a boundary.
func (v *victim) killAt(ctx context.Context, b *boundary) error {
	v.aim.Store(b)
	select {
	case <-v.struck:
		return nil
	case <-ctx.Done():
		v.aim.Store(nil)
		return ctx.Err()
	}
}

// strike kills the worker, if nothing else did, and gives what still passes of the text.
func (v *victim) strike(b *boundary, data []byte) ([]byte, bool) {
	if !v.aim.CompareAndSwap(b, nil) {
		return data, false
	}
	v.kill()
	v.mu.Lock()
	clear(v.begun)
	v.mu.Unlock()
	v.struck <- struct{}{}
	return b.pass(data), true
}

func (v *victim) atServer(c faults.Chunk) ([]byte, bool) {
	// Behind encryption nothing could be seen.
	data := bytes.ReplaceAll(c.Data, []byte("STARTTLS"), []byte("XXXXXXXX"))
	b := v.aim.Load()
	if b == nil || !b.smtp || b.toServer != c.ToServer || !bytes.Contains(data, []byte(b.text)) {
		return data, false
	}
	return v.strike(b, data)
}

func (v *victim) atDatabase(c faults.Chunk) ([]byte, bool) {
	b := v.aim.Load()
	if b == nil || b.smtp || !c.ToServer {
		return c.Data, false
	}
	passes := bytes.Contains(c.Data, []byte(b.text))
	if !b.commit {
		if passes {
			return v.strike(b, c.Data)
		}
		return c.Data, false
	}
	v.mu.Lock()
	begun := v.begun[c.Conn]
	v.begun[c.Conn] = begun || passes
	v.mu.Unlock()
	if begun && bytes.Contains(c.Data, []byte("commit\x00")) {
		return v.strike(b, c.Data)
	}
	return c.Data, false
}
