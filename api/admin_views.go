package api

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type viewsInput struct {
	Page string `query:"page" enum:"jobs" default:"jobs"`
}

type viewsOutput struct{ Body operator.ViewList }

// adminListViews lists the questions that were given names.
func (s *Server) adminListViews(ctx context.Context, in *viewsInput) (*viewsOutput, error) {
	out := &viewsOutput{operator.ViewList{Data: []operator.View{}}}
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		list, err := store.AdminViews(ctx, tx, in.Page)
		for _, v := range list {
			v.CreatedAt = v.CreatedAt.UTC()
			out.Body.Data = append(out.Body.Data, operator.View(v))
		}
		return err
	})
	return out, err
}

type newViewInput struct {
	Body struct {
		Page  string `json:"page" enum:"jobs"`
		Name  string `json:"name" minLength:"1" maxLength:"80"`
		Query string `json:"query" maxLength:"4000" doc:"As in the address of the page"`
	}
}

type viewOutput struct{ Body operator.View }

// adminKeepView gives a question a name, for all operators.
func (s *Server) adminKeepView(ctx context.Context, in *newViewInput) (*viewOutput, error) {
	query, err := url.ParseQuery(strings.TrimPrefix(in.Body.Query, "?"))
	if err != nil {
		return nil, invalid(Fault{"/query", "can't be read as the query of an address"})
	}
	query.Del("cursor")
	v := store.AdminView{ID: outbox.NewID(), Page: in.Body.Page, Name: strings.TrimSpace(in.Body.Name), Query: query.Encode(),
		CreatedBy: exchangeOf(ctx).caller.KeyID}
	if v.Name == "" {
		return nil, invalid(Fault{"/name", "must not be blank"})
	}
	err = s.act(ctx, act{Action: "view.keep", Target: "view", ID: v.ID}, func(tx pgx.Tx, note *act) error {
		note.After = map[string]string{"page": v.Page, "name": v.Name}
		err := store.InsertAdminView(ctx, tx, &v)
		if errors.Is(err, store.ErrConflict) {
			return refuse("name_taken", "there is a view of that name, or the page has as many as it may; delete one first")
		}
		return err
	})
	v.CreatedAt = v.CreatedAt.UTC()
	return &viewOutput{operator.View(v)}, err
}

type viewIDInput struct {
	ID string `path:"id" format:"uuid"`
}

// adminDeleteView forgets a view.
func (s *Server) adminDeleteView(ctx context.Context, in *viewIDInput) (*struct{}, error) {
	err := s.act(ctx, act{Action: "view.delete", Target: "view", ID: in.ID}, func(tx pgx.Tx, note *act) error {
		v, err := store.DeleteAdminView(ctx, tx, in.ID)
		note.Before = map[string]string{"page": v.Page, "name": v.Name}
		return err
	})
	return nil, err
}
