package jobs

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
)

// Model answers prompts.
type Model interface {
	Answer(ctx context.Context, p inference.Prompt, s inference.Sink) (inference.Answer, error)
}

// An Answer is the output of the AI kinds.
type Answer struct {
	Text             string          `json:"text"`
	JSON             json.RawMessage `json:"json"` // null unless a schema was given
	Provider         string          `json:"provider"`
	Model            string          `json:"model"`
	PromptTokens     int             `json:"prompt_tokens"`
	CompletionTokens int             `json:"completion_tokens"`
	LatencyMS        int64           `json:"latency_ms"`
	Cached           bool            `json:"cached"`
	FallbackReason   *string         `json:"fallback_reason"`
	Attempts         []AnswerAttempt `json:"attempts"`
}

// An AnswerAttempt says what one provider did for an answer.
type AnswerAttempt struct {
	Provider  string `json:"provider"`
	Model     string `json:"model"`
	Outcome   string `json:"outcome"`
	LatencyMS int64  `json:"latency_ms"`
}

// asker has a model answer prompts for jobs.
type asker struct{ deps Deps }

// ask streams to who follows, records every attempt, and sorts what went wrong into what the job does
// about it. The organization's settings say whether its data may leave the house.
func (w asker) ask(ctx context.Context, t *Task, p inference.Prompt) (Result, error) {
	policy, err := store.OrganizationAI(ctx, w.deps.DB.Pool(), t.OrganizationID)
	if err != nil {
		return Result{}, err
	}
	p.LocalOnly = policy.LocalOnly
	if p.Mode == "" {
		p.Mode = inference.Mode(policy.Mode)
	}
	if err := t.Follow.Started(ctx); err != nil {
		return Result{}, err
	}
	answer, err := w.deps.Model.Answer(ctx, p, t.Follow)
	if err != nil {
		return Result{}, askFailed(t, err)
	}
	t.Record(recordCalls(t, answer.Attempts))
	out := Answer{
		Text: answer.Text, JSON: answer.JSON, Provider: answer.Provider, Model: answer.Model,
		PromptTokens: answer.PromptTokens, CompletionTokens: answer.CompletionTokens,
		LatencyMS: answer.Latency.Milliseconds(), Attempts: []AnswerAttempt{},
	}
	if answer.FallbackReason != "" {
		out.FallbackReason = &answer.FallbackReason
	}
	for _, a := range answer.Attempts {
		out.Attempts = append(out.Attempts, AnswerAttempt{
			Provider: a.Provider, Model: a.Model, Outcome: a.Outcome, LatencyMS: (a.Queue + a.Run).Milliseconds(),
		})
	}
	receipt, err := json.Marshal(map[string]any{"provider": out.Provider, "model": out.Model,
		"completion_tokens": out.CompletionTokens})
	if err != nil {
		return Result{}, err
	}
	return Result{Output: out, Effects: []store.Effect{
		{Key: "answer", State: "done", Attempt: t.Attempt, Receipt: receipt},
	}}, nil
}

func askFailed(t *Task, err error) error {
	var failed *inference.Error
	if !errors.As(err, &failed) {
		return err
	}
	t.Record(recordCalls(t, failed.Attempts))
	switch {
	case failed.Permanent():
		f := &Failure{Code: failed.Class, Title: "No answer", Detail: failed.Detail}
		if failed.Pointer != "" || failed.Class == inference.Request {
			f.Pointer = failed.Pointer
		}
		if failed.Partial != "" {
			f.Output = map[string]string{"invalid_answer": failed.Partial}
		}
		return f
	case failed.Wait():
		return &Wait{Reason: failed.Reason(), After: failed.RetryAfter}
	}
	return err
}

// recordCalls writes a row for every attempt at a provider.
func recordCalls(t *Task, attempts []inference.Attempt) func(*pgx.Batch) {
	calls := make([]store.AICall, len(attempts))
	reason := ""
	for i, a := range attempts {
		calls[i] = store.AICall{
			ID: outbox.NewID(), JobID: t.ID, Attempt: t.Attempt, Kind: t.Kind, Provider: a.Provider, Model: a.Model,
			Outcome: a.Outcome, Status: a.Status, Detail: a.Detail, FallbackReason: reason,
			QueueMS: a.Queue.Milliseconds(), FirstTokenMS: a.FirstToken.Milliseconds(), RunMS: a.Run.Milliseconds(),
			PromptTokens: a.PromptTokens, CompletionTokens: a.CompletionTokens,
			CostNanoUSD: a.CostNanoUSD, ShadowNanoUSD: a.ShadowNanoUSD, StartedAt: a.StartedAt,
		}
		reason = a.Outcome
	}
	return func(b *pgx.Batch) { store.QueueAICalls(b, t.OrganizationID, calls) }
}
