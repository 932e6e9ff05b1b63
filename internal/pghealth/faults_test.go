package pghealth

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// planted is one of each fault, in tables of their own.
var planted = []string{
	// Small, so that their use is not judged.
	`CREATE TABLE small (id integer PRIMARY KEY, a integer, b integer, c text, UNIQUE (c))`,
	`INSERT INTO small SELECT n, n, n, n FROM generate_series(1, 500) AS n`,
	`CREATE INDEX idx_same_one ON small (a) WHERE b > 3`,
	`CREATE INDEX idx_same_two ON small (a) WHERE b > 3`,
	`COMMENT ON INDEX idx_same_two IS 'it''s \the second'`,
	`CREATE INDEX idx_like_key ON small (id)`,
	`ALTER TABLE small ADD CONSTRAINT small_c_again UNIQUE (c)`,
	`CREATE INDEX idx_short ON small (b)`,
	`CREATE INDEX idx_long ON small (b, lower(c))`,
	`CREATE INDEX idx_short_expression ON small (lower(c))`,
	`CREATE INDEX idx_long_expression ON small (lower(c), a) INCLUDE (b)`,
	`CREATE TABLE big (id integer PRIMARY KEY, "Odd USING name" text, n integer)`,
	`INSERT INTO big SELECT n, 'word ' || n, n % 7 FROM generate_series(1, 20000) AS n`,
	`CREATE INDEX idx_unused ON big USING btree (("Odd USING name" || 'x') DESC NULLS LAST) WITH (fillfactor = 70)`,
	`CREATE TABLE child (id integer PRIMARY KEY, small_id integer REFERENCES small, "Big" integer REFERENCES big)`,
	`INSERT INTO child SELECT n, 1 + n % 500, n FROM generate_series(1, 15000) AS n`,
	`CREATE INDEX idx_child_small ON child (small_id)`,
	`CREATE TABLE journal (line text)`,
	`INSERT INTO journal SELECT 'line ' || n FROM generate_series(1, 20000) AS n`,
	`CREATE TABLE emptied (id integer PRIMARY KEY)`,
	`INSERT INTO emptied SELECT n FROM generate_series(1, 60000) AS n`,
	`DELETE FROM emptied WHERE id % 20 <> 0`,
}

func (s *site) plant() {
	s.Helper()
	s.do(planted...)
	s.settle() // what was deleted is counted before VACUUM counts
	s.do(`VACUUM ANALYZE emptied`, `ANALYZE big, child, small, journal`)
	if _, err := s.owner.Exec(s.Context(), `CREATE UNIQUE INDEX CONCURRENTLY idx_failed ON big (n)`); err == nil {
		s.Fatal("a unique index was built on rows that are there twice")
	}
	s.limits.BloatBytes = 512 << 10
}

// read scans the journal, and the index on the child's small_id.
func (s *site) read() {
	s.Helper()
	s.do(`DO $$ BEGIN FOR k IN 1..40 LOOP PERFORM count(*) FROM journal WHERE line = 'line ' || k; END LOOP; END $$`,
		`SET enable_seqscan = off`, `SELECT count(*) FROM child WHERE small_id = 7`, `RESET enable_seqscan`)
}

var wanted = []string{
	"bloat emptied.emptied_pkey",
	"duplicate small.idx_like_key", "duplicate small.idx_same_two", "duplicate small.small_c_again",
	"invalid big.idx_failed", "missing_fk_index child",
	"redundant_prefix small.idx_short", "redundant_prefix small.idx_short_expression",
	"seq_scan_heavy journal", "unused big.idx_unused",
}

const selectDefinitions = `
SELECT indexname || ': ' || indexdef || coalesce(obj_description((quote_ident(schemaname) || '.' || quote_ident(indexname))::regclass), '')
FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT conname || ': ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1`

