package operator

// Changed is the data of the event "changed" of GET /api/admin/live: sorts of things of which some have changed, such as
// jobs, queues or mail. What it names more than changed does no harm.
type Changed struct {
	What []string `json:"what"`
}
