package sampledata

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func fillSomeJobs(t *testing.T, conn *pgx.Conn, change func(*JobOptions)) {
	t.Helper()
	sum := mustFill(t, conn, Options{Organizations: 3, Contacts: 1, Seed: 4, Today: testDay})
	o := JobOptions{Jobs: 3000, Seed: 5, Now: testDay, Fingerprint: func(kind, code, _ string) string { return "0123456789abcdef" }}
	for _, made := range sum.Organizations {
		o.Organizations = append(o.Organizations, made.ID)
	}
	if change != nil {
		change(&o)
	}
	if err := FillJobs(t.Context(), conn, o); err != nil {
		t.Fatal(err)
	}
}

// TestFillJobs: the rows are as the product would have written them, and none is left to be worked.
func TestFillJobs(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t)
	fillSomeJobs(t, conn, nil)
	if n := number(t, conn, `SELECT count(*) FROM river_job`); n != 3000 {
		t.Errorf("%d jobs of River's, want 3000", n)
	}
	none(t, conn, "jobs that have not ended", `SELECT FROM river_job WHERE finalized_at IS NULL UNION ALL SELECT FROM jobs WHERE finished_at IS NULL`)
	none(t, conn, "jobs of ours without their row of River's", `
		SELECT FROM jobs j LEFT JOIN river_job r ON r.id = j.river_job_id AND r.kind = j.kind AND r.queue = j.queue AND r.args->>'job_id' = j.id::text
		WHERE r.id IS NULL`)
	none(t, conn, "jobs of River's without their row of ours", `
		SELECT FROM river_job r LEFT JOIN jobs j ON j.id::text = r.args->>'job_id' WHERE r.args ? 'job_id' AND j.id IS NULL`)
	none(t, conn, "failed jobs whose attempt is not there", `
		SELECT FROM jobs j LEFT JOIN job_attempts a ON a.job_id = j.id AND a.outcome = 'failed' WHERE (j.status = 'failed') <> (a.id IS NOT NULL)`)
	none(t, conn, "jobs that ended before they began, or after the end", `
		SELECT FROM jobs WHERE NOT created_at <= started_at OR NOT started_at <= finished_at OR created_at > $1`, testDay)
	for status, least := range map[string]int64{"succeeded": 1500, "failed": 10, "cancelled": 3} {
		if n := number(t, conn, `SELECT count(*) FROM jobs WHERE status = $1`, status); n < least {
			t.Errorf("%d jobs have %s, want %d at least", n, status, least)
		}
	}
	// River goes on behind the ids that were given.
	if next := number(t, conn, `SELECT nextval(pg_get_serial_sequence('river_job', 'id')) - max(id) FROM river_job`); next < 1 {
		t.Errorf("the next id is %d behind the last", -next)
	}
}

// TestFillJobsBig: without indexes it makes the same rows and leaves the same indexes; where a worker lives it keeps
// its hands off them.
func TestFillJobsBig(t *testing.T) {
	t.Parallel()
	const all = `SELECT hashtext(string_agg(j::text, ' ' ORDER BY id))::bigint FROM (SELECT id, status, input, error, finished_at FROM jobs) AS j`
	const filenode = `SELECT pg_relation_filenode('river_job_args_index')::bigint`
	small := newDatabase(t)
	fillSomeJobs(t, small, nil)
	for _, alive := range []bool{false, true} {
		conn := newDatabase(t)
		before, schema := number(t, conn, filenode), schemaOf(t, conn, jobTables)
		if alive {
			if _, err := conn.Exec(t.Context(), `INSERT INTO worker_processes (id, host, pid, queues, version, heartbeat_at) VALUES ('w', 'h', 1, '{}', 'v', now() + interval '1 hour')`); err != nil {
				t.Fatal(err)
			}
		}
		fillSomeJobs(t, conn, func(o *JobOptions) { o.bigLoad = 1 })
		if anew := number(t, conn, filenode) != before; anew == alive {
			t.Errorf("a worker lives: %t; indexes were made anew: %t", alive, anew)
		}
		if schemaOf(t, conn, jobTables) != schema {
			t.Error("the schema is another")
		}
		if number(t, conn, all) != number(t, small, all) {
			t.Error("a big load made other rows")
		}
	}
}

func TestFillJobsRefuses(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t)
	for name, o := range map[string]JobOptions{
		"none":            {Organizations: []string{"x"}},
		"too many":        {Jobs: Most + 1, Organizations: []string{"x"}},
		"no organization": {Jobs: 1},
	} {
		if err := FillJobs(context.Background(), conn, o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// All or nothing: an organization that is none is found out in the middle.
	o := JobOptions{Jobs: 50, Organizations: []string{"not-a-uuid"}, Now: time.Now()}
	if err := FillJobs(t.Context(), conn, o); err == nil {
		t.Error("an organization that is none is taken")
	}
	none(t, conn, "rows are left", `SELECT FROM river_job`)
}
