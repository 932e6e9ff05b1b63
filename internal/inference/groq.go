package inference

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// reasoningRoom is added to max_tokens for models that think first: Groq
// counts their thoughts against the limit, and an answer would be cut before
// it began.
const reasoningRoom = 512

// groq asks Groq, or whatever speaks its OpenAI-compatible protocol.
type groq struct {
	client *http.Client
	base   string
	key    string
	tier   string

	mu    sync.Mutex
	plain map[string]bool // models for which the server doesn't know reasoning_effort
}

func newGroq(base, key, tier string, proxy func(*http.Request) (*url.URL, error)) *groq {
	return &groq{
		client: newClient(3*time.Second, proxy),
		base:   strings.TrimSuffix(base, "/"),
		key:    key,
		tier:   tier,
		plain:  map[string]bool{},
	}
}

func (g *groq) subject() string { return "Groq" }

// reasons says whether a model is of the family that thinks first, and decodes
// by a schema.
func reasons(model string) bool { return strings.HasPrefix(model, "openai/gpt-oss") }

// thinks says whether reasoning_effort is worth sending.
func (g *groq) thinks(model string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return reasons(model) && !g.plain[model]
}

func (g *groq) forgetThinking(model string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.plain[model] = true
}

type groqMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type groqRequest struct {
	Model            string          `json:"model"`
	Messages         []groqMessage   `json:"messages"`
	Stream           bool            `json:"stream"`
	StreamOptions    map[string]bool `json:"stream_options"`
	MaxTokens        int             `json:"max_completion_tokens"`
	Temperature      *float64        `json:"temperature,omitempty"`
	ResponseFormat   any             `json:"response_format,omitempty"`
	ReasoningEffort  string          `json:"reasoning_effort,omitempty"`
	IncludeReasoning *bool           `json:"include_reasoning,omitempty"`
	ServiceTier      string          `json:"service_tier,omitempty"`
}

// request is what a call sends, as it is and as it goes out.
func (g *groq) request(c call) (groqRequest, []byte, error) {
	req := g.compose(c)
	body, err := json.Marshal(req)
	return req, body, err
}

func (g *groq) compose(c call) groqRequest {
	req := groqRequest{
		Model:         c.model,
		Stream:        true,
		StreamOptions: map[string]bool{"include_usage": true},
		MaxTokens:     c.maxTokens,
		Temperature:   c.temperature,
		ServiceTier:   g.tier,
	}
	for _, m := range c.messages {
		req.Messages = append(req.Messages, groqMessage(m))
	}
	if g.thinks(c.model) {
		no := false
		req.ReasoningEffort, req.IncludeReasoning = "low", &no
		req.MaxTokens += reasoningRoom
	}
	if c.onDemand && g.tier != "" {
		req.ServiceTier = "on_demand"
	}
	if c.schema != nil {
		g.format(&req, c)
	}
	return req
}

// format asks for constrained decoding where schema and model allow it.
// Elsewhere the schema stands in a message, which Groq's JSON mode demands as
// well.
func (g *groq) format(req *groqRequest, c call) {
	if c.schema.strict && !c.plainJSON && reasons(c.model) {
		req.ResponseFormat = map[string]any{"type": "json_schema", "json_schema": map[string]any{
			"name": "answer", "strict": true, "schema": c.schema.source,
		}}
		return
	}
	if c.schema.rootIsObject() {
		req.ResponseFormat = map[string]any{"type": "json_object"}
	}
	req.Messages = append([]groqMessage{{Role: "system", Content: "Answer with one JSON document and nothing else. " +
		"It must satisfy this JSON schema: " + string(c.schema.source)}}, req.Messages...)
}

func (g *groq) chat(ctx context.Context, c call, heard func(string)) (reply, *failure) {
	sent, body, err := g.request(c)
	if err != nil {
		return reply{}, &failure{class: Request, detail: "can't be sent this prompt"}
	}
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	res, f := g.do(ctx, http.MethodPost, "/chat/completions", body)
	if f != nil {
		return reply{sent: connected.Load()}, f
	}
	defer res.Body.Close()
	rep := reply{sent: true, status: res.StatusCode, limit: readLimit(res.Header)}
	if res.StatusCode != http.StatusOK {
		return rep, g.adapt(sent, refusal(res))
	}
	f = readAnswer(res.Body, &rep, heard)
	if rep.prompt == 0 {
		rep.prompt = guessTokens(sent.Messages) // a stream that was cut is billed, and says nothing of it
	}
	if f != nil {
		f.status = res.StatusCode
	}
	return rep, f
}

