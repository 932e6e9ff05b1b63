package store_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
)

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take gives what was logged since the last time.
func (l *logBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.b.String()
	l.b.Reset()
	return s
}

// counting is the tracer of a test beside the slow log.
type counting struct{ queries, batches int }

func (c *counting) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.queries++
	return ctx
}
func (c *counting) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *counting) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.batches++
	return ctx
}
func (c *counting) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *counting) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func openLogged(t *testing.T, o store.PoolOptions) (*store.DB, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	o.URL, o.Role, o.MaxConns = newDatabase(t), store.System, 1
	o.Log = slog.New(slog.NewJSONHandler(log, nil))
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.take()
	return db, log
}

func TestSlowQueriesAreLogged(t *testing.T) {
	t.Parallel()
	c := &counting{}
	db, log := openLogged(t, store.PoolOptions{Tracer: c})
	ctx := telemetry.For(t.Context(), &telemetry.Purpose{Route: "GET /api/things", RequestID: "req-1", TraceID: "abc"})
	want := func(what string, parts ...string) {
		t.Helper()
		got := log.take()
		if strings.Count(got, "\n") != 1 {
			t.Fatalf("%s: want one line, got %q", what, got)
		}
		for _, part := range append(parts, `"level":"WARN"`, `"msg":"slow query"`, `"ms":1`, `"route":"GET /api/things"`, `"request_id":"req-1"`, `"trace_id":"abc"`) {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %s lacks %s", what, got, part)
			}
		}
		for _, secret := range []string{"hunter2", "job_id", "kind"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: %s has %s", what, got, secret)
			}
		}
	}
	if err := db.Tx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_sleep($1),
			$2::text`, 0.11, "hunter2")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want("statement", `"sql":"SELECT pg_sleep($1), $2::text"`)

	b := store.BatchAs(store.OperatorOrganization)
	b.Queue(`SELECT 1`)
	b.Queue(`SELECT pg_sleep($1), $2::text`, 0.11, "hunter2")
	if err := db.Send(ctx, b); err != nil {
		t.Fatal(err)
	}
	want("batch", `"sql":"SELECT 1; SELECT pg_sleep($1), $2::text"`)

	if err := db.Tx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT pg_sleep(0.06), n FROM generate_series(1, 2) n`)
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	want("rows", "generate_series")

	long := `SELECT pg_sleep(0.11), '` + strings.Repeat("ä", 400) + `'`
	if err := db.Tx(ctx, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, long); return err }); err != nil {
		t.Fatal(err)
	}
	line := log.take()
	if n := strings.Count(line, "ä"); n < 250 || n > 300 || !strings.Contains(line, `ä…"`) {
		t.Errorf("a long statement is logged as %s", line)
	}
	if err := db.Tx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_sleep(0.11), $1::text::int`, "hunter2")
		return err
	}); err == nil {
		t.Fatal("hunter2 is no number")
	}
	if l := log.take(); strings.Contains(l, "hunter2") {
		t.Errorf("a failure shows its argument: %s", l)
	}
	if c.queries < 8 || c.batches != 1 {
		t.Errorf("the other tracer saw %d queries and %d batches", c.queries, c.batches)
	}
	for range 20 {
		if err := db.Tx(ctx, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, `SELECT $1::text`, "x"); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if l := log.take(); strings.Contains(l, "SELECT $1") {
		t.Errorf("what is quick is logged: %s", l)
	}
}

// Where everything is slow the log is not flooded with the same statement; others are told at once.
func TestSlowQueriesAreSparse(t *testing.T) {
	t.Parallel()
	db, log := openLogged(t, store.PoolOptions{})
	for _, sql := range []string{`SELECT pg_sleep($1)`, `SELECT pg_sleep($1)`, `SELECT pg_sleep($1), 2`, `SELECT pg_sleep($1)`} {
		if err := db.Tx(t.Context(), func(tx pgx.Tx) error { _, err := tx.Exec(t.Context(), sql, 0.11); return err }); err != nil {
			t.Fatal(err)
		}
	}
	got := log.take()
	if one, other := strings.Count(got, `"SELECT pg_sleep($1)"`), strings.Count(got, `"SELECT pg_sleep($1), 2"`); one != 1 || other != 1 {
		t.Errorf("%d lines and %d, want 1 each: %s", one, other, got)
	}
}

func TestSlowQueryOfNobody(t *testing.T) {
	t.Parallel()
	db, log := openLogged(t, store.PoolOptions{})
	if err := db.Tx(t.Context(), func(tx pgx.Tx) error { _, err := tx.Exec(t.Context(), `SELECT pg_sleep(0.11)`); return err }); err != nil {
		t.Fatal(err)
	}
	if l := log.take(); !strings.Contains(l, "pg_sleep") || strings.Contains(l, "route") {
		t.Errorf("logged %s", l)
	}
}

// The slow log costs a query no memory.
func TestTracingAllocatesNothing(t *testing.T) {
	db, _ := openLogged(t, store.PoolOptions{})
	conn, err := db.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	tracer := conn.Conn().Config().Tracer
	batches, ok := tracer.(pgx.BatchTracer)
	if !ok {
		t.Fatalf("%T traces no batches", tracer)
	}
	start, batch := pgx.TraceQueryStartData{SQL: "SELECT 1"}, pgx.TraceBatchStartData{Batch: &pgx.Batch{}}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		tracer.TraceQueryEnd(tracer.TraceQueryStart(ctx, conn.Conn(), start), conn.Conn(), pgx.TraceQueryEndData{})
		batches.TraceBatchEnd(batches.TraceBatchStart(ctx, conn.Conn(), batch), conn.Conn(), pgx.TraceBatchEndData{})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whoever counts slow queries hears of each, also of those that the log leaves out and where there is no log.
func TestSlowQueriesAreCounted(t *testing.T) {
	t.Parallel()
	for _, logged := range []bool{true, false} {
		var heard []time.Duration
		o := store.PoolOptions{URL: newDatabase(t), Role: store.System, MaxConns: 1, OnSlow: func(took time.Duration) { heard = append(heard, took) }}
		if logged {
			o.Log = slog.New(slog.DiscardHandler)
		}
		db, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		heard = nil
		if err := db.Tx(t.Context(), func(tx pgx.Tx) error {
			for _, seconds := range []float64{0.11, 0, 0.11, 0.11} {
				if _, err := tx.Exec(t.Context(), `SELECT pg_sleep($1)`, seconds); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(heard) != 3 || heard[0] < 100*time.Millisecond {
			t.Errorf("logged %v: three slow queries of four, heard of %v", logged, heard)
		}
	}
}
