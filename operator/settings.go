package operator

import "time"

// A Setting is a variable that the process was started with.
type Setting struct {
	Name   string  `json:"name" doc:"Of the environment's variable"`
	Value  *string `json:"value" doc:"null where it is a secret, or not set"`
	Set    bool    `json:"set" doc:"false: the value is what it is unless it is set"`
	Secret bool    `json:"secret" doc:"The value is shown to nobody"`
	Help   string  `json:"help"`
}

// InstallationSettings is what the process that answers runs with.
type InstallationSettings struct {
	Version   string    `json:"version"`
	Go        string    `json:"go" doc:"Version of Go that it was built with"`
	Postgres  string    `json:"postgres" doc:"Version of the server"`
	StartedAt time.Time `json:"started_at"`
	Data      []Setting `json:"data"`
}
