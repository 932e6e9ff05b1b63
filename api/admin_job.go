package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type adminJobInput struct {
	ID string `path:"id" maxLength:"40" doc:"A UUID, or River's number of an internal job"`
}

type adminJobOutput struct {
	ETag string `header:"ETag"`
	Body operator.JobDetail
}

// adminGetJob reads one job with all but its content.
func (s *Server) adminGetJob(ctx context.Context, in *adminJobInput) (*adminJobOutput, error) {
	d, err := s.readAdminJob(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &adminJobOutput{ETag: versionTag(lineOfDetail(d).Version), Body: detailOf(d, time.Now())}, nil
}

// readAdminJob reads a job by either sort of id.
func (s *Server) readAdminJob(ctx context.Context, id string) (d store.AdminJobDetail, err error) {
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		d, err = findAdminJob(ctx, tx, id)
		return err
	})
	return d, err
}

// findAdminJob finds a job by its UUID or River's number; the number of a requested job gives that job.
func findAdminJob(ctx context.Context, tx pgx.Tx, id string) (d store.AdminJobDetail, err error) {
	if number, err := strconv.ParseInt(id, 10, 64); err == nil {
		if d, err = store.ReadInternalJob(ctx, tx, number); err != nil {
			return d, err
		}
		if id = d.River.JobID(); id == "" {
			return d, nil
		}
	}
	parsed, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return d, notFound()
	}
	organizationID, err := store.OrganizationOfJob(ctx, tx, parsed.String())
	if err != nil {
		return d, err
	}
	return store.ReadAdminJob(ctx, tx, organizationID, parsed.String())
}

func isNotFound(err error) bool {
	var refused *Error
	return errors.Is(err, store.ErrNotFound) || errors.As(err, &refused) && refused.Code == "not_found"
}

// lineOfDetail is the line of a job that was read whole.
func lineOfDetail(d store.AdminJobDetail) operator.Job {
	if d.Job == nil {
		return lineOfRiver(d)
	}
	j := d.Job
	line := operator.Job{ID: j.ID, RiverJobID: j.RiverJobID, OrganizationID: &j.OrganizationID, OrganizationName: d.OrganizationName,
		Kind: j.Kind, Queue: j.Queue, Status: d.Status, Priority: allPriorities[j.Priority], Overflow: j.Overflow, Run: j.Run,
		Attempt: j.Attempt, MaxAttempts: j.MaxAttempts, RunAt: j.RunAt.UTC(), CreatedAt: j.CreatedAt.UTC(),
		NextAttemptAt: utc(j.NextAttemptAt), StartedAt: utc(j.StartedAt), FinishedAt: utc(j.FinishedAt),
		WaitingReason: j.WaitingReason, RequestID: j.RequestID, Version: j.Version}
	var problem struct{ Code, Detail *string }
	if json.Unmarshal(j.Error, &problem) == nil {
		line.ErrorCode, line.ErrorDetail = problem.Code, problem.Detail
	}
	if d.River != nil {
		line.RiverJobID, line.RiverState, line.Worker = &d.River.ID, &d.River.State, lastOf(d.River.AttemptedBy)
	}
	return line
}

func lineOfRiver(d store.AdminJobDetail) operator.Job {
	r := d.River
	line := operator.Job{ID: strconv.FormatInt(r.ID, 10), Internal: true, RiverJobID: &r.ID, RiverState: &r.State,
		OrganizationID: orNull(r.OrganizationID()), OrganizationName: d.OrganizationName, Kind: r.Kind, Queue: r.Queue, Status: d.Status,
		Priority: allPriorities[r.Priority], Run: 1, Attempt: r.Attempt, MaxAttempts: r.MaxAttempts, RunAt: r.ScheduledAt.UTC(),
		CreatedAt: r.CreatedAt.UTC(), StartedAt: utc(r.AttemptedAt), FinishedAt: utc(r.FinalizedAt), Worker: lastOf(r.AttemptedBy), Version: 1}
	if d.Status == store.Waiting {
		line.NextAttemptAt = utc(&r.ScheduledAt)
	}
	if errs := riverErrors(r); len(errs) > 0 && r.State != "completed" {
		code, text := "internal", errs[len(errs)-1].Error
		line.ErrorCode, line.ErrorDetail = &code, &text
	}
	return line
}

func lastOf(list []string) *string {
	if len(list) == 0 {
		return nil
	}
	return &list[len(list)-1]
}

