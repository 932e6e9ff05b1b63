//go:build deploytest

package deploytest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"crypto/tls"
	"crypto/x509"
)

// A client speaks to the API through nginx as anybody would: over TLS, with the certificate checked.
type client struct {
	base string
	key  string
	http *http.Client
}

// newClient reaches a domain at an address of this machine, whatever the DNS says of it.
func newClient(domain, address string, roots *x509.CertPool, key string) *client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &client{base: "https://" + domain, key: key, http: &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8,
		},
	}}
}

// as is the same client with another key.
func (c *client) as(key string) *client { return &client{base: c.base, key: key, http: c.http} }

// A reply is an answer that has been read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// call sends one request with a JSON body, "" for none.
func (c *client) call(ctx context.Context, method, path, body string, headers ...string) (reply, error) {
	response, err := c.open(ctx, method, path, body, headers...)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, bytes.TrimSpace(data)}, err
}

func (c *client) open(ctx context.Context, method, path, body string, headers ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return c.http.Do(request)
}

// want is call for an answer of one status, read into out unless that is nil.
func (c *client) want(ctx context.Context, status int, method, path, body string, out any, headers ...string) error {
	r, err := c.call(ctx, method, path, body, headers...)
	if err != nil {
		return err
	}
	if r.status != status {
		return fmt.Errorf("%s %s: %d %s, want %d", method, path, r.status, r.body, status)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(r.body, out); err != nil {
		return fmt.Errorf("%s %s: read %s: %w", method, path, r.body, err)
	}
	return nil
}

// A job is what is looked at of one.
type job struct {
	ID     string          `json:"id"`
	Status string          `json:"status"`
	Output json.RawMessage `json:"output"`
	Error  json.RawMessage `json:"error"`
}

func (j job) ended() bool {
	return j.Status == "succeeded" || j.Status == "failed" || j.Status == "cancelled"
}

// submit hands a job over the way a careful client does: again with the same key until it is accepted. It gives
// how many tries found no good answer.
func (c *client) submit(ctx context.Context, key, body string) (j job, failed int, err error) {
	for {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		r, err := c.call(once, http.MethodPost, "/api/jobs", body, "Idempotency-Key", key)
		cancel()
		switch {
		case err == nil && r.status == http.StatusAccepted:
			return j, failed, json.Unmarshal(r.body, &j)
		case err == nil && r.status < 500 && r.status != http.StatusConflict && r.status != http.StatusTooManyRequests:
			return j, failed, fmt.Errorf("submit %s: refused: %d %s", body, r.status, r.body)
		case ctx.Err() != nil:
			return j, failed, fmt.Errorf("submit %s: not accepted in time; last: %d %s %w", body, r.status, r.body, err)
		}
		failed++
		if err := pause(ctx, 150*time.Millisecond); err != nil {
			return j, failed, err
		}
	}
}

// await waits until a job has succeeded, through whatever happens to those that are asked.
func (c *client) await(ctx context.Context, id string) (j job, err error) {
	err = eventually(ctx, func(ctx context.Context) error {
		once, cancel := context.WithTimeout(ctx, 8*time.Second)
		defer cancel()
		if err := c.want(once, http.StatusOK, http.MethodGet, "/api/jobs/"+id, "", &j, "Prefer", "wait=3"); err != nil {
			return err
		}
		if !j.ended() {
			return fmt.Errorf("job %s is %s", id, j.Status)
		}
		return nil
	})
	if err == nil && j.Status != "succeeded" {
		err = fmt.Errorf("job %s is %s: %s", id, j.Status, j.Error)
	}
	return j, err
}

// pause waits a while, or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// followed is when a stream of events said what.
type followed struct {
	opened, firstToken, done time.Time
	tokens                   int
}

// follow reads the events of a job until it is done.
func (c *client) follow(ctx context.Context, id string) (f followed, err error) {
	response, err := c.open(ctx, http.MethodGet, "/api/jobs/"+id+"/events", "", "Last-Event-ID", "0")
	if err != nil {
		return f, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return f, fmt.Errorf("follow job %s: %s", id, response.Status)
	}
	f.opened = time.Now()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		switch lines.Text() {
		case "event: token":
			if f.tokens == 0 {
				f.firstToken = time.Now()
			}
			f.tokens++
		case "event: done":
			f.done = time.Now()
			return f, nil
		}
	}
	return f, fmt.Errorf("the events of job %s ended before it was done: %w", id, lines.Err())
}
