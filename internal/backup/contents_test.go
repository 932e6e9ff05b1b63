package backup

import (
	"slices"
	"testing"
)

// TestHash: the hash is the same for the same rows in any order, and another when any value is another.
func TestHash(t *testing.T) {
	t.Parallel()
	conn := connect(t, newDatabase(t))
	run(t, conn, `CREATE DOMAIN paise AS bigint; CREATE TYPE color AS ENUM ('red', 'green')`)
	for name, c := range map[string]struct{ columns, row, changed, how string }{
		"common types": {"a int, b text, c jsonb, d timestamptz, e uuid, f paise, g color, h text[]",
			`1, 'x', '{"a": [1, 2]}', '2026-01-01', '0197b0f0-0000-7000-8000-000000000000', 5, 'red', '{a,b}'`,
			`1, 'x', '{"a": [1, 3]}', '2026-01-01', '0197b0f0-0000-7000-8000-000000000000', 5, 'red', '{a,b}'`, "record:"},
		"types without a hash": {"a int, b json, c tsvector", `1, '{"a": 1}', 'one two'`, `1, '{"a":  1}', 'one two'`, "text:"},
	} {
		run(t, conn, `DROP TABLE IF EXISTS hashed`)
		run(t, conn, `CREATE TABLE hashed (`+c.columns+`)`)
		of := func(rows ...string) string {
			t.Helper()
			run(t, conn, `TRUNCATE hashed`)
			for _, row := range rows {
				run(t, conn, `INSERT INTO hashed VALUES (`+row+`)`)
			}
			got, err := measure(t.Context(), conn, "public.hashed", true)
			check(t, err)
			if got.Rows != int64(len(rows)) {
				t.Errorf("%s: got %d rows, want %d", name, got.Rows, len(rows))
			}
			return got.Hash
		}
		one := of(c.row, c.changed)
		if again := of(c.changed, c.row); again != one || again[:len(c.how)] != c.how {
			t.Errorf("%s: got hash %s in the other order, want %s, made by %q", name, again, one, c.how)
		}
		others := []string{one, of(c.row), of(c.row, c.row), of(c.row, c.row, c.changed), of(c.changed, c.changed), of()}
		slices.Sort(others)
		if len(slices.Compact(others)) != 6 {
			t.Errorf("%s: different rows have the same hash: %q", name, others)
		}
	}
}

// TestHashable: the smallest tables are hashed, as many as the budget is for.
func TestHashable(t *testing.T) {
	t.Parallel()
	list := []relation{{name: "large", bytes: 900}, {name: "parent", partitioned: true}, {name: "small", bytes: 10}, {name: "medium", bytes: 100}}
	for budget, want := range map[int64][]string{0: nil, 9: nil, 10: {"small"}, 109: {"small"}, 110: {"medium", "small"}, 5000: {"large", "medium", "small"}} {
		var got []string
		for name := range hashable(list, budget) {
			got = append(got, name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %q for %d bytes, want %q", got, budget, want)
		}
	}
}
