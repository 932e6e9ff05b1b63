package pghealth

import (
	"slices"
	"strings"
	"testing"
)

// Whoever follows every advice at once must not end with less than each promised to leave: an index that takes the
// place of another, or that is the last for a foreign key, stays.
func TestAdviceHoldsTogether(t *testing.T) {
	s := onNewest(t)
	s.do(`CREATE TABLE big (id integer PRIMARY KEY, a integer, b integer, c integer)`,
		`INSERT INTO big SELECT n, n, n % 1000, n FROM generate_series(1, 20000) AS n`,
		`CREATE TABLE child (id integer PRIMARY KEY, big_id integer REFERENCES big, d integer, e integer)`,
		`INSERT INTO child SELECT n, n, n, n FROM generate_series(1, 20000) AS n`,
		// Of two that are the same the planner takes one, and nobody scans the other.
		`CREATE INDEX idx_same_one ON big (a)`, `CREATE INDEX idx_same_two ON big (a)`,
		// The shorter is scanned, and the longer, which would do as well, is not.
		`CREATE INDEX idx_short ON big (b)`, `CREATE INDEX idx_long ON big (b, c)`,
		// Each alone could go, as the other serves the foreign key.
		`CREATE INDEX idx_key_d ON child (big_id, d)`, `CREATE INDEX idx_key_e ON child (big_id, e)`,
		`ANALYZE big, child`)
	s.sample()
	s.do(`SET enable_seqscan = off`, `SELECT count(*) FROM big WHERE a = 7`, `SELECT count(*) FROM big WHERE b = 7`, `RESET enable_seqscan`)
	s.age("3 hours")
	s.sample()
	found := s.examine().list()
	for _, pair := range [][2]string{{"idx_same_one", "idx_same_two"}, {"idx_short", "idx_long"}, {"idx_key_d", "idx_key_e"}} {
		var dropped []string
		for _, f := range s.examine().Findings {
			if slices.Contains(pair[:], f.Index) {
				dropped = append(dropped, f.Index)
			}
		}
		slices.Sort(dropped)
		if len(slices.Compact(dropped)) != 1 {
			t.Errorf("of %q it is advised to drop %q; all: %q", pair, dropped, found)
		}
	}
}

// What others made they may count on: an extension on its tables, and River's next migration on its indexes.
func TestWhatOthersMadeStays(t *testing.T) {
	s := onNewest(t)
	s.do(`CREATE TABLE theirs (id integer PRIMARY KEY, a integer REFERENCES theirs, b integer)`,
		`INSERT INTO theirs SELECT n, n, n FROM generate_series(1, 20000) AS n`,
		`CREATE INDEX idx_theirs ON theirs (b)`, `CREATE INDEX idx_theirs_again ON theirs (b)`, `CREATE INDEX idx_theirs_long ON theirs (b, id)`,
		`CREATE INDEX river_job_kind_again ON river_job (kind)`)
	exec(t, s.super, `ALTER EXTENSION plpgsql ADD TABLE theirs`)
	s.sample()
	s.age("3 hours")
	s.sample()
	r := s.examine()
	if got := r.list(); len(got) > 0 {
		t.Errorf("advice about what others made: %q", got)
	}
	if f := r.of(t, Duplicate, "river_job_kind_again"); f.Severity != Info || f.Kept == "" {
		t.Errorf("an index of River's that is there twice: %+v", f)
	}
}

// Names are cut where Postgres cuts them, between characters, and no two statements give the same.
func TestNamesOfMissingIndexes(t *testing.T) {
	s := onNewest(t)
	long := strings.Repeat("चालान", 4) // 60 bytes, 3 each
	s.do(`CREATE TABLE big (id integer PRIMARY KEY)`,
		`CREATE TABLE "`+long+`" (id integer PRIMARY KEY, one integer REFERENCES big, two integer REFERENCES big)`)
	r := s.examine()
	var made []string
	for _, f := range r.Findings {
		if f.Kind == MissingForKey {
			s.do(f.Mend...)
			made = append(made, f.Mend...)
		}
	}
	if len(made) != 2 || len(s.examine().list()) > 0 {
		t.Errorf("after %q: %q", made, s.examine().list())
	}
}
