package pghealth

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is whose counters are looked at.
type Server struct {
	At               time.Time
	Version          int // server_version_num
	SystemIdentifier int64
	DatabaseOID      uint32
	// StatisticsSince is when counters last began anew; nil: not known.
	StatisticsSince *time.Time
	StartedAt       time.Time
	InRecovery      bool // a replica
	Replicas        int  // that follow this server now: what they scan is counted there
	BlockSize       int64
	Density         bool // the extension pgstattuple is there
	BlocksHit       int64
	BlocksRead      int64
}

// Major is the server's major version.
func (s Server) Major() int { return s.Version / 10000 }

// An Index is one as the catalogue has it, with its counters.
type Index struct {
	OID, TableOID            uint32
	Schema, Table, Name      string
	Method                   string // btree, gin, ...
	Partitioned              bool   // has no storage, but children
	ParentOID                uint32 // of a partition's index; 0: none
	Unique, Primary          bool
	Exclusion, ReplicaIdent  bool
	Clustered                bool // the table was, or will be, sorted by it
	Extension                bool // its table is an extension's
	Valid, Ready             bool
	Immediate                bool // uniqueness is checked at once, not at the end of the transaction
	NullsNotDistinct         bool
	KeyColumns               int // the first of Columns; the rest is INCLUDE
	Columns                  []int16
	Classes, Collations      []uint32 // by key column
	Options                  []int16  // by key column
	Predicate                string   // "": none
	Expressions              []string // the text of each column, where one is no plain column
	Constraint               string   // that it makes; "": none
	Referenced               bool     // a foreign key of another table rests on it
	Rows                     float64  // -1: not known
	FillFactor               int
	Definition               int64 // the same for the same definition
	Counters                 Counters
	LastScan                 *time.Time
	Size                     int64
	KeyWidth, NullableWidths float64
	WidthsUnknown            int // columns of which nothing is known
}

// QualifiedName is schema and name, as they stand in SQL.
func (i *Index) QualifiedName() string { return pgx.Identifier{i.Schema, i.Name}.Sanitize() }

// Label is schema and name, as people read them.
func (i *Index) Label() string { return i.Schema + "." + i.Name }

// Counters go up until they begin anew.
type Counters struct{ Scans, TuplesRead, TuplesFetched, BlocksHit, BlocksRead int64 }

// A Table is one as the catalogue has it, with its counters.
type Table struct {
	OID           uint32
	Schema, Name  string
	Partitioned   bool
	Partition     bool
	Extension     bool    // one made it
	Rows          float64 // by the last VACUUM or ANALYZE; -1: there was none
	Live          int64   // by the counters
	Size          int64
	Counters      TableCounters
	LastAnalyzed  *time.Time
	PartitionOIDs []uint32
}

// QualifiedName is schema and name, as they stand in SQL.
func (t *Table) QualifiedName() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// Label is schema and name, as people read them.
func (t *Table) Label() string { return t.Schema + "." + t.Name }

// TableCounters go up until they begin anew.
type TableCounters struct{ SeqScans, SeqTuplesRead, IndexScans, Inserted, Updated, Deleted int64 }

// A ForeignKey is a constraint whose referencing side may need an index.
type ForeignKey struct {
	Name               string
	TableOID, OtherOID uint32
	Columns            []int16
	Names              []string // of the columns
}

// A Build is an index that is being made.
type Build struct {
	IndexOID, TableOID      *uint32 // nil: it is another login's, and can't be seen
	Command, Phase          *string
	BlocksDone, BlocksTotal *int64
	LockersDone, LockersAll *int64
	Locker                  *int64 // the process that it waits for
}

// A Catalogue is a database at a moment.
type Catalogue struct {
	Server  Server
	Indexes []*Index // of partitioned tables the parent's and each child's
	Tables  map[uint32]*Table
	Keys    []ForeignKey
	Builds  []Build
	// Blind says that a table was locked so that predicates and sizes could not be read to the full: predicates that
	// look different may be the same, and sizes are those of the last VACUUM or ANALYZE.
	Blind bool
}

// LastScans says whether the server tells when an index was last scanned.
func (c *Catalogue) LastScans() bool { return c.Server.Major() >= 16 }

// ErrTooOld means that the server is older than those whose counters are known.
var ErrTooOld = errors.New("indexes are watched from Postgres 15 on")

// versionOf is the server's major version as it told it when the connection was made.
func versionOf(tx pgx.Tx) (int, error) {
	text := tx.Conn().PgConn().ParameterStatus("server_version")
	digits := strings.TrimSpace(text)
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = digits[:i]
	}
	major, err := strconv.Atoi(digits)
	if err != nil || major < 15 {
		return 0, fmt.Errorf("the server is Postgres %q: %w", text, ErrTooOld)
	}
	return major, nil
}

// Of all counters that pg_stat_wal's reset moment stands for, none outlives a crash, and nobody has a reason to
// reset it by itself.
const selectServer = `
SELECT clock_timestamp(), current_setting('server_version_num')::integer, (SELECT system_identifier FROM pg_control_system()),
       d.datid, greatest(d.stats_reset, (SELECT stats_reset FROM pg_stat_wal)), pg_postmaster_start_time(), pg_is_in_recovery(),
       (SELECT count(*)::integer FROM pg_stat_get_wal_senders() WHERE pid IS NOT NULL), current_setting('block_size')::bigint,
       EXISTS (SELECT FROM pg_extension WHERE extname = 'pgstattuple'), d.blks_hit, d.blks_read
FROM pg_stat_database d WHERE d.datname = current_database()`

