package store

import (
	"context"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"

	"github.com/payaid/payaid/internal/telemetry"
)

const (
	// A list of fifty takes ten milliseconds: what takes ten times as long lacks an index or waits for a lock.
	slowQuery = 100 * time.Millisecond
	slowSQL   = 300 // characters of a statement that are logged
)

// slowTracer logs what took long: a statement until its rows have been read, a batch, a copy. Arguments
// are tenants' data and never logged. A connection does one thing at a time, so what it is at is kept
// with the connection: that costs two looks at the clock and no memory. Where everything is slow, as on a
// machine that is short of processors, the same statement is logged now and then.
type slowTracer struct {
	log    *slog.Logger             // nil: none is kept
	onSlow func(took time.Duration) // nil: nobody counts
	lines  telemetry.Sparse         // by statement
}

const tracedKey = "payaid.traced"

// traced is what a connection is at.
type traced struct {
	began time.Time
	sql   string
	batch *pgx.Batch // nil: a single statement
}

// tracer is what is called for each query: the slow log, and another where there is one.
func (o PoolOptions) tracer() pgx.QueryTracer {
	if o.Log == nil && o.OnSlow == nil {
		return o.Tracer
	}
	slow := &slowTracer{log: o.Log, onSlow: o.OnSlow}
	if o.Tracer == nil {
		return slow
	}
	return multitracer.New(slow, o.Tracer)
}

func (t *slowTracer) of(conn *pgx.Conn) *traced {
	data := conn.PgConn().CustomData()
	at, ok := data[tracedKey].(*traced)
	if !ok {
		at = &traced{}
		data[tracedKey] = at
	}
	return at
}

// TraceQueryStart implements pgx.QueryTracer.
func (t *slowTracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	at := t.of(conn)
	at.began, at.sql, at.batch = time.Now(), d.SQL, nil
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (t *slowTracer) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, _ pgx.TraceQueryEndData) {
	t.end(ctx, conn)
}

// TraceBatchStart implements pgx.BatchTracer.
func (t *slowTracer) TraceBatchStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	at := t.of(conn)
	at.began, at.sql, at.batch = time.Now(), "", d.Batch
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer. Postgres sends the results of a batch together, so which of
// its statements took long can't be seen from here.
func (t *slowTracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (t *slowTracer) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, _ pgx.TraceBatchEndData) {
	t.end(ctx, conn)
}

// TraceCopyFromStart implements pgx.CopyFromTracer.
func (t *slowTracer) TraceCopyFromStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceCopyFromStartData) context.Context {
	at := t.of(conn)
	at.began, at.batch = time.Now(), nil
	at.sql = "COPY " + d.TableName.Sanitize()
	return ctx
}

// TraceCopyFromEnd implements pgx.CopyFromTracer.
func (t *slowTracer) TraceCopyFromEnd(ctx context.Context, conn *pgx.Conn, _ pgx.TraceCopyFromEndData) {
	t.end(ctx, conn)
}

func (t *slowTracer) end(ctx context.Context, conn *pgx.Conn) {
	at := t.of(conn)
	took := time.Since(at.began)
	if took >= slowQuery && !at.began.IsZero() {
		if t.onSlow != nil {
			t.onSlow(took)
		}
		if t.log != nil {
			t.tell(ctx, at.text(), took)
		}
	}
	*at = traced{}
}

func (t *slowTracer) tell(ctx context.Context, sql string, took time.Duration) {
	leftOut, due := t.lines.Tell(sql)
	if !due {
		return
	}
	attrs := append([]slog.Attr{slog.Int64("ms", took.Milliseconds()), slog.String("sql", sql)}, telemetry.PurposeOf(ctx).Attrs()...)
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	t.log.LogAttrs(ctx, slog.LevelWarn, "slow query", attrs...)
}

// text is what was asked, on one line, and not all of it.
func (at *traced) text() string {
	if at.batch == nil {
		return shortSQL(at.sql, slowSQL)
	}
	return batchSQL(at.batch, slowSQL)
}

// batchSQL is the statements of a batch. That every batch of ours begins with the choice of the organization says
// nothing.
func batchSQL(batch *pgx.Batch, most int) string {
	var b strings.Builder
	for _, q := range batch.QueuedQueries {
		if q.SQL == setOrganization {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(q.SQL)
		if b.Len() > 4*most {
			break
		}
	}
	return shortSQL(b.String(), most)
}

// shortSQL is at most so many characters of a statement, on one line.
func shortSQL(sql string, most int) string {
	sql = strings.Join(strings.Fields(sql), " ")
	if utf8.RuneCountInString(sql) <= most {
		return sql
	}
	return string([]rune(sql)[:most-1]) + "…"
}
