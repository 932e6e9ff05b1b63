package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
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

// listContacts lists contacts, newest first.
func (s *Server) listContacts(ctx context.Context, in *contactsInput) (*cached[page[ContactView]], error) {
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
	e := contactListEntry(in.PageQuery, filters, want)
	if in.Q != "" {
		e = notCached
	}
	f := store.ContactFilter{Status: in.Status, Type: in.Type, Stage: in.Stage, Search: search, Before: before, Limit: in.Limit + 1}
	return readCached(ctx, s, e, func(ctx context.Context, organizationID string) (page[ContactView], error) {
		rows, err := s.DB.Contacts(ctx, organizationID, f)
		if errors.Is(err, store.ErrTooSlow) {
			err = searchTimeout(s.patience)
		}
		if err != nil {
			return page[ContactView]{}, err
		}
		p := pageOf(rows, in.Limit, func(c store.Contact) string { return c.ID }, filters...)
		views, err := s.contactViews(ctx, organizationID, p.Data, want)
		return page[ContactView]{Data: views, NextCursor: p.NextCursor, HasMore: p.HasMore}, err
	})
}

// contactListEntry is what a list of contacts is kept as: void when anything changes that it shows.
func contactListEntry(page PageQuery, filters []string, want store.Include) cachetag.Entry {
	tags, included := []string{cachetag.Contacts}, "contacts"
	if want.Deals > 0 {
		tags, included = append(tags, cachetag.Deals), included+" deals"
	}
	if want.Invoices > 0 || want.UnpaidInvoices > 0 {
		tags, included = append(tags, cachetag.Invoices), included+" invoices"
	}
	e := cachetag.Entry{Name: "contact:list", Tags: tags, TTL: 5 * time.Minute}
	return listEntry(e, page, append([]string{included}, filters...))
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
	search.Within = s.patience
	return search, checkWords(search.Words())
}

// wordSearch is what lists are searched for that know no phone numbers.
func (s *Server) wordSearch(q string) (store.Words, error) {
	words := store.ParseWords(q)
	words.Within = s.patience
	return words, checkWords(words.Count())
}

func checkWords(count int) error {
	if count > maxSearchWords {
		return invalid(Fault{"/query/q", "has more than " + strconv.Itoa(maxSearchWords) + " words"})
	}
	return nil
}
