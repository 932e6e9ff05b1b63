package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
)

// Model answers prompts.
type Model interface {
	Answer(ctx context.Context, p inference.Prompt, s inference.Sink) (inference.Answer, error)
	// Class names the models that may answer a prompt.
	Class(p inference.Prompt) string
}

// byRules is the provider of answers that no model gave.
const byRules = "rules"

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

	foundBy string // the provider whose answer a kept one is
}

// An AnswerAttempt says what one provider did for an answer.
type AnswerAttempt struct {
	Provider  string `json:"provider"`
	Model     string `json:"model"`
	Outcome   string `json:"outcome"`
	LatencyMS int64  `json:"latency_ms"`
}

// asker has a model answer questions for jobs.
type asker struct{ deps Deps }

// reply asks, and makes the answer the job's result.
func (w asker) reply(ctx context.Context, t *Task, q question) (Result, error) {
	a, err := w.ask(ctx, t, q)
	if err != nil {
		return Result{}, err
	}
	return answered(t, a)
}

// answered is the result of a job that was answered.
func answered(t *Task, a Answer) (Result, error) {
	receipt, err := json.Marshal(map[string]any{"provider": a.Provider, "model": a.Model, "completion_tokens": a.CompletionTokens})
	if err != nil {
		return Result{}, err
	}
	return Result{Output: a, Effects: []store.Effect{
		{Key: "answer", State: "done", Attempt: t.Attempt, Receipt: receipt},
	}}, nil
}

// ask streams to who follows, records every attempt, and sorts what went wrong into what the job does
// about it. The organization's settings say whether its data may leave the house.
func (w asker) ask(ctx context.Context, t *Task, q question) (Answer, error) {
	began := time.Now()
	policy, err := w.start(ctx, t)
	if err != nil {
		return Answer{}, err
	}
	q.prompt.LocalOnly = policy.LocalOnly
	if q.prompt.Mode == "" {
		q.prompt.Mode = inference.Mode(policy.Mode)
	}
	claim, err := w.claim(ctx, t, q)
	if err != nil {
		return Answer{}, err
	}
	defer claim.Release(ctx)
	if claim.Outcome == cachetag.Hit {
		a, err := w.recall(t, q, began, claim)
		if err == nil {
			noteAnswer(ctx, "the answer was kept from before", a, slog.String("by", a.foundBy))
			return a, nil
		}
		NotesOf(ctx).Warn("an answer that was kept can't be used", "error", err)
		claim.Spoilt() // what is asked anew takes its place
	}
	q.prompt.Begun = t.Follow.Began
	money := &budget{deps: w.deps, job: t.Job, now: time.Now}
	q.prompt.Terms, q.prompt.Purse = money.terms, w.deps.purse(policy)
	got, err := w.deps.Model.Answer(ctx, q.prompt, t.Follow)
	asked := attemptsTo(got, err)
	noteAsked(ctx, asked)
	money.bookUnlimited(ctx, asked)
	if err != nil {
		a, err := w.withoutModel(t, q, began, err)
		if err == nil {
			noteAnswer(ctx, "the rules answered", a, slog.String("instead_for", *a.FallbackReason))
		}
		return a, err
	}
	calls := w.callsOf(t, got.Attempts)
	if keepable(claim, got) {
		calls[len(calls)-1].Cacheable = true
	}
	t.Record(queueCalls(t, calls))
	a, err := w.shown(t, q, got)
	if err != nil {
		return Answer{}, err
	}
	return a, keep(ctx, claim, got)
}

// start tells who follows that an attempt is on, and at the same time reads the organization's settings: a job
// is not to wait for one answer of the database after the other.
func (w asker) start(ctx context.Context, t *Task) (policy store.AIPolicy, err error) {
	var both errgroup.Group
	both.Go(func() (err error) {
		policy, err = store.OrganizationAI(ctx, w.deps.DB.Pool(), t.OrganizationID)
		return err
	})
	both.Go(func() error { return t.Follow.Started(ctx) })
	err = both.Wait()
	return policy, err
}

// shown is a model's answer in the shape that clients get. Whoever follows has read the model's own by now.
func (w asker) shown(t *Task, q question, got inference.Answer) (Answer, error) {
	a := answerOf(got)
	if err := a.polish(q); err != nil {
		return Answer{}, err
	}
	if a.Text != got.Text {
		t.Follow.Reset(a.Provider, "polished")
		t.Follow.Token(a.Text)
	}
	return a, nil
}

func answerOf(got inference.Answer) Answer {
	out := Answer{
		Text: got.Text, JSON: got.JSON, Provider: got.Provider, Model: got.Model,
		PromptTokens: got.PromptTokens, CompletionTokens: got.CompletionTokens,
		LatencyMS: got.Latency.Milliseconds(), Attempts: attemptsOf(got.Attempts),
	}
	if got.FallbackReason != "" {
		out.FallbackReason = &got.FallbackReason
	}
	return out
}