// definitionHash is the same for the same definition, whatever its oid. Columns count by number: a table that was
// restored begins anew anyway.
const definitionHash = `hashtextextended(concat_ws(' ', n.nspname, t.relname, c.relname, c.relam, i.indisunique, i.indnkeyatts,
           i.indkey, i.indclass, i.indcollation, i.indoption, i.indpred, i.indexprs), 0)`

// watched are indexes that are looked at: not those of the system, nor those of a session. Of the out-of-line
// storage of tables what a REINDEX left behind is.
const watched = `
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid AND c.relpersistence <> 't'
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
     AND (n.nspname <> 'pg_toast' OR NOT i.indisvalid)`

// A lock on a table keeps those waiting who ask for its size or have an expression of it written out.
const (
	sizeOf = `CASE WHEN $1 THEN coalesce(pg_relation_size(c.oid), 0) ELSE c.relpages::bigint * current_setting('block_size')::bigint END`

	ofExtensions = `SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e'`

	selectIndexes = `
SELECT i.indexrelid, i.indrelid, n.nspname::text, t.relname::text, c.relname::text, am.amname::text, c.relkind = 'I',
       coalesce(parent.inhparent, 0), i.indisunique, i.indisprimary, i.indisexclusion, i.indisreplident, i.indisclustered,
       i.indisvalid, i.indisready, i.indimmediate, i.indnullsnotdistinct, i.indnkeyatts, i.indkey::smallint[],
       i.indclass::oid[], i.indcollation::oid[], i.indoption::smallint[],
       coalesce(CASE WHEN $1 THEN pg_get_expr(i.indpred, i.indrelid) ELSE i.indpred::text END, ''),
       CASE WHEN i.indexprs IS NULL THEN NULL
            WHEN $1 THEN ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, false) FROM generate_series(1, i.indnatts) AS k)
            ELSE ARRAY[i.indexprs::text] END,
       coalesce(k.makes, ''), coalesce(k.referenced, false), t.oid IN (` + ofExtensions + `), c.reltuples,
       coalesce((SELECT option_value::integer FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor'), 90),
       ` + definitionHash + `,
       pg_stat_get_numscans(c.oid), pg_stat_get_tuples_returned(c.oid), pg_stat_get_tuples_fetched(c.oid),
       pg_stat_get_blocks_hit(c.oid), pg_stat_get_blocks_fetched(c.oid) - pg_stat_get_blocks_hit(c.oid), %s,
       ` + sizeOf + watched + `
JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_inherits parent ON parent.inhrelid = c.oid
LEFT JOIN (
    SELECT conindid, max(conname::text) FILTER (WHERE contype IN ('p', 'u', 'x')) AS makes, bool_or(contype = 'f') AS referenced
    FROM pg_constraint WHERE conindid <> 0 GROUP BY 1
) AS k ON k.conindid = i.indexrelid
ORDER BY i.indexrelid`

	selectTables = `
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', c.relispartition, c.oid IN (` + ofExtensions + `), c.reltuples, pg_stat_get_live_tuples(c.oid),
       ` + sizeOf + `, pg_stat_get_numscans(c.oid), pg_stat_get_tuples_returned(c.oid),
       coalesce((SELECT sum(pg_stat_get_numscans(i.indexrelid)) FROM pg_index i WHERE i.indrelid = c.oid), 0)::bigint,
       pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid),
       greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)),
       ARRAY(SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'`
)

// Of partitions the parent's keys count.
const selectForeignKeys = `
SELECT c.conname::text, c.conrelid, c.confrelid, c.conkey,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (num, at)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num ORDER BY k.at)
FROM pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0
ORDER BY c.conrelid::regclass::text, c.conname`

const selectBuilds = `
SELECT index_oid, table_oid, command, phase, blocks_done, blocks_total, lockers_done, lockers_total, locker_pid FROM index_builds()`

// Index columns that are expressions have statistics of their own, under the index.
const selectWidths = `
SELECT i.indexrelid, coalesce(sum(w.width * (1 - w.null_fraction)), 0)::float8, coalesce(max(w.null_fraction), 0)::float8,
       count(*) FILTER (WHERE w.width IS NULL)::integer
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (num, at)
LEFT JOIN column_widths() AS w ON w.relation = CASE k.num WHEN 0 THEN i.indexrelid ELSE i.indrelid END
      AND w.attribute = CASE k.num WHEN 0 THEN k.at ELSE k.num END
WHERE i.indrelid >= 16384
GROUP BY 1`

// columnsOf fills in what only some versions have.
func columnsOf(sql string, major int) string {
	last := "NULL::timestamptz"
	if major >= 16 {
		last = "pg_stat_get_lastscan(c.oid)"
	}
	return fmt.Sprintf(sql, last)
}

// Look reads the catalogue and the counters, in one round trip.
func Look(ctx context.Context, tx pgx.Tx) (*Catalogue, error) {
	major, err := versionOf(tx)
	if err != nil {
		return nil, err
	}
	var c *Catalogue
	blind, err := unlessLocked(ctx, tx, func(tx pgx.Tx, exact bool) (err error) {
		c, err = look(ctx, tx, major, exact)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the indexes: %w", err)
	}
	c.Blind = blind
	return c, nil
}
