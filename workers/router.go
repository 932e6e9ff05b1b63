package workers

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry/trace"
	"github.com/payaid/payaid/jobs"
)

// RouterLock is the session advisory lock of the active router. It spares the stand-bys the work; what
// keeps two from routing an event twice is the position row.
const RouterLock int64 = 0x70617961_6964_0003

// routeWithin is longer than any batch takes; a connection that is half open answers never.
const routeWithin = 30 * time.Second

// routeAtOnce is how many events one transaction takes.
const routeAtOnce = 500

// A router turns events into River jobs. It only decodes and inserts: retries belong to River alone.
// How far it has come is a row in Postgres, updated in the transaction that inserts the jobs, so each
// event starts each of its jobs exactly once.
type router struct {
	pool   *pgxpool.Pool
	db     *store.DB // of the same database; nil: dead events stay dead
	stream *stream.Stream
	river  *river.Client[pgx.Tx]
	table  []jobs.Job
	tracer *trace.Tracer // nil: nobody traces
	log    *slog.Logger

	left     time.Time // when it last changed servers
	position store.ConsumerPosition
	epochs   map[string]int // order of the outbox's lives
}

func (r *router) run(ctx context.Context) error {
	return store.Leader{Pool: r.pool, Lock: RouterLock, Name: "router", Log: r.log}.Run(ctx, r.lead)
}

// lead routes as the active one, on one connection, which holds the lock: a router that loses it can't
// commit either.
func (r *router) lead(ctx context.Context, conn *pgx.Conn) error {
	if err := r.stream.Ensure(ctx); err != nil {
		return err
	}
	last, err := r.stream.Tail(ctx)
	if err != nil {
		return err
	}
	if err := outbox.CheckNumbers(ctx, conn, last); err != nil {
		return err
	}
	if err := r.revive(ctx); err != nil {
		return err
	}
	from, err := r.resume(ctx, conn)
	if err != nil {
		return err
	}
	r.log.Info("router routes", "stream_seq", from, "outbox_position", r.position.Position().String())
	return r.stream.Follow(ctx, from, routeAtOnce, func(batch []stream.Message) error {
		ctx, cancel := context.WithTimeout(ctx, routeWithin)
		defer cancel()
		if len(batch) == 0 {
			return r.missed(ctx, conn) // also, a session that asks nothing would be taken for dead
		}
		return r.routeAll(ctx, conn, batch)
	})
}

const (
	// A fact that is older has been published long since, unless the relay is down or NATS is.
	overdue = 5 * time.Second
	// So that an outage of all is no reason to change servers all the time.
	leaveEvery = 15 * time.Second
)

// missed looks in the outbox for facts that should have come: the stream's leader may be one that was cut
// off from the others, and doesn't know yet that it leads no more.
func (r *router) missed(ctx context.Context, conn *pgx.Conn) error {
	seen := outbox.Tail{Position: r.position.Position(), Known: r.position.Epoch != ""}
	count, oldest, err := outbox.Backlog(ctx, conn, seen)
	if err != nil {
		return err
	}
	if count == 0 || oldest < overdue || time.Since(r.left) < leaveEvery || !r.stream.Leave() {
		return nil
	}
	r.left = time.Now()
	return fmt.Errorf("%d facts have not come, the oldest of %s ago: another NATS server is asked", count, oldest.Round(time.Millisecond))
}

// revive routes dead events that this version can read: during a deploy an older one may have been asked
// for a kind that it didn't know.
func (r *router) revive(ctx context.Context) error {
	if r.db == nil {
		return nil
	}
	done, _, err := Redrive(ctx, r.db, r.table, nil)
	if done > 0 {
		r.log.Info("dead events came back to life", "count", done)
	}
	return err
}

// resume reads the position and finds the message behind it. A stream that was lost and filled again
// holds the same events at other places: then it is read from its beginning, and what was routed is
// recognised by its place in the outbox.
func (r *router) resume(ctx context.Context, conn *pgx.Conn) (from uint64, err error) {
	if r.epochs, err = store.Epochs(ctx, conn); err != nil {
		return 0, err
	}
	if r.position, err = store.ReadPosition(ctx, conn, routerName); err != nil {
		return 0, err
	}
	if r.position.StreamSeq == 0 {
		return 1, nil
	}
	same, err := r.stream.Holds(ctx, r.position.StreamSeq, r.position.Position())
	if err != nil {
		return 0, err
	}
	if same {
		return r.position.StreamSeq + 1, nil
	}
	r.log.Warn("router reads the stream from its beginning",
		"reason", "the last message that it routed is not where it was", "stream_seq", r.position.StreamSeq)
	return 1, nil
}

// routerName is the consumer whose position is the router's; the relay knows it too.
const routerName = "router"

// routing is what a batch comes to.
type routing struct {
	inserts  []river.InsertManyParams
	told     []jobs.Happening  // what those who listen are told of
	overtake []events.Envelope // jobs whose earlier work is to be cancelled
	dead     []store.DeadEvent
	next     store.ConsumerPosition
	skipped  int
	steps    []trace.Span // of the events that are traced
}

