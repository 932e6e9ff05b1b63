package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// What is counted stands in memory shared by Postgres's processes, so that the question costs the same whatever the
// tables hold. Sessions report what they did at most once a second, those that go idle at once or within ten.
const selectTableChanges = `
SELECT CASE WHEN relname LIKE 'outbox\_%' THEN 'outbox' ELSE relname END,
       sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint
FROM pg_stat_user_tables GROUP BY 1`

// TableChanges says how often each table has changed since Postgres began to count. It only serves to see that
// something changed.
func TableChanges(ctx context.Context, tx pgx.Tx) (map[string]int64, error) {
	rows, err := tx.Query(ctx, selectTableChanges)
	if err != nil {
		return nil, fmt.Errorf("look what changed: %w", err)
	}
	changes := make(map[string]int64)
	var name string
	var count int64
	_, err = pgx.ForEachRow(rows, []any{&name, &count}, func() error {
		changes[name] = count
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look what changed: %w", err)
	}
	return changes, nil
}
