package operator

import "time"

// An AuditEntry is something that an operator did, or tried to.
type AuditEntry struct {
	ID             string    `json:"id"`
	At             time.Time `json:"at"`
	KeyID          string    `json:"key_id" doc:"Of who did it; admin is the key of the configuration"`
	KeyName        string    `json:"key_name"`
	Role           string    `json:"role" enum:"admin,read_only"`
	SessionID      *string   `json:"session_id" doc:"By a page of the admin; null: by the API"`
	Address        *string   `json:"address"`
	RequestID      *string   `json:"request_id"`
	Action         string    `json:"action" doc:"Such as job.retry"`
	Target         string    `json:"target" doc:"What sort of thing it was done to, such as job"`
	TargetID       string    `json:"target_id"`
	OrganizationID *string   `json:"organization_id" doc:"Whose it is"`
	Outcome        string    `json:"outcome" enum:"done,refused,failed"`
	Detail         *string   `json:"detail" doc:"Why it was refused or failed"`
	Before         Object    `json:"before"`
	After          Object    `json:"after"`
}

// AuditList is a part of the audit log, newest first.
type AuditList struct {
	Data       []AuditEntry `json:"data"`
	NextCursor *string      `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool         `json:"has_more"`
}
