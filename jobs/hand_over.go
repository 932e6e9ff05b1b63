package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry/trace"
)

// A cause is the fact that asks for a job, as River's row keeps it: ids alone.
type cause struct {
	EventID       string `json:"event_id"`
	Type          string `json:"type"`
	CorrelationID string `json:"correlation_id,omitempty"`
	TraceParent   string `json:"traceparent,omitempty"`
}

func causeOf(e events.Envelope) cause {
	return cause{EventID: e.ID, Type: e.Type, CorrelationID: e.CorrelationID, TraceParent: e.TraceParent}
}

// jobFor is the id of the job that the fact asks for, for a purpose. It is always the same, so that a fact that is
// told twice makes one job; and like all ids it tells a time, that of the fact.
func (c cause) jobFor(purpose string) (string, error) {
	id, err := uuid.Parse(c.EventID)
	if err != nil {
		return "", fmt.Errorf("read the id of the event %q: %w", c.EventID, err)
	}
	sum := sha256.Sum256([]byte(c.EventID + "\x00" + purpose))
	copy(id[6:], sum[:])
	id[6] = 7<<4 | id[6]&0x0f
	id[8] = 2<<6 | id[8]&0x3f
	return id.String(), nil
}

// Priorities of jobs as River counts them.
const (
	normalPriority = 2
	lowPriority    = 3
)

// An order is a job that a fact or the clock asks for. It is a job of its organization as one that a client submits:
// shown, cancelled, tried again, and within the organization's share.
type order struct {
	organizationID string
	id             string // made by the cause, or new
	kind           string
	spec           Spec
	input          any
	priority       int // 1 high, 2 normal, 3 low
	deadline       *time.Time
	metadata       map[string]any
	cause          cause // zero: the clock
}

// A refusal is what the door would say to the input of an order.
type refusal []Fault

// Error says what is wrong first; inputs are the tenant's and not in it.
func (r refusal) Error() string {
	return fmt.Sprintf("the input is refused: %s %s (%d faults)", r[0].Pointer, r[0].Detail, len(r))
}

// job is the row of an order.
func (o order) job() (store.Job, error) {
	input, err := json.Marshal(o.input)
	if err != nil {
		return store.Job{}, fmt.Errorf("encode the input of %s: %w", o.kind, err)
	}
	if faults := o.spec.Check(input); len(faults) > 0 {
		return store.Job{}, refusal(faults)
	}
	metadata, err := json.Marshal(o.metadata)
	if err != nil {
		return store.Job{}, fmt.Errorf("encode the metadata of %s: %w", o.kind, err)
	}
	id, err := uuid.Parse(o.id)
	if err != nil {
		return store.Job{}, fmt.Errorf("read the id of %s: %w", o.kind, err)
	}
	// Lists of jobs take the id for the time at which the job was made.
	made := time.Unix(id.Time().UnixTime()).UTC().Truncate(time.Microsecond)
	return store.Job{
		OrganizationID: o.organizationID, ID: o.id, Kind: o.kind, Queue: o.spec.Queue.Name, Status: store.Queued,
		Priority: o.priority, Run: 1, MaxAttempts: o.spec.MaxAttempts, Input: input, Metadata: metadata, RunAt: made,
		Deadline: o.deadline, EventID: outbox.NewID(), RequestID: given(o.cause.CorrelationID),
		TraceParent: given(o.cause.TraceParent), CreatedAt: made, Version: 1,
	}, nil
}

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// handOver makes the job of an order with all that goes with it, in the caller's transaction: its row, what its kind
// keeps beside it, and the fact that it was requested. It is false when the job was made before, and a refusal when
// the door would not have the input.
func handOver(ctx context.Context, tx pgx.Tx, o order, left *places) (made bool, err error) {
	o.cause.TraceParent = trace.TraceParent(ctx, o.cause.TraceParent)
	j, err := o.job()
	if err != nil {
		return false, err
	}
	if j.Overflow, err = left.full(ctx, tx, j.OrganizationID, o.spec.Queue); err != nil {
		return false, err
	}
	if made, err = store.InsertJob(ctx, tx, j); err != nil || !made {
		return false, err
	}
	left.take(j)
	b := &pgx.Batch{}
	if o.spec.Beside != nil {
		if err := o.spec.Beside(b, j); err != nil {
			return false, err
		}
	}
	origin := outbox.Origin{OrganizationID: j.OrganizationID, CausationID: o.cause.EventID,
		CorrelationID: o.cause.CorrelationID, TraceParent: o.cause.TraceParent}
	err = outbox.QueueAs(b, j.EventID, origin, events.JobRequested{JobID: j.ID, Kind: j.Kind, Queue: j.Queue, Run: j.Run,
		Priority: j.Priority, MaxAttempts: j.MaxAttempts, RunAt: j.RunAt, Overflow: j.Overflow, Version: j.Version})
	if err != nil {
		return false, err
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return false, fmt.Errorf("hand over job %s: %w", j.ID, err)
	}
	return true, nil
}

// places are what is left of the organizations' shares, as one transaction sees it. The zero value is ready.
type places struct {
	left map[store.OrganizationQueue]int
}

// full reports whether an organization has as many unfinished jobs in a queue as have their fair place there. What
// several transactions hand over at the same moment may go a little beyond it.
func (p *places) full(ctx context.Context, tx pgx.Tx, organizationID string, q Queue) (bool, error) {
	k := store.OrganizationQueue{OrganizationID: organizationID, Queue: q.Name}
	if _, counted := p.left[k]; !counted {
		n, err := store.AdmittedJobs(ctx, tx, k, q.Share)
		if err != nil {
			return false, err
		}
		if p.left == nil {
			p.left = make(map[store.OrganizationQueue]int)
		}
		p.left[k] = q.Share - n
	}
	return p.left[k] <= 0, nil
}

func (p *places) take(j store.Job) {
	if !j.Overflow {
		p.left[store.OrganizationQueue{OrganizationID: j.OrganizationID, Queue: j.Queue}]--
	}
}
