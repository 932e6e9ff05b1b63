// Package outbox keeps facts in Postgres beside the rows that they speak of, and relays them to the
// event stream: a fact is published if and only if its transaction committed.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/telemetry/trace"
)

// An Origin says whose facts they are and what led to them. All but OrganizationID may be empty.
type Origin struct {
	OrganizationID string
	CausationID    string // the event that led to this
	CorrelationID  string // the request at the head of the chain
	TraceParent    string // W3C trace context
	Request        Request
}

// A Request is the call by which a fact was stated, for who asks later how it came about. The zero value: it was none.
type Request struct {
	Route string    // method and pattern, such as "POST /api/jobs"
	KeyID string    // of the key that it had
	At    time.Time // when it came
}

const insert = `
INSERT INTO outbox (event_id, organization_id, type, subject, aggregate_version,
                    causation_id, correlation_id, traceparent, data, route, key_id, asked_at)
VALUES ($1, $2, $3, $4, $5, nullif($6, ''), nullif($7, ''), nullif($8, ''), $9, nullif($10, ''), nullif($11, ''), $12)`

// Queue adds the insert of one fact to a batch that the caller sends in its transaction, and returns
// the id of the event.
func Queue(b *pgx.Batch, o Origin, f events.Fact) (string, error) {
	id := NewID()
	return id, QueueAs(b, id, o, f)
}

// QueueAs is Queue with an id that the caller made before, by NewID.
func QueueAs(b *pgx.Batch, id string, o Origin, f events.Fact) error {
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode %s: %w", f.EventType(), err)
	}
	subject, version := f.Aggregate()
	b.Queue(insert, id, o.OrganizationID, f.EventType(), subject, version,
		o.CausationID, o.CorrelationID, o.TraceParent, string(data), o.Request.Route, o.Request.KeyID, o.Request.at())
	return nil
}

func (r Request) at() *time.Time {
	if r.At.IsZero() {
		return nil
	}
	return &r.At
}

// Append writes facts in the caller's transaction. Wake the relay after the commit; it polls anyway.
// There is no NOTIFY here: it takes a lock at commit that all writers of the cluster share, and made
// commits six times slower.
func Append(ctx context.Context, tx pgx.Tx, o Origin, facts ...events.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	ctx, step := trace.Start(ctx, trace.Producer, "append", facts[0].EventType())
	defer step.End()
	step.String("messaging.destination.name", "outbox")
	step.Int("messaging.batch.message_count", len(facts))
	o.TraceParent = trace.TraceParent(ctx, o.TraceParent)
	b := &pgx.Batch{}
	for _, f := range facts {
		if _, err := Queue(b, o, f); err != nil {
			return err
		}
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("append to the outbox: %w", err)
	}
	return nil
}

// NewID makes a UUIDv7, the form of all our ids: unique, and in the order of their making.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }
