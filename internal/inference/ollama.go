package inference

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ollama/ollama/api"
)

// localFor is how long a model that was seen to run in the house is taken to.
const localFor = time.Minute

// ollama asks the owner's Ollama.
type ollama struct {
	base      *url.URL
	http      *http.Client
	client    *api.Client // for what is no answer
	puller    *api.Client // for answers that last for hours
	url       string      // without a password, for messages
	keepAlive func(model string) time.Duration

	mu    sync.Mutex
	local map[string]time.Time // models that run in the house, and until when that is believed
}

func newOllama(base *url.URL, keepAlive func(model string) time.Duration) *ollama {
	// The host is in the house: what doesn't answer a dial in a second is away.
	calls := newClient(time.Second, nil)
	patient := *calls
	patient.Transport = transport{next: calls.Transport.(transport).next, most: maxNews}
	return &ollama{
		base:      base,
		http:      calls,
		client:    api.NewClient(base, calls),
		puller:    api.NewClient(base, &patient),
		url:       base.Redacted(),
		keepAlive: keepAlive,
		local:     map[string]time.Time{},
	}
}

func (o *ollama) subject() string { return "Ollama at " + o.url }

func (o *ollama) chat(ctx context.Context, c call, heard func(string)) (reply, *failure) {
	if c.localOnly {
		if f := o.inHouse(ctx, c.model); f != nil {
			return reply{}, f
		}
	}
	req := o.request(c.model, c.messages)
	req.Options["num_predict"] = c.maxTokens
	if c.temperature != nil {
		req.Options["temperature"] = *c.temperature
	}
	if c.schema != nil {
		req.Format = c.schema.source
	}
	return o.send(ctx, req, heard)
}

// request forbids Ollama to cut the prompt to its window, and to forget the
// start of the conversation when the window is full.
func (o *ollama) request(model string, messages []Message) *api.ChatRequest {
	no := false
	req := &api.ChatRequest{
		Model:     model,
		Truncate:  &no,
		Shift:     &no,
		KeepAlive: &api.Duration{Duration: o.keepAlive(model)},
		Options:   map[string]any{},
	}
	for _, m := range messages {
		req.Messages = append(req.Messages, api.Message{Role: m.Role, Content: m.Content})
	}
	return req
}

func (o *ollama) send(ctx context.Context, req *api.ChatRequest, heard func(string)) (reply, *failure) {
	var rep reply
	var text strings.Builder
	var ex exchange
	err := o.stream(withExchange(ctx, &ex), req, func(r api.ChatResponse) {
		if r.Message.Content != "" || r.Message.Thinking != "" {
			rep.completion++
			content := readable(r.Message.Content)
			text.WriteString(content)
			heard(content)
		}
		if r.Done {
			rep.done, rep.reason = true, r.DoneReason
			rep.prompt, rep.completion, rep.load = r.PromptEvalCount, r.EvalCount, r.LoadDuration
			rep.queue = max(0, r.TotalDuration-r.LoadDuration-r.PromptEvalDuration-r.EvalDuration)
		}
	})
	rep.text, rep.status = text.String(), ex.status
	return rep, ollamaFailure(err, ex.status, req.Model)
}

// probe generates one token: the list of models is answered by a server whose
// runner is wedged as well.
func (o *ollama) probe(ctx context.Context, model string) *failure {
	req := o.request(model, []Message{{Role: "user", Content: "Say yes."}})
	req.Options["num_predict"] = 1
	rep, f := o.send(ctx, req, func(string) {})
	if f == nil && !rep.done {
		return truncated(rep.status)
	}
	return f
}

// load brings model into memory without generating anything.
func (o *ollama) load(ctx context.Context, model string) *failure {
	rep, f := o.send(ctx, o.request(model, nil), func(string) {})
	if f == nil && !rep.done {
		return truncated(rep.status)
	}
	return f
}

// unload takes model out of memory once nobody uses it; the next call loads it
// afresh.
func (o *ollama) unload(ctx context.Context, model string) *failure {
	req := o.request(model, nil)
	req.KeepAlive = &api.Duration{}
	_, f := o.send(ctx, req, func(string) {})
	return f
}

// inHouse refuses a model that Ollama hands on to its cloud.
func (o *ollama) inHouse(ctx context.Context, model string) *failure {
	o.mu.Lock()
	known := time.Now().Before(o.local[model])
	o.mu.Unlock()
	if known {
		return nil
	}
	var ex exchange
	res, err := o.client.Show(withExchange(ctx, &ex), &api.ShowRequest{Model: model})
	if err != nil {
		return ollamaFailure(err, ex.status, model)
	}
	if res.RemoteHost != "" {
		return &failure{class: Request, detail: "runs " + model + " in a cloud, and this organization allows models in the house only"}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.local) > 256 {
		clear(o.local)
	}
	o.local[model] = time.Now().Add(localFor)
	return nil
}

// ollamaFailure classifies what the client returned. The client returns nil for
// a status above 399 whose body is empty, so the status counts by itself.
func ollamaFailure(err error, status int, model string) *failure {
	if err == nil && status < 300 {
		return nil
	}
	if status == 0 {
		return unreachable(err)
	}
	said := ""
	var se api.StatusError
	if errors.As(err, &se) {
		said = se.ErrorMessage
	} else if err != nil {
		said = err.Error()
	}
	f := &failure{class: ollamaClass(status, said), status: status, detail: answered(status, said)}
	switch {
	case f.class == Misconfigured && status == http.StatusNotFound:
		f.detail = "has no model " + model + " (ollama pull " + model + ")"
	case status < 300 && phrase(said) != "":
		f.detail = "stopped (" + phrase(said) + ")"
	case status < 300:
		f.detail = "sent what is no answer of Ollama"
	}
	return f
}

func ollamaClass(status int, said string) string {
	switch {
	case status < 300:
		return Server
	case status < 400 || status == http.StatusNotFound:
		return Misconfigured
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Auth
	case status == http.StatusRequestTimeout:
		return Timeout
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return Overloaded
	case status == http.StatusRequestEntityTooLarge, tooLong(said):
		return TooLarge
	// Ollama says 500 to a format or an option that it can't follow. The schema
	// was valid when it came here, so another provider may do better.
	case status >= 400 && strings.Contains(said, "JSON schema in format"), strings.Contains(said, "does not support"):
		return Unsupported
	case strings.Contains(said, "invalid format"), strings.Contains(said, "must be of type"):
		return Request
	case status == 499, status >= 500:
		return Server
	}
	return Request
}

// tooLong knows the words for a prompt that is longer than the window.
func tooLong(said string) bool {
	said = strings.ToLower(said)
	return strings.Contains(said, "exceed") && strings.Contains(said, "context") ||
		strings.Contains(said, "context_length_exceeded") ||
		strings.Contains(said, "reduce the length")
}
