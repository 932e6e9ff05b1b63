package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

func figures(t *testing.T, db *store.DB, published *events.Position) store.SystemFigures {
	t.Helper()
	f, err := db.SystemFigures(t.Context(), []string{"ai", "mail"}, published)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const aRiverJob = `
INSERT INTO river_job (kind, args, max_attempts, queue, priority, state, scheduled_at, finalized_at)
SELECT 'k', '{}', 3, $1, $2, $3::river_job_state, now() + $4::interval, CASE WHEN $3 IN ('completed', 'cancelled', 'discarded') THEN now() END
FROM generate_series(1, $5::int)`

// What waits is counted by queue and state, also of queues that nobody works or has ever worked.
func TestSystemFiguresOfQueues(t *testing.T) {
	t.Parallel()
	address := newDatabase(t)
	conn := connect(t, address)
	put := func(queue string, priority int, state, after string, n int) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), aRiverJob, queue, priority, state, after, n); err != nil {
			t.Fatal(err)
		}
	}
	put("mail", 1, "available", "-10 seconds", 2)
	put("mail", 4, "available", "-90 seconds", 1)
	put("mail", 2, "available", "1 hour", 1)
	put("mail", 2, "running", "-1 hour", 3)
	put("mail", 2, "completed", "-1 day", 7)
	put("mail", 2, "retryable", "1 minute", 4)
	put("reports", 1, "scheduled", "1 minute", 5)
	if _, err := conn.Exec(t.Context(), `INSERT INTO river_queue (name, paused_at, updated_at) VALUES ('reports', now(), now())`); err != nil {
		t.Fatal(err)
	}
	for _, role := range []store.Role{store.App, store.System} {
		f := figures(t, open(t, address, role), nil)
		if len(f.Queues) != 3 {
			t.Fatalf("%s: got queues %+v", role, f.Queues)
		}
		ai, mail, reports := f.Queues[0], f.Queues[1], f.Queues[2]
		if ai != (store.QueueFigures{Queue: "ai"}) {
			t.Errorf("%s: an empty queue: got %+v", role, ai)
		}
		if mail.Available != 4 || mail.Running != 3 || mail.Retryable != 4 || mail.Scheduled != 0 || mail.PausedAt != nil ||
			mail.OldestSeconds == nil || *mail.OldestSeconds < 89 || *mail.OldestSeconds > 150 {
			t.Errorf("%s: got %+v", role, mail)
		}
		if reports.Scheduled != 5 || reports.PausedAt == nil || reports.OldestSeconds != nil {
			t.Errorf("%s: got %+v", role, reports)
		}
	}
}

