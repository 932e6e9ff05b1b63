package backup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// steady are settings under which the same value is the same text on every server, and under which nothing ends a
// session that has nothing to do for hours. transaction_timeout is of Postgres 17 and later.
const steady = `
SELECT count(set_config(name, want, false)) FROM pg_settings JOIN (VALUES
	('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'), ('extra_float_digits', '1'),
	('bytea_output', 'hex'), ('xmlbinary', 'base64'), ('lc_monetary', 'C'), ('row_security', 'off'),
	('search_path', 'pg_catalog'), ('synchronize_seqscans', 'off'), ('statement_timeout', '0'), ('lock_timeout', '0'),
	('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'), ('transaction_timeout', '0')
) AS wanted (parameter, want) ON lower(name) = parameter`

// settle prepares a session for counting and hashing.
func settle(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, steady); err != nil {
		return fmt.Errorf("prepare the session: %w", err)
	}
	return nil
}

// A relation is a table as the database has it now.
type relation struct {
	name        string // with its schema, quoted
	partitioned bool   // it has no rows of its own
	bytes       int64  // once it has been asked for
}

// Tables of extensions that the extension's script fills are not in a dump; those that it marks as configuration are.
const relations = `
SELECT format('%I.%I', n.nspname, c.relname), c.relkind = 'p'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1`

func listRelations(ctx context.Context, conn *pgx.Conn) ([]relation, error) {
	rows, err := conn.Query(ctx, relations)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r relation, err error) {
		return r, row.Scan(&r.name, &r.partitioned)
	})
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	// Postgres sorts by the database's collation, which another server may not have.
	slices.SortFunc(list, func(a, b relation) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

const relationSizes = `
SELECT pg_table_size(name::regclass) FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place) ORDER BY place`

// sizeRelations asks how large the tables are, which waits for those that somebody has locked.
func sizeRelations(ctx context.Context, conn *pgx.Conn, list []relation) error {
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = r.name
	}
	rows, err := conn.Query(ctx, relationSizes, names)
	if err != nil {
		return fmt.Errorf("ask for the tables' sizes: %w", err)
	}
	sizes, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("ask for the tables' sizes: %w", err)
	}
	for i := range sizes {
		list[i].bytes = sizes[i]
	}
	return nil
}

// hashable chooses the tables whose rows are hashed as well as counted: the smallest ones, until together they have
// so many bytes. Hashing costs more than dumping does, and the small tables are those that people notice.
func hashable(list []relation, budget int64) map[string]bool {
	bySize := slices.Clone(list)
	slices.SortStableFunc(bySize, func(a, b relation) int { return cmp.Compare(a.bytes, b.bytes) })
	chosen := make(map[string]bool)
	for _, r := range bySize {
		if r.partitioned {
			continue
		}
		if budget -= r.bytes; budget < 0 {
			break
		}
		chosen[r.name] = true
	}
	return chosen
}

// Types whose values Postgres hashes by what they are, the same for each row on every server. A domain is what it is
// of, and an array what is in it.
const hashableTypes = `
SELECT NOT EXISTS (
	SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
	LEFT JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typcategory = 'A' THEN t.typelem END
	WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
	AND NOT (coalesce(b.typtype, t.typtype) = 'e' OR coalesce(b.oid, t.oid) = ANY (ARRAY['bool', 'int2', 'int4', 'int8', 'numeric',
		'text', 'varchar', 'bpchar', 'name', 'uuid', 'date', 'time', 'timestamp', 'timestamptz', 'interval', 'bytea', 'jsonb',
		'inet', 'cidr', 'xid8']::regtype[]::oid[])))`

// measure counts the rows of a table, those of its partitions included, and hashes them where it should: the sum of
// the rows' hashes, so that their order doesn't matter, and a row that is there twice counts twice. A row is hashed as
// it is, or as text, at three times the cost, where it holds a type that has no hash. The session is settled, and sees
// every row.
func measure(ctx context.Context, conn *pgx.Conn, name string, hash bool) (Table, error) {
	t := Table{Name: name}
	if !hash {
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM `+name).Scan(&t.Rows); err != nil {
			return t, fmt.Errorf("count the rows of %s: %w", name, err)
		}
		return t, nil
	}
	var asItIs bool
	if err := conn.QueryRow(ctx, hashableTypes, name).Scan(&asItIs); err != nil {
		return t, fmt.Errorf("look at the columns of %s: %w", name, err)
	}
	what := `SELECT count(*), 'text:' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM `
	if asItIs {
		what = `SELECT count(*), 'record:' || coalesce(sum(hash_record_extended(t, 0)), 0) FROM `
	}
	if err := conn.QueryRow(ctx, what+name+` t`).Scan(&t.Rows, &t.Hash); err != nil {
		return t, fmt.Errorf("count and hash the rows of %s: %w", name, err)
	}
	return t, nil
}

const sequences = `
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`

// listSequences says where the sequences stand. They are outside of transactions: a dump that begins afterwards holds
// these values, or later ones.
func listSequences(ctx context.Context, conn *pgx.Conn) ([]Sequence, error) {
	rows, err := conn.Query(ctx, sequences)
	if err != nil {
		return nil, fmt.Errorf("list the sequences: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the sequences: %w", err)
	}
	slices.Sort(names)
	list := make([]Sequence, 0, len(names))
	for _, name := range names {
		s := Sequence{Name: name}
		if err := conn.QueryRow(ctx, `SELECT last_value, is_called FROM `+name).Scan(&s.Last, &s.Called); err != nil {
			return nil, fmt.Errorf("read sequence %s: %w", name, err)
		}
		list = append(list, s)
	}
	return list, nil
}

const extensions = `SELECT extname, extversion FROM pg_extension ORDER BY extname COLLATE "C"`

func listExtensions(ctx context.Context, conn *pgx.Conn) ([]Extension, error) {
	rows, err := conn.Query(ctx, extensions)
	if err != nil {
		return nil, fmt.Errorf("list the extensions: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Extension])
	if err != nil {
		return nil, fmt.Errorf("list the extensions: %w", err)
	}
	return list, nil
}

// Whoever owns something here, was granted something, or is named by a policy: pg_shdepend knows. The predefined
// roles are everywhere.
const roles = `
SELECT r.rolname FROM pg_roles r
WHERE r.rolname !~ '^pg_' AND r.oid IN (
	SELECT refobjid FROM pg_shdepend
	WHERE refclassid = 'pg_authid'::regclass
	AND (dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
		OR classid = 'pg_database'::regclass AND objid = (SELECT oid FROM pg_database WHERE datname = current_database()))
	UNION ALL SELECT datdba FROM pg_database WHERE datname = current_database())
ORDER BY r.rolname COLLATE "C"`

func listRoles(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, roles)
	if err != nil {
		return nil, fmt.Errorf("list the roles: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the roles: %w", err)
	}
	return list, nil
}

const schemaVersions = `
SELECT to_regclass('public.goose_db_version') IS NOT NULL, to_regclass('public.river_migration') IS NOT NULL`

// readVersions gives the newest migration of the product and of River, 0 where there is none.
func readVersions(ctx context.Context, conn *pgx.Conn) (schema int64, river int, err error) {
	var product, queue bool
	if err = conn.QueryRow(ctx, schemaVersions).Scan(&product, &queue); err == nil && product {
		err = conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM public.goose_db_version WHERE is_applied`).Scan(&schema)
	}
	if err == nil && queue {
		err = conn.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM public.river_migration`).Scan(&river)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read the schema's version: %w", err)
	}
	return schema, river, nil
}