func riverErrors(r *store.RiverRow) (list []store.RiverError) {
	// What River wrote can be read; if not, there is nothing to show of it.
	_ = json.Unmarshal(r.Errors, &list)
	return list
}

// detailOf is a job as it is shown by itself.
func detailOf(d store.AdminJobDetail, now time.Time) operator.JobDetail {
	view := operator.JobDetail{Job: lineOfDetail(d), Attempts: attemptsOf(d), Effects: []operator.JobEffect{}, Actions: actionsOn(d), AsOf: now.UTC()}
	if d.River != nil {
		view.Content.Args = len(d.River.Args)
	}
	if j := d.Job; j != nil {
		view.EventID, view.TraceParent, view.Deadline, view.CallsBack = &j.EventID, j.TraceParent, utc(j.Deadline), j.CallsBack()
		view.Progress = operator.Object(j.Progress)
		view.Content.Input, view.Content.Output, view.Content.Metadata = len(j.Input), len(j.Output), len(j.Metadata)
		for _, e := range d.Effects {
			view.Effects = append(view.Effects, operator.JobEffect{Key: e.Key, State: e.State, Attempt: e.Attempt,
				StartedAt: e.StartedAt.UTC(), FinishedAt: utc(e.FinishedAt)})
		}
	}
	view.Timeline = timelineOf(d, view)
	return view
}

// attemptsOf are the attempts that were noted, and what River alone knows of.
func attemptsOf(d store.AdminJobDetail) []operator.JobAttempt {
	list := []operator.JobAttempt{}
	traces := map[[2]int64]store.RiverError{}
	if d.River != nil {
		for _, e := range riverErrors(d.River) {
			traces[[2]int64{d.River.ID, int64(e.Attempt)}] = e
		}
	}
	for _, a := range d.Attempts {
		view := operator.JobAttempt{Run: a.Run, Attempt: a.Attempt, RiverJobID: a.RiverJobID, Worker: a.Worker, Outcome: a.Outcome,
			Code: a.Code, Error: a.Error, Fingerprint: a.Fingerprint, TraceID: a.TraceID, Log: logOf(a.Log),
			StartedAt: utc(a.StartedAt), EndedAt: a.EndedAt.UTC()}
		if a.RiverJobID != nil {
			key := [2]int64{*a.RiverJobID, int64(a.Attempt)}
			view.Trace = orNull(traces[key].Trace)
			delete(traces, key)
		}
		list = append(list, view)
	}
	if d.River == nil {
		return list
	}
	errs := riverErrors(d.River)
	for i := len(errs) - 1; i >= 0; i-- {
		e := errs[i]
		if _, left := traces[[2]int64{d.River.ID, int64(e.Attempt)}]; left {
			delete(traces, [2]int64{d.River.ID, int64(e.Attempt)})
			list = append(list, operator.JobAttempt{Run: 1, Attempt: e.Attempt, RiverJobID: &d.River.ID, Outcome: "retried",
				Error: orNull(e.Error), Trace: orNull(e.Trace), Log: []operator.LogLine{}, EndedAt: e.At.UTC()})
		}
	}
	return list
}

// logOf reads what an attempt wrote to the log; a line that can't be read is left out.
func logOf(raw json.RawMessage) []operator.LogLine {
	list := []operator.LogLine{}
	var lines []struct {
		At      time.Time       `json:"at"`
		Level   string          `json:"level"`
		Message string          `json:"message"`
		Attrs   json.RawMessage `json:"attrs"`
	}
	_ = json.Unmarshal(raw, &lines)
	for _, l := range lines {
		if attrs := bytes.TrimSpace(l.Attrs); len(attrs) == 0 || attrs[0] != '{' {
			l.Attrs = nil
		}
		list = append(list, operator.LogLine{At: l.At.UTC(), Level: l.Level, Message: l.Message, Attrs: operator.Object(l.Attrs)})
	}
	return list
}

// actionsOn are what can be done to a job as it stands.
func actionsOn(d store.AdminJobDetail) []string {
	internal := d.Job == nil
	var can []string
	switch d.Status {
	case store.Queued:
		can = []string{"cancel", "priority", "run_at"}
	case store.Waiting, store.Scheduled:
		can = []string{"retry", "cancel", "priority", "run_at"}
	case store.Running:
		can = []string{"cancel"}
	case store.Failed, store.Cancelled:
		can = []string{"retry", "delete"}
	default:
		can = []string{"delete"}
		if internal {
			can = append(can, "retry")
		}
	}
	if !internal {
		can = append(can, "again")
	}
	return can
}
