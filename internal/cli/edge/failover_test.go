package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// before starts nginx before whatever the name api.test stands for, at one port.
func before(t *testing.T, dns *names, port string, change map[string]string) *localstack.Nginx {
	t.Helper()
	variables := map[string]string{"EDGE_RESOLVER": dns.address}
	for name, value := range change {
		variables[name] = value
	}
	return localstack.NewNginx(t, options("api.test:"+port, variables))
}

// A process of the API dies under load: whoever reads notices nothing, and whoever writes hears the truth.
func TestOneOfTwoDies(t *testing.T) {
	t.Parallel()
	p := newProduct(t)
	_, port, _ := net.SplitHostPort(free(t))
	first := p.api(t, "127.0.1.1:"+port, "RATELIMIT_ENABLED=false")
	p.api(t, "127.0.1.2:"+port, "RATELIMIT_ENABLED=false")
	n := before(t, newNames(t, "127.0.1.1", "127.0.1.2"), port, nil)

	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var asked, atDeath, accepted atomic.Int64
	var load sync.WaitGroup
	for range 4 {
		c := stranger(t, n.HTTPS(), either)
		load.Go(func() {
			for ctx.Err() == nil {
				r, err := c.try(ctx, "GET", "/api/organization", nil, "Authorization", "Bearer "+adminKey)
				if ctx.Err() != nil {
					return
				}
				if err != nil || r.StatusCode != http.StatusOK {
					t.Errorf("a reader gets %v, %v", r, err)
					return
				}
				asked.Add(1)
			}
		})
		load.Go(func() {
			for ctx.Err() == nil {
				r, err := c.try(ctx, "POST", "/api/jobs", strings.NewReader(`{"kind":"ai.completion","input":{"prompt":"x"}}`), "Authorization", "Bearer "+adminKey)
				switch {
				case ctx.Err() != nil:
					return
				case err == nil && r.StatusCode == http.StatusAccepted:
					accepted.Add(1)
				case err == nil && r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != "":
					atDeath.Add(1) // it was under way
				default:
					t.Errorf("a writer gets %v, %v", r, err)
					return
				}
			}
		})
	}
	more := func(n *atomic.Int64, by int64) {
		t.Helper()
		from := n.Load()
		eventually(t, func() error {
			if now := n.Load(); now < from+by {
				return fmt.Errorf("%d of %d", now-from, by)
			}
			return nil
		})
	}
	more(&asked, 50)
	more(&accepted, 20)
	first.kill()
	more(&asked, 200)
	more(&accepted, 100)
	stop()
	load.Wait()
	// Each writer may have one under way, and meet one connection that nginx kept to the dead process.
	if n := atDeath.Load(); n > 8 {
		t.Errorf("%d writers heard 503, want 8 at most", n)
	}
}

// A dying process has read a request and says nothing. What only reads is asked of another; what writes is not.
func TestNothingIsDoneTwice(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(free(t))
	var read sync.Map // counts by method
	count := func(method string) *atomic.Int64 {
		n, _ := read.LoadOrStore(method, &atomic.Int64{})
		return n.(*atomic.Int64)
	}
	for _, host := range []string{"127.0.2.1", "127.0.2.2"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					count(r.Method).Add(1)
				}
				_ = conn.Close()
			}
		})
		t.Cleanup(func() {
			_ = l.Close()
			serving.Wait()
		})
	}
	dns := newNames(t, "127.0.2.1", "127.0.2.2")
	// Each has an nginx of its own, which knows nothing bad of anybody yet.
	for method, want := range map[string]int64{"GET": 2, "POST": 1, "PATCH": 1, "DELETE": 2} {
		c := stranger(t, before(t, dns, port, nil).HTTPS(), either)
		eventually(t, func() error { // its first look at the names may be under way
			c.ask(t, method, "/api/jobs", "{}").problem(503, "unavailable")
			if count(method).Load() == 0 {
				return fmt.Errorf("no %s has arrived", method)
			}
			return nil
		})
		if got := count(method).Load(); got != want {
			t.Errorf("one %s was read %d times, want %d", method, got, want)
		}
	}
}

// Processes come and go with their addresses, as containers do, and nginx is never told.
func TestProcessesComeAndGo(t *testing.T) {
	t.Parallel()
	p := newProduct(t)
	_, port, _ := net.SplitHostPort(free(t))
	dns := newNames(t)
	n := before(t, dns, port, nil) // starts though nobody knows the name
	c := stranger(t, n.HTTPS(), either)
	if r := c.ask(t, "GET", "/api/jobs", ""); r.problem(503, "unavailable").Instance != "/api/jobs" || r.Header.Get("Retry-After") != "2" {
		t.Errorf("got %s, %v", r.body, r.Header)
	}
	served := func() error {
		r, err := c.try(t.Context(), "GET", "/livez", nil)
		if err == nil && r.StatusCode != http.StatusOK {
			err = fmt.Errorf("got %s", r.Status)
		}
		return err
	}
	first := p.api(t, "127.0.3.1:"+port)
	dns.set("127.0.3.1")
	began := time.Now()
	eventually(t, served)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("the first process was found after %s", took)
	}
	first.kill()
	if r := c.ask(t, "POST", "/api/jobs", "{}"); r.problem(503, "unavailable").Status != 503 {
		t.Error("it is dead")
	}
	p.api(t, "127.0.3.2:"+port)
	dns.set("127.0.3.2")
	began = time.Now()
	eventually(t, served)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("the other process was found after %s", took)
	}
}
