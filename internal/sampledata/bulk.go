package sampledata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var filled = []string{"contacts", "deals", "invoices", "invoice_items", "payments"}

// A load is big from this many rows on. Below, to keep indexes and foreign keys takes seconds.
const bigLoad = 200_000

// A row takes at least this many bytes of its table.
const leastRow = 100

const heapSizes = `SELECT sum(pg_relation_size(t::regclass))::bigint FROM unnest($1::text[]) AS t`

// big says whether it is worth while to take indexes and foreign keys away and make them anew: that takes two
// thirds of the time that it takes to keep them row by row, but grows with what is in the tables already.
func (b *business) big(ctx context.Context, tx pgx.Tx) (bool, error) {
	return isBig(ctx, tx, filled, int64(b.rows.Contacts)+int64(b.rows.Deals)+3*int64(b.rows.Invoices), b.rows.bigLoad)
}

func isBig(ctx context.Context, tx pgx.Tx, tables []string, rows, threshold int64) (bool, error) {
	if rows < cmp.Or(threshold, bigLoad) {
		return false, nil
	}
	var there int64
	if err := tx.QueryRow(ctx, heapSizes, tables).Scan(&there); err != nil {
		return false, fmt.Errorf("measure the tables: %w", err)
	}
	return there/leastRow < rows, nil
}

const (
	lockAll      = `LOCK TABLE %s IN ACCESS EXCLUSIVE MODE`
	lockBriefly  = `SET LOCAL lock_timeout = '2s'`
	lockAsBefore = `SET LOCAL lock_timeout TO DEFAULT`
	lockTimeout  = "55P03" // of Postgres' codes, appendix A of its manual
)

// Indexes that are no constraint's.
const selectIndexes = `
SELECT format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
FROM pg_index i
WHERE i.indrelid = ANY ($1::text[]::regclass[]) AND i.indisvalid
    AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.conrelid = i.indrelid)
ORDER BY i.indexrelid`

// Foreign keys among the tables. Those to organizations stay: everybody reads that table.
const selectForeignKeys = `
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::regclass, c.conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
FROM pg_constraint c
WHERE c.contype = 'f' AND c.convalidated AND c.conrelid = ANY ($1::text[]::regclass[]) AND c.confrelid = ANY ($1::text[]::regclass[])
ORDER BY c.oid`

// A savepoint that is only gone back to would leave the rest of the transaction to a transaction of its own
// within it, whose rows don't count as made by this one.
const (
	mark   = `SAVEPOINT strip`
	goBack = `ROLLBACK TO SAVEPOINT strip`
	unmark = `RELEASE SAVEPOINT strip`
)

// strip takes away what slows a big load down, and gives the statements that put it back. The tables are the
// transaction's own until it ends. Where somebody else is at work in them, they are left as they are.
func strip(ctx context.Context, tx pgx.Tx, tables []string) (restore []string, err error) {
	if err := execAll(ctx, tx, mark); err != nil {
		return nil, err
	}
	restore, err = stripLocked(ctx, tx, tables)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == lockTimeout {
		return nil, execAll(ctx, tx, goBack, unmark)
	}
	if err != nil {
		return nil, fmt.Errorf("take indexes and foreign keys away: %w", err)
	}
	return restore, execAll(ctx, tx, unmark)
}

func stripLocked(ctx context.Context, tx pgx.Tx, tables []string) (restore []string, err error) {
	if err := execAll(ctx, tx, lockBriefly, fmt.Sprintf(lockAll, strings.Join(tables, ", ")), lockAsBefore); err != nil {
		return nil, err
	}
	for _, sql := range []string{selectIndexes, selectForeignKeys} {
		undo, err := drop(ctx, tx, sql, tables)
		if err != nil {
			return nil, err
		}
		restore = append(restore, undo...)
	}
	return restore, nil
}

func execAll(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

func drop(ctx context.Context, tx pgx.Tx, list string, tables []string) (undo []string, err error) {
	rows, err := tx.Query(ctx, list, tables)
	if err != nil {
		return nil, err
	}
	var away []string
	var one, back string
	if _, err := pgx.ForEachRow(rows, []any{&one, &back}, func() error {
		away, undo = append(away, one), append(undo, back)
		return nil
	}); err != nil {
		return nil, err
	}
	return undo, execAll(ctx, tx, away...)
}

// Sorting in memory, and by more than one process where the server has them.
const roomToSort = `SET LOCAL maintenance_work_mem = '256MB'`

func restore(ctx context.Context, tx pgx.Tx, analyze string, statements []string) error {
	// Without statistics of the new rows, a foreign key is checked by the slowest of all plans.
	return execAll(ctx, tx, slices.Concat([]string{roomToSort, analyze}, statements)...)
}
