package events

// BulkRequested says that an operator wants something done with many jobs at once. Which they are stands with the bulk
// action.
type BulkRequested struct {
	BulkID string `json:"bulk_id"`
	Action string `json:"action"` // retry, cancel or delete
	Total  int    `json:"total"`  // jobs that matched when it was asked
}

// EventType implements Fact.
func (BulkRequested) EventType() string { return "admin.bulk_requested" }

// Aggregate implements Fact. Nothing about a bulk action is stated twice.
func (f BulkRequested) Aggregate() (string, int64) { return f.BulkID, 1 }
