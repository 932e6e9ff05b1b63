package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/payaid/payaid/internal/store"
)

type contactsInput struct {
	PageQuery
	IncludeQuery
	Status string `query:"status" enum:"active,inactive,lost"`
	Type   string `query:"type" enum:"lead,customer,vendor,employee"`
	Stage  string `query:"stage" enum:"prospect,contact,customer"`
	Q      string `query:"q" maxLength:"200" doc:"Words that are all in name, email, company or phone; one or two characters begin a word there. What looks like a phone number is looked for by its digits"`
}

type contactsOutput struct{ Body page[ContactView] }

// listContacts lists contacts, newest first.
func (s *Server) listContacts(ctx context.Context, in *contactsInput) (*contactsOutput, error) {
	search, err := s.contactSearch(in.Q)
	if err != nil {
		return nil, err
	}
	filters := []string{"contacts", in.Status, in.Type, in.Stage, in.Q}
	before, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	want, err := in.include(store.Include{Deals: listDeals, UnpaidInvoices: listUnpaidInvoices})
	if err != nil {
		return nil, err
	}
	organizationID := exchangeOf(ctx).caller.OrganizationID
	rows, err := s.DB.Contacts(ctx, organizationID, store.ContactFilter{
		Status: in.Status, Type: in.Type, Stage: in.Stage, Search: search, Before: before, Limit: in.Limit + 1,
	})
	if errors.Is(err, store.ErrTooSlow) {
		return nil, searchTimeout(s.patience)
	}
	if err != nil {
		return nil, err
	}
	p := pageOf(rows, in.Limit, func(c store.Contact) string { return c.ID }, filters...)
	views, err := s.contactViews(ctx, organizationID, p.Data, want)
	if err != nil {
		return nil, err
	}
	return &contactsOutput{page[ContactView]{Data: views, NextCursor: p.NextCursor, HasMore: p.HasMore}}, nil
}

// contactViews shows contacts with what is to be included, which is read for all of them at once.
func (s *Server) contactViews(ctx context.Context, organizationID string, contacts []store.Contact, want store.Include) ([]ContactView, error) {
	ids := make([]string, len(contacts))
	for i, c := range contacts {
		ids[i] = c.ID
	}
	related, err := s.DB.Related(ctx, organizationID, ids, want)
	if err != nil {
		return nil, err
	}
	views := make([]ContactView, len(contacts))
	for i, c := range contacts {
		views[i] = contactViewOf(c)
		views[i].add(related[c.ID], want)
	}
	return views, nil
}

const (
	// A search is answered within milliseconds, unless for what no index helps with in a very long list.
	searchTime = 5 * time.Second
	// Each word costs time, and nobody types so many.
	maxSearchWords = 10
)

func searchTimeout(patience time.Duration) error {
	return refuse("search_timeout", "the search took longer than "+patience.String()+"; look for longer words, or try again").
		with("Retry-After", "5")
}

func (s *Server) contactSearch(q string) (store.ContactSearch, error) {
	search := store.ParseContactSearch(q)
	if search.Words() > maxSearchWords {
		return search, invalid(Fault{"/query/q", "has more than " + strconv.Itoa(maxSearchWords) + " words"})
	}
	search.Within = s.patience
	return search, nil
}
