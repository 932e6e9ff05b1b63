package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

// A Task is a requested job in the hands of the work that does it.
type Task struct {
	store.Job
	// Follow tells a client that watches how the work goes on.
	Follow *Follow
	// Log is for what an operator may want to know of the attempt: it goes to the log, and is kept with the attempt.
	// Never prompts, answers, bodies or addresses.
	Log *slog.Logger

	journal *Journal
	records []func(*pgx.Batch)
}

// Record adds writes to the transaction that ends this attempt, however it ends.
func (t *Task) Record(queue func(*pgx.Batch)) { t.records = append(t.records, queue) }

// A Result is what work came to. All of it is committed together with the job's completion.
type Result struct {
	Output  any                // encoded as the job's output
	Effects []store.Effect     // what was done outside Postgres
	Save    func(b *pgx.Batch) // more rows, or nil
	// Change makes changes that must be read to be told, and gives the facts that tell of them; nil: none.
	// It holds the locks of the rows that it changes until the job's end is on disk.
	Change func(ctx context.Context, tx pgx.Tx) ([]events.Fact, error)
}

// A Failure ends a job for good: trying again would fail again. Its text is for the client.
type Failure struct {
	Code    string // stable, for programs
	Title   string // one short phrase
	Detail  string // one sentence
	Pointer string // the place in the input, or ""
	Output  any    // what there is of a result, or nil
}

// Error says the code and the sentence.
func (f *Failure) Error() string { return f.Code + ": " + f.Detail }

// A Passing is a failure that the next attempt may not meet. After the last attempt it is how the job ends.
type Passing struct{ Failure *Failure }

// Error says the code and the sentence.
func (p *Passing) Error() string { return p.Failure.Error() }

// A Wait puts a job off without using up an attempt: what it needs is away.
type Wait struct {
	Reason string // for the client: what is away, and what would help
	After  time.Duration
}

// Error says the reason.
func (w *Wait) Error() string { return "waits: " + w.Reason }

// pause is how long to wait; less than a second would only keep the queue busy.
func (w *Wait) pause() time.Duration { return max(w.After, time.Second) }

// before shortens a wait for something that may come at any time, if it would outlast the job's deadline.
func (w *Wait) before(deadline *time.Time) *Wait {
	if deadline != nil && w.pause() >= time.Until(*deadline) {
		w.After = time.Until(*deadline) / 2
	}
	return w
}

// problem is the RFC 9457 object that a failed job shows.
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail"`
	Instance  string         `json:"instance"`
	Code      string         `json:"code"`
	RequestID *string        `json:"request_id"`
	Errors    []problemError `json:"errors,omitempty"`
}

type problemError struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// Statuses that a failed job's problem shows: what the answer would have been, had the client waited.
const (
	statusUnprocessable = 422
	statusInternal      = 500
	statusTimeout       = 504
)

// problemOf tells a client why its job failed. What is not meant for clients becomes an internal error
// with the request id to ask the operator with.
func problemOf(j store.Job, err error) problem {
	p := problem{
		Type: docsOf(codeInternal), Title: "Internal error", Status: statusInternal, Code: codeInternal,
		Detail:   "The job failed for a reason on our side; quote the request id.",
		Instance: "/api/jobs/" + j.ID, RequestID: j.RequestID,
	}
	var f *Failure
	if !errors.As(err, &f) {
		return p
	}
	p.Type, p.Title, p.Detail, p.Code, p.Status = docsOf(f.Code), f.Title, f.Detail, f.Code, statusUnprocessable
	if f.Code == codeDeadline || f.Code == codeTimeout {
		p.Status = statusTimeout
	}
	if f.Pointer != "" {
		p.Errors = []problemError{{Pointer: "/input" + f.Pointer, Detail: f.Detail}}
	}
	return p
}

const (
	codeDeadline     = "deadline_exceeded"
	codeTimeout      = "timeout"
	codeInternal     = "internal"
	codeNotFound     = "not_found"
	codeInvalidState = "invalid_state"
	codeForbidden    = "forbidden"
)

// docsOf is where the API's documents explain a code.
func docsOf(code string) string { return "/docs#" + code }

// Expired is the failure of a job whose deadline passed before it ended.
func Expired(deadline time.Time) *Failure {
	return &Failure{Code: codeDeadline, Title: "Deadline exceeded",
		Detail: fmt.Sprintf("The job had not ended by its deadline, %s.", deadline.UTC().Format(time.RFC3339))}
}

func encode(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnencodable, err)
	}
	return data, nil
}