func (s *site) definitions() []string {
	s.Helper()
	rows, err := s.owner.Query(s.Context(), selectDefinitions)
	if err != nil {
		s.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// Each fault is found, is gone when it was mended as it says, and what is undone is as it was.
func TestPlantedFaults(t *testing.T) {
	onEach(t, func(s *site) {
		s.plant()
		s.sample()
		s.read()
		s.sample()
		r := s.examine()
		got := r.list()
		if slices.Sort(got); !slices.Equal(got, wanted) {
			s.Fatalf("found %q, want %q", got, wanted)
		}
		for _, f := range r.Findings {
			if f.Kept != "" || f.Kind == SeqScans {
				continue
			}
			before := s.definitions()
			s.do(f.Mend...)
			s.sample()
			object := strings.TrimSuffix(f.Table+"."+f.Index, ".")
			if now := s.examine().list(); slices.Contains(now, f.Kind+" "+object) {
				s.Errorf("%s %s is still found after %q: %q", f.Kind, object, f.Mend, now)
			}
			s.do(f.Undo...)
			if after := s.definitions(); len(f.Undo) > 0 && !slices.Equal(before, after) {
				s.Errorf("%q and %q left %q", f.Mend, f.Undo, different(before, after))
			}
		}
	})
}

func different(a, b []string) (diff []string) {
	in := make(map[string]int)
	for _, line := range a {
		in[line]--
	}
	for _, line := range b {
		in[line]++
	}
	for _, line := range slices.Sorted(maps.Keys(in)) {
		if in[line] != 0 {
			diff = append(diff, line)
		}
	}
	return diff
}

// What a finding says is true.
func TestFindingsSayWhy(t *testing.T) {
	t.Parallel()
	s := onNewest(t)
	s.plant()
	s.sample()
	s.read()
	s.sample()
	r := s.examine()
	if f := r.of(t, SeqScans, "journal"); f.Figures["seq_scans"] != 40 || f.Figures["rows"] != 20000 || f.Figures["rows_per_scan"] != 20000 || f.NoDDL == "" {
		t.Errorf("the journal was read 40 times, 20000 rows each: %+v", f)
	}
	if f := r.of(t, Bloat, "emptied_pkey"); f.Figures["bloat"] < 0.9 || f.Figures["bloat"] > 0.97 {
		t.Errorf("95 %% of the index are empty, it says %v", f.Figures["bloat"])
	}
	f := r.of(t, Unused, "idx_unused")
	if f.Severity != Info || len(f.Caveats) != 3 || !strings.Contains(f.Caveats[0], "Wait until it is a month") || !strings.HasPrefix(f.Caveats[1], "Primary only") ||
		!strings.Contains(f.Caveats[2], "expression") {
		t.Errorf("an index that was unused for seconds is %s: %q", f.Severity, f.Caveats)
	}
	if f := r.of(t, Invalid, "idx_failed"); f.Severity != Warning || !strings.Contains(strings.Join(f.Caveats, " "), "twice") ||
		!strings.Contains(strings.Join(f.Caveats, " "), "after all: CREATE UNIQUE INDEX CONCURRENTLY") {
		t.Errorf("invalid: %+v", f)
	}
	if f := r.of(t, MissingForKey, "child"); f.Severity != Info || !strings.Contains(f.Why, "Big") {
		t.Errorf("nothing was deleted from the referenced table: %+v", f)
	}
	s.do(`DELETE FROM small WHERE id > 9999`, `INSERT INTO big VALUES (99999, '', 0)`, `DELETE FROM big WHERE id = 99999`)
	if f := s.examine().of(t, MissingForKey, "child"); f.Severity != Warning {
		t.Errorf("rows of the referenced table go: %+v", f)
	}
	// After a week it is a warning, if the index is large, and after a month it was given its time.
	s.limits.UnusedLarge = 1 << 10
	for _, step := range []struct {
		by, severity string
		caveats      int
	}{{"6 days", Info, 3}, {"2 days", Warning, 3}, {"21 days 12:00", Warning, 2}} {
		s.age(step.by)
		if f := s.examine().of(t, Unused, "idx_unused"); f.Severity != step.severity || len(f.Caveats) != step.caveats {
			t.Errorf("%s later it is %s, %q", step.by, f.Severity, f.Caveats)
		}
	}
}

// A build is told from what a failed one left.
func TestBuildingIsNotInvalid(t *testing.T) {
	onEach(t, func(s *site) {
		s.do(`CREATE TABLE waited (n integer)`, `INSERT INTO waited SELECT generate_series(1, 100)`)
		holder, builder := s.connect(s.url), s.connect(s.url)
		exec(s.T, holder, `BEGIN`, `INSERT INTO waited VALUES (1)`)
		done := make(chan error, 1)
		go func() {
			_, err := builder.Exec(s.Context(), `CREATE INDEX CONCURRENTLY idx_waited ON waited (n)`)
			done <- err
		}()
		s.until(`SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase = 'waiting for writers before build')`)
		r := s.examine()
		f := r.of(s.T, Building, "idx_waited")
		if len(r.list()) != 1 || !strings.Contains(f.Why, "waiting for writers before build") || len(f.Mend) > 0 || !strings.Contains(strings.Join(f.Caveats, ""), "process") {
			s.Errorf("found %q: %+v", r.list(), f)
		}
		var pid int
		if err := s.super.QueryRow(s.Context(), `SELECT pg_cancel_backend(pid)::int FROM pg_stat_progress_create_index`).Scan(&pid); err != nil {
			s.Fatal(err)
		}
		if err := <-done; err == nil {
			s.Fatal("the build was not cancelled")
		}
		exec(s.T, holder, `COMMIT`)
		r = s.examine()
		f = r.of(s.T, Invalid, "idx_waited")
		if len(r.list()) != 1 || f.Index != "idx_waited" {
			s.Errorf("found %q", r.list())
		}
		s.do(f.Mend...)
		if got := s.examine().list(); len(got) > 0 {
			s.Errorf("after %q: %q", f.Mend, got)
		}
	})
}

// until waits for a condition.
func (s *site) until(condition string) {
	s.Helper()
	for range 30_000 {
		var is bool
		if err := s.super.QueryRow(s.Context(), condition).Scan(&is); err != nil {
			s.Fatal(err)
		}
		if is {
			return
		}
		exec(s.T, s.super, `SELECT pg_sleep(0.005)`)
	}
	s.Fatalf("it never comes to %s", condition)
}

// What a cancelled REINDEX left goes, and the index that it was to replace stays.
func TestWhatReindexLeaves(t *testing.T) {
	onEach(t, func(s *site) {
		s.do(`CREATE TABLE waited (n integer)`, `CREATE INDEX idx_waited ON waited (n)`)
		holder, builder := s.connect(s.url), s.connect(s.url)
		exec(s.T, holder, `BEGIN`, `INSERT INTO waited VALUES (1)`)
		exec(s.T, builder, `SET lock_timeout = '200ms'`)
		if _, err := builder.Exec(s.Context(), `REINDEX INDEX CONCURRENTLY idx_waited`); err == nil {
			s.Fatal("it did not wait")
		}
		exec(s.T, holder, `COMMIT`)
		f := s.examine().of(s.T, Invalid, "idx_waited_ccnew")
		if f.Severity == Info {
			s.Errorf("%+v", f)
		}
		s.do(f.Mend...)
		if got := s.examine().list(); len(got) > 0 || !slices.ContainsFunc(s.definitions(), func(d string) bool { return strings.HasPrefix(d, "idx_waited:") }) {
			s.Errorf("after %q: found %q", f.Mend, got)
		}
	})
}

// Partitioned tables get their indexes without keeping writers waiting.
func TestPartitionedTables(t *testing.T) {
	onEach(t, func(s *site) {
		s.do(`CREATE TABLE customers (id integer PRIMARY KEY)`,
			`CREATE TABLE parts (day integer, customer integer REFERENCES customers, n integer) PARTITION BY RANGE (day)`,
			`CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (2)`,
			`CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (2) TO (3)`,
			`CREATE INDEX idx_parts_n ON ONLY parts (n)`,
			`CREATE INDEX idx_parts_day ON parts (day)`, `CREATE INDEX idx_parts_day_again ON parts (day)`)
		r := s.examine()
		want := []string{"duplicate parts.idx_parts_day_again", "invalid parts.idx_parts_n", "missing_fk_index parts"}
		got := r.list()
		if slices.Sort(got); !slices.Equal(got, want) {
			s.Fatalf("found %q, want %q", got, want)
		}
		before := s.definitions()
		for _, f := range r.Findings {
			if f.Kept == "" {
				s.do(f.Mend...)
			}
		}
		if got := s.examine().list(); len(got) > 0 {
			s.Errorf("after mending all: %q", got)
		}
		s.do(r.of(s.T, Duplicate, "idx_parts_day_again").Undo...)
		s.do(r.of(s.T, MissingForKey, "parts").Undo...)
		for _, line := range different(before, s.definitions()) {
			// The mended one has its children now.
			if !strings.Contains(line, "idx_parts_n") {
				s.Errorf("undone, and different: %s", line)
			}
		}
	})
}
