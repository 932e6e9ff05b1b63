package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A client speaks to an API as anybody would.
type client struct {
	base string
	key  string
	http *http.Client
}

func newClient(base, key string) *client {
	return &client{base: base, key: key, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: time.Minute,
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

func (r reply) into(v any) error {
	if err := json.Unmarshal(r.body, v); err != nil {
		return fmt.Errorf("read %d %s: %w", r.status, r.body, err)
	}
	return nil
}

// call sends one request with a JSON body, "" for none.
func (c *client) call(ctx context.Context, method, path, body string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, bytes.TrimSpace(data)}, err
}

// ready waits until the API can answer requests.
func (c *client) ready(ctx context.Context) error {
	return eventually(ctx, func(ctx context.Context) error {
		r, err := c.call(ctx, http.MethodGet, "/readyz", "")
		if err == nil && r.status != http.StatusOK {
			err = fmt.Errorf("not ready: %d %s", r.status, r.body)
		}
		return err
	})
}

// organization makes an organization and gives its id and a client with its key.
func (c *client) organization(t *testing.T, name string) (id string, own *client) {
	t.Helper()
	var o struct {
		ID     string `json:"id"`
		APIKey struct {
			Key string `json:"key"`
		} `json:"api_key"`
	}
	r, err := c.call(t.Context(), http.MethodPost, "/api/organizations", `{"name":"`+name+`","state":"Karnataka"}`)
	if err == nil && r.status != http.StatusCreated {
		err = fmt.Errorf("%d %s", r.status, r.body)
	}
	if err == nil {
		err = r.into(&o)
	}
	if err != nil {
		t.Fatalf("make an organization: %v", err)
	}
	return o.ID, c.as(o.APIKey.Key)
}

// job is what the tests look at of a job.
type job struct {
	ID      string          `json:"id"`
	Status  string          `json:"status"`
	Attempt int             `json:"attempt"`
	Output  json.RawMessage `json:"output"`
	Error   *struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"error"`
	Waiting *struct {
		Reason        string     `json:"reason"`
		NextAttemptAt *time.Time `json:"next_attempt_at"`
	} `json:"waiting"`
}

func (j job) ended() bool {
	return j.Status == "succeeded" || j.Status == "failed" || j.Status == "cancelled"
}

// submit hands over a job that is accepted at once.
func (c *client) submit(t *testing.T, kind, input string, more ...string) job {
	t.Helper()
	r, err := c.call(within(t, 20*time.Second), http.MethodPost, "/api/jobs",
		`{"kind":"`+kind+`","input":`+input+strings.Join(more, "")+`}`)
	if err != nil {
		t.Fatal(err)
	}
	if r.status != http.StatusAccepted {
		t.Fatalf("submit %s: %d %s", kind, r.status, r.body)
	}
	var j job
	if err := r.into(&j); err != nil {
		t.Fatal(err)
	}
	return j
}

// job reads a job.
func (c *client) job(ctx context.Context, id string, headers ...string) (job, error) {
	var j job
	r, err := c.call(ctx, http.MethodGet, "/api/jobs/"+id, "", headers...)
	if err == nil && r.status != http.StatusOK {
		err = fmt.Errorf("read job %s: %d %s", id, r.status, r.body)
	}
	if err == nil {
		err = r.into(&j)
	}
	return j, err
}

// until waits until a job is as the test wants it.
func (c *client) until(t *testing.T, id string, most time.Duration, what string, is func(job) bool) job {
	t.Helper()
	var last job
	err := eventually(within(t, most), func(ctx context.Context) error {
		j, err := c.job(ctx, id)
		if err != nil {
			return err
		}
		if last = j; !is(j) {
			return fmt.Errorf("the job is %+v", j)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("wait until job %s %s: %v", id, what, err)
	}
	return last
}

// done waits until a job has succeeded.
func (c *client) done(t *testing.T, id string, most time.Duration) job {
	t.Helper()
	j := c.until(t, id, most, "has ended", job.ended)
	if j.Status != "succeeded" {
		t.Fatalf("job %s is %s: %+v", id, j.Status, j.Error)
	}
	return j
}
