package edge

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A stream's first event comes at once, and what keeps it open does too.
func streams(t *testing.T, s *site) {
	for name, speaks := range map[string]protocols{"HTTP/2": either, "HTTP/1.1": http1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := stranger(t, s.nginx.HTTPS(), speaks)
			var job struct{ ID string }
			c.ask(t, "POST", "/api/jobs", `{"kind":"ai.completion","input":{"prompt":"hello"}}`, "Authorization", "Bearer "+adminKey).want(202).json(&job)
			request, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/api/jobs/"+job.ID+"/events", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+adminKey)
			asked := time.Now()
			answer, err := c.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			lines := bufio.NewScanner(answer.Body)
			next := func(begins string) time.Duration {
				for lines.Scan() {
					if strings.HasPrefix(lines.Text(), begins) {
						return time.Since(asked)
					}
				}
				t.Fatalf("no line with %q: %v", begins, lines.Err())
				return 0
			}
			// What is held back would come with the first comment, after 15 seconds.
			if took := next("event: status"); took > 10*time.Second {
				t.Errorf("the first event took %s", took)
			}
			if took := next(":"); took < 10*time.Second || took > 40*time.Second {
				t.Errorf("the comment that keeps it open came after %s", took)
			}
		})
	}
}

func longWaits(t *testing.T, s *site) {
	c := stranger(t, s.nginx.HTTPS(), either)
	var job struct{ ID string }
	c.ask(t, "POST", "/api/jobs", `{"kind":"ai.completion","input":{"prompt":"hello"}}`, "Authorization", "Bearer "+adminKey).want(202).json(&job)
	asked := time.Now()
	c.ask(t, "GET", "/api/jobs/"+job.ID, "", "Authorization", "Bearer "+adminKey, "Prefer", "wait=4").want(200)
	if took := time.Since(asked); took < 4*time.Second {
		t.Errorf("it waited for %s", took)
	}
}

// Whatever the API takes gets to it: a mail with as many attachments as it may have, and a body of the very size.
func bodies(t *testing.T, s *site) {
	for name, speaks := range map[string]protocols{"HTTP/2": either, "HTTP/1.1": http1} {
		c := stranger(t, s.nginx.HTTPS(), speaks)
		file := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 69_900))
		var files []string
		for i := range 10 {
			files = append(files, fmt.Sprintf(`{"filename":"%d.bin","content_type":"application/octet-stream","content_base64":"%s"}`, i, file))
		}
		mail := `{"kind":"mail.send","input":{"to":["a@example.org"],"subject":"x","text":"x","attachments":[` + strings.Join(files, ",") + `]}}`
		c.ask(t, "POST", "/api/jobs", mail, "Authorization", "Bearer "+adminKey).want(202)
		whole := strings.Repeat(" ", 1<<20-2) + "{}"
		var p problem
		if c.ask(t, "POST", "/api/jobs", whole, "Authorization", "Bearer "+adminKey).json(&p); p.Code != "validation_failed" {
			t.Errorf("%s: a body of 1 MiB: got %+v", name, p)
		}
		// In pieces, of which nobody said how many.
		answer, err := c.try(t.Context(), "POST", "/api/jobs", io.MultiReader(strings.NewReader(whole), strings.NewReader(" ")))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		answer.t = t
		answer.problem(413, "body_too_large")
	}
}

// A client counts by its own address, and can't name another.
func whoAsks(t *testing.T, s *site) {
	c, other := stranger(t, s.nginx.HTTPS(), either), stranger(t, s.nginx.HTTPS(), either)
	left := func(c *client, headers ...string) string {
		return c.ask(t, "GET", "/api/jobs", "", headers...).want(401).Header.Get("X-RateLimit-Remaining")
	}
	before := left(c)
	for i, name := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "x-forwarded-for"} {
		now := left(c, name, fmt.Sprintf("203.0.113.%d", i))
		if now == before {
			t.Errorf("%s gives another count", name)
		}
		before = now
	}
	if got := left(other); got != "99" {
		t.Errorf("another client has %s left", got)
	}
	c.ask(t, "POST", "/admin/login", url.Values{"key": {adminKey}}.Encode(), "Content-Type", "application/x-www-form-urlencoded",
		"Origin", c.url, "X-Forwarded-For", "203.0.113.9", "X-Request-ID", "who-asks").want(303)
	var audit struct {
		Data []struct {
			Address   string
			RequestID string `json:"request_id"`
		}
	}
	c.ask(t, "GET", "/api/admin/audit?limit=200", "", "Authorization", "Bearer "+adminKey).want(200).json(&audit)
	own := c.http.Transport.(*http.Transport)
	conn, err := own.DialContext(t.Context(), "tcp", s.nginx.HTTPS())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	address, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	for _, e := range audit.Data {
		if e.RequestID == "who-asks" {
			if e.Address != address {
				t.Errorf("the audit log has %s, the client is %s", e.Address, address)
			}
			return
		}
	}
	t.Errorf("the audit log has no such sign-in: %+v", audit.Data)
}

// A request has one name in the answer, the API's and nginx's log, and no secret is in the log.
func requestIDs(t *testing.T, s *site) {
	c := stranger(t, s.nginx.HTTPS(), either)
	const name = "order-77:a/b+c=d.e_f"
	if got := c.ask(t, "GET", "/api/jobs?q=query-secret", "", "X-Request-ID", name, "Authorization", "Bearer header-secret").Header.Get("X-Request-ID"); got != name {
		t.Errorf("the request is called %q", got)
	}
	if got := c.ask(t, "GET", "/metrics?q=query-secret", "", "X-Request-ID", name).Header.Get("X-Request-ID"); got != name {
		t.Errorf("the request is called %q", got)
	}
	c.ask(t, "GET", "/unsubscribe/ticket-secret?x=query-secret", "")
	for _, bad := range []string{`a"b`, "a b", strings.Repeat("x", 129), "ü"} {
		got := c.ask(t, "GET", "/livez", "", "X-Request-ID", bad).Header.Get("X-Request-ID")
		if got == bad || !strings.HasPrefix(got, "req_") {
			t.Errorf("%q is called %q", bad, got)
		}
	}
	last := c.ask(t, "GET", "/livez", "").Header.Get("X-Request-ID")
	type line struct {
		RequestID                                           string `json:"request_id"`
		Client, Method, Path, Protocol, Upstream, UserAgent string
		Status                                              int
		Seconds                                             float64
	}
	var named []line
	eventually(t, func() error {
		text, err := s.nginx.Logged()
		if err != nil || !strings.Contains(text, last) {
			return fmt.Errorf("the log has no %s: %w", last, err)
		}
		for _, secret := range []string{"query-secret", "header-secret", "ticket-secret", adminKey} {
			if strings.Contains(text, secret) {
				t.Fatalf("the log has %s", secret)
			}
		}
		named = nil
		for one := range strings.Lines(text[:strings.LastIndexByte(text, '\n')+1]) {
			var l line
			if err := json.Unmarshal([]byte(one), &l); err != nil {
				t.Fatalf("%v in %s", err, one)
			}
			if l.RequestID == name {
				named = append(named, l)
			}
		}
		return nil
	})
	if len(named) != 2 || named[0].Path != "/api/jobs" || named[0].Status != 401 || named[0].Upstream == "" || named[1].Path != "/metrics" || named[1].Upstream != "" {
		t.Errorf("got %+v", named)
	}
}
