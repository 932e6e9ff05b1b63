package pghealth

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// traps are indexes that nothing scans, or that look alike, each with a reason to be left alone.
var traps = []string{
	`CREATE EXTENSION IF NOT EXISTS btree_gist`,
	`CREATE TABLE kept (id integer PRIMARY KEY, code text NOT NULL, a integer, b integer, c text, during int4range,
	     CONSTRAINT kept_unique UNIQUE (a, id), CONSTRAINT kept_apart EXCLUDE USING gist (id WITH =, during WITH &&))`,
	`INSERT INTO kept SELECT n, 'c' || n, n, n % 100, 'text ' || n, int4range(n, n + 1) FROM generate_series(1, 5000) AS n`,
	`CREATE UNIQUE INDEX idx_kept_only_unique ON kept (c)`,
	`CREATE UNIQUE INDEX idx_kept_identity ON kept (code)`,
	`ALTER TABLE kept REPLICA IDENTITY USING INDEX idx_kept_identity`,
	`CREATE INDEX idx_kept_clustered ON kept (b, id)`,
	`ALTER TABLE kept CLUSTER ON idx_kept_clustered`,
	// The only index for a foreign key; and one without the rows that have no value serves as well.
	`CREATE TABLE refers (id integer PRIMARY KEY, kept_id integer REFERENCES kept, other_id integer REFERENCES kept, x integer)`,
	`INSERT INTO refers SELECT n, n, n, n FROM generate_series(1, 5000) AS n`,
	`CREATE INDEX idx_refers_kept ON refers (kept_id)`,
	`CREATE INDEX idx_refers_other ON refers (other_id) WHERE other_id IS NOT NULL`,
	// Small tables are read from end to end rightly.
	`CREATE TABLE tiny (id integer PRIMARY KEY, a integer)`,
	`INSERT INTO tiny SELECT n, n FROM generate_series(1, 200) AS n`,
	`CREATE INDEX idx_tiny ON tiny (a)`,
	// They only look alike.
	`CREATE TABLE alike (id integer PRIMARY KEY, a integer, b text, c text COLLATE "C", j jsonb)`,
	`INSERT INTO alike SELECT n, n, n, n, '{}' FROM generate_series(1, 500) AS n`,
	`CREATE INDEX idx_alike_a ON alike (a)`,
	`CREATE INDEX idx_alike_a_partly ON alike (a) WHERE b <> ''`,
	`CREATE INDEX idx_alike_a_other ON alike (a) WHERE b <> 'x'`,
	`CREATE INDEX idx_alike_a_hash ON alike USING hash (a)`,
	`CREATE INDEX idx_alike_a_down ON alike (a DESC, b)`,
	`CREATE INDEX idx_alike_b ON alike (b)`,
	`CREATE INDEX idx_alike_b_pattern ON alike (b text_pattern_ops)`,
	`CREATE INDEX idx_alike_b_collated ON alike (b COLLATE "C", a)`,
	`CREATE INDEX idx_alike_lower ON alike (lower(b))`,
	`CREATE INDEX idx_alike_upper ON alike (upper(b), a)`,
	`CREATE INDEX idx_alike_json ON alike USING gin (j)`,
	`CREATE INDEX idx_alike_json_paths ON alike USING gin (j jsonb_path_ops)`,
	`CREATE INDEX idx_alike_short_including ON alike (c) INCLUDE (j)`,
	`CREATE INDEX idx_alike_long ON alike (c, b)`,
	`CREATE UNIQUE INDEX idx_alike_unique_short ON alike (id, b)`,
	`CREATE INDEX idx_alike_unique_long ON alike (id, b, c)`,
	`CREATE UNIQUE INDEX idx_alike_nulls ON alike (c, a)`,
	`CREATE UNIQUE INDEX idx_alike_nulls_count ON alike (c, a) NULLS NOT DISTINCT`,
	// Partitions are judged with their parent, one of whose indexes is used in one partition alone.
	`CREATE TABLE weeks (week integer, a integer) PARTITION BY RANGE (week)`,
	`CREATE TABLE weeks_1 PARTITION OF weeks FOR VALUES FROM (1) TO (2)`,
	`CREATE TABLE weeks_2 PARTITION OF weeks FOR VALUES FROM (2) TO (3)`,
	`CREATE INDEX idx_weeks ON weeks (a)`,
	`INSERT INTO weeks SELECT 1 + n % 2, n FROM generate_series(1, 20000) AS n`,
	`CREATE INDEX idx_refers_rare ON refers (x)`,
	`ANALYZE`,
}