// However many jobs are finished, none of them is looked at.
func TestSystemFiguresAreCheap(t *testing.T) {
	t.Parallel()
	address := newDatabase(t)
	conn := connect(t, address)
	if _, err := conn.Exec(t.Context(), aRiverJob, "mail", 2, "completed", "-1 hour", 60_000); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), aRiverJob, "mail", 2, "available", "-1 hour", 50); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `VACUUM ANALYZE river_job`); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) `+store.SelectQueues, []string{"mail", "ai"}, store.MostJobsCounted)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	if strings.Contains(text, "Seq Scan on river_job") || strings.Contains(text, "Rows Removed") || !strings.Contains(text, "river_job_prioritized_fetching_index") {
		t.Errorf("finished jobs are looked at:\n%s", text)
	}
	var hit int
	for _, line := range lines {
		if n, err := fmt.Sscanf(strings.TrimSpace(line), "Buffers: shared hit=%d", &hit); n == 1 && err == nil {
			break // of the whole
		}
	}
	if hit == 0 || hit > 300 {
		t.Errorf("%d blocks were looked at, want some and no more than 300:\n%s", hit, text)
	}
}

// Facts that nobody has published, or routed, are seen with their age.
func TestSystemFiguresOfEvents(t *testing.T) {
	t.Parallel()
	address := newDatabase(t)
	db := open(t, address, store.System)
	before := figures(t, db, nil).Events
	if before.Epoch == "" || before.Unrouted != 0 || before.Unpublished != nil || before.RouterSeq != 0 {
		t.Errorf("of an outbox without facts: got %+v", before)
	}
	organization := outbox.NewID()
	var places []events.Position
	for range 3 {
		var p events.Position
		err := db.Tx(t.Context(), func(tx pgx.Tx) error {
			if err := outbox.Append(t.Context(), tx, outbox.Origin{OrganizationID: organization}, events.OrganizationUpdated{OrganizationID: organization, Version: 2}); err != nil {
				return err
			}
			var xid, id int64
			err := tx.QueryRow(t.Context(), `SELECT xid::text::bigint, id FROM outbox ORDER BY xid DESC, id DESC LIMIT 1`).Scan(&xid, &id)
			p = events.Position{Epoch: before.Epoch, XID: uint64(xid), ID: id}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, p)
	}
	got := figures(t, db, &places[0]).Events
	if got.Unrouted != 3 || got.Unpublished == nil || *got.Unpublished != 2 || got.OldestUnpublished < 0 {
		t.Errorf("with the first published: got %+v", got)
	}
	if got := figures(t, db, &events.Position{}).Events; got.Unpublished == nil || *got.Unpublished != 3 {
		t.Errorf("of an empty stream: got %v", got.Unpublished)
	}
	elsewhere := places[2]
	elsewhere.Epoch = outbox.NewID()
	if got := figures(t, db, &elsewhere).Events; got.Unpublished != nil {
		t.Errorf("a place of another epoch was compared: got %d", *got.Unpublished)
	}
}

// Connections are those of everybody, and what they do is only said where all of it may be seen.
func TestSystemFiguresOfConnections(t *testing.T) {
	t.Parallel()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	name := pg.NewDatabase(t, template)
	db := open(t, pg.URL(name), store.App)
	f := figures(t, db, nil).Server
	if f.Version == "" || f.MaxConnections < 20 || f.Reserved < 1 || f.Connections < 1 || f.InRecovery {
		t.Errorf("got %+v", f)
	}
	super := connect(t, pg.SuperURL(name))
	plain := "plain_" + name
	if _, err := super.Exec(t.Context(), `CREATE ROLE `+plain+` LOGIN PASSWORD 'plain' IN ROLE payaid_app, payaid_system`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn := connectFor(t, pg.SuperURL(name))
		_, err := conn.Exec(context.Background(), `DROP ROLE `+plain)
		if err = errors.Join(err, conn.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(pg.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(plain, "plain")
	if got := figures(t, open(t, u.String(), store.App), nil).Server; got.Connections < 2 || got.States != nil {
		t.Errorf("of who may not see what others do: got %d, %v", got.Connections, got.States)
	}
	sum := 0
	for _, n := range f.States {
		sum += n
	}
	if f.States["active"] < 1 || sum != f.Connections {
		t.Errorf("of who may see all: got %d, %v", f.Connections, f.States)
	}
}

// connectFor is connect, also when the test is over.
func connectFor(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestDatabaseBlocks(t *testing.T) {
	t.Parallel()
	address := newDatabase(t)
	db := open(t, address, store.App)
	first, err := db.DatabaseBlocks(t.Context())
	if err != nil || first.At.IsZero() {
		t.Fatalf("got %+v, %v", first, err)
	}
	conn := connect(t, address)
	// What sessions counted is seen once it was given to the server, at most a second later.
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := conn.Exec(t.Context(), `SELECT count(*) FROM pg_class`); err != nil {
			t.Fatal(err)
		}
		next := figures(t, db, nil).Server.Blocks
		if next.Hit > first.Hit && next.Since.Equal(first.Since) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %+v after %+v", next, first)
		}
	}
}

func TestSlowestStatements(t *testing.T) {
	t.Parallel()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	name := pg.NewDatabase(t, template)
	db := open(t, pg.URL(name), store.App)
	if _, err := db.SlowestStatements(t.Context(), 10); err == nil {
		t.Error("without the extension: want an error")
	}
	if figures(t, db, nil).Server.Statements {
		t.Error("the extension is said to be there")
	}
	super := connect(t, pg.SuperURL(name))
	for _, sql := range []string{`CREATE EXTENSION pg_stat_statements`, `CREATE ROLE unused_` + name + ` PASSWORD 'hunter2'`, `DROP ROLE unused_` + name} {
		if _, err := super.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, pg.URL(name))
	if _, err := conn.Exec(t.Context(), `SELECT pg_sleep(0.3), 'hunter2'`); err != nil {
		t.Fatal(err)
	}
	if !figures(t, db, nil).Server.Statements {
		t.Error("the extension is not seen")
	}
	list, err := db.SlowestStatements(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 || list[0].SQL != "SELECT pg_sleep($1), $2" || list[0].Calls != 1 || list[0].TotalMS < 300 || list[0].MaxMS < 300 {
		t.Errorf("got %+v", list)
	}
	for i, s := range list {
		if strings.Contains(s.SQL, "hunter2") || i > 0 && s.TotalMS > list[i-1].TotalMS {
			t.Errorf("got %+v", list)
		}
	}
}
