package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// One job for each way in which a failure of a cause may be history by now.
const fillJobsOfCause = `
INSERT INTO jobs (organization_id, id, kind, queue, status, run, max_attempts, input, error, event_id, finished_at)
SELECT '0197aaaa-0000-7000-8000-00000000000a', ('0197bbbb-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'mail.send', 'mail', 'failed',
       CASE WHEN n IN (3, 4) THEN 2 ELSE 1 END, 3, '{}', '{"code": "x"}', gen_random_uuid(), now() FROM generate_series(1, 5) n;

INSERT INTO river_job (id, state, max_attempts, args, kind, queue, finalized_at, errors)
SELECT n, 'discarded', 3, '{}', 'cache.invalidate', 'cache', now(), ARRAY['{"attempt": 1, "error": "x"}'::jsonb] FROM generate_series(1, 2) n;

INSERT INTO job_attempts (organization_id, job_id, river_job_id, kind, queue, run, attempt, outcome, error, fingerprint, wait_cause)
SELECT '0197aaaa-0000-7000-8000-00000000000a', ('0197bbbb-0000-7000-8000-' || lpad(nullif(job, 0)::text, 12, '0'))::uuid, river, 'k', 'q', run,
       attempt, outcome, 'y', CASE WHEN outcome IN ('failed', 'retried') THEN lpad(cause, 16, '0') END, CASE WHEN outcome = 'waiting' THEN lpad(cause, 16, '0') END
FROM (VALUES
    (2, 1, 1001, 1, 1, 'retried', 'b'), (3, 1, 1001, 1, 2, 'failed', 'a'), (4, 1, 1001, 1, 3, 'waiting', 'c'), -- a at last
    (5, 2, 1002, 1, 1, 'retried', 'a'), (6, 2, 1002, 1, 2, 'failed', 'b'), -- b at last
    (7, 3, 1003, 1, 1, 'failed', 'a'), (8, 3, 1003, 2, 1, 'failed', 'b'),  -- a in an earlier run
    (9, 4, 1004, 1, 1, 'failed', 'a'),                                     -- a in an earlier run, and nothing since
    (10, 0, 1, 1, 1, 'retried', 'b'), (11, 0, 1, 1, 2, 'failed', 'a'), (12, 0, 2, 1, 1, 'retried', 'a'), (13, 0, 2, 1, 2, 'failed', 'b')
) AS made (n, job, river, run, attempt, outcome, cause) ORDER BY n`

// Whoever acts on all failures of a cause means the jobs that have failed of it now: one whose present run failed of
// another, or has not failed, is left alone.
func TestJobsOfACauseAreThoseThatFailOfItNow(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	if _, err := connect(t, url).Exec(t.Context(), fillJobsOfCause); err != nil {
		t.Fatal(err)
	}
	db := open(t, url, store.App)
	l := adminLister{t, db}
	const job = "0197bbbb-0000-7000-8000-00000000000"
	for cause, want := range map[string][]string{
		"000000000000000a": {job + "1", "1"}, "000000000000000b": {job + "3", job + "2", "2"}, "000000000000000c": nil,
	} {
		for _, patience := range []time.Duration{time.Minute, 0} {
			got := idsOf(l.pages(store.AdminJobFilter{Fingerprint: cause}, 1, patience))
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("%s: listed %v, want %v", cause, got, want)
			}
		}
		m, err := db.MatchJobs(t.Context(), store.AdminJobFilter{Fingerprint: cause, Status: store.Failed}, time.Minute)
		if err != nil || len(m.Items) != len(want) {
			t.Errorf("%s: a bulk action is about %d jobs, want %d: %v", cause, len(m.Items), len(want), err)
		}
	}
}
