package operator

import "time"

// A KindList is how all kinds of jobs do.
type KindList struct {
	Data        []Kind    `json:"data" doc:"By name"`
	GeneratedAt time.Time `json:"generated_at"`
}

// A Kind is a sort of work, and how it did lately.
type Kind struct {
	Name        string     `json:"name"`
	Summary     *string    `json:"summary" doc:"null: it is no kind that clients may submit"`
	Queue       *string    `json:"queue" doc:"null: nobody knows the kind"`
	MaxAttempts *int       `json:"max_attempts"`
	TimeoutMS   *int64     `json:"timeout_ms" doc:"Of an attempt"`
	Scope       *string    `json:"scope" doc:"Of the keys that may submit it; null: none may"`
	Cron        *string    `json:"cron" doc:"When the clock starts it, in UTC"`
	CronWords   *string    `json:"cron_words"`
	Workers     int        `json:"workers" doc:"Living processes that know it and work its queue"`
	Orphan      bool       `json:"orphan" doc:"There are jobs of it that have not ended, and no living worker knows it"`
	Waiting     int64      `json:"waiting" doc:"If it is an orphan: jobs that nobody can work, 1000 at most"`
	LastHour    *QueueWork `json:"last_hour" doc:"null: nobody can say"`
	LastDay     *QueueWork `json:"last_day"`
	LastFailure *time.Time `json:"last_failure" doc:"Among the newest 2000 attempts that went wrong; null: none of it"`
	Kept        *int64     `json:"kept" doc:"Jobs of clients that ended and are kept; null: they were not counted yet"`
	KeptAt      *time.Time `json:"kept_at" doc:"When they were counted"`
}

// A KindDetail is one kind, and how it did over a range.
type KindDetail struct {
	Kind
	Range       string      `json:"range"`
	StepSeconds int64       `json:"step_seconds"`
	Points      []KindPoint `json:"points" doc:"Oldest first, 360 at most"`
	Ended       []KindCount `json:"ended" doc:"Jobs of clients that ended and are kept"`
	GeneratedAt time.Time   `json:"generated_at"`
}

// A KindPoint is a kind in a step of a range. Work is null where nobody can say.
type KindPoint struct {
	At   time.Time  `json:"at"`
	Work *QueueWork `json:"work"`
}

// A KindCount is how many jobs of clients ended in a way.
type KindCount struct {
	Status    string    `json:"status"`
	N         int64     `json:"n"`
	Exact     bool      `json:"exact" doc:"false: they could not be counted again in time"`
	CountedAt time.Time `json:"counted_at"`
}
