package outbox_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

func partitions(t *testing.T, db *store.DB) []string {
	t.Helper()
	rows, err := db.Pool().Query(t.Context(), `
		SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'outbox'::regclass ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func day(offset int) (name string, begin time.Time) {
	begin = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, offset)
	return "outbox_" + begin.Format("20060102"), begin
}

func partition(t *testing.T, db *store.DB) {
	t.Helper()
	if err := outbox.Partition(t.Context(), db.Pool()); err != nil {
		t.Fatal(err)
	}
}

func TestPartitionsAreMadeAhead(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, owner := open(t, url), connect(t, url)
	partition(t, db)
	for offset := range 8 {
		if name, _ := day(offset); !slices.Contains(partitions(t, db), name) {
			t.Errorf("%s is missing", name)
		}
	}
	// A day that nobody made: its events wait in the default partition, and move with their places.
	name, begin := day(3)
	if _, err := owner.Exec(t.Context(), `DROP TABLE `+name); err != nil {
		t.Fatal(err)
	}
	appendFacts(t, db, notes("a", 3)...)
	if _, err := owner.Exec(t.Context(), `UPDATE outbox SET created_at = $1`, begin.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	count := func(table string) (n int) {
		if err := owner.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := count("outbox_default"); got != 3 {
		t.Fatalf("the default partition took %d events, want 3", got)
	}
	want := outboxHolds(t, db)
	partition(t, db)
	if got := count(name); got != 3 || count("outbox_default") != 0 {
		t.Errorf("%s has %d of the 3 events", name, got)
	}
	if diff := cmp.Diff(want, outboxHolds(t, db)); diff != "" {
		t.Errorf("places changed (-before +after):\n%s", diff)
	}
}

func TestPartitionsAreDroppedWhenOldAndRouted(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, owner := open(t, url), connect(t, url)
	old, oldBegin := day(-9)
	young, youngBegin := day(-7) // its end is not a week ago
	for name, begin := range map[string]time.Time{old: oldBegin, young: youngBegin} {
		_, err := owner.Exec(t.Context(), fmt.Sprintf(`CREATE TABLE %s PARTITION OF outbox FOR VALUES FROM ('%s') TO ('%s')`,
			name, begin.Format(time.RFC3339), begin.AddDate(0, 0, 1).Format(time.RFC3339)))
		if err != nil {
			t.Fatal(err)
		}
	}
	appendFacts(t, db, notes("old", 2)...)
	if _, err := owner.Exec(t.Context(), `UPDATE outbox SET created_at = $1`, oldBegin.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	has := func(name string) bool { return slices.Contains(partitions(t, db), name) }
	partition(t, db)
	if !has(old) {
		t.Fatal("a day was dropped though the router has no position")
	}
	moveRouter := func(row int) {
		_, err := owner.Exec(t.Context(), `
			INSERT INTO consumer_positions (consumer, epoch, xid, id, stream_seq)
			SELECT 'router', epoch, xid, id, 1 FROM outbox, outbox_epochs ORDER BY xid, id OFFSET $1 LIMIT 1
			ON CONFLICT (consumer) DO UPDATE SET xid = excluded.xid, id = excluded.id`, row)
		if err != nil {
			t.Fatal(err)
		}
		partition(t, db)
	}
	moveRouter(0)
	if !has(old) {
		t.Fatal("a day was dropped with an event that was not routed")
	}
	moveRouter(1)
	if has(old) || !has(young) {
		t.Fatalf("old: %t, young: %t; want only the old day dropped", has(old), has(young))
	}
}
