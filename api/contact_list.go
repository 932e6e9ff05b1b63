package api

import (
	"context"

	"github.com/payaid/payaid/internal/store"
)

type contactsInput struct {
	PageQuery
	Status string `query:"status" enum:"active,inactive,lost"`
	Type   string `query:"type" enum:"lead,customer,vendor,employee"`
	Stage  string `query:"stage" enum:"prospect,contact,customer"`
}

type contactsOutput struct{ Body page[ContactView] }

// listContacts lists contacts, newest first.
func (s *Server) listContacts(ctx context.Context, in *contactsInput) (*contactsOutput, error) {
	filters := []string{"contacts", in.Status, in.Type, in.Stage}
	before, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.Contacts(ctx, exchangeOf(ctx).caller.OrganizationID, store.ContactFilter{
		Status: in.Status, Type: in.Type, Stage: in.Stage, Before: before, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	views := make([]ContactView, len(rows))
	for i, c := range rows {
		views[i] = contactViewOf(c)
	}
	return &contactsOutput{pageOf(views, in.Limit, func(v ContactView) string { return v.ID }, filters...)}, nil
}
