package events

// ContactCreated says that a contact was made. Who it is stays in its row: events carry no personal data.
type ContactCreated struct {
	ContactID string `json:"contact_id"`
	Type      string `json:"type"`   // lead, customer, vendor or employee
	Stage     string `json:"stage"`  // prospect, contact or customer
	Status    string `json:"status"` // active, inactive or lost
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (ContactCreated) EventType() string { return "contact.created" }

// Aggregate implements Fact.
func (f ContactCreated) Aggregate() (string, int64) { return f.ContactID, f.Version }

// ContactUpdated says which fields of a contact have changed.
type ContactUpdated struct {
	ContactID string   `json:"contact_id"`
	Changed   []string `json:"changed"` // names of fields as in the API
	Version   int64    `json:"version"`
}

// EventType implements Fact.
func (ContactUpdated) EventType() string { return "contact.updated" }

// Aggregate implements Fact.
func (f ContactUpdated) Aggregate() (string, int64) { return f.ContactID, f.Version }

// ContactDeleted says that a contact is gone. Its version is one more than the last that could be read.
type ContactDeleted struct {
	ContactID string `json:"contact_id"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (ContactDeleted) EventType() string { return "contact.deleted" }

// Aggregate implements Fact.
func (f ContactDeleted) Aggregate() (string, int64) { return f.ContactID, f.Version }