// None of what looks like a fault and is none is reported.
func TestTraps(t *testing.T) {
	onEach(t, func(s *site) {
		exec(s.T, s.super, traps[0])
		s.do(traps[1:]...)
		s.sample()
		// A backup and its verification read everything.
		for range 2 {
			s.do(`SELECT count(*) FROM kept WHERE c < 'u'`, `SELECT count(*) FROM refers WHERE x > 0 OR kept_id > 0`)
		}
		// Used in one partition alone; and used once, for much.
		s.do(`SET enable_seqscan = off`, `SELECT count(*) FROM weeks_1 WHERE a = 5`, `SELECT count(*) FROM refers WHERE x > 5`, `RESET enable_seqscan`)
		s.sample()
		r := s.examine()
		if got := r.list(); len(got) > 0 {
			s.Errorf("found %q", got)
		}
		for name, purpose := range map[string]string{"kept_pkey": "primary key", "kept_unique": "rows unique", "kept_apart": "exclusion",
			"idx_kept_only_unique": "rows unique", "idx_kept_identity": "rows unique", "idx_kept_clustered": "sorted",
			"idx_refers_kept": "the only one for the foreign key", "idx_refers_other": "the only one for the foreign key", "idx_refers_rare": ""} {
			if got := r.Purpose(r.index(s.T, name)); !strings.Contains(got, purpose) || (got == "") != (purpose == "") {
				s.Errorf("%s: it is said that %q", name, got)
			}
		}
		if why := r.Unjudged(r.index(s.T, "weeks_1_a_idx")); !strings.Contains(why, "parent") {
			s.Errorf("a partition's index is judged: %q", why)
		}
		if i := r.index(s.T, "idx_weeks"); i.Counters.Scans != 1 || i.Size != r.index(s.T, "weeks_1_a_idx").Size+r.index(s.T, "weeks_2_a_idx").Size {
			s.Errorf("the parent's index has %+v and %d bytes", i.Counters, i.Size)
		}
		if i := r.index(s.T, "idx_refers_rare"); i.Counters.TuplesRead < 4990 {
			s.Errorf("one scan read 4995 rows, it says %+v", i.Counters)
		}
		if (r.index(s.T, "idx_refers_rare").LastScan != nil) != (r.Server.Major() >= 16) {
			s.Errorf("last scan on Postgres %d: %v", r.Server.Major(), r.index(s.T, "idx_refers_rare").LastScan)
		}
		if (len(r.Remarks) == 2) != (r.Server.Major() >= 18) {
			s.Errorf("remarks on Postgres %d: %q", r.Server.Major(), r.Remarks)
		}
	})
}

// big makes a table whose index nothing uses.
func (s *site) big() {
	s.Helper()
	s.do(`CREATE TABLE big (id integer PRIMARY KEY, a integer)`, `INSERT INTO big SELECT n, n FROM generate_series(1, 20000) AS n`,
		`CREATE INDEX idx_big ON big (a)`, `ANALYZE big`)
}

// use scans the index once.
func (s *site) use() {
	s.Helper()
	s.do(`SET enable_seqscan = off`, `SELECT count(*) FROM big WHERE a = 7`, `RESET enable_seqscan`)
}

// unused says whether it is reported, and why not.
func (s *site) unused() (bool, string) {
	s.Helper()
	r := s.examine()
	return slices.Contains(r.list(), "unused big.idx_big"), r.Unjudged(r.index(s.T, "idx_big"))
}

func (s *site) wantUnused(want bool, because string) {
	s.Helper()
	is, why := s.unused()
	if is != want || !strings.Contains(why, because) {
		s.Errorf("reported as unused: %t, want %t; it is said that %q", is, want, why)
	}
}

// Advice waits for samples: of an index that is as old as the window, since counters began anew.
func TestWindows(t *testing.T) {
	onEach(t, func(s *site) {
		s.wantUnused(false, "0 samples")
		s.sample()
		s.wantUnused(false, "1 samples")
		s.sample()
		s.wantUnused(true, "")
		s.do(`CREATE INDEX idx_young ON big (a, id)`)
		s.sample()
		if r := s.examine(); !strings.Contains(r.Unjudged(r.index(s.T, "idx_young")), "younger") {
			s.Errorf("an index is judged that is younger than the window: %q", r.list())
		}
		// Built anew, it is the same index.
		s.do(`DROP INDEX idx_young`, `REINDEX INDEX CONCURRENTLY idx_big`)
		s.wantUnused(true, "")
		s.sample()
		s.wantUnused(true, "")
		if r := s.examine(); len(r.Usage[r.index(s.T, "idx_big").OID].Trend) < 4 {
			s.Errorf("its history begins with its new oid: %+v", r.Usage[r.index(s.T, "idx_big").OID])
		}
		// Used, and its own counters reset: nobody can tell from what is left but the samples in between.
		s.use()
		s.sample()
		s.wantUnused(false, "")
		exec(s.T, s.super, `SELECT pg_stat_reset_single_table_counters('idx_big'::regclass)`)
		s.sample()
		s.wantUnused(false, "")
		// All counters: the window begins anew, and what was before is not forgotten.
		exec(s.T, s.super, `SELECT pg_stat_reset()`)
		s.wantUnused(false, "0 samples")
		s.sample()
		s.sample()
		r := s.examine()
		if r.Window.Samples != 2 || r.Window.Reset == nil || !r.Window.From.After(*r.Window.Reset) {
			s.Errorf("after a reset the window is %+v", r.Window)
		}
		s.wantUnused(false, "")
	}, (*site).big)
}