// start has River cancel and begin work, and tells those who listen.
func (r routing) start(ctx context.Context, tx pgx.Tx, client *river.Client[pgx.Tx], news *jobs.News) error {
	for _, e := range r.overtake {
		if err := cancelWork(ctx, tx, client, e); err != nil {
			return err
		}
	}
	told, err := news.Tell(ctx, tx, store.TellOnce)
	if err != nil {
		return err
	}
	for i, traceParent := range told.TraceParents {
		origin{TraceParent: traceParent}.mark(told.Inserts[i : i+1])
	}
	return insertJobs(ctx, tx, client, append(r.inserts, told.Inserts...))
}

// routeAll routes a batch. One event that can't be carried out takes the batch's transaction with it;
// then each is routed by itself, and that one becomes a dead event.
func (r *router) routeAll(ctx context.Context, conn *pgx.Conn, batch []stream.Message) error {
	err := r.route(ctx, conn, batch)
	if err == nil || !unroutable(err) {
		return err
	}
	for _, m := range batch {
		err := r.route(ctx, conn, []stream.Message{m})
		if err != nil && unroutable(err) {
			err = r.bury(ctx, conn, m, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *router) route(ctx context.Context, conn *pgx.Conn, batch []stream.Message) error {
	routed, err := r.sort(ctx, conn, batch)
	if err == nil {
		err = r.carryOut(routed.within(ctx), conn, routed)
	}
	routed.end(err)
	return err
}

func (r *router) bury(ctx context.Context, conn *pgx.Conn, m stream.Message, why error) error {
	routed := routing{next: r.position, dead: []store.DeadEvent{deadEvent(m, why)}}
	routed.next.StreamSeq = m.Seq
	if _, p, err := m.Event(); err == nil {
		routed.next.SetPosition(p)
	}
	return r.carryOut(ctx, conn, routed)
}

func (r *router) carryOut(ctx context.Context, conn *pgx.Conn, routed routing) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		store.QueueMove(b, r.position, routed.next)
		news := jobs.Announce(b, r.table, routed.told)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if err := store.PutDeadEvents(ctx, tx, routed.dead); err != nil {
			return err
		}
		return routed.start(ctx, tx, r.river, news)
	})
	if err != nil {
		return fmt.Errorf("route events up to %d: %w", routed.next.StreamSeq, err)
	}
	r.position = routed.next
	if len(routed.dead) > 0 {
		r.log.Error("events could not be routed; see `payaid events dead list`", "count", len(routed.dead))
	}
	if routed.skipped > 0 {
		r.log.Info("events were routed before", "count", routed.skipped)
	}
	return nil
}

func (r *router) sort(ctx context.Context, conn *pgx.Conn, batch []stream.Message) (routing, error) {
	out := routing{next: r.position}
	for _, m := range batch {
		out.next.StreamSeq = m.Seq
		e, p, unreadable := m.Event()
		if p.Epoch == "" { // a stranger's
			out.dead = append(out.dead, deadEvent(m, unreadable))
			continue
		}
		newer, err := r.behind(ctx, conn, p, out.next)
		if err != nil {
			return out, err
		}
		if !newer {
			out.skipped++
			continue
		}
		out.next.SetPosition(p)
		if unreadable == nil {
			step := r.routes(ctx, e)
			out.steps = append(out.steps, step)
			unreadable = translate(r.table, e, &out, startedBy(e, step.TraceParent()))
		}
		if unreadable != nil {
			out.dead = append(out.dead, deadEvent(m, unreadable))
		}
	}
	return out, nil
}

// behind reports whether p lies behind a position, that is, has not been routed.
func (r *router) behind(ctx context.Context, conn *pgx.Conn, p events.Position, now store.ConsumerPosition) (bool, error) {
	if p.Epoch == now.Epoch {
		return p.After(now.Position()), nil
	}
	if _, known := r.epochs[p.Epoch]; !known {
		epochs, err := store.Epochs(ctx, conn)
		if err != nil {
			return false, err
		}
		r.epochs = epochs
	}
	order, known := r.epochs[p.Epoch]
	if !known {
		return false, nil // of a life that this database, restored from a copy, has not seen
	}
	return now.Epoch == "" || order > r.epochs[now.Epoch], nil
}

// translate adds what an event starts, with the trace that it is to be a part of.
func translate(table []jobs.Job, e events.Envelope, out *routing, from origin) error {
	fact, err := events.Decode(e)
	if err != nil {
		return err
	}
	inserts := jobs.Route(table, e, fact)
	from.mark(inserts)
	switch f := fact.(type) {
	case events.JobRequested:
		if len(inserts) == 0 {
			return fmt.Errorf("no worker knows the kind %q", f.Kind)
		}
		if f.Run > 1 {
			out.overtake = append(out.overtake, e)
		}
	case events.JobCancelled:
		out.overtake = append(out.overtake, e)
	}
	out.inserts = append(out.inserts, inserts...)
	e.TraceParent = from.TraceParent // deliveries are a part of the step, or not traced at all
	out.told = append(out.told, jobs.Happening{Envelope: e, Fact: fact})
	return nil
}

func deadEvent(m stream.Message, why error) store.DeadEvent {
	return store.DeadEvent{Consumer: routerName, StreamSeq: int64(m.Seq), Subject: m.Subject,
		Headers: m.Header, Body: m.Body, Reason: why.Error()}
}
