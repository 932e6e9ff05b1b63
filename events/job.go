package events

import "time"

// JobRequested says that a client handed over work, or asked for a finished or waiting job again
// (Run is then above 1). The input stays in the job's row: events carry no personal data.
type JobRequested struct {
	JobID       string    `json:"job_id"`
	Kind        string    `json:"kind"`
	Queue       string    `json:"queue"`
	Run         int       `json:"run"`          // 1, and one more for every retry by hand
	Priority    int       `json:"priority"`     // 1 high, 2 normal, 3 low
	MaxAttempts int       `json:"max_attempts"` // of this run
	RunAt       time.Time `json:"run_at"`       // not before
	Overflow    bool      `json:"overflow"`     // beyond the organization's fair share of the queue
	Version     int64     `json:"version"`
}

// EventType implements Fact.
func (JobRequested) EventType() string { return "job.requested" }

// Aggregate implements Fact.
func (f JobRequested) Aggregate() (string, int64) { return f.JobID, f.Version }

// JobCompleted says that a job ended with a result.
type JobCompleted struct {
	JobID   string `json:"job_id"`
	Kind    string `json:"kind"`
	Attempt int    `json:"attempt"` // the attempt that succeeded
	Version int64  `json:"version"`
	// Callback says that the job's client wants to be called back.
	Callback bool `json:"callback,omitempty"`
}

// EventType implements Fact.
func (JobCompleted) EventType() string { return "job.completed" }

// Aggregate implements Fact.
func (f JobCompleted) Aggregate() (string, int64) { return f.JobID, f.Version }

// JobFailed says that a job ended without a result.
type JobFailed struct {
	JobID   string `json:"job_id"`
	Kind    string `json:"kind"`
	Attempt int    `json:"attempt"`
	Code    string `json:"code"` // of the problem that the job shows, for example "deadline_exceeded"
	Version int64  `json:"version"`
	// Callback says that the job's client wants to be called back.
	Callback bool `json:"callback,omitempty"`
}

// EventType implements Fact.
func (JobFailed) EventType() string { return "job.failed" }

// Aggregate implements Fact.
func (f JobFailed) Aggregate() (string, int64) { return f.JobID, f.Version }

// JobCancelled says that a client gave a job up.
type JobCancelled struct {
	JobID   string `json:"job_id"`
	Kind    string `json:"kind"`
	Version int64  `json:"version"`
	// Callback says that the job's client wants to be called back.
	Callback bool `json:"callback,omitempty"`
}

// EventType implements Fact.
func (JobCancelled) EventType() string { return "job.cancelled" }

// Aggregate implements Fact.
func (f JobCancelled) Aggregate() (string, int64) { return f.JobID, f.Version }
