package store

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/payaid/payaid/internal/telemetry/trace"
)

// Spans traces what is asked of Postgres, where the context is traced: a step for each statement and one for a whole
// batch, which is one round trip. They have the statement's text, whose values are parameters and are never told, as
// are messages of errors: Postgres quotes values in them.
type Spans struct{}

// spanSQL is how many characters of statements a span has.
const spanSQL = 1000

// TraceQueryStart implements pgx.QueryTracer.
func (Spans) TraceQueryStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if !trace.Of(ctx).Traced() {
		return ctx
	}
	return startSQL(ctx, conn, d.SQL)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (Spans) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	endSQL(ctx, d.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (Spans) TraceBatchStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	if !trace.Of(ctx).Traced() {
		return ctx
	}
	ctx = startSQL(ctx, conn, batchSQL(d.Batch, spanSQL))
	s := trace.Of(ctx)
	s.Name("BATCH", "")
	s.Int("db.operation.batch.size", d.Batch.Len())
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer. The results of a batch come together.
func (Spans) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (Spans) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchEndData) {
	endSQL(ctx, d.Err)
}

// TraceCopyFromStart implements pgx.CopyFromTracer.
func (Spans) TraceCopyFromStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceCopyFromStartData) context.Context {
	if !trace.Of(ctx).Traced() {
		return ctx
	}
	return startSQL(ctx, conn, "COPY "+d.TableName.Sanitize())
}

// TraceCopyFromEnd implements pgx.CopyFromTracer.
func (Spans) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceCopyFromEndData) {
	endSQL(ctx, d.Err)
}

// startSQL begins the step, in a context that nobody but pgx gets to see.
func startSQL(ctx context.Context, conn *pgx.Conn, sql string) context.Context {
	sql = shortSQL(sql, spanSQL)
	ctx, s := trace.Start(ctx, trace.Client, nameOf(sql), "")
	s.String("db.system.name", "postgresql")
	s.String("db.namespace", conn.Config().Database)
	s.String("db.query.text", sql)
	return ctx
}

// nameOf is the statement's first word, or the name that River gives its own in a comment.
func nameOf(sql string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(sql, "-- name: "), " ")
	if strings.HasPrefix(sql, "--") {
		return name
	}
	return strings.ToUpper(name)
}

// endSQL ends the step, which is what ctx is in: where none was begun, that isn't traced and nothing happens.
func endSQL(ctx context.Context, err error) {
	s := trace.Of(ctx)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		s.Fail(classOf(err))
	}
	s.End()
}

// classOf is a failure without its text.
func classOf(err error) string {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
		return pg.Code
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "failed"
}
