package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

// maxOutcome is how many bytes of a result go with a callback. Receivers are advised to take 20 KB
// (standardwebhooks.com), which what models write stays below; but who asks for more usually wants it.
const maxOutcome = 256 << 10

// A callback is what the data of a job's end says beside the fact, as the API shows it.
type callback struct {
	Status   string          `json:"status"`
	Metadata json.RawMessage `json:"metadata"`
	Output   json.RawMessage `json:"output"`
	Error    json.RawMessage `json:"error"`
	// Omitted says that output and error are left out: they are too large, the job has gone on since, or is no
	// longer kept.
	Omitted bool          `json:"omitted"`
	Links   callbackLinks `json:"links"`
}

type callbackLinks struct {
	Job string `json:"job"`
}

// statusAfter is what a job was after the fact of its end.
var statusAfter = map[string]string{
	events.JobCompleted{}.EventType(): store.Succeeded,
	events.JobFailed{}.EventType():    store.Failed,
	events.JobCancelled{}.EventType(): store.Cancelled,
}

// callbackBody is the event of a job's end as its client is told of it: with what came of the job, as long as that is
// what the event is of. It is made anew for every attempt, so nothing of a result is kept twice.
func callbackBody(ctx context.Context, db store.Execer, organizationID string, body []byte) ([]byte, error) {
	var event, data map[string]json.RawMessage
	var about struct {
		Type string `json:"type"`
		Data struct {
			JobID   string `json:"job_id"`
			Version int64  `json:"version"`
		} `json:"data"`
	}
	if err := errors.Join(json.Unmarshal(body, &event), json.Unmarshal(body, &about), json.Unmarshal(event["data"], &data)); err != nil {
		return nil, fmt.Errorf("read the event of a callback: %w", err)
	}
	fact := about.Data
	job, err := store.JobOutcome(ctx, db, organizationID, fact.JobID, maxOutcome)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	c := callback{Status: statusAfter[about.Type], Metadata: job.Metadata, Links: callbackLinks{"/api/jobs/" + fact.JobID}}
	if c.Omitted = job.Large || job.Version != fact.Version; !c.Omitted {
		c.Output, c.Error = job.Output, job.Error
	}
	if event["data"], err = extend(data, c); err != nil {
		return nil, fmt.Errorf("encode the callback of job %s: %w", fact.JobID, err)
	}
	return plainJSON(event)
}

// extend adds the fields of an object to those of another.
func extend(object map[string]json.RawMessage, by any) (json.RawMessage, error) {
	more, err := plainJSON(by)
	if err != nil {
		return nil, err
	}
	// Into a map that has entries json adds others.
	if err := json.Unmarshal(more, &object); err != nil {
		return nil, err
	}
	return plainJSON(object)
}

// plainJSON encodes without escaping for HTML.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
