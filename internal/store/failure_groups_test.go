package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// A page of failures is asked for while a million other jobs are there: those of the failures are looked up one by one,
// and nothing is read whole.
func TestFailuresAreGroupedQuickly(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, conn := open(t, url, store.System), connect(t, url)
	for _, sql := range []string{
		`INSERT INTO jobs (organization_id, id, kind, queue, max_attempts, input, event_id)
			SELECT '0197aaaa-0000-7000-8000-000000000000', ('0197bbbb-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'k', 'ai', 3, '{}', gen_random_uuid()
			FROM generate_series(1, 100000) AS i`,
		`INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, outcome, code, error, fingerprint, ended_at)
			SELECT organization_id, id, kind, queue, 1, 1, 'failed', 'x', 'y', lpad(right(id::text, 2), 16, '0'), now() - random() * interval '20 hours'
			FROM jobs LIMIT 20000`,
		`INSERT INTO job_attempts (organization_id, job_id, kind, queue, run, attempt, outcome, code, error, fingerprint, ended_at)
			SELECT organization_id, id, kind, queue, 1, 1, 'failed', 'x', 'y', lpad(right(id::text, 2), 16, '0'), now() - random() * interval '20 hours' - interval '2 days'
			FROM jobs`,
		`ANALYZE jobs, job_attempts`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var read, found int
	look := func() (groups []store.FailureGroup, took time.Duration) {
		began := time.Now()
		err := db.AsOperator(t.Context(), time.Minute, func(tx pgx.Tx) (err error) {
			if groups, _, err = store.FailureGroups(t.Context(), tx, store.FailureFilter{Span: store.LastDay}); err != nil {
				return err
			}
			took = time.Since(began)
			return tx.QueryRow(t.Context(), `SELECT seq_tup_read, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'jobs'`).Scan(&read, &found)
		})
		if err != nil {
			t.Fatal(err)
		}
		return groups, took
	}
	groups, took := look()
	t.Logf("20,000 failures in %s", took)
	if len(groups) != 100 {
		t.Errorf("%d groups, want 100", len(groups))
	}
	if read > 0 || found < 20000 {
		t.Errorf("%d jobs were read one after the other, %d looked up", read, found)
	}
}
