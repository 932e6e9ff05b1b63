package operator

import "time"

// A QueueList is how all queues do.
type QueueList struct {
	Data        []Queue   `json:"data" doc:"By name"`
	GeneratedAt time.Time `json:"generated_at"`
}

// A Queue is what waits and works in a queue now, and how it did lately.
type Queue struct {
	Name      string    `json:"name"`
	Available int64     `json:"available" doc:"Due, and not taken yet"`
	Running   int64     `json:"running"`
	Retryable int64     `json:"retryable" doc:"Tried in vain, and will be again"`
	Scheduled int64     `json:"scheduled" doc:"For later, or waiting for something that is away"`
	CountedAt time.Time `json:"counted_at" doc:"When the four above were counted"`
	AtLeast   bool      `json:"at_least" doc:"One of the four ended at its bound: there may be more"`
	OldestMS  *int64    `json:"oldest_ms" doc:"How long the oldest that is due has waited; null: none does"`
	Workers   int       `json:"workers" doc:"Processes that work it and live"`
	Places    int       `json:"places" doc:"Jobs that they take at a time, together"`

	PausedAt *time.Time `json:"paused_at" doc:"null: it is not paused"`
	PausedBy *string    `json:"paused_by" doc:"Name of the key; null: it is not paused, or was by other means"`

	LastMinute *QueueWork  `json:"last_minute" doc:"The last minute that is over; null: nobody can say"`
	LastHour   *QueueWork  `json:"last_hour" doc:"The last 60 such minutes; null: nobody can say of any"`
	Trend      []QueueTick `json:"trend" doc:"The last hour by the minute, oldest first"`
	Kinds      []string    `json:"kinds" doc:"Of jobs that go into it"`
}

// A QueueTick is a queue in a minute of the last hour.
type QueueTick struct {
	At        time.Time `json:"at"`
	Available *int64    `json:"available" doc:"null: nobody looked"`
	Ended     *int64    `json:"ended" doc:"Attempts; null: nobody can say"`
}

// A QueueWork is what became of attempts at jobs in a stretch of time. Times are in milliseconds, exact to the class
// in which they were counted.
type QueueWork struct {
	_           struct{} `nullable:"true"`
	Minutes     int      `json:"minutes" doc:"Of which it is known what ended"`
	Succeeded   int64    `json:"succeeded"`
	Failed      int64    `json:"failed" doc:"For good"`
	Retried     int64    `json:"retried" doc:"Went wrong, and the job is tried again"`
	Waiting     int64    `json:"waiting" doc:"Put off, as something is away"`
	Cancelled   int64    `json:"cancelled"`
	Returned    int64    `json:"returned" doc:"Gave the job back, as the process stopped"`
	Lost        int64    `json:"lost" doc:"Died with their process"`
	FailureRate *float64 `json:"failure_rate" doc:"Failed, of those that failed or succeeded, 0 to 1; null: none did"`
	ErrorRate   *float64 `json:"error_rate" doc:"Attempts that went wrong, of those that did or succeeded, 0 to 1; null: none did"`
	WaitP50MS   *float64 `json:"wait_p50_ms" doc:"From due to taken"`
	WaitP95MS   *float64 `json:"wait_p95_ms"`
	RunP50MS    *float64 `json:"run_p50_ms" doc:"Of an attempt"`
	RunP95MS    *float64 `json:"run_p95_ms"`
}

// Ended is how many attempts ended.
func (w QueueWork) Ended() int64 {
	return w.Succeeded + w.Failed + w.Retried + w.Waiting + w.Cancelled + w.Returned + w.Lost
}

// A QueueDetail is one queue, and how it did over a range.
type QueueDetail struct {
	Queue
	Range       string       `json:"range"`
	StepSeconds int64        `json:"step_seconds" doc:"How long a point is about"`
	Points      []QueuePoint `json:"points" doc:"Oldest first, 360 at most; those of which nobody knows anything are there, and empty"`
	WorkedBy    []Process    `json:"worked_by"`
	GeneratedAt time.Time    `json:"generated_at"`
}

// A QueuePoint is a queue in a step of a range. What is null nobody measured: that is a gap, and not a zero.
type QueuePoint struct {
	At        time.Time  `json:"at" doc:"Its beginning"`
	Available *int64     `json:"available" doc:"The most that were seen"`
	Running   *int64     `json:"running"`
	Later     *int64     `json:"later" doc:"Retryable and scheduled"`
	OldestMS  *int64     `json:"oldest_ms" doc:"The longest wait that was seen"`
	Places    *int       `json:"places"`
	Work      *QueueWork `json:"work"`
}

// A Pause is what became of the queues that were to be paused or resumed.
type Pause struct {
	Queues   []string   `json:"queues" doc:"Those that were changed; others were so already"`
	PausedAt *time.Time `json:"paused_at" doc:"null: resumed"`
}
