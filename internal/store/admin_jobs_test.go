package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// What the operator's lists are of: some jobs of two organizations, and some that facts and the clock started, made one
// after the other.
const fillAdminJobs = `
INSERT INTO organizations (id, name, state) VALUES ('0197aaaa-0000-7000-8000-00000000000a', 'A', 'x'), ('0197aaaa-0000-7000-8000-00000000000b', 'B', 'x');

INSERT INTO jobs (organization_id, id, kind, queue, status, priority, max_attempts, input, output, error, waiting_reason, run_at, event_id,
                  request_id, created_at, finished_at, river_job_id)
SELECT CASE WHEN n % 3 = 0 THEN '0197aaaa-0000-7000-8000-00000000000a' ELSE '0197aaaa-0000-7000-8000-00000000000b' END::uuid,
       (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000800000000000' || lpad(n::text, 4, '0'))::uuid,
       CASE WHEN n % 4 = 0 THEN 'ai.chat' WHEN n = 7 THEN 'gone.kind' ELSE 'mail.send' END, CASE WHEN n % 4 = 0 THEN 'ai' ELSE 'mail' END,
       CASE n % 7 WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' WHEN 2 THEN 'queued' WHEN 3 THEN 'running' WHEN 4 THEN 'queued' ELSE 'succeeded' END,
       1 + n % 3, 3, jsonb_build_object('prompt', 'say "' || CASE WHEN n % 5 = 0 THEN 'Hé' ELSE 'no' END || '"'),
       CASE WHEN n % 7 IN (5, 6) THEN '{}'::jsonb END,
       CASE WHEN n % 7 = 0 THEN jsonb_build_object('code', 'too_long', 'detail', 'It was ' || n || ' long') END,
       CASE WHEN n % 7 = 4 THEN 'The model is away' END, CASE WHEN n % 14 = 2 THEN now() + interval '1 hour' ELSE at END,
       gen_random_uuid(), 'request-' || n % 10, at, CASE WHEN n % 7 IN (0, 1, 5, 6) THEN at + interval '1 second' END, 1000000 + n
FROM (SELECT n, date_trunc('hour', now()) - interval '2 days' + n * interval '10 minutes' AS at FROM generate_series(1, 60) n) AS made;

INSERT INTO river_job (id, state, attempt, max_attempts, attempted_at, created_at, finalized_at, scheduled_at, args, kind, queue, errors)
SELECT n, CASE n % 6 WHEN 0 THEN 'completed' WHEN 1 THEN 'discarded' WHEN 2 THEN 'retryable' WHEN 3 THEN 'scheduled' WHEN 4 THEN 'running' ELSE 'available' END::river_job_state,
       1, 3, CASE WHEN n % 6 <> 3 THEN at END, at, CASE WHEN n % 6 < 2 THEN at END, at,
       jsonb_build_object('organization_id', '0197aaaa-0000-7000-8000-00000000000a', 'tag', n), CASE WHEN n % 2 = 0 THEN 'cache.invalidate' ELSE 'mail.send' END,
       'cache', ARRAY['{"attempt": 1, "error": "It was refused"}'::jsonb]
FROM (SELECT n, date_trunc('hour', now()) - interval '2 days' + n * interval '10 minutes' + interval '5 minutes' AS at FROM generate_series(1, 40) n) AS made;

INSERT INTO river_job (id, state, max_attempts, attempted_at, created_at, args, kind, queue, attempted_by)
SELECT 1000000 + n, 'running', 3, now(), now(), jsonb_build_object('job_id', id, 'organization_id', organization_id, 'run', 1), kind, queue, '{worker}'
FROM (SELECT *, river_job_id - 1000000 AS n FROM jobs WHERE status = 'running') AS going`

type adminLister struct {
	t  *testing.T
	db *store.DB
}

