package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/workers"
)

// eventLog shows the API's operator the event stream.
type eventLog struct {
	nc     *nats.Conn
	stream *stream.Stream
}

func newEventLog(nc *nats.Conn) (eventLog, error) {
	s, err := stream.Open(nc)
	return eventLog{nc, s}, err
}

var errNoNATS = errors.New("nats is not connected")

// Message implements api.EventLog.
func (l eventLog) Message(ctx context.Context, seq uint64) (api.LoggedMessage, error) {
	if !l.nc.IsConnected() {
		return api.LoggedMessage{}, errNoNATS
	}
	h, err := l.stream.Head(ctx, seq)
	if errors.Is(err, stream.ErrNoMessage) {
		err = fmt.Errorf("read message %d of the stream: %w", seq, store.ErrNotFound)
	}
	return api.LoggedMessage{LoggedPlace: api.LoggedPlace(h.Place), EventID: h.EventID, Position: h.Position}, err
}

// Places implements api.EventLog.
func (l eventLog) Places(ctx context.Context, list []events.Position) ([]api.LoggedPlace, error) {
	if !l.nc.IsConnected() {
		return nil, errNoNATS
	}
	found := make([]api.LoggedPlace, len(list))
	if len(list) == 0 {
		return found, nil
	}
	places, err := l.stream.Find(ctx, list[0].Epoch, list)
	for i, p := range places {
		found[i] = api.LoggedPlace(p)
	}
	return found, err
}

// Extent implements api.EventLog.
func (l eventLog) Extent(ctx context.Context) (api.LogExtent, error) {
	if !l.nc.IsConnected() {
		return api.LogExtent{}, errNoNATS
	}
	h, err := l.stream.Holding(ctx)
	if err != nil {
		return api.LogExtent{}, err
	}
	e := api.LogExtent{First: h.First, Last: h.Last, Messages: h.Messages, Bytes: h.Bytes, FirstAt: h.FirstAt, LastAt: h.LastAt,
		MaxAge: h.MaxAge, Replicas: h.Replicas}
	_, tail, err := l.stream.Ends(ctx)
	if err == nil && tail.Known {
		e.Position = &tail.Position
	}
	return e, err
}

// replayer routes events again for the API's operator, on connections that it has for that long.
type replayer struct {
	pool  pool
	name  string
	table []jobs.Job
}

// replayConnections are enough to read and to route.
const replayConnections = 2

func (r replayer) with(ctx context.Context, do func(*store.DB) error) error {
	db, err := store.Open(ctx, store.PoolOptions{URL: r.pool.url, Role: store.System, Name: r.name, MaxConns: replayConnections})
	if err != nil {
		return err
	}
	defer db.Close()
	return do(db)
}

// Redrive implements api.Replayer.
func (r replayer) Redrive(ctx context.Context, ids []int64) (done int, failed map[int64]error, err error) {
	err = r.with(ctx, func(db *store.DB) error {
		done, failed, err = workers.Redrive(ctx, db, r.table, ids)
		return err
	})
	return done, failed, err
}

// Plan implements api.Replayer.
func (r replayer) Plan(ctx context.Context, what api.ReplaySpan) (plan api.ReplayPlan, err error) {
	err = r.with(ctx, func(db *store.DB) error {
		p, err := workers.PlanReplayOf(ctx, db, r.table, outbox.Span(what))
		plan = api.ReplayPlan{Until: p.Until, Events: p.Events, Jobs: p.Jobs}
		return err
	})
	return plan, err
}

// Replay implements api.Replayer.
func (r replayer) Replay(ctx context.Context, what api.ReplaySpan) (plan api.ReplayPlan, started int, err error) {
	err = r.with(ctx, func(db *store.DB) error {
		p, err := workers.PlanReplayOf(ctx, db, r.table, outbox.Span(what))
		if err != nil {
			return err
		}
		plan = api.ReplayPlan{Until: p.Until, Events: p.Events, Jobs: p.Jobs}
		started, err = workers.Replay(ctx, db, r.table, p)
		return err
	})
	return plan, started, err
}
