package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

type createContactInput struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"200"`
		ContactFields
	}
}

// createContact makes a contact: a lead and prospect, active, where the request says nothing else.
func (s *Server) createContact(ctx context.Context, in *createContactInput) (*created[contactDetailView], error) {
	c := store.Contact{OrganizationID: exchangeOf(ctx).caller.OrganizationID, ID: outbox.NewID(), Tags: []string{},
		Type: standardType, Stage: standardStage, Status: standardStatus}
	name := optional[string]{value: in.Body.Name, set: true}
	if _, err := in.Body.apply(&c, name); err != nil {
		return nil, err
	}
	a, err := s.changeOnce(ctx, func(tx pgx.Tx) (answer, []events.Fact, error) {
		c, err := store.CreateContact(ctx, tx, c)
		if err != nil {
			return answer{}, nil, err
		}
		out, err := contactOutputOf(store.ContactDetail{Contact: c}, store.Include{})
		if err != nil {
			return answer{}, nil, err
		}
		return answer{status: http.StatusCreated, headers: answerHeaders{Location: contactPath(c.ID), ETag: out.ETag}, body: out.Body.json},
			[]events.Fact{events.ContactCreated{ContactID: c.ID, Type: c.Type, Stage: c.Stage, Status: c.Status, Version: c.Version}}, nil
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[contactDetailView](a), nil
}

type getContactInput struct {
	IncludeQuery
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}

func (s *Server) getContact(ctx context.Context, in *getContactInput) (*contactOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	want, err := in.include(store.Include{Deals: detailDeals, Invoices: detailInvoices})
	if err != nil {
		return nil, err
	}
	c, err := s.DB.Contact(ctx, exchangeOf(ctx).caller.OrganizationID, id, want)
	if err != nil {
		return nil, err
	}
	out, err := contactOutputOf(c, want)
	if err == nil && matches(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
	}
	return out, err
}

type patchContactInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag that the change is meant for"`
	Body    contactPatch
}

// contactPatch is a JSON merge patch (RFC 7396): what is left out stays, null takes away.
type contactPatch struct {
	Name optional[string] `json:"name,omitzero" minLength:"1" maxLength:"200"`
	ContactFields
}

func (s *Server) patchContact(ctx context.Context, in *patchContactInput) (*contactOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	var c store.ContactDetail
	err = s.change(ctx, func(tx pgx.Tx) ([]events.Fact, error) {
		if c, err = store.LockContact(ctx, tx, exchangeOf(ctx).caller.OrganizationID, id); err != nil {
			return nil, err
		}
		if err := checkMatch(in.IfMatch, c.Version); err != nil {
			return nil, err
		}
		changed, err := in.Body.apply(&c.Contact, in.Body.Name)
		if err != nil || len(changed) == 0 {
			return nil, err
		}
		if c.Contact, err = store.UpdateContact(ctx, tx, c.Contact); err != nil {
			return nil, err
		}
		return []events.Fact{events.ContactUpdated{ContactID: c.ID, Changed: changed, Version: c.Version}}, nil
	})
	if err != nil {
		return nil, err
	}
	return contactOutputOf(c, store.Include{})
}

type deleteContactInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag of what is to be deleted"`
}

// deleteContact deletes a contact that no deal and no invoice is about.
func (s *Server) deleteContact(ctx context.Context, in *deleteContactInput) (*struct{}, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return onNewest(func() (*struct{}, error) { return nil, s.deleteContactOnce(ctx, id, in.IfMatch) })
}

func (s *Server) deleteContactOnce(ctx context.Context, id, ifMatch string) error {
	organizationID := exchangeOf(ctx).caller.OrganizationID
	version := int64(0)
	if ifMatch != "" {
		c, err := s.DB.Contact(ctx, organizationID, id, store.Include{})
		if err != nil {
			return err
		}
		if err := checkMatch(ifMatch, c.Version); err != nil {
			return err
		}
		version = c.Version
	}
	err := s.change(ctx, func(tx pgx.Tx) ([]events.Fact, error) {
		last, err := store.DeleteContact(ctx, tx, organizationID, id, version)
		return []events.Fact{events.ContactDeleted{ContactID: id, Version: last + 1}}, err
	})
	switch {
	case errors.Is(err, store.ErrInUse):
		return s.contactInUse(ctx, organizationID, id)
	case errors.Is(err, store.ErrNotFound) && version != 0:
		// Changed or deleted since it was read above; the next round tells which.
		return store.ErrConflict
	}
	return err
}

func (s *Server) contactInUse(ctx context.Context, organizationID, id string) error {
	c, err := s.DB.Contact(ctx, organizationID, id, store.Include{})
	if err != nil {
		return err
	}
	return refuse("contact_in_use", fmt.Sprintf("the contact has %s and %s; set its status to inactive instead",
		number(c.Deals, "deal"), number(c.Invoices, "invoice")))
}

func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
