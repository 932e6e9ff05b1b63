package localstack

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ollama/ollama/api"
)

func ollamaClient(t *testing.T, o *Ollama) *api.Client {
	t.Helper()
	base, err := url.Parse(o.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return api.NewClient(base, &http.Client{Transport: transport})
}

// ask returns the whole answer and why it ended.
func ask(t *testing.T, c *api.Client, req *api.ChatRequest) (text, reason string) {
	t.Helper()
	req.Messages = []api.Message{{Role: "user", Content: "Score the lead."}}
	err := c.Chat(t.Context(), req, func(r api.ChatResponse) error {
		text += r.Message.Content
		reason = r.DoneReason
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text, reason
}

func TestOllamaAnswersUnderAllItsNames(t *testing.T) {
	t.Parallel()
	c := ollamaClient(t, TestOllama(t))
	for _, model := range append([]string{"tiny"}, testModels[0].aliases...) {
		text, reason := ask(t, c, &api.ChatRequest{Model: model, Options: map[string]any{"seed": 1}})
		if strings.TrimSpace(text) == "" || reason != "stop" {
			t.Errorf("%s answers %q and ends for %q", model, text, reason)
		}
	}
}

func TestOllamaObeysASchema(t *testing.T) {
	t.Parallel()
	c := ollamaClient(t, TestOllama(t))
	text, _ := ask(t, c, &api.ChatRequest{
		Model:   "tiny",
		Format:  json.RawMessage(`{"type":"object","properties":{"level":{"enum":["high","low"]},"hot":{"type":"boolean"}},"required":["level","hot"]}`),
		Options: map[string]any{"seed": 1},
	})
	var answer struct {
		Level string
		Hot   *bool
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if answer.Level != "high" && answer.Level != "low" || answer.Hot == nil {
		t.Errorf("%q is not what the schema asks for", text)
	}
}

func TestTheSlowModelGoesOnUntilTheClientLeaves(t *testing.T) {
	t.Parallel()
	c := ollamaClient(t, TestOllama(t))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var tokens int
	var ended bool
	var first time.Time
	req := &api.ChatRequest{Model: "tiny-slow", Messages: []api.Message{{Role: "user", Content: "Score the lead."}}}
	err := c.Chat(ctx, req, func(r api.ChatResponse) error {
		if tokens++; tokens == 1 {
			first = time.Now()
		}
		ended = ended || r.Done
		if tokens == 200 {
			leave()
		}
		return nil
	})
	// The client takes a stream that was cut for one that ended, so that its nil
	// says nothing here.
	if ended || tokens < 200 || err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("it ended after %d tokens (done: %t): %v", tokens, ended, err)
	}
	t.Logf("%d tokens, %s each", tokens, time.Since(first)/time.Duration(tokens))
}

func TestOllamaComesBackAfterAKillAndAfterAStop(t *testing.T) {
	t.Parallel()
	o := NewOllama(t, "OLLAMA_MAX_QUEUE=3")
	c := ollamaClient(t, o)
	ask(t, c, &api.ChatRequest{Model: "tiny"})
	before, runners, address := o.Pid(), descendants(o.Pid()), o.URL()
	if len(runners) == 0 {
		t.Fatal("a model is loaded and there is no runner")
	}
	o.Kill()
	for _, pid := range append(runners, before) {
		waitGone(t, pid)
	}
	if err := o.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.Pid() == before || o.URL() != address {
		t.Errorf("pid %d at %s, before the kill %d at %s", o.Pid(), o.URL(), before, address)
	}
	ask(t, c, &api.ChatRequest{Model: "mistral:7b"})

	runners = descendants(o.Pid())
	if err := o.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, pid := range runners {
		waitGone(t, pid)
	}
	if err := c.Heartbeat(t.Context()); err == nil {
		t.Error("it answers after it was stopped")
	}
	if err := o.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.URL() != address {
		t.Errorf("it is back at %s, and was at %s", o.URL(), address)
	}
	ask(t, c, &api.ChatRequest{Model: "tiny"})
}
