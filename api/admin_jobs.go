package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// AdminJobFilter is what the operator's lists of jobs are narrowed by.
type AdminJobFilter struct {
	ID             string    `query:"id" maxLength:"40" doc:"One job, by its UUID or River's number"`
	Status         string    `query:"status" enum:"queued,waiting,scheduled,running,succeeded,failed,cancelled"`
	Kind           []string  `query:"kind" maxItems:"50" doc:"One or several, with commas between"`
	Queue          string    `query:"queue" maxLength:"127"`
	Priority       string    `query:"priority" enum:"high,normal,low,last"`
	OrganizationID string    `query:"organization_id" format:"uuid"`
	CreatedAfter   time.Time `query:"created_after" doc:"RFC 3339; from this moment on"`
	CreatedBefore  time.Time `query:"created_before" doc:"RFC 3339; before this moment"`
	FinishedAfter  time.Time `query:"finished_after"`
	FinishedBefore time.Time `query:"finished_before"`
	Error          string    `query:"error" maxLength:"200" doc:"A part of the error's code or text, whatever the case of its letters; without a status it looks among what failed"`
	Text           string    `query:"text" maxLength:"200" doc:"A part of what the job was given, of its metadata or arguments, as JSON"`
	Fingerprint    string    `query:"fingerprint" pattern:"^[0-9a-f]{16}$" doc:"Of a group of failures: those jobs whose present run failed so last"`
	RequestID      string    `query:"request_id" maxLength:"128"`
	EventID        string    `query:"event_id" format:"uuid" doc:"Of the event that started the run"`
	Sort           string    `query:"sort" enum:"all,requested,internal" default:"all" doc:"requested: handed over by clients and cues; internal: started by facts and the clock"`
	Routine        string    `query:"routine" enum:"hide,show" default:"hide" doc:"Internal jobs that simply succeeded"`
	Order          string    `query:"order" enum:"newest,oldest" default:"newest"`
}

var (
	priorityNumbers = map[string]int{"high": 1, "normal": 2, "low": 3, "last": 4}
	jobSorts        = map[string]store.Source{"all": store.AllJobs, "requested": store.RequestedJobs, "internal": store.InternalJobs}
)

// rows is the filter as the store has it.
func (f AdminJobFilter) rows() store.AdminJobFilter {
	q := store.AdminJobFilter{Status: f.Status, Kinds: f.Kind, Queue: f.Queue, Priority: priorityNumbers[f.Priority],
		OrganizationID: f.OrganizationID, CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore,
		FinishedAfter: f.FinishedAfter, FinishedBefore: f.FinishedBefore, Error: f.Error, Text: f.Text,
		Fingerprint: f.Fingerprint, RequestID: f.RequestID, EventID: f.EventID, Source: jobSorts[f.Sort]}
	if f.Routine == "show" {
		q.Routine = store.RoutineShown
	}
	if f.Order == "oldest" {
		q.Order = store.OldestFirst
	}
	return q
}

// allow refuses to look into content for who may only look at the rest: each answer would tell of it.
func (f AdminJobFilter) allow(c caller) error {
	if f.Text != "" && c.scopes&admin == 0 {
		return refuse("forbidden", "to look for a text in what jobs were given needs a key with the scope admin, as that is hidden until it is asked for")
	}
	return nil
}

// names are what a cursor belongs to.
func (f AdminJobFilter) names() []string {
	return []string{"admin-jobs", f.ID, f.Status, strings.Join(f.Kind, ","), f.Queue, f.Priority, f.OrganizationID,
		filterTime(f.CreatedAfter), filterTime(f.CreatedBefore), filterTime(f.FinishedAfter), filterTime(f.FinishedBefore),
		f.Error, f.Text, f.Fingerprint, f.RequestID, f.EventID, f.Sort, f.Routine, f.Order}
}

type adminJobsInput struct {
	PageQuery
	AdminJobFilter
	Look string `query:"look" enum:"quick,thorough" default:"thorough" doc:"How long to look for what no index answers: some hundredths of a second, or most of one"`
}

type adminJobsOutput struct{ Body operator.JobList }

// How long a list looks for what no index answers. Its page is to be there soon in any case.
const (
	quickLook    = 30 * time.Millisecond
	thoroughLook = 700 * time.Millisecond
)

