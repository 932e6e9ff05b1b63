package edge

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// silent is an address at which nobody answers, not even with a refusal, as where a container has been.
func silent(t *testing.T, address string) {
	t.Helper()
	at := netip.MustParseAddrPort(address)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	// Whoever comes when nobody else can wait is left without an answer.
	for range 10 {
		conn, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatalf("%s still answers", address)
}

// A process has gone with its address, and the name is looked up anew while requests try to reach it: nginx asks no other
// process with them, unless it is told to. None of them is lost, and none done twice.
func TestAProcessGoesWithItsAddress(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(free(t))
	silent(t, "127.0.4.1:"+port)
	l, err := net.Listen("tcp", "127.0.4.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	var done, asked, lastSlow atomic.Int64
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { done.Add(1) })}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	dns := newNames(t, "127.0.4.1", "127.0.4.2")
	n := before(t, dns, port, nil)

	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		c := stranger(t, n.HTTPS(), either)
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				r, err := c.try(t.Context(), "POST", "/api/jobs", strings.NewReader("{}"))
				if err != nil || r.StatusCode != http.StatusOK {
					t.Errorf("got %v, %v", r, err)
					return
				}
				asked.Add(1)
				if time.Since(began) > time.Second {
					lastSlow.Store(time.Now().UnixNano())
				}
			}
		})
	}
	slow := func() time.Duration { return time.Since(time.Unix(0, lastSlow.Load())) }
	// Whether a request is under way there when the name is looked up is chance: half of the time.
	for range 4 {
		dns.set("127.0.4.1", "127.0.4.2")
		eventually(t, func() error {
			if slow() > time.Second {
				return errors.New("no request has met the silence")
			}
			return nil
		})
		dns.set("127.0.4.2")
		eventually(t, func() error { // longer than nginx leaves a process alone that did not answer
			if quiet := slow(); quiet < 5*time.Second {
				return fmt.Errorf("a request met the silence %s ago", quiet)
			}
			return nil
		})
	}
	close(stop)
	load.Wait()
	if asked, done := asked.Load(), done.Load(); asked != done {
		t.Errorf("%d requests were answered, and %d done", asked, done)
	}
}
