package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// A switchboard hands a prompt to the chain whose name it begins with, so that many chains have one worker.
type switchboard struct {
	mu     sync.Mutex
	chains map[string]*inference.Chain
}

func (b *switchboard) connect(name string, c *inference.Chain) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.chains == nil {
		b.chains = make(map[string]*inference.Chain)
	}
	b.chains[name] = c
}

// Answer implements jobs.Model.
func (b *switchboard) Answer(ctx context.Context, p inference.Prompt, s inference.Sink) (inference.Answer, error) {
	c := b.chain(p)
	if c == nil {
		return inference.Answer{}, errors.New("there is no chain of that name")
	}
	return c.Answer(ctx, p, s)
}

// Class implements jobs.Model.
func (b *switchboard) Class(p inference.Prompt) string { return b.chain(p).Class(p) }

func (b *switchboard) chain(p inference.Prompt) *inference.Chain {
	name, _, _ := strings.Cut(p.Messages[0].Content, "|")
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.chains[name]
}

// A rowBench is one row of the error table, set up.
type rowBench struct {
	errorRow
	t            *testing.T
	s            *site
	config       inference.Config
	chain        *inference.Chain
	ollama, groq *faults.Proxy

	mu    sync.Mutex
	order []string // who was asked
}

func newBench(t *testing.T, shared *site, board *switchboard, row errorRow) *rowBench {
	t.Helper()
	s := &site{t: t, organization: shared.organization, db: shared.db, logged: shared.logged} // what a row may use
	b := &rowBench{errorRow: row, t: t, s: s}
	model := localstack.TestOllama(t).URL()
	b.ollama, b.groq = faults.New(t, model), faults.New(t, model)
	b.ollama.Every(b.noting(inference.Ollama, row.ollama, nil))
	b.groq.Every(b.noting(inference.Groq, row.groq, nil))
	b.config = inference.Config{OllamaEnabled: true, OllamaURL: b.ollama.URL, GroqKey: "gsk_secret", GroqBaseURL: b.groq.URL + "/v1",
		FastBudget: time.Minute, LargeBudget: time.Minute, Patience: time.Minute, GroqTimeout: time.Minute, Log: s.logged.log()}
	if row.set != nil {
		row.set(&b.config)
	}
	b.chain = b.newChain()
	board.connect(row.name, b.chain)
	return b
}

func (b *rowBench) newChain() *inference.Chain {
	b.t.Helper()
	c, err := inference.New(b.config)
	b.s.must(err)
	return c
}

// noting plays the faults in turn, then others, and notes who was asked.
func (b *rowBench) noting(who string, first []faults.Fault, others faults.Fault) faults.Fault {
	return func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		b.mu.Lock()
		b.order = append(b.order, who)
		f := others
		if len(first) > 0 {
			f, first = first[0], first[1:]
		}
		b.mu.Unlock()
		if f == nil {
			pass(w, r)
			return
		}
		f(w, r, pass)
	}
}

func (b *rowBench) asks() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.order, " ")
}

func (b *rowBench) run() {
	t := b.t
	if got := b.status(b.chain); got.State != "closed" || got.LastClass != "" {
		t.Fatalf("the breaker begins as %+v", got)
	}
	input := fmt.Sprintf(`{"prompt":%q,"cache":"no-store"`, b.name+"| Score the lead.")
	if b.input != "" {
		input += "," + b.input
	}
	submitted := time.Now()
	id := b.s.submit("ai.completion", input+"}", func(j *store.Job) {
		if b.limit > 0 {
			deadline := submitted.Add(b.limit)
			j.Deadline = &deadline
		}
	})
	b.outcome(id, submitted)
	if got := b.asks(); got != b.asked {
		t.Errorf("asked were %q, want %q", got, b.asked)
	}
	b.s.eventually("the calls are recorded", func() error { return same(strings.Join(b.s.calls(id), " "), b.calls) })
	b.records(id)
	got := b.status(b.chain)
	if b.state == "limited" && got.State == "closed" {
		got.State = "limited" // the pause is over
	}
	if got.State != b.state || got.LastClass != b.class {
		t.Errorf("the breaker is %s after %q, want %s after %q", got.State, got.LastClass, b.state, b.class)
	}
	b.breaks()
}

// outcome checks what the job becomes.
func (b *rowBench) outcome(id string, submitted time.Time) {
	t := b.t
	switch b.becomes {
	case "succeeded":
		a, reason := b.s.answer(id), ""
		if a.FallbackReason != nil {
			reason = *a.FallbackReason
		}
		if got := a.Provider + " " + reason; got != b.by {
			t.Errorf("answered by %q, want %q", got, b.by)
		}
	case "failed":
		if j := b.s.ends(id, store.Failed); problemCode(j.Error) != b.by || j.Attempt != 1 {
			t.Errorf("it failed with %s in attempt %d, want %s in the first", j.Error, j.Attempt, b.by)
		}
	case "waiting":
		reason, j := b.s.waits(id), b.s.job(id)
		if !strings.Contains(reason, b.waits) || j.Attempt != 1 {
			t.Errorf("it waits for %q in attempt %d, want %q in the first", reason, j.Attempt, b.waits)
		}
		if next := j.NextAttemptAt; next == nil || next.Sub(submitted) < b.after || time.Until(*next) > b.after+15*time.Second {
			t.Errorf("it is tried again at %v, want about %s after %v", next, b.after, submitted)
		}
	}
}

