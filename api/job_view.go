package api

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/internal/store"
)

// jobView is a job as its client reads it.
type jobView struct {
	ID          string       `json:"id" format:"uuid"`
	Kind        string       `json:"kind"`
	Status      string       `json:"status" enum:"queued,running,succeeded,failed,cancelled" doc:"Moves forward only, a retry by hand excepted"`
	Input       jsonObject   `json:"input"`
	Output      jsonObject   `json:"output" doc:"As the kind gives it: x-output of the kind where jobs are submitted; of a job that failed what there is of it; null until there is one"`
	Error       jsonObject   `json:"error" doc:"A problem object when the job failed, else null"`
	Waiting     *waitingView `json:"waiting"`
	Attempt     int          `json:"attempt" doc:"Of the present run; 0 before the first"`
	MaxAttempts int          `json:"max_attempts"`
	Priority    string       `json:"priority" enum:"high,normal,low"`
	RunAt       time.Time    `json:"run_at" doc:"Not before"`
	Deadline    *time.Time   `json:"deadline"`
	CreatedAt   time.Time    `json:"created_at"`
	StartedAt   *time.Time   `json:"started_at"`
	FinishedAt  *time.Time   `json:"finished_at"`
	Progress    jsonObject   `json:"progress" doc:"{\"done\",\"total\"} or null"`
	Metadata    jsonObject   `json:"metadata"`
	CallbackURL *string      `json:"callback_url" doc:"Where the job's end is told, in normal form; null: nowhere"`
	Links       jobLinks     `json:"links"`
}

// jsonObject is an object that is handed through as it is stored, or null.
type jsonObject json.RawMessage

// MarshalJSON implements json.Marshaler.
func (o jsonObject) MarshalJSON() ([]byte, error) { return json.RawMessage(o).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler.
func (o *jsonObject) UnmarshalJSON(b []byte) error { return (*json.RawMessage)(o).UnmarshalJSON(b) }

// Schema implements huma.SchemaProvider, as the type of raw JSON would say nothing.
func (jsonObject) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Nullable: true, AdditionalProperties: true}
}

type jobLinks struct {
	Self   string `json:"self"`
	Events string `json:"events"`
	Cancel string `json:"cancel"`
	// Callbacks is where to read what became of calling back.
	Callbacks *string `json:"callback_deliveries" doc:"What became of calling back; null: nobody wants it"`
}

// waitingView says why a job does not go on now.
type waitingView struct {
	Reason        string     `json:"reason"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// Schema implements huma.SchemaProvider, as huma has no nullable objects of its own.
func (*waitingView) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Nullable: true, AdditionalProperties: false,
		Description: "Why the job does not go on now, or null",
		Properties: map[string]*huma.Schema{
			"reason":          {Type: huma.TypeString},
			"next_attempt_at": {Type: huma.TypeString, Format: "date-time", Nullable: true},
		},
		Required: []string{"reason", "next_attempt_at"},
	}
}

var priorityNames = map[int]string{1: "high", 2: "normal", 3: "low"}

func viewOf(j store.Job) jobView {
	self := jobPath(j.ID)
	v := jobView{
		ID: j.ID, Kind: j.Kind, Status: j.Status, Input: jsonObject(j.Input), Output: jsonObject(j.Output), Error: jsonObject(j.Error),
		Attempt: j.Attempt, MaxAttempts: j.MaxAttempts, Priority: priorityNames[j.Priority],
		RunAt: j.RunAt.UTC(), Deadline: utc(j.Deadline), CreatedAt: j.CreatedAt.UTC(),
		StartedAt: utc(j.StartedAt), FinishedAt: utc(j.FinishedAt), Progress: jsonObject(j.Progress), Metadata: jsonObject(j.Metadata),
		Links: jobLinks{Self: self, Events: self + "/events", Cancel: self + "/cancel"},
	}
	if j.CallsBack() {
		callbacks := "/api/webhooks/callbacks/deliveries?job_id=" + j.ID
		v.CallbackURL, v.Links.Callbacks = j.CallbackURL, &callbacks
	}
	if j.WaitingReason != nil {
		v.Waiting = &waitingView{Reason: *j.WaitingReason, NextAttemptAt: utc(j.NextAttemptAt)}
	}
	return v
}

func jobPath(id string) string { return "/api/jobs/" + id }

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// encode renders without escaping for HTML, as all of our answers are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// etagOf names the state of a job: every change that a client can see counts the version up.
func etagOf(j store.Job) string {
	return `"` + strconv.FormatInt(j.Version, 10) + "-" + j.Status + `"`
}

// maxRetryAfter bounds how long a client is told to stay away: the job may be cancelled meanwhile.
const maxRetryAfter = 60

// retryAfter says in seconds when it is worth asking again, "" for never.
func retryAfter(j store.Job, now time.Time) string {
	if j.Terminal() {
		return ""
	}
	next := j.RunAt
	if j.NextAttemptAt != nil {
		next = *j.NextAttemptAt
	}
	seconds := math.Ceil(next.Sub(now).Seconds())
	return strconv.Itoa(int(min(max(seconds, 1), maxRetryAfter)))
}