// pages reads a list to its end, so many at a time, each time with so much patience, and wants it to say how far it is.
func (l adminLister) pages(f store.AdminJobFilter, limit int, patience time.Duration) (all []store.AdminJob) {
	l.t.Helper()
	var at store.AdminJobPlace
	for range 1000 {
		var page store.AdminJobPage
		err := l.db.AsOperator(l.t.Context(), 5*time.Second, func(tx pgx.Tx) (err error) {
			page, err = store.AdminJobs(l.t.Context(), tx, f, at, limit, patience)
			return err
		})
		if err != nil {
			l.t.Fatal(err)
		}
		if len(page.Jobs) > limit || page.SearchedUntil == nil && len(page.Jobs) < limit && !page.Next.Done() {
			l.t.Fatalf("%+v: a page of %d of %d, searched until %v, goes on at %+v", f, len(page.Jobs), limit, page.SearchedUntil, page.Next)
		}
		all = append(all, page.Jobs...)
		if at = page.Next; at.Done() {
			return all
		}
	}
	l.t.Fatalf("%+v: the list has no end", f)
	return nil
}

func TestAdminJobsAreFiltered(t *testing.T) {
	t.Parallel()
	l, created := newAdminJobs(t)
	everything := l.pages(store.AdminJobFilter{Routine: store.RoutineShown}, 1000, time.Minute)
	if len(everything) != 100 {
		t.Fatalf("%d jobs are listed, want 100", len(everything))
	}
	const orgA = "0197aaaa-0000-7000-8000-00000000000a"
	requested := func(j store.AdminJob) bool { return !j.Internal }
	status := func(want string) func(store.AdminJob) bool {
		return func(j store.AdminJob) bool { return j.Status == want }
	}
	half := created.Add(5 * time.Hour)
	for name, c := range map[string]struct {
		f    store.AdminJobFilter
		want func(store.AdminJob) bool
	}{
		"all":           {store.AdminJobFilter{}, func(j store.AdminJob) bool { return !j.Internal || j.Status != store.Succeeded }},
		"requested":     {store.AdminJobFilter{Source: store.RequestedJobs}, requested},
		"internal":      {store.AdminJobFilter{Source: store.InternalJobs, Routine: store.RoutineShown}, func(j store.AdminJob) bool { return j.Internal }},
		"internal done": {store.AdminJobFilter{Source: store.InternalJobs, Status: store.Succeeded}, func(j store.AdminJob) bool { return j.Internal && j.Status == store.Succeeded }},
		"queued":        {store.AdminJobFilter{Status: store.Queued}, status(store.Queued)},
		"waiting":       {store.AdminJobFilter{Status: store.Waiting}, status(store.Waiting)},
		"scheduled":     {store.AdminJobFilter{Status: store.Scheduled}, status(store.Scheduled)},
		"running":       {store.AdminJobFilter{Status: store.Running}, status(store.Running)},
		"succeeded":     {store.AdminJobFilter{Status: store.Succeeded}, func(j store.AdminJob) bool { return !j.Internal && j.Status == store.Succeeded }},
		"failed":        {store.AdminJobFilter{Status: store.Failed}, status(store.Failed)},
		"cancelled":     {store.AdminJobFilter{Status: store.Cancelled}, status(store.Cancelled)},
		"kinds": {store.AdminJobFilter{Kinds: []string{"ai.chat", "gone.kind", "cache.invalidate"}, Routine: store.RoutineShown},
			func(j store.AdminJob) bool { return j.Kind != "mail.send" }},
		"queue":               {store.AdminJobFilter{Queue: "ai"}, func(j store.AdminJob) bool { return j.Queue == "ai" }},
		"a queue without any": {store.AdminJobFilter{Queue: "nothing"}, func(store.AdminJob) bool { return false }},
		"priority":            {store.AdminJobFilter{Priority: 3, Routine: store.RoutineShown}, func(j store.AdminJob) bool { return j.Priority == 3 }},
		"organization": {store.AdminJobFilter{OrganizationID: orgA, Routine: store.RoutineShown},
			func(j store.AdminJob) bool { return *j.OrganizationID == orgA }},
		"organization, kind": {store.AdminJobFilter{OrganizationID: orgA, Kinds: []string{"ai.chat", "mail.send"}, Source: store.RequestedJobs},
			func(j store.AdminJob) bool { return !j.Internal && *j.OrganizationID == orgA }},
		"organization, failed": {store.AdminJobFilter{OrganizationID: orgA, Status: store.Failed},
			func(j store.AdminJob) bool { return *j.OrganizationID == orgA && j.Status == store.Failed }},
		"created after":  {store.AdminJobFilter{CreatedAfter: half, Routine: store.RoutineShown}, func(j store.AdminJob) bool { return !j.CreatedAt.Before(half) }},
		"created before": {store.AdminJobFilter{CreatedBefore: half, Routine: store.RoutineShown}, func(j store.AdminJob) bool { return j.CreatedAt.Before(half) }},
		"finished": {store.AdminJobFilter{FinishedAfter: half, FinishedBefore: half.Add(time.Hour), Routine: store.RoutineShown}, func(j store.AdminJob) bool {
			return j.FinishedAt != nil && !j.FinishedAt.Before(half) && j.FinishedAt.Before(half.Add(time.Hour))
		}},
		"error":         {store.AdminJobFilter{Error: "It WAS 2"}, func(j store.AdminJob) bool { return j.ErrorDetail != nil && strings.Contains(*j.ErrorDetail, "was 2") }},
		"error waiting": {store.AdminJobFilter{Error: "model is", Status: store.Waiting}, func(j store.AdminJob) bool { return !j.Internal && j.Status == store.Waiting }},
		"request":       {store.AdminJobFilter{RequestID: "request-4"}, func(j store.AdminJob) bool { return j.RequestID != nil && *j.RequestID == "request-4" }},
	} {
		for _, order := range []store.Order{store.NewestFirst, store.OldestFirst} {
			c.f.Order = order
			var want []string
			for _, j := range everything {
				if c.want(j) {
					want = append(want, j.ID)
				}
			}
			if order == store.OldestFirst {
				slices.Reverse(want)
			}
			for _, patience := range []time.Duration{time.Minute, 0} {
				if got := idsOf(l.pages(c.f, 7, patience)); !slices.Equal(got, want) {
					t.Errorf("%s, order %d, patience %s: got %v, want %v", name, order, patience, got, want)
				}
			}
		}
	}
	if got := l.pages(store.AdminJobFilter{Text: `"hé"`, Source: store.RequestedJobs}, 5, 0); len(got) != 0 {
		t.Errorf("a text that stands there escaped is found as it is: %v", idsOf(got))
	}
	if got := l.pages(store.AdminJobFilter{Text: `hé`, Source: store.RequestedJobs}, 5, 0); len(got) != 12 {
		t.Errorf("a text is found in %d jobs, want 12", len(got))
	}
	for _, j := range l.pages(store.AdminJobFilter{Status: store.Running, Source: store.RequestedJobs}, 50, time.Minute) {
		if j.Worker == nil || *j.Worker != "worker" || j.OrganizationName == nil {
			t.Errorf("a job that runs has the worker %v and the organization %v", j.Worker, j.OrganizationName)
		}
	}
}

