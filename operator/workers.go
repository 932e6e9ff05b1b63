package operator

import "time"

// A WorkerList are the processes of the installation that live, by the machine that they run on.
type WorkerList struct {
	Hosts       []Host    `json:"hosts"`
	Leaders     []Leader  `json:"leaders" doc:"What one process at a time does, and which"`
	Versions    []string  `json:"versions" doc:"That run now; more than one during a deploy, and else by mistake"`
	Partial     *string   `json:"partial" doc:"Why processes other than workers may be missing; null: none is"`
	GeneratedAt time.Time `json:"generated_at"`
}

// A Host is a machine, or a container.
type Host struct {
	Name      string    `json:"name"`
	Processes []Process `json:"processes"`
}

// A Process is one of ours that lives. Figures of the machine are null where it has not said.
type Process struct {
	ID            string         `json:"id"`
	Role          string         `json:"role" enum:"api,relay,worker"`
	Host          string         `json:"host"`
	PID           *int           `json:"pid" doc:"null: it doesn't say"`
	Version       string         `json:"version"`
	OtherVersion  bool           `json:"other_version" doc:"Another than that of the process that answers"`
	StartedAt     time.Time      `json:"started_at"`
	HeardAt       time.Time      `json:"heard_at"`
	SilentMS      int64          `json:"silent_ms" doc:"Since then"`
	Queues        map[string]int `json:"queues" doc:"That it works, with the jobs that it takes at a time"`
	Kinds         []string       `json:"kinds" nullable:"true" doc:"That it knows; null: it doesn't say"`
	Running       []RunningJob   `json:"running" doc:"What it works at, the longest first, 100 at most"`
	Leads         []string       `json:"leads" doc:"What it does alone of all"`
	ResidentBytes *int64         `json:"resident_bytes"`
	MemoryPercent *float64       `json:"memory_percent" doc:"Of its container, or of the host"`
	CPUPercent    *float64       `json:"cpu_percent" doc:"The same, over the last minute"`
}

// A RunningJob is what a process works at.
type RunningJob struct {
	RiverJobID int64     `json:"river_job_id"`
	JobID      *string   `json:"job_id" doc:"null: no client asked for it"`
	Kind       string    `json:"kind"`
	Queue      string    `json:"queue"`
	Attempt    int       `json:"attempt"`
	Since      time.Time `json:"since"`
}

// A Leader is who does what one process at a time does.
type Leader struct {
	Name    string     `json:"name" enum:"river,relay,router,sampler"`
	What    string     `json:"what"`
	Process *string    `json:"process" doc:"null: nobody does at the moment"`
	Since   *time.Time `json:"since" doc:"null: nobody can say"`
	Until   *time.Time `json:"until" doc:"When it ends unless it is renewed; null: with its connection"`
}
