package sampledata

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// A jobMaker makes the rows of jobs, any of them at any time.
type jobMaker struct {
	JobOptions
	first  int64 // id of River's before the first
	chance *chance
}

// A madeJob is one job before it is written into tables.
type madeJob struct {
	jobSort
	id           uuid.UUID
	river        int64
	organization string
	status       string
	attempts     int
	failure      *madeFailure
	created      time.Time
	started      time.Time
	ended        time.Time
	dice         dice
}

// A jobSort is what is said of all jobs of a kind.
type jobSort struct {
	kind, queue string
	often       int
	internal    bool // River's alone: no row of ours
	attempts    int16
	takes       time.Duration // about
	input       func(dice) string
	output      string
	failures    []jobFailure
}

// A jobFailure is a reason of which jobs of a kind fail. The message has what differs from one to the next.
type jobFailure struct {
	often                int
	code, title, message string
}

type madeFailure struct{ code, title, message string }

func person(d dice) string { return pick(d, firstNames) + " " + pick(d, surnames) }

func inputOfContact(d dice) string { return fmt.Sprintf(`{"contact_id":"%s"}`, anyID(d)) }

func anyID(d dice) string {
	return fmt.Sprintf("0199%04x-%04x-7%03x-8%03x-%012x", d.Uint64()&0xffff, d.Uint64()&0xffff, d.Uint64()&0xfff, d.Uint64()&0xfff, d.Uint64()&0xffffffffffff)
}

var modelFailures = []jobFailure{
	{60, "schema_invalid", "Answer doesn't fit", "The model's answer doesn't satisfy the schema at /items/%d: expected a number."},
	{30, "length", "Answer cut", "The answer was cut at %d tokens."},
	{9, "too_large", "Prompt too large", "The prompt has %d tokens, and the model's window 8192."},
	{1, "internal", "Internal error", "The job failed for a reason on our side (case %d)."},
}

var jobSorts = []jobSort{
	{kind: "mail.send", queue: "mail", often: 34, attempts: 12, takes: 300 * time.Millisecond, output: `{"state":"delivered","queue_id":"4Zx","recipients":[]}`,
		input: func(d dice) string {
			name := person(d)
			return fmt.Sprintf(`{"to":["%s%d@example.in"],"subject":"Invoice %d","text":"Dear %s, please find your invoice."}`, "customer", d.IntN(1_000_000), d.IntN(100_000), name)
		}, failures: []jobFailure{
			{50, "rejected", "Mail rejected", "550 5.1.1 <customer%d@example.in>: Recipient address rejected: User unknown"},
			{30, "rejected", "Mail rejected", "554 5.7.1 Message %d refused by policy"},
			{20, "deadline_exceeded", "Deadline passed", "The job had not ended by its deadline, %d s ago."},
		}},
	{kind: "ai.completion", queue: "ai", often: 14, attempts: 5, takes: 4 * time.Second, output: `{"text":"…","provider":"ollama"}`,
		input: func(d dice) string {
			return fmt.Sprintf(`{"prompt":"Write a short note to %s about order %d."}`, person(d), d.IntN(1_000_000))
		}, failures: modelFailures},
	{kind: "ai.lead_score", queue: "ai", often: 7, attempts: 5, takes: 3 * time.Second, output: `{"json":{"score":62},"provider":"ollama"}`, input: inputOfContact, failures: modelFailures},
	{kind: "ai.contact_summary", queue: "ai", often: 6, attempts: 5, takes: 5 * time.Second, output: `{"text":"…","provider":"groq"}`, input: inputOfContact, failures: modelFailures},
	{kind: "ai.email_draft", queue: "ai", often: 5, attempts: 5, takes: 6 * time.Second, output: `{"text":"…","provider":"ollama"}`, input: inputOfContact, failures: modelFailures},
	{kind: "cache.invalidate", queue: "cache", often: 20, internal: true, attempts: 25, takes: 5 * time.Millisecond,
		failures: []jobFailure{{1, "", "", "bump tags of organization: dial tcp 127.0.0.1:%d: connect: connection refused"}}},
	{kind: "webhook.deliver", queue: "webhook", often: 14, internal: true, attempts: 25, takes: 80 * time.Millisecond,
		failures: []jobFailure{{1, "", "", "settle delivery %d: conn closed"}}},
}

func oftenness[T any](list []T, often func(T) int) []int {
	weights := make([]int, len(list))
	for i, v := range list {
		weights[i] = often(v)
	}
	return weights
}

var sortWeights = oftenness(jobSorts, func(s jobSort) int { return s.often })

