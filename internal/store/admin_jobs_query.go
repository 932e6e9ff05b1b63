package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// jobSource is one of the two tables that the operator's list is of.
type jobSource int

const (
	requestedJobs jobSource = iota
	internalJobs
)

// merges reports whether the list is a merge of the lists of kinds: no index has jobs of all organizations in the
// order of their ids.
func (s jobSource) merges(f AdminJobFilter) bool {
	return s == requestedJobs && f.OrganizationID == "" && len(f.Kinds) == 0 && f.RequestID == "" &&
		f.Fingerprint == "" && f.part() == ""
}

// past reports whether what comes behind a moment lies outside of the filter. The ids of requested jobs tell their
// times, so they are asked for; River's are numbers.
func (s jobSource) past(f AdminJobFilter, t time.Time) bool {
	if s == requestedJobs {
		return false
	}
	if f.Order == OldestFirst {
		return !f.CreatedBefore.IsZero() && t.After(f.CreatedBefore.Add(idSlack))
	}
	return t.Before(f.CreatedAfter.Add(-idSlack))
}

// part is the condition of the partial index that has the wanted jobs, among few others; "" for none. What runs is
// few among all that waits, and is what River says that somebody has.
func (f AdminJobFilter) part() string {
	switch f.Status {
	case Running:
		return `finished_at IS NULL AND (organization_id, id) IN (
    SELECT (args ->> 'organization_id')::uuid, (args ->> 'job_id')::uuid FROM river_job WHERE state = 'running' AND args ? 'job_id')`
	case Queued, Waiting, Scheduled:
		return "finished_at IS NULL"
	case Failed:
		return "error IS NOT NULL"
	case Cancelled:
		return "finished_at IS NOT NULL AND output IS NULL AND error IS NULL"
	case "":
		if f.Error != "" {
			return "error IS NOT NULL"
		}
	}
	return ""
}

// A jobQuery makes the statement of one window.
type jobQuery struct {
	filter AdminJobFilter
	source jobSource
	at     string
	kinds  []string // to merge; nil: those of the filter

	sql  string
	args []any
}

