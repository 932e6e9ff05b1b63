package operator

import "time"

// A Job is a line of the list of jobs, without content. It is one that a client or a cue handed over, with a UUID, or one
// that a fact or the clock started, with River's number.
type Job struct {
	ID               string     `json:"id" doc:"A UUID, or River's number of an internal job"`
	Internal         bool       `json:"internal" doc:"A fact or the clock started it, and no client knows of it"`
	RiverJobID       *int64     `json:"river_job_id"`
	RiverState       *string    `json:"river_state" doc:"Of an internal job"`
	OrganizationID   *string    `json:"organization_id"`
	OrganizationName *string    `json:"organization_name"`
	Kind             string     `json:"kind"`
	Queue            string     `json:"queue"`
	Status           string     `json:"status" enum:"queued,waiting,scheduled,running,succeeded,failed,cancelled" doc:"waiting: put off, for its next attempt or for something that is away; scheduled: for later"`
	Priority         string     `json:"priority" enum:"high,normal,low,last" doc:"last: behind all others"`
	Overflow         bool       `json:"overflow" doc:"It is beyond its organization's fair share of the queue"`
	Run              int        `json:"run" doc:"1, and one more for every retry by hand"`
	Attempt          int        `json:"attempt" doc:"Of the run; 0 before the first"`
	MaxAttempts      int        `json:"max_attempts"`
	RunAt            time.Time  `json:"run_at"`
	CreatedAt        time.Time  `json:"created_at"`
	NextAttemptAt    *time.Time `json:"next_attempt_at"`
	StartedAt        *time.Time `json:"started_at"`
	FinishedAt       *time.Time `json:"finished_at"`
	WaitingReason    *string    `json:"waiting_reason"`
	ErrorCode        *string    `json:"error_code"`
	ErrorDetail      *string    `json:"error_detail"`
	RequestID        *string    `json:"request_id"`
	Worker           *string    `json:"worker" doc:"The process that has it, or had it last"`
	Version          int64      `json:"version"`
}

// JobList is a part of the list of jobs.
type JobList struct {
	Data       []Job   `json:"data"`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool    `json:"has_more" doc:"There is more to look at"`
	// SearchedUntil tells that the page is not full because the time for looking was over.
	SearchedUntil *time.Time `json:"searched_until" doc:"So far was looked in the time that there is; read on to look further. null: the page is whole"`
}

// A JobDetail is one job with all but its content.
type JobDetail struct {
	Job
	EventID     *string      `json:"event_id" doc:"Of the event that started the run"`
	TraceParent *string      `json:"traceparent"`
	Deadline    *time.Time   `json:"deadline"`
	CallsBack   bool         `json:"calls_back" doc:"Its client is called back at its end"`
	Progress    Object       `json:"progress"`
	Attempts    []JobAttempt `json:"attempts" doc:"Newest first, 200 at most. Of those that simply succeeded nothing is kept"`
	Timeline    []JobMoment  `json:"timeline" doc:"Oldest first"`
	Effects     []JobEffect  `json:"effects" doc:"What it did outside of the database"`
	Content     JobSizes     `json:"content" doc:"How much of what is hidden there is"`
	Actions     []string     `json:"actions" doc:"What can be done to it now: retry, cancel, delete, again, priority, run_at"`
	AsOf        time.Time    `json:"as_of"`
}

// JobSizes are the bytes of a job's content.
type JobSizes struct {
	Input    int `json:"input"`
	Output   int `json:"output" doc:"0: there is none"`
	Metadata int `json:"metadata"`
	Args     int `json:"args" doc:"What River holds of it; 0 once River has forgotten it"`
}

// A JobAttempt is how one attempt ended.
type JobAttempt struct {
	Run         int        `json:"run"`
	Attempt     int        `json:"attempt"`
	RiverJobID  *int64     `json:"river_job_id"`
	Worker      *string    `json:"worker"`
	Outcome     string     `json:"outcome" enum:"succeeded,failed,retried,waiting,cancelled,returned,lost" doc:"returned: its process stopped and gave it back; lost: its process died"`
	Code        *string    `json:"code"`
	Error       *string    `json:"error"`
	Trace       *string    `json:"trace" doc:"The stack, of a panic"`
	Fingerprint *string    `json:"fingerprint" doc:"What failures of one cause share"`
	TraceID     *string    `json:"trace_id"`
	Log         []LogLine  `json:"log"`
	StartedAt   *time.Time `json:"started_at"`
	EndedAt     time.Time  `json:"ended_at"`
}

