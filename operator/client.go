// Package operator is the admin's API as its clients see it: the shapes under /api/admin, and a client. The pages of the
// admin are one such client, `payaid jobs` is another; what they can do, a script can do too.
package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Client asks the API of an installation.
type Client struct {
	URL  string       // where it is, such as https://payaid.example
	Key  string       // with the scope admin, or admin_read; "": the transport says who asks
	HTTP *http.Client // nil: http.DefaultClient
}

// A Problem is an answer by which the API refuses (RFC 9457).
type Problem struct {
	Status    int     `json:"status"`
	Code      string  `json:"code"` // stable, for programs
	Title     string  `json:"title"`
	Detail    string  `json:"detail"`
	RequestID string  `json:"request_id"`
	Errors    []Fault `json:"errors"`
	// RetryAfter is the header of that name, "" for none.
	RetryAfter string `json:"-"`
}

// A Fault is a place in the request that is wrong.
type Fault struct {
	Pointer string `json:"pointer"` // JSON pointer into the body; /query/NAME for a query parameter
	Detail  string `json:"detail"`
}

// Error says what the API said, with the places that are wrong.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, request %s)", p.Detail, p.Code, p.RequestID)
	for _, f := range p.Errors {
		fmt.Fprintf(&b, "; %s: %s", f.Pointer, f.Detail)
	}
	return b.String()
}

// IsCode reports whether err is a problem of that code.
func IsCode(err error, code string) bool {
	var p *Problem
	return errors.As(err, &p) && p.Code == code
}

// Get reads a path into out.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.Do(ctx, http.MethodGet, path, nil, out)
}

// Do sends in as JSON (nil: no body) and reads the answer into out (nil: it is left unread). An answer of 400 or above
// is a *Problem.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	answer, err := c.Send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if out == nil || answer.StatusCode == http.StatusNoContent {
		_, err = io.Copy(io.Discard, answer.Body)
	} else {
		err = json.NewDecoder(answer.Body).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	return nil
}

// Send is Do for an answer that is no JSON, or too long to be read at once. The caller closes its body.
func (c *Client) Send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the body of %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s %s: %w", method, path, err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.Key != "" {
		request.Header.Set("Authorization", "Bearer "+c.Key)
	}
	transport := c.HTTP
	if transport == nil {
		transport = http.DefaultClient
	}
	answer, err := transport.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s %s: %w", method, path, err)
	}
	if answer.StatusCode < 400 {
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }()
	return nil, problemOf(answer)
}

const mostProblem = 1 << 20

func problemOf(answer *http.Response) error {
	p := &Problem{RetryAfter: answer.Header.Get("Retry-After")}
	data, err := io.ReadAll(io.LimitReader(answer.Body, mostProblem))
	if err != nil || json.Unmarshal(data, p) != nil || p.Code == "" {
		*p = Problem{Code: "unreadable", Title: http.StatusText(answer.StatusCode), RetryAfter: p.RetryAfter,
			Detail: "the answer was " + answer.Status + ", and not one of PayAid's"}
	}
	p.Status = answer.StatusCode
	if p.RequestID == "" {
		p.RequestID = answer.Header.Get("X-Request-ID")
	}
	return p
}
