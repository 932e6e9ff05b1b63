package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
)

// Puller fetches models for the owner's Ollama.
type Puller interface {
	Pull(ctx context.Context, p inference.Pull, progress func(done, total int64) error) (inference.Pulled, error)
}

// pullModelArgs are River's arguments of ai.pull_model.
type pullModelArgs struct{ Request }

// Kind implements river.JobArgs.
func (pullModelArgs) Kind() string { return "ai.pull_model" }

// pulling is the input of ai.pull_model.
type pulling struct {
	Model    string `json:"model"`
	Insecure bool   `json:"insecure"`
}

// pulledModel is the output of ai.pull_model.
type pulledModel struct {
	Model  string `json:"model"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

var pullModelSpec = Spec{
	// 70 GB by a slow line take a day; the model's puller notices by itself when nothing more comes.
	Queue: Maintenance, Timeout: 24 * time.Hour, MaxAttempts: 3, Backoff: exponential(10*time.Second, time.Minute), Scope: "admin",
	Summary: "Has the owner's Ollama fetch a model from a registry, and tells how far it is.",
	Notes:   "One at a time in each worker; what came before a fault or a cancellation is kept, and the next pull goes on from there.",
	OutputSchema: json.RawMessage(documentSchema(`
		"model":{"type":"string","description":"as Ollama names it"},
		"digest":{"type":"string","description":"which of the model's versions it is"},
		"size":{"type":"integer","minimum":0,"description":"in bytes"}`, "model", "digest", "size")),
	Fails: pullCodes,
	Check: func(input json.RawMessage) []Fault {
		var in pulling
		if faults := strict(input, &in); faults != nil {
			return faults
		}
		if why := inference.CheckModelName(in.Model); why != "" {
			return []Fault{{"/model", why}}
		}
		return nil
	},
	InputSchema: json.RawMessage(`{"type":"object","required":["model"],"additionalProperties":false,"properties":{
		"model":{"type":"string","minLength":1,"maxLength":250,"description":"as Ollama names it: mistral:7b, or registry.example.com/team/model:tag"},
		"insecure":{"type":"boolean","default":false,"description":"the registry may speak plain HTTP"}}}`),
}

const (
	// progressEvery is how often it is told how far a pull is: each time is a commit.
	progressEvery = 300 * time.Millisecond
	// ollamaBack is when an Ollama that is away, or busy with another pull, is asked again.
	ollamaBack = 15 * time.Second
)

// pullPauses are before the second and the third try of a pull that met a passing fault.
var pullPauses = []time.Duration{time.Second, 5 * time.Second}

// pullModel has Ollama fetch a model. What came before a fault, a cancellation or a new attempt is kept by Ollama,
// which goes on from there.
type pullModel struct {
	puller Puller
	// turn is held by the one pull that this process has under way. Pulls last for hours, and side by side they
	// would keep all of the queue's places from what keeps house, and share one line anyhow.
	turn chan struct{}
}

// Run implements Work.
func (w pullModel) Run(ctx context.Context, _ pullModelArgs, t *Task) (Result, error) {
	var in pulling
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return Result{}, fmt.Errorf("read the input: %w", err)
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	default:
		return Result{}, &Wait{Reason: "Another model is being pulled.", After: ollamaBack}
	}
	if err := t.Follow.Started(ctx); err != nil {
		return Result{}, err
	}
	p := pullProgress{ctx: ctx, follow: t.Follow}
	for try := 0; ; try++ {
		got, err := w.puller.Pull(ctx, inference.Pull{Model: in.Model, Insecure: in.Insecure}, p.heard)
		var failed *inference.PullError
		switch {
		case err == nil:
			return p.result(t, got)
		case !errors.As(err, &failed):
			return Result{}, err
		case failed.Code == inference.PullAway:
			return Result{}, &Wait{Reason: failed.Detail, After: ollamaBack}
		case !failed.Passing || try == len(pullPauses):
			return Result{}, pullFailure(failed)
		}
		select {
		case <-ctx.Done():
			return Result{}, ctx.Err()
		case <-time.After(pullPauses[try]):
		}
	}
}

func pullFailure(e *inference.PullError) *Failure {
	f := &Failure{Code: e.Code, Title: "Model not pulled", Detail: e.Detail}
	switch e.Code {
	case inference.PullNoSuchModel, inference.PullInvalidModelName:
		f.Pointer = "/model"
	case inference.PullInsecure:
		f.Pointer = "/insecure"
	}
	return f
}

// pullProgress tells how far a pull is, not too often. What it told never goes back.
type pullProgress struct {
	ctx    context.Context
	follow *Follow
	at     time.Time // it was told last
	now    span
	told   span
}

// span is how many bytes of how many.
type span struct{ done, total int64 }

func (p *pullProgress) heard(done, total int64) error {
	p.now = span{max(p.now.done, done), max(p.now.total, total)}
	if time.Since(p.at) < progressEvery {
		return nil
	}
	return p.tell()
}

func (p *pullProgress) tell() error {
	if p.told == p.now {
		return nil
	}
	p.at, p.told = time.Now(), p.now
	return p.follow.Progress(p.ctx, p.now.done, p.now.total)
}

// result tells the rest of the progress, and what was pulled.
func (p *pullProgress) result(t *Task, got inference.Pulled) (Result, error) {
	if err := p.tell(); err != nil {
		return Result{}, err
	}
	out := pulledModel{Model: got.Model, Digest: got.Digest, Size: got.Size}
	receipt, err := json.Marshal(out)
	if err != nil {
		return Result{}, err
	}
	return Result{Output: out, Effects: []store.Effect{{Key: "model", State: "done", Attempt: t.Attempt, Receipt: receipt}}}, nil
}