func (g *groq) do(ctx context.Context, method, path string, body []byte) (*http.Response, *failure) {
	req, err := http.NewRequestWithContext(ctx, method, g.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, &failure{class: Misconfigured, detail: "has an address that is no URL (GROQ_BASE_URL)"}
	}
	req.Header.Set("Authorization", "Bearer "+g.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "payaid")
	res, err := g.client.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	return res, nil
}

// adapt turns a refusal of something that the server need not know into one
// more call without it.
func (g *groq) adapt(sent groqRequest, r groqRefusal) *failure {
	f := r.failure
	switch {
	case r.status == 498 && sent.ServiceTier != "" && sent.ServiceTier != "on_demand":
		f.again = true
	case r.status != http.StatusBadRequest || f.class != Request:
	case sent.ReasoningEffort != "" && r.mentions("reasoning", "thinking"):
		g.forgetThinking(sent.Model)
		f.class, f.again = Unsupported, true
	case sent.ResponseFormat != nil && r.mentions("response_format", "json_schema", "JSON schema"):
		f.class, f.again, f.plainJSON = Unsupported, true, true
	}
	return f
}

// chunk is one event of a streamed answer.
type chunk struct {
	Choices []struct {
		Delta struct {
			Content   string `json:"content"`
			Reasoning string `json:"reasoning"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *usage `json:"usage"`
	XGroq struct {
		Usage *usage `json:"usage"`
		Error string `json:"error"`
	} `json:"x_groq"`
	Error *groqError `json:"error"`
}

type usage struct {
	Prompt     int     `json:"prompt_tokens"`
	Completion int     `json:"completion_tokens"`
	QueueTime  float64 `json:"queue_time"`
}

var errBroken = errors.New("read answer: not an event of the protocol")

// readAnswer reads a stream. The answer is done when its finish reason and the
// end mark were both seen.
func readAnswer(r io.Reader, rep *reply, heard func(string)) *failure {
	var text strings.Builder
	var told *failure
	err := events(r, func(data []byte) error {
		if string(bytes.TrimSpace(data)) == "[DONE]" {
			rep.done = rep.reason != ""
			return io.EOF
		}
		var ch chunk
		if json.Unmarshal(data, &ch) != nil {
			return errBroken
		}
		if ch.Error != nil || ch.XGroq.Error != "" {
			told = midway(ch)
			return io.EOF
		}
		ch.add(rep, &text, heard)
		return nil
	})
	rep.text = text.String()
	switch {
	case told != nil:
		return told
	case errors.Is(err, errBroken), errors.Is(err, errEventTooLong):
		return &failure{class: Server, detail: "sent what is no answer of its protocol"}
	}
	return nil
}

func (ch chunk) add(rep *reply, text *strings.Builder, heard func(string)) {
	for _, choice := range ch.Choices {
		if choice.Delta.Content != "" || choice.Delta.Reasoning != "" {
			rep.completion++
			content := readable(choice.Delta.Content)
			text.WriteString(content)
			heard(content)
		}
		if choice.FinishReason != "" {
			rep.reason = choice.FinishReason
		}
	}
	for _, u := range []*usage{ch.XGroq.Usage, ch.Usage} {
		if u != nil {
			rep.prompt, rep.completion, rep.metered = u.Prompt, u.Completion, true
			rep.queue = max(rep.queue, time.Duration(u.QueueTime*float64(time.Second)))
		}
	}
}

// midway is the failure of a stream that told an error.
func midway(ch chunk) *failure {
	f := &failure{class: Server, detail: "stopped in the middle of its answer"}
	if ch.Error == nil {
		return f
	}
	if p := phrase(ch.Error.Code + " " + ch.Error.Message); p != "" {
		f.detail += " (" + p + ")"
	}
	return f
}

// probe asks for the list of models, which is free, and looks for model in it.
func (g *groq) probe(ctx context.Context, model string) *failure {
	res, f := g.do(ctx, http.MethodGet, "/models", nil)
	if f != nil {
		return f
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refusal(res).failure
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 4<<20)).Decode(&list); err != nil {
		return truncated(res.StatusCode)
	}
	for _, m := range list.Data {
		// Ollama's own OpenAI-compatible server lists names with their tag.
		if m.ID == model || m.ID == model+":latest" {
			return nil
		}
	}
	return &failure{class: Misconfigured, status: res.StatusCode,
		detail: fmt.Sprintf("doesn't list the model %s (GROQ_MODEL, GROQ_MODEL_LARGE)", model)}
}
