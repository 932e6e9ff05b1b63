package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A Statement is one that the server has counted by pg_stat_statements, its constants left out.
type Statement struct {
	SQL     string  `db:"sql"` // its beginning, on one line
	Calls   int64   `db:"calls"`
	TotalMS float64 `db:"total_ms"`
	MeanMS  float64 `db:"mean_ms"`
	MaxMS   float64 `db:"max_ms"`
	Rows    int64   `db:"rows"`
	// ReadMS is how long blocks were read for it; nil: the server doesn't time that (track_io_timing).
	ReadMS *float64 `db:"read_ms"`
}

// Columns are found by their names in JSON, as they are called otherwise from one version of the extension to the
// next: blk_read_time is shared_blk_read_time since 1.11. Statements that are not of data, such as one that gives a
// login its password, keep their constants, and are left out.
const selectStatements = `
SELECT s.j ->> 'query' AS sql, (s.j ->> 'calls')::bigint AS calls, (s.j ->> 'total_exec_time')::float8 AS total_ms,
       (s.j ->> 'mean_exec_time')::float8 AS mean_ms, (s.j ->> 'max_exec_time')::float8 AS max_ms, (s.j ->> 'rows')::bigint AS rows,
       nullif(coalesce(s.j ->> 'shared_blk_read_time', s.j ->> 'blk_read_time')::float8, 0) AS read_ms
FROM (SELECT to_jsonb(p) AS j FROM pg_stat_statements p JOIN pg_database d ON d.oid = p.dbid
      WHERE d.datname = current_database() AND p.query ~* '^\s*(/\*.*?\*/\s*)?(select|insert|update|delete|merge|with)\y'
      ORDER BY p.total_exec_time DESC LIMIT $1) AS s`

// SlowestStatements lists what has cost the server most time since its counting began, over all processes. It fails
// where pg_stat_statements is not loaded.
func (db *DB) SlowestStatements(ctx context.Context, limit int) ([]Statement, error) {
	var list []Statement
	b := &pgx.Batch{}
	b.Queue(boundFigures)
	b.Queue(actAsLogin)
	b.Queue(selectStatements, limit).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[Statement])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("read what statements cost: %w", err)
	}
	for i := range list {
		list[i].SQL = shortSQL(list[i].SQL, slowSQL)
	}
	return list, nil
}