// adminListJobs lists jobs of all organizations, without their content.
func (s *Server) adminListJobs(ctx context.Context, in *adminJobsInput) (*adminJobsOutput, error) {
	if err := in.allow(exchangeOf(ctx).caller); err != nil {
		return nil, err
	}
	if in.ID != "" {
		return s.adminOneJob(ctx, in.ID)
	}
	from, err := parsePlace(in.Cursor, in.names())
	if err != nil {
		return nil, err
	}
	patience := thoroughLook
	if in.Look == "quick" {
		patience = quickLook
	}
	var found store.AdminJobPage
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		found, err = store.AdminJobs(ctx, tx, in.rows(), from, in.Limit, patience)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &adminJobsOutput{operator.JobList{Data: make([]operator.Job, len(found.Jobs)), HasMore: !found.Next.Done(),
		SearchedUntil: utc(found.SearchedUntil)}}
	for i, j := range found.Jobs {
		out.Body.Data[i] = lineOf(j)
	}
	if out.Body.HasMore {
		next, err := newPlace(found.Next, in.names())
		if err != nil {
			return nil, err
		}
		out.Body.NextCursor = &next
	}
	return out, nil
}

// adminOneJob is the list of the one job that has an id, or of none.
func (s *Server) adminOneJob(ctx context.Context, id string) (*adminJobsOutput, error) {
	out := &adminJobsOutput{operator.JobList{Data: []operator.Job{}}}
	d, err := s.readAdminJob(ctx, strings.TrimSpace(id))
	if isNotFound(err) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.Body.Data = append(out.Body.Data, lineOfDetail(d))
	return out, nil
}

// newPlace is the cursor of a place.
func newPlace(p store.AdminJobPlace, filters []string) (string, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(sumOf(filters), data...)), nil
}

// parsePlace reads a cursor. Its parts go into statements as values, so all that matters is that they are ids.
func parsePlace(cursor string, filters []string) (p store.AdminJobPlace, err error) {
	if cursor == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < filterSum || strings.ContainsAny(cursor, "\r\n") || json.Unmarshal(raw[filterSum:], &p) != nil || !soundPlace(p) {
		return p, refuse("invalid_cursor", "the cursor is not one of ours")
	}
	if string(raw[:filterSum]) != string(sumOf(filters)) {
		return p, refuse("invalid_cursor", "the cursor belongs to a list with other filters")
	}
	return p, nil
}

func soundPlace(p store.AdminJobPlace) bool {
	_, errRequested := uuid.Parse(p.Requested)
	_, errInternal := strconv.ParseUint(p.Internal, 10, 63)
	return (errRequested == nil || p.Requested == "" || p.Requested == "-") && (errInternal == nil || p.Internal == "" || p.Internal == "-")
}

var allPriorities = map[int]string{1: "high", 2: "normal", 3: "low", 4: "last"}

// lineOf is a job as lists show it.
func lineOf(j store.AdminJob) operator.Job {
	return operator.Job{ID: j.ID, Internal: j.Internal, RiverJobID: j.RiverJobID, RiverState: j.RiverState,
		OrganizationID: j.OrganizationID, OrganizationName: j.OrganizationName, Kind: j.Kind, Queue: j.Queue, Status: j.Status,
		Priority: allPriorities[j.Priority], Overflow: j.Overflow, Run: j.Run, Attempt: j.Attempt, MaxAttempts: j.MaxAttempts,
		RunAt: j.RunAt.UTC(), CreatedAt: j.CreatedAt.UTC(), NextAttemptAt: utc(j.NextAttemptAt), StartedAt: utc(j.StartedAt),
		FinishedAt: utc(j.FinishedAt), WaitingReason: j.WaitingReason, ErrorCode: j.ErrorCode, ErrorDetail: j.ErrorDetail,
		RequestID: j.RequestID, Worker: j.Worker, Version: j.Version}
}

type organizationsInput struct {
	Q     string `query:"q" maxLength:"100" doc:"A part of the name, or the beginning of the id"`
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

type organizationsOutput struct{ Body operator.OrganizationList }

// adminOrganizations finds organizations, for filters.
func (s *Server) adminOrganizations(ctx context.Context, in *organizationsInput) (*organizationsOutput, error) {
	out := &organizationsOutput{operator.OrganizationList{Data: []operator.OrganizationRef{}}}
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		list, err := store.FindOrganizations(ctx, tx, in.Q, in.Limit)
		for _, o := range list {
			out.Body.Data = append(out.Body.Data, operator.OrganizationRef(o))
		}
		return err
	})
	return out, err
}
