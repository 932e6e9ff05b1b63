package operator

import "time"

// A ScheduleList is what the clock starts.
type ScheduleList struct {
	Data        []Schedule `json:"data" doc:"By name"`
	GeneratedAt time.Time  `json:"generated_at"`
}

// A Schedule is work that the clock starts.
type Schedule struct {
	Name      string       `json:"name"`
	Kind      string       `json:"kind"`
	Queue     *string      `json:"queue" doc:"null: nobody knows the kind"`
	Cron      string       `json:"cron" doc:"In UTC"`
	Words     *string      `json:"words" doc:"The same in words; null: only the cron can say it"`
	LastRunAt *time.Time   `json:"last_run_at" doc:"null: never"`
	LastRun   *ScheduleRun `json:"last_run" doc:"What the last one started; null: it is kept no longer, or not known"`
	NextRunAt *time.Time   `json:"next_run_at" doc:"null: it is paused"`
	LateMS    *int64       `json:"late_ms" doc:"How long it is overdue; null: it isn't"`
	AskedAt   *time.Time   `json:"asked_at" doc:"A run that somebody asked for and that has not begun"`
	PausedAt  *time.Time   `json:"paused_at"`
	PausedBy  *string      `json:"paused_by" doc:"Name of the key"`
	Workers   int          `json:"workers" doc:"Living processes that work its queue"`
}

// A ScheduleRun is the job that a schedule started.
type ScheduleRun struct {
	_          struct{}   `nullable:"true"`
	RiverJobID int64      `json:"river_job_id"`
	State      string     `json:"state" doc:"Of the internal job: queued, waiting, scheduled, running, succeeded, failed, cancelled"`
	Attempt    int        `json:"attempt"`
	FinishedAt *time.Time `json:"finished_at"`
}
