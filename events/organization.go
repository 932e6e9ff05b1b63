package events

// OrganizationUpdated says that an organization's name, plan or settings changed.
type OrganizationUpdated struct {
	OrganizationID string   `json:"organization_id"`
	Changed        []string `json:"changed"` // names of the fields
	Version        int64    `json:"version"`
}

// EventType implements Fact.
func (OrganizationUpdated) EventType() string { return "organization.updated" }

// Aggregate implements Fact.
func (f OrganizationUpdated) Aggregate() (string, int64) { return f.OrganizationID, f.Version }