func attemptsOf(list []inference.Attempt) []AnswerAttempt {
	out := make([]AnswerAttempt, len(list))
	for i, a := range list {
		out[i] = AnswerAttempt{Provider: a.Provider, Model: a.Model, Outcome: a.Outcome, LatencyMS: (a.Queue + a.Run).Milliseconds()}
	}
	return out
}

// polish gives the document the shape that clients get.
func (a *Answer) polish(q question) error {
	if q.polish == nil {
		return nil
	}
	doc, err := q.polish(a.JSON)
	if err != nil {
		return fmt.Errorf("polish the answer to %s: %w", q.template, err)
	}
	a.JSON, a.Text = doc, string(doc)
	return nil
}

// withoutModel answers by the rules where no model can be reached, or says what the job does about that.
func (w asker) withoutModel(t *Task, q question, began time.Time, err error) (Answer, error) {
	var failed *inference.Error
	if !errors.As(err, &failed) {
		return Answer{}, err
	}
	var out any
	ruled := w.deps.Rules && q.rules != nil && unreachable(failed)
	if ruled {
		out, ruled = q.rules()
	}
	if !ruled {
		t.Record(w.recordCalls(t, failed.Attempts))
		return Answer{}, askFailed(failed)
	}
	doc, err := json.Marshal(out)
	if err != nil {
		return Answer{}, fmt.Errorf("answer %s by its rules: %w", q.template, err)
	}
	t.Follow.Provider(byRules, q.template, failed.Class)
	t.Follow.Token(string(doc))
	attempts := append(failed.Attempts, inference.Attempt{
		Provider: byRules, Model: q.template, StartedAt: time.Now(), Outcome: inference.OK,
	})
	t.Record(w.recordCalls(t, attempts))
	return Answer{
		Text: string(doc), JSON: doc, Provider: byRules, Model: q.template, LatencyMS: time.Since(began).Milliseconds(),
		FallbackReason: &failed.Class, Attempts: attemptsOf(attempts),
	}, nil
}

// unreachable tells models that are away, or that may not be paid for, from models that are busy: those are
// worth waiting for, as is a database that can't tell how much money is left. Who may not pay waits for a busy
// model in the house.
func unreachable(e *inference.Error) bool {
	if !e.Wait() || e.Class == inference.Unchecked || busy(e.Class) {
		return false
	}
	for _, a := range slices.Backward(e.Attempts) {
		if a.Provider == inference.Ollama {
			return !busy(a.Outcome)
		}
	}
	return true
}

func busy(class string) bool { return class == inference.QueueFull || class == inference.Overloaded }

func askFailed(failed *inference.Error) error {
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
	return failed
}

// recordCalls writes a row for every attempt at a provider.
func (w asker) recordCalls(t *Task, attempts []inference.Attempt) func(*pgx.Batch) {
	return queueCalls(t, w.callsOf(t, attempts))
}

func (w asker) callsOf(t *Task, attempts []inference.Attempt) []store.AICall {
	calls := make([]store.AICall, len(attempts))
	reason := ""
	for i, a := range attempts {
		calls[i] = store.AICall{
			ID: cmp.Or(a.ID, outbox.NewID()), JobID: t.ID, Attempt: t.Attempt, Kind: t.Kind, Provider: a.Provider, Model: modelOf(a),
			Outcome: a.Outcome, Status: a.Status, Detail: a.Detail, FallbackReason: reason,
			QueueMS: a.Queue.Milliseconds(), FirstTokenMS: a.FirstToken.Milliseconds(), RunMS: a.Run.Milliseconds(),
			PromptTokens: a.PromptTokens, CompletionTokens: a.CompletionTokens,
			CostNanoUSD: a.CostNanoUSD, ShadowNanoUSD: a.ShadowNanoUSD, StartedAt: a.StartedAt,
			RupeesPerDollar: w.deps.RupeesPerDollar,
		}
		reason = a.Outcome
	}
	return calls
}

// modelOf is the model that an attempt counts for. Anybody may name models that don't exist: what a client named
// counts by its name only if it answered, lest figures grow by what was made up.
func modelOf(a inference.Attempt) string {
	if a.Named && a.Outcome != inference.OK && a.Outcome != inference.Length {
		return store.OtherModels
	}
	return a.Model
}

func queueCalls(t *Task, calls []store.AICall) func(*pgx.Batch) {
	return func(b *pgx.Batch) { store.QueueAICalls(b, t.OrganizationID, calls) }
}
