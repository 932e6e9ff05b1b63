package operator

import "time"

// A BulkFilter chooses jobs as the list of jobs does. What is left out doesn't narrow.
type BulkFilter struct {
	Status         string     `json:"status,omitempty" enum:"queued,waiting,scheduled,running,succeeded,failed,cancelled"`
	Kinds          []string   `json:"kind,omitempty" maxItems:"50" doc:"Any of them"`
	Queue          string     `json:"queue,omitempty" maxLength:"127"`
	Priority       string     `json:"priority,omitempty" enum:"high,normal,low,last"`
	OrganizationID string     `json:"organization_id,omitempty" maxLength:"36"`
	CreatedAfter   *time.Time `json:"created_after,omitempty"`
	CreatedBefore  *time.Time `json:"created_before,omitempty"`
	FinishedAfter  *time.Time `json:"finished_after,omitempty"`
	FinishedBefore *time.Time `json:"finished_before,omitempty"`
	Error          string     `json:"error,omitempty" maxLength:"200" doc:"In the error's code or text"`
	Text           string     `json:"text,omitempty" maxLength:"200" doc:"In what the job was given, its metadata or arguments"`
	RequestID      string     `json:"request_id,omitempty" maxLength:"128"`
	EventID        string     `json:"event_id,omitempty" maxLength:"36"`
	Fingerprint    string     `json:"fingerprint,omitempty" pattern:"^[0-9a-f]{16}$" doc:"Of a group of failures: those jobs whose present run failed so last"`
	Sort           string     `json:"sort,omitempty" enum:"all,requested,internal" doc:"requested: handed over by clients and cues; internal: started by facts and the clock"`
	Routine        string     `json:"routine,omitempty" enum:"hide,show" doc:"Internal jobs that simply succeeded"`
}

// A BulkQuestion asks what something would do to all jobs that a filter lets through.
type BulkQuestion struct {
	Action string     `json:"action" enum:"retry,cancel,delete" doc:"retry: failed and cancelled ones, and those that wait, run again now; cancel: those that have not ended; delete: those that have"`
	Filter BulkFilter `json:"filter"`
}

// A BulkPreview is what it would do.
type BulkPreview struct {
	Action        string         `json:"action"`
	Filter        BulkFilter     `json:"filter"`
	Count         int            `json:"count" doc:"Jobs that match"`
	Capped        bool           `json:"capped" doc:"There are more; it would be done with the newest of them, and can be asked for again"`
	Acts          int            `json:"acts" doc:"With which it can be done"`
	ByStatus      map[string]int `json:"by_status"`
	ByKind        map[string]int `json:"by_kind"`
	Skipped       map[string]int `json:"skipped" doc:"How many would be left as they are, by the reason"`
	Organizations int            `json:"organizations" doc:"Whose jobs match, how many; internal jobs belong to none"`
	Sample        []BulkJob      `json:"sample" doc:"The newest 10"`
	Token         string         `json:"token" doc:"Says that this was seen; to be given with the order, once"`
	AsOf          time.Time      `json:"as_of"`
}

// A BulkJob is a job in a preview.
type BulkJob struct {
	ID               string    `json:"id"`
	Internal         bool      `json:"internal"`
	Kind             string    `json:"kind"`
	Status           string    `json:"status"`
	OrganizationName *string   `json:"organization_name"`
	CreatedAt        time.Time `json:"created_at"`
	ErrorCode        *string   `json:"error_code"`
	Reason           string    `json:"reason" doc:"Why it would be left as it is; empty: it would not"`
}

// A BulkOrder has something done with all jobs that match in this moment. Of those a deletion leaves out what ended after
// the preview that its token is of.
type BulkOrder struct {
	Action   string     `json:"action" enum:"retry,cancel,delete"`
	Filter   BulkFilter `json:"filter"`
	Expected int        `json:"expected" minimum:"0" doc:"count of the preview: where it is another number by now, by much, or by any for a deletion of more, nothing is done"`
	Token    string     `json:"token,omitempty" maxLength:"100" doc:"Of the preview; it must be of the same action, filter and count, and counts once. With it a deletion leaves out what ended since"`
}

// A BulkAction is what is being done with many jobs, and how far it has come. Nothing that came to match after it was
// asked for is touched, and no job twice.
type BulkAction struct {
	ID              string         `json:"id"`
	Action          string         `json:"action" enum:"retry,cancel,delete"`
	Filter          BulkFilter     `json:"filter"`
	Status          string         `json:"status" enum:"queued,running,done,stopped"`
	Total           int            `json:"total" doc:"Jobs that matched when it was asked for"`
	Capped          bool           `json:"capped" doc:"There were more, which are not touched"`
	Done            int            `json:"done"`
	Skipped         int            `json:"skipped" doc:"Left as they are, as they had changed or it can't be done with them"`
	Failed          int            `json:"failed" doc:"With which it went wrong"`
	Left            int            `json:"left" doc:"Not seen to; of one that was stopped they stay so"`
	Reasons         map[string]int `json:"reasons" doc:"Why jobs were skipped or failed, and how many"`
	AskedBy         string         `json:"asked_by" doc:"Name of the key"`
	StopRequestedAt *time.Time     `json:"stop_requested_at"`
	CreatedAt       time.Time      `json:"created_at"`
	StartedAt       *time.Time     `json:"started_at"`
	FinishedAt      *time.Time     `json:"finished_at"`
}

// Over reports whether nothing more comes of it.
func (b BulkAction) Over() bool { return b.FinishedAt != nil }

// BulkList is a part of the list of bulk actions.
type BulkList struct {
	Data       []BulkAction `json:"data"`
	NextCursor *string      `json:"next_cursor"`
	HasMore    bool         `json:"has_more"`
}

// A BulkReport is a bulk action with examples of what did not go as it was wished.
type BulkReport struct {
	BulkAction
	Failures []BulkOutcome `json:"failures" doc:"The first 50 with which it went wrong"`
	Skips    []BulkOutcome `json:"skips" doc:"The first 5 that were left as they are, for each reason"`
}

// A BulkOutcome is what became of one job in a bulk action.
type BulkOutcome struct {
	JobID          string  `json:"job_id" doc:"A UUID, or River's number of an internal job"`
	Internal       bool    `json:"internal"`
	OrganizationID *string `json:"organization_id"`
	Was            string  `json:"was" doc:"Its status when the bulk action was asked for"`
	Reason         string  `json:"reason"`
	Detail         *string `json:"detail"`
}
