package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/events"
)

// CallbackData is the data of what a job's callback_url is sent, for the document: the fact of the job's end, and what
// came of the job as it is read.
type CallbackData struct {
	JobID    string     `json:"job_id" format:"uuid"`
	Kind     string     `json:"kind"`
	Attempt  int        `json:"attempt,omitempty" doc:"That ended the job; not of one that was cancelled"`
	Code     string     `json:"code,omitempty" doc:"Of one that failed: that of its error"`
	Version  int64      `json:"version"`
	Callback bool       `json:"callback"`
	Status   string     `json:"status" enum:"succeeded,failed,cancelled"`
	Metadata jsonObject `json:"metadata" doc:"null when the job is no longer kept"`
	Output   jsonObject `json:"output"`
	Error    jsonObject `json:"error"`
	Omitted  bool       `json:"omitted" doc:"Output and error are left out: they have more than 256 KiB, or the job has a new run by now, or is no longer kept. The link leads to what there is"`
	Links    struct {
		Job string `json:"job"`
	} `json:"links"`
}

const callbackDescription = "Once the job has ended, and again when a retry by hand has, its callback_url is sent the event that says so, " +
	"with what came of the job. The secret that signs it is that of GET /api/webhooks/callbacks. The body is usually well below the " +
	"20 KB that Standard Webhooks advises, and has 256 KiB of result at most. After 410 this event isn't sent again, and the next job's " +
	"is. What became of it is read at the job's link callback_deliveries."

// documentCallback tells clients what comes to the callback_url of a job.
func documentCallback(api huma.API, op *huma.Operation) {
	ended := deliveryOperation("job-ended", "Hear of the job's end", dataSchema(api, reflect.TypeFor[CallbackData]()),
		events.JobCompleted{}.EventType(), events.JobFailed{}.EventType(), events.JobCancelled{}.EventType())
	ended.Description = callbackDescription
	ended.Responses["410"] = &huma.Response{Description: "The receiver wants nothing more of this event"}
	op.Callbacks = map[string]map[string]*huma.PathItem{"jobEnded": {"{$request.body#/callback_url}": {Post: ended}}}
}