// records checks that each call says why it was made, and that text that was heard counts.
func (b *rowBench) records(id string) {
	rows, err := b.s.db.Pool().Query(b.t.Context(), `SELECT outcome, coalesce(fallback_reason, ''), prompt_tokens, completion_tokens, cost_nano_usd, provider
		FROM ai_calls WHERE job_id = $1 ORDER BY started_at, id`, id)
	b.s.must(err)
	type call struct {
		Outcome, Reason string
		Prompt, Written int
		Cost            int64
		Provider        string
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[call])
	b.s.must(err)
	before := ""
	for i, c := range list {
		if c.Reason != before {
			b.t.Errorf("call %d was made because of %q, want %q", i+1, c.Reason, before)
		}
		before = c.Outcome
		heard := c.Outcome == "ok" || c.Outcome == "length" || c.Outcome == "truncated" || c.Outcome == "schema_invalid"
		paid := heard && c.Provider == inference.Groq
		// What it doesn't answer it may have read and billed, unless the call never got there.
		unsure := c.Provider == inference.Groq && (c.Outcome == "timeout" || c.Outcome == "unavailable")
		if heard != (c.Written > 0) || !unsure && paid != (c.Cost > 0) || paid && c.Prompt == 0 {
			b.t.Errorf("call %d is %+v, want tokens where text was heard, and the cost of prompt and text where Groq wrote it", i+1, c)
		}
	}
}

func (b *rowBench) status(c *inference.Chain) (found inference.ProviderStatus) {
	model := map[string]string{inference.Ollama: "mistral:7b", inference.Groq: "openai/gpt-oss-20b"}[b.suspect]
	for _, s := range c.Status() {
		if s.Provider == b.suspect && s.Model == model {
			found = s
		}
	}
	return found
}

// breaks repeats the fault on a new chain until the breaker opens, or it is clear that it doesn't.
func (b *rowBench) breaks() {
	t := b.t
	fault := map[string][]faults.Fault{inference.Ollama: b.errorRow.ollama, inference.Groq: b.errorRow.groq}[b.suspect]
	if b.class == "overloaded" && b.suspect == inference.Groq || len(fault) == 0 && b.set == nil {
		return // a limit that is known keeps it from being asked again
	}
	says := faults.OllamaSays("Hot.", "stop")
	other := faults.GroqSays("Hot.", "stop")
	if len(b.errorRow.ollama) > 0 {
		says = b.errorRow.ollama[0]
	}
	if len(b.errorRow.groq) > 0 {
		other = b.errorRow.groq[0]
	}
	b.ollama.Every(says)
	b.groq.Every(other)
	chain, failures := b.newChain(), 0
	prompt := inference.Prompt{Messages: []inference.Message{{Role: "user", Content: "Score the lead."}}}
	for range 12 {
		a, err := chain.Answer(t.Context(), prompt, nil)
		attempts := a.Attempts
		var failed *inference.Error
		if errors.As(err, &failed) {
			attempts = failed.Attempts
		}
		for _, a := range attempts {
			if a.Provider == b.suspect && a.Outcome != "ok" && a.Outcome != "breaker_open" {
				failures++
			}
		}
		if b.status(chain).State == "open" {
			break
		}
	}
	if open := b.status(chain).State == "open"; open != (b.opens > 0) || open && failures != b.opens {
		t.Errorf("after %d failures its breaker is open: %t; want it to open after %d (0: never)", failures, open, b.opens)
	}
	if next := b.status(chain).NextProbe; b.class == "auth" && time.Until(next) < 50*time.Second {
		t.Errorf("the next probe is at %v, want the key to be left alone for a minute", next)
	}
}

func same(got, want string) error {
	if got != want {
		return fmt.Errorf("it is %q, want %q", got, want)
	}
	return nil
}

func oneAttempt(j *store.Job) { j.MaxAttempts = 1 }

// endless talks as Ollama does until the client leaves.
func endless(talking, stopped chan<- struct{}) faults.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		_, _ = io.WriteString(w, `{"message":{"role":"assistant","content":"Once"}}`+"\n")
		w.(http.Flusher).Flush()
		close(talking)
		<-r.Context().Done()
		close(stopped)
	}
}

func receive[T any](t *testing.T, what string, from <-chan T) {
	t.Helper()
	select {
	case <-from:
	case <-time.After(patience):
		t.Fatalf("waiting until %s", what)
	}
}

// cancel ends a job as the API does.
func (s *site) cancel(id string) {
	s.t.Helper()
	s.must(s.db.Tx(s.t.Context(), func(tx pgx.Tx) error { return jobs.Cancel(s.t.Context(), tx, s.job(id)) }))
}
