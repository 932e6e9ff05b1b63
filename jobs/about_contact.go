package jobs

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// aboutContact is the input of inquiries about a contact, or a part of it.
type aboutContact struct {
	ContactID string `json:"contact_id"`
	inquiryOptions
}

func (in aboutContact) faults() []Fault {
	return append(idFaults("/contact_id", in.ContactID), in.optionFaults()...)
}

func (in aboutContact) subject(string) (store.Subject, string) {
	return store.Subject{Type: store.SubjectContact, ID: in.ContactID}, "/contact_id"
}

// contactProperty describes contact_id for the API's document.
const contactProperty = `
		"contact_id":{"type":"string","format":"uuid"}`

func readContact(ctx context.Context, db *store.DB, organizationID string, in aboutContact, now time.Time) (store.ContactFacts, error) {
	return db.ContactFacts(ctx, organizationID, in.ContactID, now)
}

func tagsOfContact(in aboutContact, _ store.ContactFacts) []string {
	return []string{cachetag.ContactTag(in.ContactID)}
}

func viewOfContact(_ aboutContact, f store.ContactFacts, now time.Time) any {
	return viewContact(f, now)
}
