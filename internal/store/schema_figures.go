package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// SchemaFigures are how far the schema is, and what in it is left half done.
type SchemaFigures struct {
	Version int64    // of the newest migration that was applied
	Invalid []string // indexes that cost every write and serve no query, without those that are being built
}

const selectSchemaVersion = `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`

// One that is being built is not valid yet, and nothing is wrong with it.
const selectInvalidIndexes = `
SELECT c.oid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace AND NOT EXISTS (
    SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.usesysid IS NOT NULL
    WHERE l.locktype = 'relation' AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY 1 LIMIT 100`

// SchemaFigures looks at the schema as the login: to our roles the list of migrations is not shown, and to a login that
// neither owns it nor was granted it neither, which is an error.
func (db *DB) SchemaFigures(ctx context.Context) (SchemaFigures, error) {
	var f SchemaFigures
	b := &pgx.Batch{}
	b.Queue(boundFigures)
	b.Queue(actAsLogin)
	b.Queue(selectInvalidIndexes).Query(func(rows pgx.Rows) (err error) {
		f.Invalid, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	b.Queue(selectSchemaVersion).QueryRow(func(row pgx.Row) error { return row.Scan(&f.Version) })
	if err := db.Send(ctx, b); err != nil {
		return f, fmt.Errorf("look at the schema: %w", err)
	}
	return f, nil
}
