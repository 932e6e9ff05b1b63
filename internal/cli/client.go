package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// client speaks to the API as any client would.
type client struct {
	base string
	key  string
}

// jobView is what the demo and the bench look at of a job.
type jobView struct {
	ID      string          `json:"id"`
	Kind    string          `json:"kind"`
	Status  string          `json:"status"`
	Output  json.RawMessage `json:"output"`
	Error   *problemView    `json:"error"`
	Waiting *struct {
		Reason string `json:"reason"`
	} `json:"waiting"`
}

func (j jobView) ended() bool {
	return j.Status == "succeeded" || j.Status == "failed" || j.Status == "cancelled"
}

type problemView struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Error says what the API said.
func (p *problemView) Error() string { return p.Code + ": " + p.Detail }

var httpClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128, IdleConnTimeout: time.Minute}}

// do sends one request and reads the answer into out, unless that is nil.
func (c client) do(ctx context.Context, method, path string, in, out any, headers ...string) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	response, err := c.send(ctx, method, path, body, headers...)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return refusal(method, path, response)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}

// send sends a request again as long as it is told to wait.
func (c client) send(ctx context.Context, method, path string, body []byte, headers ...string) (*http.Response, error) {
	for {
		response, err := c.sendOnce(ctx, method, path, body, headers...)
		if err != nil || response.StatusCode != http.StatusTooManyRequests {
			return response, err
		}
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil {
			return response, nil
		}
		_ = response.Body.Close()
		wait := time.NewTimer(time.Duration(seconds) * time.Second)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}

func (c client) sendOnce(ctx context.Context, method, path string, body []byte, headers ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return httpClient.Do(request)
}

func refusal(method, path string, response *http.Response) error {
	p := &problemView{Code: response.Status}
	data, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	_ = json.Unmarshal(data, p)
	return fmt.Errorf("%s %s: %d: %w", method, path, response.StatusCode, p)
}

// submit hands over a job.
func (c client) submit(ctx context.Context, kind string, input any, more map[string]any) (jobView, error) {
	body := map[string]any{"kind": kind, "input": input}
	for k, v := range more {
		body[k] = v
	}
	var j jobView
	err := c.do(ctx, http.MethodPost, "/api/jobs", body, &j)
	return j, err
}

// await waits until the job ends, or has something to wait for itself, or the time is over.
func (c client) await(ctx context.Context, id string, most time.Duration) (jobView, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		var j jobView
		err := c.do(ctx, http.MethodGet, "/api/jobs/"+id, nil, &j, "Prefer", "wait=1")
		if err != nil || j.ended() || j.Waiting != nil {
			return j, err
		}
	}
}

// followed is what a client that follows a job is told of its answer.
type followed struct {
	text   string
	tokens int
	last   string // number of the last event
	done   bool
	err    error
}

// follow reads a job's events until it is done, and gives the text that they add up to. A stream that ends
// before that is taken up again where it was left, as every client of such streams does.
func (c client) follow(ctx context.Context, id string, most time.Duration) (f followed) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for again := 0; ; again++ {
		c.followOnce(ctx, id, &f)
		if f.done || f.err != nil || ctx.Err() != nil {
			return f
		}
		if again == 10 {
			f.err = errors.New("the stream of events ended before the job did, again and again")
			return f
		}
	}
}

func (c client) followOnce(ctx context.Context, id string, f *followed) {
	path := "/api/jobs/" + id + "/events"
	response, err := c.send(ctx, http.MethodGet, path, nil, "Last-Event-ID", cmp.Or(f.last, "0"))
	if err != nil {
		f.err = err
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		f.err = refusal(http.MethodGet, path, response)
		return
	}
	var event string
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() && !f.done {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			f.last = value
		case "event":
			event = value
		case "data":
			f.hear(event, value)
		}
	}
}

// hear takes in one event.
func (f *followed) hear(event, data string) {
	switch event {
	case "token":
		var token struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal([]byte(data), &token); err != nil {
			f.err = fmt.Errorf("read a token: %w", err)
		}
		f.text += token.Text
		f.tokens++
	case "reset":
		f.text = ""
	case "done":
		f.done = true
	}
}

// waitReady polls until the API can answer requests.
func (c client) waitReady(ctx context.Context, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var last error
	for {
		if last = c.do(ctx, http.MethodGet, "/readyz", nil, nil); last == nil {
			return nil
		}
		t := time.NewTimer(20 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("the API does not become ready: %w", last)
		case <-t.C:
		}
	}
}
