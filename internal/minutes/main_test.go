package minutes

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/localstack"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

var databases atomic.Int32

// redisOf is an empty database of the server that the tests share.
func redisOf(t testing.TB) *redis.Options {
	t.Helper()
	o := optionsOf(t, localstack.TestRedis(t))
	o.DB = int(databases.Add(1))
	if o.DB > 15 {
		t.Fatal("redis has no more databases: use a private one")
	}
	return o
}

func optionsOf(t testing.TB, server *localstack.Redis) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// recorder is a process that counts, and leaves nothing by itself.
func recorder(t testing.TB, o *redis.Options, id string) *Recorder {
	t.Helper()
	r := New(Config{Redis: o, Process: Process{ID: id, Role: "api", Host: "test"}, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// run runs a recorder at a quick pace until the test ends, or the function that it gives is called.
func run(t testing.TB, r *Recorder) (stop func()) {
	t.Helper()
	r.every = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var stopped bool
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
		}
	}
	t.Cleanup(stop)
	return stop
}

// hour wants figures of everybody.
func hour(t testing.TB, r *Recorder) Hour {
	t.Helper()
	h := r.Hour(t.Context())
	if h.Scope != Everybody {
		t.Fatalf("%s: figures are of scope %s: %v", r.process.ID, h.Scope, h.Why)
	}
	return h
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("in vain waited for: " + what)
		}
		pause := time.NewTimer(5 * time.Millisecond)
		<-pause.C
	}
}

// deaf makes a connection that, once armed, sends what it is given and never hears the answer.
type deaf struct {
	net.Conn
	armed *atomic.Bool
}

func (d deaf) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	if err == nil && d.armed.Load() {
		_ = d.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}
