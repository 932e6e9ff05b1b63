package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger is what the inbox hands over to, in tests.
type ledger struct {
	take func(ctx context.Context, address string) error

	mu    sync.Mutex
	taken []string
}

func (l *ledger) Expects(_ context.Context, address string) (bool, error) {
	if strings.HasPrefix(address, "away") {
		return false, errors.New("no key")
	}
	return strings.HasPrefix(address, "bounces+"), nil
}

func (l *ledger) Take(ctx context.Context, address string, r Report) error {
	if l.take != nil {
		if err := l.take(ctx, address); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, fmt.Sprint(address, " ", r.Kind))
	return nil
}

func (l *ledger) got() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.taken)
}

// serveInbox runs an inbox until the test ends, or until stop, which waits for it.
func serveInbox(t *testing.T, c InboxConfig) (addr string, stop func()) {
	t.Helper()
	c.Log = slog.New(slog.DiscardHandler)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- NewInbox(c).Serve(ctx, listener) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// A caller is a client that says what it is told to, and a minute is its patience.
type caller struct {
	t *testing.T
	c net.Conn
	*textproto.Conn
}

func call(t *testing.T, addr string) *caller {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { _ = c.Close() })
	return &caller{t, c, textproto.NewConn(c)}
}

// hello greets, and says where the report comes from.
func (c *caller) hello() *caller {
	c.t.Helper()
	c.wants(220)
	c.says(250, "LHLO test")
	c.says(250, "MAIL FROM:<>")
	return c
}

func (c *caller) says(code int, format string, args ...any) string {
	c.t.Helper()
	if err := c.PrintfLine(format, args...); err != nil {
		c.t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
	return c.wants(code)
}

func (c *caller) wants(code int) string {
	c.t.Helper()
	_, text, err := c.ReadResponse(code)
	if err != nil {
		c.t.Fatalf("want %d: %v", code, err)
	}
	return text
}

func (c *caller) sends(raw []byte) {
	c.t.Helper()
	c.says(354, "DATA")
	w := c.DotWriter()
	if _, err := w.Write(raw); err != nil {
		c.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// hungUp says that the server closed the connection, after whatever it had still to say.
func (c *caller) hungUp() (said string) {
	c.t.Helper()
	for {
		line, err := c.ReadLine()
		if t := net.Error(nil); errors.As(err, &t) && t.Timeout() {
			c.t.Fatal("the connection is still open")
		}
		if err != nil {
			return said
		}
		said += line + "\n"
	}
}