func newAdminJobs(t *testing.T) (adminLister, time.Time) {
	t.Helper()
	url := newDatabase(t)
	owner := connect(t, url)
	for _, sql := range strings.Split(fillAdminJobs, ";\n") {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	var created time.Time
	if err := owner.QueryRow(t.Context(), `SELECT min(created_at) FROM jobs`).Scan(&created); err != nil {
		t.Fatal(err)
	}
	return adminLister{t, open(t, url, store.App)}, created
}

func idsOf(list []store.AdminJob) (ids []string) {
	for _, j := range list {
		ids = append(ids, j.ID)
	}
	return ids
}

// many makes jobs of which the wanted ones are old, so that a list that goes through the newest finds them last.
const manyAdminJobs = `
INSERT INTO organizations (id, name, state)
SELECT ('0197aaaa-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'x', 'x' FROM generate_series(0, 499) n;
INSERT INTO jobs (organization_id, id, kind, queue, status, max_attempts, input, output, error, event_id, created_at, finished_at)
SELECT ('0197aaaa-0000-7000-8000-' || lpad(to_hex(n % 500), 12, '0'))::uuid, ('0197aaaa-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
       CASE WHEN n <= 40 THEN 'db.backup' ELSE 'kind.' || n % 20 END, CASE WHEN n <= 40 THEN 'maintenance' ELSE 'mail' END,
       CASE WHEN n <= 100 THEN 'failed' WHEN n <= 200 THEN 'cancelled' WHEN n <= 300 THEN 'queued' ELSE 'succeeded' END, 3, '{}',
       CASE WHEN n > 300 THEN '{}'::jsonb END, CASE WHEN n <= 100 THEN '{"code": "x"}'::jsonb END, gen_random_uuid(), now(),
       CASE WHEN n NOT BETWEEN 201 AND 300 THEN now() END
FROM generate_series(1, 60000) n;
INSERT INTO river_job (state, max_attempts, args, kind, queue, finalized_at)
SELECT CASE WHEN n <= 100 THEN 'discarded' ELSE 'completed' END::river_job_state, 3, '{}', 'cache.invalidate', 'cache', now() FROM generate_series(1, 60000) n;
VACUUM ANALYZE jobs;
VACUUM ANALYZE organizations;
VACUUM ANALYZE river_job`

// Whatever an index answers takes about as many rows as are shown, however many there are.
func TestPlansOfAdminJobs(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	owner := connect(t, url)
	for _, sql := range strings.Split(manyAdminJobs, ";\n") {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	tape := &tape{}
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.App, Name: "test", MaxConns: 2, Tracer: tape})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	for name, f := range map[string]store.AdminJobFilter{
		"all": {}, "routine": {Routine: store.RoutineShown}, "oldest": {Order: store.OldestFirst}, "kind": {Kinds: []string{"kind.3"}},
		"rare kind": {Kinds: []string{"db.backup"}}, "queue": {Queue: "maintenance"}, "failed": {Status: store.Failed},
		"cancelled": {Status: store.Cancelled}, "queued": {Status: store.Queued}, "running": {Status: store.Running},
		"succeeded": {Status: store.Succeeded}, "internal": {Source: store.InternalJobs},
		"organization":         {OrganizationID: "0197aaaa-0000-7000-8000-000000000007", Source: store.RequestedJobs},
		"organization, failed": {OrganizationID: "0197aaaa-0000-7000-8000-000000000007", Status: store.Failed, Source: store.RequestedJobs},
		"request":              {RequestID: "nobody"},
	} {
		asked := tape.heardOf(t, func() error {
			return db.AsOperator(t.Context(), 5*time.Second, func(tx pgx.Tx) error {
				_, err := store.AdminJobs(t.Context(), tx, f, store.AdminJobPlace{}, 50, time.Minute)
				return err
			})
		})
		for _, s := range asked {
			for _, fault := range faultsOf(explainOnce(t, owner, s)) {
				t.Errorf("%s: %s\n%s", name, fault, s.sql)
			}
		}
	}
}

// explainOnce gives the plan for these values, as statements that are not prepared are planned.
func explainOnce(t *testing.T, conn *pgx.Conn, s statement) plan {
	t.Helper()
	args := s.args
	if len(args) == 0 || args[0] != any(pgx.QueryExecModeCacheDescribe) {
		args = append([]any{pgx.QueryExecModeCacheDescribe}, args...)
	}
	var text []byte
	if err := conn.QueryRow(context.WithoutCancel(t.Context()), `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) `+s.sql, args...).Scan(&text); err != nil {
		t.Fatalf("explain %s: %v", s.sql, err)
	}
	var said []struct{ Plan plan }
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", text, err))
	}
	return said[0].Plan
}
