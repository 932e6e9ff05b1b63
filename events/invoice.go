package events

import "time"

// InvoiceCreated says that a draft of an invoice was made.
type InvoiceCreated struct {
	InvoiceID string `json:"invoice_id"`
	ContactID string `json:"contact_id"`
	Total     int64  `json:"total"` // paise
	Currency  string `json:"currency"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (InvoiceCreated) EventType() string { return "invoice.created" }

// Aggregate implements Fact.
func (f InvoiceCreated) Aggregate() (string, int64) { return f.InvoiceID, f.Version }

// InvoiceUpdated says which fields of an invoice have changed; a payment that leaves something due changes amount_paid.
type InvoiceUpdated struct {
	InvoiceID string   `json:"invoice_id"`
	ContactID string   `json:"contact_id"`
	Changed   []string `json:"changed"` // names of fields as in the API
	Version   int64    `json:"version"`
}

// EventType implements Fact.
func (InvoiceUpdated) EventType() string { return "invoice.updated" }

// Aggregate implements Fact.
func (f InvoiceUpdated) Aggregate() (string, int64) { return f.InvoiceID, f.Version }

// InvoiceSent says that an invoice was given its number and is due.
type InvoiceSent struct {
	InvoiceID string `json:"invoice_id"`
	ContactID string `json:"contact_id"`
	Number    string `json:"number"`
	Total     int64  `json:"total"` // paise
	Currency  string `json:"currency"`
	DueDate   string `json:"due_date"` // YYYY-MM-DD
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (InvoiceSent) EventType() string { return "invoice.sent" }

// Aggregate implements Fact.
func (f InvoiceSent) Aggregate() (string, int64) { return f.InvoiceID, f.Version }

// InvoicePaid says that nothing of an invoice is due any more.
type InvoicePaid struct {
	InvoiceID string    `json:"invoice_id"`
	ContactID string    `json:"contact_id"`
	Number    string    `json:"number"`
	Total     int64     `json:"total"` // paise
	Currency  string    `json:"currency"`
	PaidAt    time.Time `json:"paid_at"` // of the last payment
	Version   int64     `json:"version"`
}

// EventType implements Fact.
func (InvoicePaid) EventType() string { return "invoice.paid" }

// Aggregate implements Fact.
func (f InvoicePaid) Aggregate() (string, int64) { return f.InvoiceID, f.Version }

// InvoiceOverdue says that the due date of an invoice has passed, in the time zone of its organization.
type InvoiceOverdue struct {
	InvoiceID string `json:"invoice_id"`
	ContactID string `json:"contact_id"`
	Number    string `json:"number"`
	AmountDue int64  `json:"amount_due"` // paise
	Currency  string `json:"currency"`
	DueDate   string `json:"due_date"` // YYYY-MM-DD
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (InvoiceOverdue) EventType() string { return "invoice.overdue" }

// Aggregate implements Fact.
func (f InvoiceOverdue) Aggregate() (string, int64) { return f.InvoiceID, f.Version }

// InvoiceCancelled says that an invoice asks for nothing any more. It keeps its number, which is empty when it never had one.
type InvoiceCancelled struct {
	InvoiceID string `json:"invoice_id"`
	ContactID string `json:"contact_id"`
	Number    string `json:"number"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (InvoiceCancelled) EventType() string { return "invoice.cancelled" }

// Aggregate implements Fact.
func (f InvoiceCancelled) Aggregate() (string, int64) { return f.InvoiceID, f.Version }

// InvoiceDeleted says that a draft is gone. Its version is one more than the last that could be read.
type InvoiceDeleted struct {
	InvoiceID string `json:"invoice_id"`
	ContactID string `json:"contact_id"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (InvoiceDeleted) EventType() string { return "invoice.deleted" }

// Aggregate implements Fact.
func (f InvoiceDeleted) Aggregate() (string, int64) { return f.InvoiceID, f.Version }
