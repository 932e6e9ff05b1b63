// Package faults stands in front of a real model server in tests and spoils what passes: it is how a server
// that can't be had, or that fails on demand, is played with a real one.
package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands in front of a real Ollama. Each request takes the next fault of the queue, or the one that is
// for all; where neither is set it passes unchanged.
type Proxy struct {
	*httptest.Server
	upstream string

	mu     sync.Mutex
	queue  []Fault
	always Fault
	only   string // faults hit paths that end so; "" is all
	seen   []Seen
}

// Seen is a request that came to the proxy.
type Seen struct {
	Path   string
	Body   map[string]any
	Header http.Header
}

// A Fault answers a request itself, or through pass.
type Fault func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc)

// New starts a proxy, which ends with the test.
func New(t testing.TB, upstream string) *Proxy {
	t.Helper()
	p := &Proxy{upstream: upstream}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// Next has the next requests meet these faults, one each.
func (p *Proxy) Next(faults ...Fault) *Proxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, faults...)
	return p
}

// Every has each request meet a fault from now on; nil lets them pass.
func (p *Proxy) Every(f Fault) *Proxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always = f
	return p
}

// Only lets faults hit paths that end so, and no others.
func (p *Proxy) Only(path string) *Proxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.only = path
	return p
}

// Requests are all that came, oldest first.
func (p *Proxy) Requests() []Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Seen(nil), p.seen...)
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var body map[string]any
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, &body)
	}
	p.mu.Lock()
	f := p.always
	if !strings.HasSuffix(r.URL.Path, p.only) {
		f = nil
	} else if len(p.queue) > 0 {
		f, p.queue = p.queue[0], p.queue[1:]
	}
	p.seen = append(p.seen, Seen{r.URL.Path, body, r.Header.Clone()})
	p.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(raw))
	pass := func(w http.ResponseWriter, r *http.Request) { p.pass(w, r, raw, body) }
	if f == nil {
		pass(w, r)
		return
	}
	f(w, r, pass)
}

// pass hands a request to Ollama, without what Groq knows and Ollama's
// OpenAI-compatible server doesn't, and its answer back line by line. Ollama is
// heard to the end even if the client is not: many tests share it, and a client
// that leaves may cost it its only slot.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, raw []byte, body map[string]any) {
	if strings.HasSuffix(r.URL.Path, "/chat/completions") {
		body = maps.Clone(body)
		body["max_tokens"] = body["max_completion_tokens"]
		delete(body, "reasoning_effort")
		raw, _ = json.Marshal(body)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, p.upstream+r.URL.Path, bytes.NewReader(raw))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}()
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.WriteHeader(res.StatusCode)
	lines := bufio.NewReader(res.Body)
	for {
		line, err := lines.ReadBytes('\n')
		_, _ = w.Write(line)
		w.(http.Flusher).Flush()
		if err != nil {
			return
		}
	}
}

// Status answers with a status, and headers given as pairs.
func Status(code int, body string, headers ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// GroqStatus answers as Groq does.
func GroqStatus(code int, errorCode, message string, headers ...string) Fault {
	body, _ := json.Marshal(map[string]any{"error": map[string]string{
		"message": message, "type": "invalid_request_error", "code": errorCode}})
	return Status(code, string(body), headers...)
}

// OllamaStatus answers as Ollama does.
func OllamaStatus(code int, message string) Fault {
	return Status(code, fmt.Sprintf(`{"error":%q}`, message))
}

// Hang answers nothing until the client leaves.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { <-r.Context().Done() }

// Reset closes the connection before the first byte.
func Reset(_ http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { panic(http.ErrAbortHandler) }

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(line []byte) (int, error) {
	if c.left == 0 {
		panic(http.ErrAbortHandler)
	}
	if len(bytes.TrimSpace(line)) > 0 {
		c.left--
	}
	return c.ResponseWriter.Write(line)
}

func (c *cutter) Flush() { c.ResponseWriter.(http.Flusher).Flush() }

// CutAfter lets lines pass and then cuts the connection.
func CutAfter(lines int) Fault {
	return func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		pass(&cutter{w, lines}, r)
	}
}

type pacer struct {
	http.ResponseWriter
	gone  <-chan struct{}
	delay time.Duration
}

func (p *pacer) Write(line []byte) (int, error) {
	if len(bytes.TrimSpace(line)) > 0 {
		timer := time.NewTimer(p.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.gone: // the rest is read for nobody
		}
	}
	return p.ResponseWriter.Write(line)
}

func (p *pacer) Flush() { p.ResponseWriter.(http.Flusher).Flush() }

// Pace lets each line pass after a delay, as a model on a slow machine would write it.
func Pace(delay time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		pass(&pacer{w, r.Context().Done(), delay}, r)
	}
}

// OllamaSays answers as Ollama does when the model says text.
func OllamaSays(text, reason string) Fault {
	line, _ := json.Marshal(map[string]any{"model": "m", "message": map[string]string{"role": "assistant", "content": text},
		"done": true, "done_reason": reason, "prompt_eval_count": 5, "eval_count": 7})
	return Status(http.StatusOK, string(line)+"\n")
}

// GroqSays answers as Groq does when the model says text.
func GroqSays(text, reason string) Fault {
	delta, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"delta": map[string]string{"content": text}}}})
	return Status(http.StatusOK, fmt.Sprintf("data: %s\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":%q}]}\n\n"+
		"data: {\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":13}}}\n\ndata: [DONE]\n\n", delta, reason))
}
