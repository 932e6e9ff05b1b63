package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

// youngerCopy restores the outbox into a cluster that has given fewer transaction numbers.
func youngerCopy(t *testing.T, url string) *store.DB {
	t.Helper()
	old := connect(t, url)
	pg := localstack.NewPostgres(t)
	young := pg.URL(pg.NewDatabase(t, ""))
	if _, err := migrations.Up(t.Context(), young); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, young)
	if _, err := conn.Exec(t.Context(), `TRUNCATE outbox_epochs, outbox, consumer_positions`); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"outbox_epochs", "outbox", "consumer_positions"} {
		var rows bytes.Buffer
		if _, err := old.PgConn().CopyTo(t.Context(), &rows, `COPY (SELECT * FROM `+table+`) TO STDOUT`); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.PgConn().CopyFrom(t.Context(), &rows, `COPY `+table+` FROM STDIN`); err != nil {
			t.Fatal(err)
		}
	}
	return open(t, young)
}

// age has the cluster give transaction numbers away.
func age(t *testing.T, url string) {
	t.Helper()
	_, err := connect(t, url).Exec(t.Context(),
		`DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`)
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewEpochAfterRestore(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	age(t, url)
	// The database was migrated late in the life of its cluster.
	_, err := connect(t, url).Exec(t.Context(), `UPDATE outbox_epochs SET started_xid = pg_current_xact_id(), started_at = now()`)
	if err != nil {
		t.Fatal(err)
	}
	db, s := open(t, url), openStream(t, newNATS(t))
	_, stop := startRelay(t, db, s)
	appendFacts(t, db, notes("kept", 10)...)
	published(t, db, s)
	stop()
	routedSoFar(t, db)
	appendFacts(t, db, notes("not yet published", 5)...)
	copied := youngerCopy(t, url)
	_, stop = startRelay(t, db, s)
	appendFacts(t, db, notes("younger than the copy", 3)...)
	published(t, db, s)
	stop()
	before := ids(streamHolds(t, s))
	carriedOut := before[:10]

	appendFacts(t, copied, notes("in the copy", 4)...)
	logged, stopStuck := startRelay(t, copied, s)
	eventually(t, "the relay says what to do", saying(logged, "payaid events new-epoch"))
	if got := ids(streamHolds(t, s)); !slices.Equal(got, before) {
		t.Fatal("the relay published before the new epoch")
	}
	again, err := outbox.NewEpoch(t.Context(), copied.Pool(), "restored")
	if err != nil {
		t.Fatal(err)
	}
	if again != 5+4 {
		t.Errorf("%d events are published anew, want the 9 that were not carried out, of which the stream has 5", again)
	}
	var moved bool
	err = copied.Pool().QueryRow(t.Context(), `SELECT p.epoch = e.epoch AND p.xid = e.started_xid AND p.stream_seq = 0
		FROM consumer_positions p, (SELECT * FROM outbox_epochs ORDER BY started_at DESC LIMIT 1) e`).Scan(&moved)
	if err != nil || !moved {
		t.Errorf("the router would go on in the lost life: %v", err)
	}
	appendFacts(t, copied, notes("new", 12)...)
	want := append(slices.Clone(before), idsSince(t, copied, carriedOut)...)
	eventually(t, "all is published", func() error {
		if last, err := lastSeq(t, s); err != nil || last < uint64(len(want)) {
			return fmt.Errorf("at %d of %d: %v", last, len(want), err)
		}
		return nil
	})
	if diff := cmp.Diff(want, ids(streamHolds(t, s))); diff != "" {
		t.Fatalf("the stream (-want +got):\n%s", diff)
	}
	if len(want) != 10+5+3+5+4+12 {
		t.Fatalf("%d events in all, want 39", len(want))
	}
	stopStuck()
	startRelay(t, copied, s)
	appendFacts(t, copied, notes("later", 1)...)
	eventually(t, "a restarted relay goes on", func() error {
		if last, err := lastSeq(t, s); err != nil || last != uint64(len(want))+1 {
			return fmt.Errorf("at %d: %v", last, err)
		}
		return nil
	})
}

// routedSoFar has the router have carried out all that the outbox has.
func routedSoFar(t *testing.T, db *store.DB) {
	t.Helper()
	_, err := db.Pool().Exec(t.Context(), `
		INSERT INTO consumer_positions (consumer, epoch, xid, id, stream_seq)
		SELECT 'router', epoch, xid, id, 5 FROM outbox, outbox_epochs ORDER BY xid DESC, id DESC LIMIT 1`)
	if err != nil {
		t.Fatal(err)
	}
}

// idsSince lists the outbox without what was carried out before.
func idsSince(t *testing.T, db *store.DB, before []string) (list []string) {
	for _, p := range outboxHolds(t, db) {
		if !slices.Contains(before, p.ID) {
			list = append(list, p.ID)
		}
	}
	return list
}

// A transaction that is older than the new epoch, and commits after it was begun, must not be lost.
func TestNewEpochWaitsForOlderTransactions(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, s := open(t, url), openStream(t, newNATS(t))
	_, stop := startRelay(t, db, s)
	appendFacts(t, db, notes("published", 3)...)
	published(t, db, s)
	stop()
	routedSoFar(t, db)
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
	type result struct {
		again int
		err   error
	}
	begun := make(chan result, 1)
	go func() {
		again, err := outbox.NewEpoch(t.Context(), db.Pool(), "test")
		begun <- result{again, err}
	}()
	eventually(t, "the new epoch waits", func() error {
		var waits bool
		err := db.Pool().QueryRow(t.Context(), `SELECT count(*) > 1 FROM pg_stat_activity
			WHERE datname = current_database() AND backend_xid IS NOT NULL`).Scan(&waits)
		if err == nil && !waits {
			err = fmt.Errorf("it has no transaction yet")
		}
		return err
	})
	if err := outbox.Append(t.Context(), tx, origin(), note{"older", 1}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := <-begun
	if r.err != nil || r.again != 1 {
		t.Fatalf("got %d events again, %v; want the one of the older transaction", r.again, r.err)
	}
	startRelay(t, db, s)
	eventually(t, "it is published", func() error {
		if last, err := lastSeq(t, s); err != nil || last != 4 {
			return fmt.Errorf("at %d: %v", last, err)
		}
		return nil
	})
	if got, want := sorted(ids(streamHolds(t, s))), sorted(ids(outboxHolds(t, db))); !slices.Equal(got, want) {
		t.Fatalf("the stream holds %v, want %v", got, want)
	}
}

// What the router has carried out must not come a second time.
func TestNewEpochLeavesOutWhatWasRouted(t *testing.T) {
	t.Parallel()
	db := open(t, newDatabase(t))
	appendFacts(t, db, notes("routed", 5)...)
	routedSoFar(t, db)
	appendFacts(t, db, notes("new", 3)...)
	if again, err := outbox.NewEpoch(t.Context(), db.Pool(), "test"); err != nil || again != 3 {
		t.Fatalf("got %d events again, %v; want the 3 that were not routed", again, err)
	}
}

func TestNewEpochRefusesBesideRelay(t *testing.T) {
	t.Parallel()
	db, s := open(t, newDatabase(t)), openStream(t, newNATS(t))
	logged, _ := startRelay(t, db, s)
	eventually(t, "the relay works", saying(logged, "relay publishes"))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := outbox.NewEpoch(ctx, db.Pool(), "test"); err == nil {
		t.Fatal("a new epoch was begun beside a relay at work")
	}
	var epochs int
	if err := db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM outbox_epochs`).Scan(&epochs); err != nil || epochs != 1 {
		t.Fatalf("%d epochs, %v; want the first alone", epochs, err)
	}
	if strings.Contains(logged.String(), "level=WARN") {
		t.Errorf("the relay was disturbed:\n%s", logged)
	}
}
