package api

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type eventsStateOutput struct{ Body operator.EventsState }

// heldBack is longer than any transaction of ours is open that writes.
const heldBack = 30 * time.Second

// lateFlow is how long an event may wait to be published, or routed, before that is a problem.
const lateFlow = 10 * time.Second

// getEventsState shows how facts flow.
func (s *Server) getEventsState(ctx context.Context, _ *struct{}) (*eventsStateOutput, error) {
	v := operator.EventsState{At: time.Now().UTC(), Problems: []operator.FlowProblem{}}
	extent := s.streamState(ctx, &v)
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		flow, err := store.ReadFlow(ctx, tx)
		if err != nil {
			return err
		}
		v.Outbox = operator.OutboxState{Epoch: flow.Epoch, EpochAt: flow.EpochAt.UTC(), EpochReason: flow.EpochReason, Days: flow.Days - 1, NewestAt: utc(flow.NewestAt)}
		v.Dead = flow.Dead
		if flow.OldestOpenSince != nil && time.Since(*flow.OldestOpenSince) > heldBack {
			v.StalledSince = utc(flow.OldestOpenSince)
		}
		return readers(ctx, tx, &v, flow, extent)
	})
	if err != nil {
		return nil, err
	}
	v.Problems = flowProblems(v)
	return &eventsStateOutput{v}, nil
}

func (s *Server) streamState(ctx context.Context, v *operator.EventsState) (e LogExtent) {
	if s.EventLog == nil {
		return e
	}
	ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	e, err := s.EventLog.Extent(ctx)
	if err != nil {
		return LogExtent{}
	}
	v.Stream = operator.StreamState{Answers: true, First: int64(e.First), Last: int64(e.Last), Messages: int64(e.Messages), Bytes: int64(e.Bytes),
		KeptFor: keptFor(e.MaxAge), Replicas: e.Replicas}
	if e.Messages > 0 {
		v.Stream.FirstAt, v.Stream.LastAt = utc(&e.FirstAt), utc(&e.LastAt)
	}
	return e
}

func keptFor(d time.Duration) string {
	if d == 0 {
		return "ever"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}

// readers says how far relay and router have come. The relay's position is what the stream's last message says; where
// nobody knows it, it is at least where the router is.
func readers(ctx context.Context, tx pgx.Tx, v *operator.EventsState, flow store.FlowStand, e LogExtent) (err error) {
	began := events.Position{Epoch: flow.Epoch}
	began.XID, err = strconv.ParseUint(flow.EpochXID, 10, 64)
	if err != nil {
		return fmt.Errorf("read the beginning of epoch %s: %w", flow.Epoch, err)
	}
	routed := routedTo(flow)
	relayed := e.Position
	if relayed != nil && relayed.Epoch != flow.Epoch {
		relayed = nil
	}
	v.Router = operator.ReaderState{Process: flow.Router, Seq: flow.RouterSeq, MovedAt: utc(flow.RouterMovedAt)}
	if err := reader(ctx, tx, &v.Router, routed, began); err != nil {
		return err
	}
	v.Relay = operator.ReaderState{Process: flow.Relay}
	if v.Stream.Answers {
		v.Relay.Seq, v.Relay.MovedAt = &v.Stream.Last, v.Stream.LastAt
	} else {
		began, relayed = orPosition(routed, began), nil
	}
	return reader(ctx, tx, &v.Relay, relayed, began)
}

func orPosition(p *events.Position, otherwise events.Position) events.Position {
	if p == nil {
		return otherwise
	}
	return *p
}

func reader(ctx context.Context, tx pgx.Tx, r *operator.ReaderState, at *events.Position, began events.Position) error {
	from := orPosition(at, began)
	if at != nil {
		text := strconv.FormatUint(at.XID, 10) + "/" + strconv.FormatInt(at.ID, 10)
		r.Position = &text
	}
	behind, err := store.WaitingBehind(ctx, tx, from.XID, from.ID)
	r.Waiting, r.OldestAt = behind.Events, utc(behind.Oldest)
	return err
}

// flowProblems says what keeps facts from flowing, and what to do.
func flowProblems(v operator.EventsState) []operator.FlowProblem {
	list := []operator.FlowProblem{}
	add := func(code, detail string) { list = append(list, operator.FlowProblem{Code: code, Detail: detail}) }
	late := func(r operator.ReaderState) bool { return r.OldestAt != nil && v.At.Sub(*r.OldestAt) > lateFlow }
	if !v.Stream.Answers {
		add("stream_away", "NATS does not answer. Facts are kept in the outbox and go out when it is back. Look at the NATS server.")
	}
	if v.Relay.Process == nil {
		add("no_relay", "No relay runs, so nothing is published. Start `payaid relay`.")
	}
	if v.Router.Process == nil {
		add("no_router", "No router runs, so no event starts work. Start `payaid worker` for any queue.")
	}
	if late(v.Relay) && v.StalledSince != nil {
		add("held_back", "A transaction is open since "+v.StalledSince.Format(time.RFC3339)+", and nothing behind it can be published. See pg_stat_activity; end its session if nobody knows it.")
	} else if late(v.Relay) {
		add("relay_late", "Events wait to be published for more than "+lateFlow.String()+".")
	}
	if late(v.Router) && !late(v.Relay) {
		add("router_late", "Events that are published wait to be routed for more than "+lateFlow.String()+". Look at the log of the worker that routes.")
	}
	if v.Dead > 0 {
		add("dead_events", "Some events could not be routed, and what they should start has not begun. See why under dead events, and redrive them once it is mended.")
	}
	return list
}
