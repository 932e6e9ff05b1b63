package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
)

// Answers keeps answers for whoever asks the same, and lets one of those who ask at the same time ask for all,
// over all processes.
type Answers interface {
	// Claim looks for an answer. Where there is none it makes the caller ask, or has it wait for who does.
	Claim(ctx context.Context, e cachetag.Entry, lane string, wait time.Duration) *cachetag.Claim
}

// fromCache is the provider of answers that were kept.
const fromCache = "cache"

// keptFormat changes with what is kept of an answer, so that no program reads another's.
const keptFormat = "1"

// How long a job keeps its place in the queue while another asks the same: an answer that is quick is worth
// that, for one that takes minutes the place is better used by others.
const sameQuestionWait = 2 * time.Second

// A keptAnswer is a model's answer as it is kept: complete and valid, and as the model gave it, so that it is
// polished by the program that shows it.
type keptAnswer struct {
	Text             string          `json:"text"`
	JSON             json.RawMessage `json:"json,omitempty"`
	Provider         string          `json:"provider"`
	Model            string          `json:"model"`
	PromptTokens     int             `json:"prompt_tokens"`
	CompletionTokens int             `json:"completion_tokens"`
	ShadowNanoUSD    int64           `json:"shadow_nano_usd"` // what each copy saves
	At               time.Time       `json:"at"`
}

// claim looks for an answer to a question that may have been asked before. It is a bypass where the client
// wants an answer of its own, and a *Wait where another job asks the same at the moment.
func (w asker) claim(ctx context.Context, t *Task, q question) (*cachetag.Claim, error) {
	if w.deps.Answers == nil || q.noStore || q.keep <= 0 {
		return &cachetag.Claim{Outcome: cachetag.Bypass}, nil
	}
	entry, err := w.entry(t, q)
	if err != nil {
		return nil, err
	}
	// Who is in a hurry doesn't wait for one who has minutes.
	claim := w.deps.Answers.Claim(ctx, entry, string(q.prompt.Mode), sameQuestionWait)
	if ctx.Err() != nil {
		claim.Release(ctx)
		return nil, ctx.Err()
	}
	if claim.Outcome == cachetag.Busy {
		busy := &Wait{Reason: "The same question is being answered for another job.", After: ageing(claim.Age)}
		return nil, busy.before(t.Deadline)
	}
	return claim, nil
}

// entry is where the answer to a question is kept. Organizations never share: each has entries of its own.
func (w asker) entry(t *Task, q question) (cachetag.Entry, error) {
	key, err := q.key(t.OrganizationID, t.Kind, w.deps.Model.Class(q.prompt))
	if err != nil {
		return cachetag.Entry{}, err
	}
	return cachetag.Entry{
		Organization: t.OrganizationID, Name: "ai:answer", Version: keptFormat, Key: key, Tags: q.tags, TTL: q.keep,
	}, nil
}

// key tells questions apart by all that an answer depends on, and by what it was made from: facts that have
// changed are another question. The mode, and where the data may go, decide who answers and not what is
// asked.
func (q question) key(organizationID, kind, class string) (string, error) {
	schema, err := canonical(q.prompt.Schema)
	if err != nil {
		return "", fmt.Errorf("read the schema of a question: %w", err)
	}
	messages := make([]inference.Message, len(q.prompt.Messages))
	for i, m := range q.prompt.Messages {
		messages[i] = inference.Message{Role: m.Role, Content: normalized(m.Content)}
	}
	all, err := json.Marshal([]any{organizationID, kind, q.template, class, messages, q.prompt.MaxTokens, q.prompt.Temperature, schema, q.tags})
	if err != nil {
		return "", fmt.Errorf("write the key of a question: %w", err)
	}
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:]), nil
}

// normalized is a text without what no reader sees: white space at its ends, and which line ends it has.
func normalized(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"))
}

// canonical is JSON with its names in order and without white space; numbers stay as they were written.
func canonical(doc json.RawMessage) (json.RawMessage, error) {
	if doc == nil {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// errNoAnswer means that what was kept is no answer of a model to the question.
var errNoAnswer = errors.New("it is no answer to the question")

// readKept reads an answer that was kept. What stands in Redis is believed no more than a model is.
func (q question) readKept(value []byte) (keptAnswer, error) {
	var kept keptAnswer
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	err := d.Decode(&kept)
	byModel := kept.Provider == inference.Ollama || kept.Provider == inference.Groq
	if err == nil && (kept.Text == "" || !byModel || kept.Model == "" || kept.ShadowNanoUSD < 0 ||
		min(kept.PromptTokens, kept.CompletionTokens) < 0 || !inference.Satisfies(kept.JSON, q.prompt.Schema)) {
		err = errNoAnswer
	}
	if err != nil {
		return kept, fmt.Errorf("read an answer that was kept: %w", err)
	}
	return kept, nil
}

// recall answers with what was kept.
func (w asker) recall(t *Task, q question, began time.Time, claim *cachetag.Claim) (Answer, error) {
	kept, err := q.readKept(claim.Value)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{
		Text: kept.Text, JSON: kept.JSON, Provider: fromCache, Model: kept.Model, Cached: true,
		PromptTokens: kept.PromptTokens, CompletionTokens: kept.CompletionTokens, Attempts: []AnswerAttempt{},
		foundBy: kept.Provider,
	}
	if err := a.polish(q); err != nil {
		return Answer{}, err
	}
	t.Follow.Provider(fromCache, a.Model, "")
	t.Follow.Token(a.Text)
	a.LatencyMS = time.Since(began).Milliseconds()
	t.Record(queueCalls(t, []store.AICall{{
		ID: outbox.NewID(), JobID: t.ID, Attempt: t.Attempt, Kind: t.Kind, Provider: fromCache, Model: a.Model, Outcome: inference.OK,
		RunMS: a.LatencyMS, ShadowNanoUSD: kept.ShadowNanoUSD, Cached: true, Cacheable: true, StartedAt: began,
		RupeesPerDollar: w.deps.RupeesPerDollar,
	}}))
	return a, nil
}

// keepable reports whether others may get an answer: one that was cut where its client wanted it cut is an
// answer to nobody else, and one that says nothing is worth another try.
func keepable(claim *cachetag.Claim, got inference.Answer) bool {
	n := len(got.Attempts)
	return claim.Outcome == cachetag.Miss && n > 0 && got.Attempts[n-1].Outcome == inference.OK && got.Text != ""
}

// keep keeps a model's answer for whoever asks the same. If it can't be kept, nobody is to wait for the next.
func keep(ctx context.Context, claim *cachetag.Claim, got inference.Answer) error {
	if !keepable(claim, got) {
		claim.Waive(ctx)
		return nil
	}
	value, err := json.Marshal(keptAnswer{
		Text: got.Text, JSON: got.JSON, Provider: got.Provider, Model: got.Model, PromptTokens: got.PromptTokens,
		CompletionTokens: got.CompletionTokens, ShadowNanoUSD: got.Attempts[len(got.Attempts)-1].ShadowNanoUSD, At: time.Now().UTC(),
	})
	if err != nil {
		return fmt.Errorf("write an answer to keep: %w", err)
	}
	claim.Keep(ctx, value)
	if len(value) > cachetag.MaxValue {
		claim.Waive(ctx)
	}
	return nil
}
