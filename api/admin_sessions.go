package api

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// houseRoutes are those of the admin's API about who operates the installation and what it runs with.
func (s *Server) houseRoutes() []route {
	const get, del = http.MethodGet, http.MethodDelete
	return []route{
		{method: get, path: "/api/admin/live", scopes: adminRead, streams: true,
			summary: "Follow which sorts of things change", register: raw(s.followAll, documentLive)},
		{method: get, path: "/api/admin/sessions", scopes: adminRead,
			summary: "List who has signed in to the pages", register: typed(s.listSessions, http.StatusOK)},
		{method: del, path: "/api/admin/sessions/{id}", scopes: admin,
			summary: "Sign somebody out", register: typed(s.endSession, http.StatusNoContent)},
		{method: get, path: "/api/admin/settings", scopes: adminRead,
			summary: "What the process runs with, without secrets", register: typed(s.adminSettings, http.StatusOK)},
	}
}

type sessionsOutput struct{ Body operator.Sessions }

// listSessions shows who has signed in, last seen first.
func (s *Server) listSessions(ctx context.Context, _ *struct{}) (*sessionsOutput, error) {
	var rows []store.AdminSession
	err := s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.AdminSessions(ctx, tx, sessionBounds)
		return err
	})
	if err != nil {
		return nil, err
	}
	own := exchangeOf(ctx).caller.session
	out := &sessionsOutput{operator.Sessions{Data: make([]operator.Session, len(rows))}}
	for i, r := range rows {
		out.Body.Data[i] = operator.Session{ID: r.ID, KeyID: r.KeyID, KeyName: r.KeyName, Role: r.Role, Address: r.Address, UserAgent: r.UserAgent,
			CreatedAt: r.CreatedAt.UTC(), SeenAt: r.SeenAt.UTC(), EndsAt: r.CreatedAt.UTC().Add(sessionBounds.Most), Own: r.ID == own}
	}
	return out, nil
}

type sessionInput struct {
	ID string `path:"id" doc:"Of a session"`
}

// endSession signs somebody out, who has to sign in again.
func (s *Server) endSession(ctx context.Context, in *sessionInput) (*struct{}, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return nil, s.act(ctx, act{Action: "session.end", Target: "session", ID: id}, func(tx pgx.Tx, note *act) error {
		ended, err := store.EndAdminSession(ctx, tx, id)
		if err != nil {
			return err
		}
		note.Before = map[string]any{"key_id": ended.KeyID, "key_name": ended.KeyName, "open": true}
		note.After = map[string]any{"key_id": ended.KeyID, "key_name": ended.KeyName, "open": false}
		return nil
	})
}
