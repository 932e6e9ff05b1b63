package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Whoever floods is refused as the API would refuse, and nobody else is. Behind a balancer, addresses are those that it tells.
func TestFloods(t *testing.T) {
	t.Parallel()
	api := fake(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	o := options(api, map[string]string{"EDGE_RATE": "1r/m", "EDGE_BURST": "4"})
	o.More["conf.d/balancer.conf"] = "set_real_ip_from 127.0.0.0/8;\nreal_ip_header X-Balancer;\n"
	c := stranger(t, newNginx(t, o).HTTPS(), either)
	for _, who := range []struct{ first, neighbour string }{
		{"203.0.113.1", ""}, {"203.0.113.2", ""},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::2"}, {"2001:db8:1:3::1", ""},
	} {
		for i := range 5 {
			if r := c.ask(t, "GET", "/", "", "X-Balancer", who.first); r.StatusCode != http.StatusNoContent {
				t.Errorf("%s: request %d: %s", who.first, i+1, r.Status)
			}
		}
		for _, again := range []string{who.first, who.neighbour} {
			if again == "" {
				continue
			}
			r := c.ask(t, "POST", "/api/jobs", "{}", "X-Balancer", again)
			if r.problem(429, "rate_limited"); r.Header.Get("Retry-After") != "1" {
				t.Errorf("%s: Retry-After is %q", again, r.Header.Get("Retry-After"))
			}
		}
	}
}

// Nobody holds all connections.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	arrived, leave := make(chan struct{}), make(chan struct{})
	api := fake(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case arrived <- struct{}{}:
			<-leave
		case <-leave:
		}
	})
	n := newNginx(t, options(api, map[string]string{"EDGE_CONNECTIONS": "2"}))
	c, other := stranger(t, n.HTTPS(), either), stranger(t, n.HTTPS(), either)
	var held sync.WaitGroup
	t.Cleanup(held.Wait) // before the API ends
	t.Cleanup(func() { close(leave) })
	hold := func(c *client) {
		held.Go(func() {
			// It is let go after the test's own context has ended.
			if _, err := c.try(context.WithoutCancel(t.Context()), "GET", "/", nil); err != nil {
				t.Error(err)
			}
		})
		<-arrived
	}
	hold(c)
	hold(c)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := c.try(ctx, "GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.t = t
	r.problem(429, "rate_limited")
	hold(other)
}

// What the API is told of a client, and a request's body when it comes.
func TestWhatTheAPIIsTold(t *testing.T) {
	t.Parallel()
	told := make(chan http.Header, 1)
	api := fake(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		h.Set("Host", r.Host)
		h.Set("Path", r.RequestURI)
		told <- h
	})
	n := newNginx(t, options(api, nil))
	for name, speaks := range map[string]protocols{"HTTP/2": either, "HTTP/1.1": http1} {
		c := stranger(t, n.HTTPS(), speaks)
		// What a path says in percent goes as it was written.
		c.ask(t, "GET", "/admin/jobs/a%2Fb//c?x=%22&y=1", "", "X-Forwarded-For", "203.0.113.1", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http",
			"Forwarded", "for=203.0.113.1", "X-Real-IP", "203.0.113.1", "Authorization", "Bearer x", "Idempotency-Key", "k", "Prefer", "wait=5",
			"Last-Event-ID", "7", "If-Match", `"3"`, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		h := <-told
		for header, want := range map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "", "Forwarded": "", "X-Real-Ip": "",
			"Host": n.HTTPS(), "Path": "/admin/jobs/a%2Fb//c?x=%22&y=1", "Authorization": "Bearer x", "Idempotency-Key": "k", "Prefer": "wait=5",
			"Last-Event-Id": "7", "If-Match": `"3"`, "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Connection": ""} {
			if got := h.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
		if got := h.Values("X-Forwarded-For"); len(got) != 1 || strings.Contains(got[0], ",") || !strings.HasPrefix(got[0], "127.") {
			t.Errorf("%s: X-Forwarded-For is %q", name, got)
		}
	}
}

// After a reload the new certificate is shown, and a stream that began before isn't cut.
func TestReload(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	api := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Accel-Buffering", "no")
		for range 2 {
			fmt.Fprintln(w, "part")
			w.(http.Flusher).Flush()
			select {
			case <-more:
			case <-r.Context().Done():
				return
			}
		}
	})
	n := newNginx(t, options(api, nil))
	c := stranger(t, n.HTTPS(), either)
	answer, err := c.http.Get(c.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("X-Accel-Buffering"); got != "" {
		t.Errorf("clients are told X-Accel-Buffering: %s", got)
	}
	lines := bufio.NewScanner(answer.Body)
	if !lines.Scan() {
		t.Fatal("no first part", lines.Err())
	}
	goOn := func() {
		t.Helper()
		select {
		case more <- struct{}{}:
		case <-time.After(20 * time.Second):
			t.Fatal("the API was cut off")
		}
	}
	renewed := newIdentity()
	for name, content := range map[string]string{"fullchain.pem": renewed.certificate, "privkey.pem": renewed.key} {
		if err := n.Put("certificates/"+name, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(renewed.certificate))
	eventually(t, func() error {
		conn, err := tls.Dial("tcp", n.HTTPS(), &tls.Config{RootCAs: roots})
		if err != nil {
			return err
		}
		return conn.Close()
	})
	goOn()
	if !lines.Scan() {
		t.Fatal("no second part: ", lines.Err())
	}
	goOn()
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("the end: %q, %v", lines.Text(), lines.Err())
	}
}