func (q *jobQuery) value(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// The statement materializes the window, so that all of it is counted and what the filter lets through is looked for
// in it alone. Its first row is there in any case.
const windowOfJobs = `
WITH seen AS MATERIALIZED (SELECT * FROM (%s) AS every ORDER BY id %s LIMIT %d)
SELECT %s, past.seen_count, coalesce(past.seen_id, '') AS seen_id, coalesce(past.seen_at, 'epoch') AS seen_at
FROM (SELECT count(*) AS seen_count, (SELECT id::text FROM seen ORDER BY seen.id %s LIMIT 1) AS seen_id,
             (SELECT created_at FROM seen ORDER BY seen.id %s LIMIT 1) AS seen_at FROM seen) AS past
LEFT JOIN (SELECT * FROM (%s) AS shown WHERE %s ORDER BY row_id %s LIMIT %d) AS j ON true
ORDER BY j.row_id %s`

// shownColumns are read of both sources. There may be no row, but for the window's end.
const shownColumns = `coalesce(j.id, '') AS id, coalesce(j.internal, false) AS internal, j.river_job_id, j.river_state,
    j.organization_id, NULL::text AS organization_name, coalesce(j.kind, '') AS kind, coalesce(j.queue, '') AS queue,
    coalesce(j.status, '') AS status, coalesce(j.priority, 0) AS priority, coalesce(j.overflow, false) AS overflow,
    coalesce(j.run, 0) AS run, coalesce(j.attempt, 0) AS attempt, coalesce(j.max_attempts, 0) AS max_attempts,
    coalesce(j.run_at, 'epoch') AS run_at, coalesce(j.created_at, 'epoch') AS created_at, j.next_attempt_at, j.started_at,
    j.finished_at, j.waiting_reason, j.error_code, left(j.error_detail, 1000) AS error_detail, j.request_id, j.worker,
    coalesce(j.version, 0) AS version`

// The state of a requested job for the operator's eyes.
const statusShown = `CASE WHEN finished_at IS NOT NULL THEN status WHEN waiting_reason IS NOT NULL THEN 'waiting'
    WHEN status = 'queued' AND run_at > now() THEN 'scheduled' ELSE status END`

const requestedShown = `
SELECT id AS row_id, id::text AS id, false AS internal, river_job_id, NULL::text AS river_state, organization_id::text AS organization_id,
    kind, queue, ` + statusShown + ` AS status, priority::integer AS priority, overflow, run, attempt, max_attempts, run_at,
    created_at, next_attempt_at, started_at, finished_at, waiting_reason, error ->> 'code' AS error_code,
    error ->> 'detail' AS error_detail, request_id, NULL::text AS worker, version, input AS content, metadata AS more, event_id`

// The state of River's for the operator's eyes. What was put off, and not only meant for later, has been attempted.
const riverStatusShown = `CASE state WHEN 'available' THEN 'queued' WHEN 'pending' THEN 'queued' WHEN 'retryable' THEN 'waiting'
    WHEN 'scheduled' THEN CASE WHEN attempted_at IS NULL THEN 'scheduled' ELSE 'waiting' END
    WHEN 'running' THEN 'running' WHEN 'completed' THEN 'succeeded' WHEN 'discarded' THEN 'failed' ELSE 'cancelled' END`

const internalShown = `
SELECT id AS row_id, id::text AS id, true AS internal, id AS river_job_id, state::text AS river_state, args ->> 'organization_id' AS organization_id,
    kind, queue, ` + riverStatusShown + ` AS status, priority::integer AS priority, false AS overflow, 1 AS run, attempt::integer AS attempt,
    max_attempts::integer AS max_attempts, scheduled_at AS run_at, created_at,
    CASE WHEN state = 'retryable' OR state = 'scheduled' AND attempted_at IS NOT NULL THEN scheduled_at END AS next_attempt_at,
    attempted_at AS started_at, finalized_at AS finished_at,
    CASE WHEN state = 'retryable' THEN 'The last attempt failed; it will be tried again.'
         WHEN state = 'scheduled' AND attempted_at IS NOT NULL THEN 'It was put off.' END AS waiting_reason,
    CASE WHEN state = 'completed' OR cardinality(errors) = 0 THEN NULL ELSE 'internal' END AS error_code,
    CASE WHEN state <> 'completed' THEN errors[array_upper(errors, 1)] ->> 'error' END AS error_detail, NULL::text AS request_id,
    attempted_by[array_upper(attempted_by, 1)] AS worker, 1::bigint AS version, args AS content, metadata AS more, NULL::uuid AS event_id`

// build makes the statement for a window of so many rows, of which at most so many are wanted.
func (q *jobQuery) build(size, wanted int) []any {
	down, up := "DESC", "ASC"
	if q.filter.Order == OldestFirst {
		down, up = up, down
	}
	var base, shown string
	if q.source == internalJobs {
		base, shown = q.internalBase(down, size), internalShown
	} else {
		base, shown = q.requestedBase(down, size), requestedShown
	}
	q.sql = fmt.Sprintf(windowOfJobs, base, down, size, shownColumns, up, up, shown+" FROM seen", q.wanted(), down, wanted, down)
	return q.args
}

// requestedBase goes by the index that has fewest rows beside those that are wanted.
func (q *jobQuery) requestedBase(down string, size int) string {
	f := q.filter
	conditions := q.place("uuid")
	if !f.CreatedAfter.IsZero() {
		conditions = append(conditions, "id >= "+q.value(idAt(f.CreatedAfter.Add(-idSlack)))+"::uuid")
	}
	if !f.CreatedBefore.IsZero() {
		conditions = append(conditions, "id < "+q.value(idAt(f.CreatedBefore.Add(idSlack)))+"::uuid")
	}
	within := slices.Clip(conditions)
	if f.OrganizationID != "" {
		conditions = append(conditions, "organization_id = "+q.value(f.OrganizationID)+"::uuid")
	}
	if f.RequestID != "" {
		conditions = append(conditions, "request_id = "+q.value(f.RequestID))
	}
	part := f.part()
	if part != "" {
		conditions = append(conditions, part)
	}
	if f.Fingerprint != "" {
		failed := "SELECT organization_id, job_id AS id FROM job_attempts WHERE fingerprint = " + q.value(f.Fingerprint) + " AND job_id IS NOT NULL"
		if f.Status == Running { // few in any case
			return "SELECT * FROM jobs" + whereAll(append(conditions, "(organization_id, id) IN ("+failed+")"))
		}
		return rowByRow("jobs", failed, []string{"id", "organization_id"}, within, conditions, down, size)
	}
	kinds := f.Kinds
	if q.kinds != nil {
		kinds = q.kinds
	}
	if part != "" || f.RequestID != "" || len(kinds) == 0 {
		return "SELECT * FROM jobs" + whereAll(conditions)
	}
	// Each in order, so that Postgres takes from them as many as it needs, and does not sort all of them.
	each := fmt.Sprintf(" ORDER BY id %s LIMIT %d)", down, size)
	branches := make([]string, len(kinds))
	for i, kind := range kinds {
		branches[i] = "(SELECT * FROM jobs" + whereAll(append(conditions[:len(conditions):len(conditions)], "kind = "+q.value(kind))) + each
	}
	return strings.Join(branches, "\nUNION ALL ")
}

// rowByRow has the rows of a table that have failed, so many at most. It goes from key to key in an order that an index
// has, and ends when there are enough: of one cause there may be very many.
func rowByRow(table, failed string, key []string, within, conditions []string, down string, size int) string {
	for _, column := range key {
		conditions = append(conditions, table+"."+column+" = failed."+column)
	}
	inOrder := strings.Join(key, " "+down+", ") + " " + down
	return fmt.Sprintf(`(SELECT found.* FROM (SELECT * FROM (SELECT DISTINCT * FROM (%s) AS attempts ORDER BY %s) AS once%s) AS failed
CROSS JOIN LATERAL (SELECT * FROM %s%s LIMIT 1) AS found ORDER BY failed.id %s LIMIT %d)`,
		failed, inOrder, whereAll(within), table, whereAll(conditions), down, size)
}

// internalBase leaves what simply succeeded to the filter, where it is asked for: nothing but River's primary key
// has that in order.
func (q *jobQuery) internalBase(down string, size int) string {
	within := slices.Clip(q.place("bigint"))
	conditions := within
	if q.filter.Routine == RoutineHidden && q.filter.Status != Succeeded {
		conditions = append(conditions, "NOT (args ? 'job_id')", "state <> 'completed'")
	}
	if q.filter.Fingerprint != "" {
		failed := "SELECT river_job_id AS id FROM job_attempts WHERE fingerprint = " + q.value(q.filter.Fingerprint) + " AND job_id IS NULL"
		return rowByRow("river_job", failed, []string{"id"}, within, conditions, down, size)
	}
	return "SELECT * FROM river_job" + whereAll(conditions)
}

func (q *jobQuery) place(idType string) []string {
	if q.at == "" {
		return nil
	}
	than := " < "
	if q.filter.Order == OldestFirst {
		than = " > "
	}
	return []string{"id" + than + q.value(q.at) + "::" + idType}
}

func whereAll(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// wanted is what the rows of a window must fulfil, whatever of it the window's index has seen to.
func (q *jobQuery) wanted() string {
	f := q.filter
	conditions := []string{"true"}
	where := func(condition string, v any) {
		conditions = append(conditions, strings.ReplaceAll(condition, "?", q.value(v)))
	}
	if q.source == internalJobs {
		conditions = append(conditions, "NOT content ? 'job_id'")
	}
	if f.Status != "" {
		where("status = ?", f.Status)
	}
	if len(f.Kinds) > 0 {
		where("kind = ANY (?)", f.Kinds)
	}
	if f.Queue != "" {
		where("queue = ?", f.Queue)
	}
	if f.Priority != 0 {
		where("priority = ?", f.Priority)
	}
	if f.OrganizationID != "" {
		where("organization_id = ?", f.OrganizationID)
	}
	if f.RequestID != "" {
		where("request_id = ?", f.RequestID)
	}
	if f.EventID != "" {
		where("event_id = ?::uuid", f.EventID)
	}
	if f.Fingerprint != "" {
		where("? = "+q.source.cause(), f.Fingerprint)
	}
	q.wantedTimes(where)
	if f.Error != "" {
		where("position(lower(?) IN lower(concat_ws(' ', error_code, error_detail, waiting_reason))) > 0", f.Error)
	}
	if f.Text != "" {
		where("(position(lower(?) IN lower(content::text)) > 0 OR position(lower(?) IN lower(more::text)) > 0)", f.Text)
	}
	return strings.Join(conditions, " AND ")
}

// What the present run of a job last failed of. Earlier runs, and failures of another cause before it, are history. It is
// asked of each job in the window: the planner would ask it of all there are.
const (
	causeOfRequested = `(SELECT l.fingerprint FROM job_attempts l
    WHERE l.organization_id = shown.organization_id::uuid AND l.job_id = shown.row_id AND l.run = shown.run AND l.fingerprint IS NOT NULL
    ORDER BY l.id DESC LIMIT 1)`
	causeOfInternal = `(SELECT l.fingerprint FROM job_attempts l
    WHERE l.river_job_id = shown.row_id AND l.job_id IS NULL AND l.fingerprint IS NOT NULL ORDER BY l.id DESC LIMIT 1)`
)

func (s jobSource) cause() string {
	if s == internalJobs {
		return causeOfInternal
	}
	return causeOfRequested
}

func (q *jobQuery) wantedTimes(where func(string, any)) {
	for _, bound := range []struct {
		condition string
		at        time.Time
	}{
		{"created_at >= ?", q.filter.CreatedAfter}, {"created_at < ?", q.filter.CreatedBefore},
		{"finished_at >= ?", q.filter.FinishedAfter}, {"finished_at < ?", q.filter.FinishedBefore},
	} {
		if !bound.at.IsZero() {
			where(bound.condition, bound.at)
		}
	}
}

// The kinds are found by going from one to the next, as there are few of them among many jobs. A kind is of the
// queue of its newest job.
const selectKindsOfJobs = `
WITH RECURSIVE found AS (
    (SELECT kind FROM jobs ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT (SELECT j.kind FROM jobs j WHERE j.kind > found.kind ORDER BY j.kind LIMIT 1) FROM found WHERE found.kind IS NOT NULL
)
SELECT kind FROM found
WHERE kind IS NOT NULL AND ($1 = '' OR $1 = (SELECT j.queue FROM jobs j WHERE j.kind = found.kind ORDER BY j.id DESC LIMIT 1))
ORDER BY kind`

// kindsOfJobs are the kinds that there are jobs of, also those that no process knows any more.
func kindsOfJobs(ctx context.Context, tx pgx.Tx, queue string) ([]string, error) {
	rows, err := tx.Query(ctx, selectKindsOfJobs, queue)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