// Whether a server was stopped properly or crashed makes a difference to what its counters say.
func TestRestarts(t *testing.T) {
	t.Parallel()
	for _, major := range localstack.PostgresMajors() {
		pg := localstack.NewPostgresOf(t, major)
		database := pg.NewDatabase(t, "")
		if _, err := migrations.Up(t.Context(), pg.URL(database)); err != nil {
			t.Fatal(err)
		}
		s := newSiteOf(t, pg, database)
		s.big()
		s.use()
		s.sample()
		s.sample()
		before := s.examine().Server.StatisticsSince
		pg.Kill()
		if err := pg.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = newSiteOf(t, pg, database)
		r := s.examine()
		if r.index(t, "idx_big").Counters.Scans != 0 {
			t.Fatalf("Postgres %d kept its counters in a crash, so this test proves nothing", major)
		}
		if r.Window.Samples != 0 || r.Window.Reset == nil || r.Server.StatisticsSince == nil || before != nil && r.Server.StatisticsSince.Equal(*before) {
			t.Errorf("Postgres %d: after a crash the window is %+v, statistics since %v", major, r.Window, r.Server.StatisticsSince)
		}
		s.sample()
		s.sample()
		if used, _ := s.unused(); used {
			t.Errorf("Postgres %d: an index counts as unused that was used before the crash", major)
		}
	}
}

// A look waits for nobody: a table that is locked is looked at without what the lock keeps.
func TestLockedTable(t *testing.T) {
	onEach(t, func(s *site) {
		s.do(`CREATE INDEX idx_big_partly ON big (a) WHERE id > 3`, `CREATE INDEX idx_big_expression ON big (abs(a))`, `VACUUM ANALYZE big`)
		holder := s.connect(s.url)
		exec(s.T, holder, `BEGIN`, `LOCK TABLE big IN ACCESS EXCLUSIVE MODE`, `ALTER INDEX idx_big SET (fillfactor = 80)`)
		taken := s.sample()
		r := s.examine()
		if !r.Blind || !strings.Contains(strings.Join(r.Remarks, " "), "locked") || r.index(s.T, "idx_big").Size == 0 {
			s.Errorf("blind: %t, remarks %q, %d bytes", r.Blind, r.Remarks, r.index(s.T, "idx_big").Size)
		}
		var size int64
		err := s.super.QueryRow(s.Context(), `SELECT size_bytes FROM index_samples WHERE index_oid = 'idx_big'::regclass AND taken_at = $1`, taken.At).Scan(&size)
		if err != nil || size == 0 {
			s.Errorf("the sample has %d bytes, %v", size, err)
		}
		if got := r.list(); len(got) > 0 {
			s.Errorf("found %q", got)
		}
		exec(s.T, holder, `COMMIT`)
		if r := s.examine(); r.Blind {
			s.Error("it is still blind")
		}
	}, (*site).big)
}

// Keys in random order leave an index a third empty, and that is how it is.
func TestRandomKeysAreNoBloat(t *testing.T) {
	onEach(t, func(s *site) {
		s.do(`CREATE TABLE random (id uuid PRIMARY KEY)`, `INSERT INTO random SELECT gen_random_uuid() FROM generate_series(1, 40000)`)
		s.settle() // the insert is counted before VACUUM counts
		s.do(`VACUUM ANALYZE random`)
		s.limits.BloatBytes = 1 << 20
		exec(s.T, s.super, `CREATE EXTENSION pgstattuple`)
		r := s.examine()
		i := r.index(s.T, "random_pkey")
		b := r.BloatOf(i)
		if b.Share == nil || *b.Share < 0.05 || *b.Share > 0.4 || len(r.list()) > 0 {
			s.Errorf("bloat %v (%s), found %q", *b.Share, b.Reason, r.list())
		}
		var d *Density
		var why string
		err := pgx.BeginFunc(s.Context(), s.system, func(tx pgx.Tx) (err error) {
			d, why, err = Measure(s.Context(), tx, i)
			return err
		})
		if err != nil || d == nil || d.Leaf < 60 || d.Leaf > 80 || d.Size != i.Size {
			s.Errorf("measured %+v, %q, %v", d, why, err)
		}
	})
}

// A column without statistics can't be reckoned with, nor a table that was not looked at.
func TestBloatIsNotGuessed(t *testing.T) {
	t.Parallel()
	s := onNewest(t)
	s.do(`CREATE TABLE unknown (id integer PRIMARY KEY) WITH (autovacuum_enabled = false)`, `INSERT INTO unknown SELECT generate_series(1, 1000)`)
	for _, want := range []string{"neither vacuumed nor analyzed", "statistics"} {
		r := s.examine()
		if b := r.BloatOf(r.index(t, "unknown_pkey")); b.Share != nil || !strings.Contains(b.Reason, want) {
			t.Errorf("bloat %+v, want none as: %s", b, want)
		}
		s.do(`VACUUM unknown`)
	}
	s.do(`ANALYZE unknown`)
	r := s.examine()
	if b := r.BloatOf(r.index(t, "unknown_pkey")); b.Share == nil {
		t.Errorf("bloat %+v", b)
	}
}
