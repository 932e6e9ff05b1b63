package inference

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
)

// faultProxy stands in front of a real Ollama and spoils what passes. Each
// request takes the next fault of the queue, then always; where neither is set
// it passes unchanged.
type faultProxy struct {
	*httptest.Server
	upstream string

	mu     sync.Mutex
	queue  []fault
	always fault
	only   string // faults hit paths that end so; "" is all
	seen   []seen
}

// seen is a request that came to the proxy.
type seen struct {
	path   string
	body   map[string]any
	header http.Header
}

// fault answers a request itself, or through pass.
type fault func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc)

func newFaultProxy(t *testing.T, upstream string) *faultProxy {
	t.Helper()
	p := &faultProxy{upstream: upstream}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *faultProxy) next(faults ...fault) *faultProxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, faults...)
	return p
}

func (p *faultProxy) every(f fault) *faultProxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always = f
	return p
}

func (p *faultProxy) requests() []seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]seen(nil), p.seen...)
}

func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	p.seen = append(p.seen, seen{r.URL.Path, body, r.Header.Clone()})
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
func (p *faultProxy) pass(w http.ResponseWriter, r *http.Request, raw []byte, body map[string]any) {
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

// status answers with a status, and headers given as pairs.
func status(code int, body string, headers ...string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// groqStatus answers as Groq does.
func groqStatus(code int, errorCode, message string, headers ...string) fault {
	body, _ := json.Marshal(map[string]any{"error": map[string]string{
		"message": message, "type": "invalid_request_error", "code": errorCode}})
	return status(code, string(body), headers...)
}

// ollamaStatus answers as Ollama does.
func ollamaStatus(code int, message string) fault {
	return status(code, fmt.Sprintf(`{"error":%q}`, message))
}

// hang answers nothing until the client leaves.
func hang(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { <-r.Context().Done() }

// reset closes the connection before the first byte.
func reset(_ http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { panic(http.ErrAbortHandler) }

// cutter lets n lines pass and then cuts the connection.
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

func cutAfter(lines int) fault {
	return func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		pass(&cutter{w, lines}, r)
	}
}

// ollamaSays answers as Ollama does when the model says text.
func ollamaSays(text, reason string) fault {
	line, _ := json.Marshal(map[string]any{"model": "m", "message": map[string]string{"role": "assistant", "content": text},
		"done": true, "done_reason": reason, "prompt_eval_count": 5, "eval_count": 7})
	return status(http.StatusOK, string(line)+"\n")
}

// groqSays answers as Groq does when the model says text.
func groqSays(text, reason string) fault {
	delta, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"delta": map[string]string{"content": text}}}})
	return status(http.StatusOK, fmt.Sprintf("data: %s\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":%q}]}\n\n"+
		"data: {\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":13}}}\n\ndata: [DONE]\n\n", delta, reason))
}
