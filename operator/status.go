package operator

import "time"

// Status is whether an installation is well, at a glance.
type Status struct {
	Well   bool      `json:"well" doc:"Nothing below is graver than a note"`
	Alerts []Alert   `json:"alerts" doc:"The gravest first; empty: all is well"`
	At     time.Time `json:"generated_at" doc:"It is looked at every 5 seconds at most"`
}

// An Alert is something that somebody should see to.
type Alert struct {
	Code     string `json:"code" doc:"Such as queue_paused"`
	Severity string `json:"severity" enum:"critical,warning,info" doc:"info: somebody meant it so, and should remember"`
	Text     string `json:"text" doc:"What is the matter, and what to do"`
	Link     string `json:"link" doc:"The page of the admin where that is done"`
}
