package api

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/store"
)

type jobsInput struct {
	PageQuery
	Status        string    `query:"status" enum:"queued,running,succeeded,failed,cancelled"`
	Kind          string    `query:"kind" maxLength:"127" pattern:"^[a-z0-9_.]+$"`
	CreatedAfter  time.Time `query:"created_after" doc:"RFC 3339; from this moment on"`
	CreatedBefore time.Time `query:"created_before" doc:"RFC 3339; before this moment"`
}

type jobsOutput struct{ Body page[jobView] }

// listJobs lists jobs, newest first.
func (s *Server) listJobs(ctx context.Context, in *jobsInput) (*jobsOutput, error) {
	filters := []string{"jobs", in.Status, in.Kind, filterTime(in.CreatedAfter), filterTime(in.CreatedBefore)}
	before, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.Jobs(ctx, exchangeOf(ctx).caller.OrganizationID, store.JobFilter{
		Status: in.Status, Kind: in.Kind, CreatedAfter: in.CreatedAfter, CreatedBefore: in.CreatedBefore,
		Before: before, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	s.settle(ctx, rows...)
	views := make([]jobView, len(rows))
	for i, j := range rows {
		views[i] = viewOf(j)
	}
	return &jobsOutput{pageOf(views, in.Limit, func(v jobView) string { return v.ID }, filters...)}, nil
}

func filterTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
