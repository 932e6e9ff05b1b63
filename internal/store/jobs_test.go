package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

const organization = "0197aaaa-0000-7000-8000-000000000001"

// A page of a list comes from an index in its order, however many jobs there are.
func TestListsOfJobsAreReadInOrder(t *testing.T) {
	t.Parallel()
	conn := connect(t, newDatabase(t))
	_, err := conn.Exec(t.Context(), `
		INSERT INTO jobs (organization_id, id, kind, queue, max_attempts, input, event_id, status, error, finished_at)
		SELECT $1, gen_random_uuid(), 'k' || n % 5, 'ai', 1, '{}', gen_random_uuid(),
		       CASE n % 2 WHEN 0 THEN 'failed' ELSE 'queued' END, CASE n % 2 WHEN 0 THEN '{}'::jsonb END, CASE n % 2 WHEN 0 THEN now() END
		FROM generate_series(1, 5000) AS n`, organization)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `ANALYZE jobs`); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]store.JobFilter{
		"all": {}, "of a kind": {Kind: "k1"}, "failed": {Status: store.Failed},
		"further": {Before: "80000000-0000-0000-0000-000000000000"},
	} {
		f.Limit = 50
		sql, args := f.Query()
		args = append(args, organization)
		sql = fmt.Sprintf(sql, fmt.Sprintf("organization_id = $%d", len(args)))
		rows, err := conn.Query(t.Context(), "EXPLAIN "+sql, append([]any{pgx.QueryExecModeExec}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(plan, "\n"); strings.Contains(text, "Sort") || !strings.Contains(text, "Index") {
			t.Errorf("%s:\n%s", what, text)
		}
	}
}
