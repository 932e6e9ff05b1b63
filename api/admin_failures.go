package api

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/likeness"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

var failureWindows = map[string]store.FailureSpan{"1h": store.LastHour, "24h": store.LastDay, "7d": store.LastWeek}

type failuresInput struct {
	Window         string `query:"window" enum:"1h,24h,7d" default:"24h" doc:"How far back to look"`
	Kind           string `query:"kind" maxLength:"127"`
	Queue          string `query:"queue" maxLength:"100"`
	OrganizationID string `query:"organization_id"`
	Order          string `query:"order" enum:"recent,frequent" default:"recent" doc:"recent: the newest failure first; frequent: most attempts first"`
}

type failuresOutput struct{ Body operator.FailureList }

// mostFailureGroups are shown; who has more has another problem than these.
const mostFailureGroups = 200

// listFailures groups what went wrong by its cause.
func (s *Server) listFailures(ctx context.Context, in *failuresInput) (*failuresOutput, error) {
	organizationID, err := optionalID("organization_id", in.OrganizationID)
	if err != nil {
		return nil, err
	}
	f := store.FailureFilter{Span: failureWindows[in.Window], Kind: in.Kind, Queue: in.Queue, OrganizationID: organizationID}
	var groups []store.FailureGroup
	list := operator.FailureList{Window: in.Window, Data: []operator.FailureGroup{}, AsOf: time.Now().UTC()}
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		groups, list.Sampled, err = store.FailureGroups(ctx, tx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(groups, func(a, b store.FailureGroup) int {
		recent := cmp.Or(b.LastAt.Compare(a.LastAt), cmp.Compare(a.Fingerprint, b.Fingerprint))
		if in.Order == "frequent" {
			return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), recent)
		}
		return recent
	})
	list.Groups = len(groups)
	for i, g := range groups {
		list.Failed += g.Failed
		list.Retrying += g.Retrying
		list.Attempts += g.Attempts
		list.AsOf = g.AsOf.UTC()
		if i < mostFailureGroups {
			list.Data = append(list.Data, failureGroupOf(g, f.Span))
		}
	}
	return &failuresOutput{list}, nil
}

func failureGroupOf(g store.FailureGroup, s store.FailureSpan) operator.FailureGroup {
	counts := map[string]int64{}
	_ = json.Unmarshal(g.Buckets, &counts) // numbers by numbers, as the query makes them
	parts := make([]operator.FailurePart, s.Parts)
	size := s.Length / time.Duration(s.Parts)
	begin := g.AsOf.Add(-s.Length)
	for i := range parts {
		parts[i] = operator.FailurePart{At: begin.Add(time.Duration(i) * size).UTC(), Attempts: counts[strconv.Itoa(i)]}
	}
	return operator.FailureGroup{Fingerprint: g.Fingerprint, Kind: g.Kind, Queue: g.Queue, Code: g.Code, Message: likeness.Normal(g.Error),
		Example: g.Error, Failed: g.Failed, Retrying: g.Retrying, Over: g.Over, Attempts: g.Attempts, Organizations: g.Organizations,
		FirstAt: g.FirstAt.UTC(), LastAt: g.LastAt.UTC(), Parts: parts}
}

type failureInput struct {
	Fingerprint string `path:"fingerprint" pattern:"^[0-9a-f]{16}$"`
	Window      string `query:"window" enum:"1h,24h,7d" default:"7d" doc:"How far back to look"`
}

type failureOutput struct{ Body operator.FailureDetail }

const newestFailures = 50

// getFailure shows a group of failures with the newest of them.
func (s *Server) getFailure(ctx context.Context, in *failureInput) (*failureOutput, error) {
	f := store.FailureFilter{Span: failureWindows[in.Window], Fingerprint: in.Fingerprint}
	var groups []store.FailureGroup
	var newest []store.FailedAttempt
	err := s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		if newest, err = store.NewestFailures(ctx, tx, in.Fingerprint, newestFailures); err != nil {
			return err
		}
		if len(newest) == 0 {
			return store.ErrNotFound
		}
		groups, _, err = store.FailureGroups(ctx, tx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	d := operator.FailureDetail{Window: in.Window, AsOf: time.Now().UTC(), Newest: make([]operator.Failure, len(newest))}
	if len(groups) == 1 {
		d.FailureGroup, d.AsOf = failureGroupOf(groups[0], f.Span), groups[0].AsOf.UTC()
	} else { // nothing in the window; it is still known
		last := newest[0]
		d.FailureGroup = failureGroupOf(store.FailureGroup{Fingerprint: in.Fingerprint, Kind: last.Kind, Queue: last.Queue, Code: orEmpty(last.Code),
			Error: orEmpty(last.Error), FirstAt: last.EndedAt, LastAt: last.EndedAt, AsOf: d.AsOf}, f.Span)
	}
	for i, a := range newest {
		d.Newest[i] = operator.Failure{Internal: a.JobID == nil, OrganizationID: a.OrganizationID, OrganizationName: a.Organization, Run: a.Run,
			Attempt: a.Attempt, Outcome: a.Outcome, Error: orEmpty(a.Error), Worker: a.Worker, EndedAt: a.EndedAt.UTC(), Status: a.Status}
		d.Newest[i].JobID = jobOrRiver(a.JobID, a.RiverJobID)
	}
	return &failureOutput{d}, nil
}

// jobOrRiver is the id by which the operator finds a job.
func jobOrRiver(id *string, river *int64) string {
	switch {
	case id != nil:
		return *id
	case river != nil:
		return strconv.FormatInt(*river, 10)
	}
	return ""
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
