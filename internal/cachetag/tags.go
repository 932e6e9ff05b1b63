package cachetag

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/payaid/payaid/events"
)

// The tags of what is made from many things of an organization, each named after what it makes void.
const (
	Contacts = "contacts"
	Deals    = "deals"
	Invoices = "invoices"
	Org      = "org"
)

// Tags lists those.
func Tags() []string { return []string{Contacts, Deals, Invoices, Org} }

// ContactTag is the tag of what is made from one contact, with its deals and invoices.
func ContactTag(id string) string { return "contact:" + strings.ToLower(id) }

// DealTag is the tag of what is made from one deal.
func DealTag(id string) string { return "deal:" + strings.ToLower(id) }

// InvoiceTag is the tag of what is made from one invoice.
func InvoiceTag(id string) string { return "invoice:" + strings.ToLower(id) }

var oneThing = regexp.MustCompile(`^(contact|deal|invoice):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Known reports whether facts may make a tag void: one of Tags, or that of one thing.
func Known(tag string) bool { return slices.Contains(Tags(), tag) || oneThing.MatchString(tag) }

// TagsOf gives the tags that a fact makes void, none for a fact that changes nothing that is cached. What
// happens to a deal or an invoice happens to its contact too.
func TagsOf(f events.Fact) []string {
	noun, _, _ := strings.Cut(f.EventType(), ".")
	switch noun {
	case "contact":
		if scored, ok := f.(events.ContactUpdated); ok && slices.Equal(scored.Changed, []string{"lead_score"}) {
			// What is made from a contact is made without its score, which is itself made from the contact:
			// an answer would make itself void.
			return []string{Contacts}
		}
		return append([]string{Contacts}, thingsOf(f)...)
	case "deal":
		return append([]string{Deals}, thingsOf(f)...)
	case "invoice":
		return append([]string{Invoices}, thingsOf(f)...)
	case "organization":
		return []string{Org}
	}
	return nil
}

// thingsOf gives the tags of the things that a fact names.
func thingsOf(f events.Fact) (tags []string) {
	var named struct {
		ContactID string `json:"contact_id"`
		DealID    string `json:"deal_id"`
		InvoiceID string `json:"invoice_id"`
	}
	data, err := json.Marshal(f)
	if err == nil {
		err = json.Unmarshal(data, &named)
	}
	if err != nil {
		return nil // facts are plain structs, and the catalogue's samples show that they are such
	}
	if named.ContactID != "" {
		tags = append(tags, ContactTag(named.ContactID))
	}
	if named.DealID != "" {
		tags = append(tags, DealTag(named.DealID))
	}
	if named.InvoiceID != "" {
		tags = append(tags, InvoiceTag(named.InvoiceID))
	}
	return tags
}
