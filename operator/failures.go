package operator

import "time"

// FailureList is the failures of a time, grouped by their cause.
type FailureList struct {
	Window string         `json:"window" enum:"1h,24h,7d"`
	Data   []FailureGroup `json:"data"`
	Groups int            `json:"groups" doc:"That there are; data has the first 200"`
	// What all groups come to.
	Failed   int64     `json:"failed" doc:"Jobs that have failed for good and stand so"`
	Retrying int64     `json:"retrying" doc:"Jobs that have not ended: they will be tried again, or are being tried"`
	Attempts int64     `json:"attempts" doc:"That failed"`
	Sampled  bool      `json:"sampled" doc:"There are too many failures to count whenever somebody looks; these were counted at as_of"`
	AsOf     time.Time `json:"as_of"`
}

// A FailureGroup is all failures that have one cause: the kind of job, the code, and the message without what changes from
// one time to the next.
type FailureGroup struct {
	Fingerprint   string        `json:"fingerprint"`
	Kind          string        `json:"kind"`
	Queue         string        `json:"queue"`
	Code          string        `json:"code"`
	Message       string        `json:"message" doc:"What all of them say; * stands for what changes"`
	Example       string        `json:"example" doc:"What the newest says"`
	Failed        int64         `json:"failed" doc:"Jobs that have failed for good and stand so"`
	Retrying      int64         `json:"retrying" doc:"Jobs that have not ended"`
	Over          int64         `json:"over" doc:"Jobs that have ended otherwise since, or are gone"`
	Attempts      int64         `json:"attempts" doc:"That failed"`
	Organizations int64         `json:"organizations"`
	FirstAt       time.Time     `json:"first_at" doc:"In the window"`
	LastAt        time.Time     `json:"last_at"`
	Parts         []FailurePart `json:"parts" doc:"Failures by part of the window, the oldest first"`
}

// A FailurePart is a part of a window.
type FailurePart struct {
	At       time.Time `json:"at" doc:"Where it begins"`
	Attempts int64     `json:"attempts"`
}

// A FailureDetail is one group with its newest failures.
type FailureDetail struct {
	FailureGroup
	Window string    `json:"window"`
	AsOf   time.Time `json:"as_of"`
	Newest []Failure `json:"newest" doc:"50 at most"`
}

// A Failure is an attempt that failed.
type Failure struct {
	JobID            string    `json:"job_id" doc:"A UUID, or River's number of an internal job"`
	Internal         bool      `json:"internal"`
	OrganizationID   string    `json:"organization_id"`
	OrganizationName *string   `json:"organization_name"`
	Run              int       `json:"run"`
	Attempt          int       `json:"attempt"`
	Outcome          string    `json:"outcome" enum:"failed,retried,lost"`
	Error            string    `json:"error"`
	Worker           *string   `json:"worker"`
	EndedAt          time.Time `json:"ended_at"`
	Status           *string   `json:"status" doc:"Of the job now; null: it is gone"`
}