// A LogLine is what an attempt wrote to the log.
type LogLine struct {
	At      time.Time `json:"at"`
	Level   string    `json:"level"`
	Message string    `json:"message"`
	Attrs   Object    `json:"attrs"`
}

// A JobMoment is something that happened to a job.
type JobMoment struct {
	At      time.Time `json:"at"`
	What    string    `json:"what" doc:"created, routed, due, started, an outcome of an attempt, finished, next"`
	Detail  string    `json:"detail"`
	AfterMS int64     `json:"after_ms" doc:"Since the moment before"`
}

// A JobEffect is something that a job did outside of the database.
type JobEffect struct {
	Key        string     `json:"key"`
	State      string     `json:"state" enum:"started,done,unknown"`
	Attempt    int        `json:"attempt"`
	StartedAt  time.Time  `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

// A JobContent is what of a job is hidden until it is asked for.
type JobContent struct {
	ID          string       `json:"id"`
	Input       Object       `json:"input"`
	Output      Object       `json:"output"`
	Metadata    Object       `json:"metadata"`
	Args        Object       `json:"args" doc:"What River holds"`
	CallbackURL *string      `json:"callback_url"`
	Receipts    []JobReceipt `json:"receipts" doc:"Of its effects"`
}

// A JobReceipt is what the other side said of an effect.
type JobReceipt struct {
	Key     string `json:"key"`
	Receipt Object `json:"receipt"`
}

// JobCounts say how many jobs there are.
type JobCounts struct {
	Statuses []JobCount     `json:"statuses"`
	Kinds    []JobKindCount `json:"kinds" doc:"Of what has not ended"`
	AsOf     time.Time      `json:"as_of"`
}

// A JobCount is how many jobs are in a state.
type JobCount struct {
	Status    string     `json:"status" enum:"queued,waiting,scheduled,running,succeeded,failed,cancelled"`
	Count     int64      `json:"count"`
	Exact     bool       `json:"exact" doc:"else an estimate"`
	More      bool       `json:"more" doc:"There are more than that; nobody counted further"`
	SampledAt *time.Time `json:"sampled_at" doc:"When it was counted, if not now"`
}

// A JobKindCount is how many jobs of a kind are in a state.
type JobKindCount struct {
	Kind   string `json:"kind"`
	Queue  string `json:"queue"`
	Status string `json:"status"`
	Count  int64  `json:"count"`
}

// A JobKind is a kind of job that may be submitted.
type JobKind struct {
	Name    string `json:"name"`
	Queue   string `json:"queue"`
	Summary string `json:"summary"`
	Schema  Object `json:"schema" doc:"JSON Schema of the input; null: any object"`
	Example Object `json:"example" doc:"An input with the fields that it needs"`
}

// JobKindList lists the kinds by their names.
type JobKindList struct {
	Data []JobKind `json:"data"`
}

// A JobRef is a job that was made or changed.
type JobRef struct {
	ID     string `json:"id"`
	Status string `json:"status" enum:"queued,waiting,scheduled,running,succeeded,failed,cancelled"`
}

// An OrganizationRef names an organization.
type OrganizationRef struct {
	ID   string `json:"id" format:"uuid"`
	Name string `json:"name"`
}

// OrganizationList lists organizations.
type OrganizationList struct {
	Data []OrganizationRef `json:"data"`
}

// A View is a question to a list that was given a name. All operators share them.
type View struct {
	ID        string    `json:"id" format:"uuid"`
	Page      string    `json:"page" enum:"jobs"`
	Name      string    `json:"name"`
	Query     string    `json:"query" doc:"As in the address of the page"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
}

// ViewList lists views by their names.
type ViewList struct {
	Data []View `json:"data"`
}