// job makes the i-th.
func (m *jobMaker) job(i int) madeJob {
	d := m.chance.of(jobKind, i)
	j := madeJob{jobSort: jobSorts[d.weighted(sortWeights...)], river: m.first + int64(i) + 1, dice: d, attempts: 1, status: "succeeded"}
	step := jobSpan / time.Duration(m.Jobs)
	j.created = m.Now.Add(-jobSpan + time.Duration(i)*step).Truncate(time.Microsecond)
	// Two draws, of which the lower counts: the first organizations have most of the jobs.
	j.organization = m.Organizations[min(d.IntN(len(m.Organizations)), d.IntN(len(m.Organizations)))]
	j.id = m.chance.id(jobKind, i, j.created)
	switch p := d.IntN(1000); {
	case p < 20:
		j.status, j.attempts = "failed", d.between(1, int(j.jobSort.attempts))
		f := j.failures[d.weighted(oftenness(j.failures, func(f jobFailure) int { return f.often })...)]
		j.failure = &madeFailure{f.code, f.title, fmt.Sprintf(f.message, d.between(1, 99_999))}
	case p < 27:
		j.status = "cancelled"
	case p < 60:
		j.attempts = d.between(2, 3)
	}
	took := time.Duration(float64(j.takes) * (0.5 + d.ExpFloat64()))
	j.started = j.created.Add(time.Duration(d.ExpFloat64() * float64(200*time.Millisecond))).Truncate(time.Microsecond)
	j.ended = j.started.Add(took).Truncate(time.Microsecond)
	return j
}

var riverJobColumns = []string{"id", "state", "attempt", "max_attempts", "attempted_at", "created_at", "finalized_at", "scheduled_at",
	"priority", "args", "attempted_by", "errors", "kind", "metadata", "queue", "tags"}

func (m *jobMaker) riverRow(i int, row []any) []any {
	j := m.job(i)
	// River's row of a job of ours that failed says that it was cancelled: it is not to be tried again.
	state := map[string]string{"succeeded": "completed", "failed": "cancelled", "cancelled": "cancelled"}[j.status]
	args := fmt.Sprintf(`{"job_id":"%s","organization_id":"%s","run":1}`, j.id, j.organization)
	if j.internal {
		args = fmt.Sprintf(`{"organization_id":"%s","tags":["contacts"]}`, j.organization)
		if j.status == "failed" {
			state = "discarded"
		}
	}
	var errs [][]byte
	if j.failure != nil {
		text, _ := json.Marshal(map[string]any{"at": j.ended, "attempt": j.attempts, "error": j.failure.message, "trace": ""})
		errs = [][]byte{text}
	}
	return append(row, j.river, state, int16(j.attempts), j.jobSort.attempts, j.started, j.created, j.ended, j.created, int16(2),
		[]byte(args), []string{m.worker(j)}, errs, j.kind, []byte("{}"), j.queue, []string{})
}

func (m *jobMaker) worker(j madeJob) string { return fmt.Sprintf("worker-%d", j.river%4) }

var jobColumns = []string{"organization_id", "id", "kind", "queue", "status", "priority", "lease", "attempt", "max_attempts", "input",
	"output", "error", "run_at", "river_job_id", "event_id", "request_id", "created_at", "updated_at", "started_at", "finished_at", "version"}

func (m *jobMaker) jobRows(i int, rows [][]any) [][]any {
	j := m.job(i)
	if j.internal {
		return rows
	}
	input := []byte(j.input(j.dice))
	var output, problem []byte
	switch j.status {
	case "succeeded":
		output = []byte(j.output)
	case "failed":
		problem, _ = json.Marshal(map[string]any{"type": "/docs#" + j.failure.code, "title": j.failure.title, "status": 422,
			"detail": j.failure.message, "instance": "/api/jobs/" + j.id.String(), "code": j.failure.code, "request_id": nil})
	}
	return append(rows, []any{j.organization, j.id, j.kind, j.queue, j.status, int16(2), int32(j.attempts), int32(j.attempts), int32(j.jobSort.attempts),
		input, output, problem, j.created, j.river, m.chance.id(eventKind, i, j.created), fmt.Sprintf("req_%016x", m.chance.key(eventKind, i)),
		j.created, j.ended, j.started, j.ended, int64(3)})
}

var attemptColumns = []string{"organization_id", "job_id", "river_job_id", "kind", "queue", "run", "attempt", "worker", "outcome", "code",
	"error", "fingerprint", "started_at", "ended_at"}

func (m *jobMaker) attemptRows(i int, rows [][]any) [][]any {
	j := m.job(i)
	if j.failure == nil || m.Fingerprint == nil {
		return rows
	}
	var id, code any
	if !j.internal {
		id, code = j.id, j.failure.code
	}
	return append(rows, []any{j.organization, id, j.river, j.kind, j.queue, int32(1), int32(j.attempts), m.worker(j), "failed", code,
		j.failure.message, m.Fingerprint(j.kind, j.failure.code, j.failure.message), j.started, j.ended})
}
