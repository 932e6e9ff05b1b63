package cachetag

import (
	"strings"

	"github.com/payaid/payaid/events"
)

// The tags, each named after what it makes void.
const (
	Contacts = "contacts"
	Deals    = "deals"
	Invoices = "invoices"
	Org      = "org"
)

// Tags lists them all.
func Tags() []string { return []string{Contacts, Deals, Invoices, Org} }

// TagsOf gives the tags that a fact makes void, none for a fact that changes nothing that is cached.
func TagsOf(f events.Fact) []string {
	noun, _, _ := strings.Cut(f.EventType(), ".")
	switch noun {
	case "contact":
		return []string{Contacts}
	case "deal":
		return []string{Deals}
	case "invoice":
		return []string{Invoices}
	case "organization":
		return []string{Org}
	}
	return nil
}
