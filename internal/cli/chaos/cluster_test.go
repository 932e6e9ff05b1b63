package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// A fleet is the product grown past one machine: three NATS servers, and two processes of each type.
type fleet struct {
	*stack
	pool    *pgxpool.Pool
	js      jetstream.JetStream
	apis    []*process
	relays  []*process
	workers []*process

	clients      []*client // of one organization, one for each API
	organization string
	accepted     map[string]time.Time
}

// allQueues are those that the fleet has workers for.
var allQueues = []string{"bench:8", "maintenance", "ai", "cache", "mail", "webhook"}

// newFleet starts two workers for each part of the queues.
func newFleet(t *testing.T, parts ...[]string) *fleet {
	t.Helper()
	f := &fleet{stack: newClusterStack(t), accepted: make(map[string]time.Time)}
	f.pool = f.stack.pool()
	nc, err := nats.Connect(f.cluster.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	must(t, "connect to the cluster", err)
	t.Cleanup(nc.Close)
	f.js, err = jetstream.New(nc)
	must(t, "connect to the cluster", err)
	for _, n := range []string{"1", "2"} {
		api, admin := f.api("api-" + n)
		f.apis = append(f.apis, api)
		if f.organization == "" {
			var own *client
			f.organization, own = admin.organization(t, "Grown")
			f.clients = append(f.clients, own)
		} else {
			f.clients = append(f.clients, admin.as(f.clients[0].key))
		}
		f.relays = append(f.relays, f.relay("relay-"+n))
		for _, queues := range parts {
			args := []string{"worker"}
			for _, q := range queues {
				args = append(args, "--queue", q)
			}
			name, _, _ := strings.Cut(queues[0], ":")
			f.workers = append(f.workers, f.process("worker-"+name+"-"+n, nil, args...))
		}
	}
	return f
}

// processes are all that the fleet has.
func (f *fleet) processes() []*process {
	return append(append(append([]*process{}, f.apis...), f.relays...), f.workers...)
}

// leader is the NATS server that leads the stream, and one that follows.
func (f *fleet) leader(ctx context.Context) (leader, follower int, err error) {
	err = eventually(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		s, err := f.js.Stream(ctx, "EVENTS")
		if err != nil {
			return err
		}
		in := s.CachedInfo().Cluster
		if in == nil || len(in.Replicas) != f.cluster.Size()-1 {
			return fmt.Errorf("the stream is kept by %+v", in)
		}
		var known [2]bool
		leader, known[0] = f.cluster.Server(in.Leader)
		follower, known[1] = f.cluster.Server(in.Replicas[0].Name)
		if !known[0] || !known[1] {
			return fmt.Errorf("the stream is kept by %+v", in)
		}
		return nil
	})
	return leader, follower, err
}

// alone is a server that leads the stream and knows of no other copy.
type alone string

func (server alone) Error() string {
	return fmt.Sprintf("server %s leads the stream, and knows of no other copy", string(server))
}

// whole is nil when every copy of the stream is up to date.
func (f *fleet) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := f.js.Stream(ctx, "EVENTS")
	if err != nil {
		return err
	}
	in := s.CachedInfo().Cluster
	if in != nil && len(in.Replicas) == 0 {
		return alone(in.Leader)
	}
	if in == nil || len(in.Replicas) != f.cluster.Size()-1 {
		return fmt.Errorf("the stream is kept by %+v", in)
	}
	for _, r := range in.Replicas {
		if !r.Current || r.Offline {
			return fmt.Errorf("the copy on %s lags by %d", r.Name, r.Lag)
		}
	}
	return nil
}

// active is the process of several whose last word on a role is that it has it.
func active(ctx context.Context, role, has string, list []*process) (found *process, err error) {
	err = eventually(ctx, func(context.Context) error {
		found = nil
		for _, p := range list {
			_, born := p.current()
			last := ""
			for _, line := range p.log.since(born) {
				for _, word := range []string{has, role + " stands by", role + " starts again"} {
					if strings.Contains(line, word) {
						last = word
					}
				}
			}
			if last != has || !p.alive() {
				continue
			}
			if found != nil {
				return fmt.Errorf("both %s and %s say %q", found.name, p.name, has)
			}
			found = p
		}
		if found == nil {
			return fmt.Errorf("nobody says %q", has)
		}
		return nil
	})
	return found, err
}

func (f *fleet) activeRelay(ctx context.Context) (*process, error) {
	return active(ctx, "relay", "relay publishes", f.relays)
}

func (f *fleet) activeRouter(ctx context.Context) (*process, error) {
	return active(ctx, "router", "router routes", f.workers)
}

const selectRiverLeader = `SELECT w.pid FROM river_leader l JOIN worker_processes w ON w.id = l.leader_id WHERE l.expires_at > now()`

// riverLeader is the worker that keeps River's house.
func (f *fleet) riverLeader(ctx context.Context) (found *process, err error) {
	err = eventually(ctx, func(ctx context.Context) error {
		var pid int
		if err := f.pool.QueryRow(ctx, selectRiverLeader).Scan(&pid); err != nil {
			return fmt.Errorf("look for River's leader: %w", err)
		}
		for _, p := range f.workers {
			if l, _ := p.current(); p.alive() && l.cmd.Process.Pid == pid {
				found = p
				return nil
			}
		}
		return fmt.Errorf("River's leader is process %d, which is none of ours", pid)
	})
	return found, err
}

// ready waits until every part is there and has found its place.
func (f *fleet) ready(t *testing.T) {
	t.Helper()
	ctx := within(t, time.Minute)
	for _, p := range f.processes() {
		if !p.alive() {
			t.Fatalf("%s has ended", p.name)
		}
	}
	_, err := f.activeRelay(ctx)
	must(t, "find the relay", err)
	_, err = f.activeRouter(ctx)
	must(t, "find the router", err)
	_, err = f.riverLeader(ctx)
	must(t, "find River's leader", err)
	f.complete(t)
}

// complete waits until all copies of the stream are up to date. A server of NATS 2.15 that came back has been seen to
// lead the stream for a minute as if it had the only copy: then it is restarted, as `payaid doctor` advises, and what
// it acknowledged is judged like all else.
func (f *fleet) complete(t *testing.T) {
	t.Helper()
	err := eventually(within(t, 30*time.Second), f.whole)
	if err == nil {
		return
	}
	if server := alone(""); errors.As(err, &server) {
		i, ok := f.cluster.Server(string(server))
		if !ok {
			t.Fatal(err)
		}
		t.Logf("%v: it is restarted", server)
		f.cluster.KillServer(i)
		must(t, "start the server again", f.cluster.StartServer(within(t, time.Minute), i))
	}
	must(t, "all copies of the stream", eventually(within(t, time.Minute), f.whole))
}

// An ordeal is what a part of the fleet goes through while jobs are submitted for a time.
type ordeal struct {
	name string
	load time.Duration
	hit  func(ctx context.Context, f *fleet) error
}

const (
	// Jobs are submitted for so long before the fault.
	calm = 2 * time.Second
	// At most so long no job ends, and a job takes, whatever happens: a dead worker is noticed after ten
	// seconds, and NATS elects a leader after four to nine.
	mostPause, mostTaken = 30 * time.Second, 45 * time.Second
)

// endure submits jobs, lets the fault happen, waits until all is well, and holds what came of it against
// what clients were told.
func (f *fleet) endure(t *testing.T, seed uint64, rate int, o ordeal) pauses {
	t.Helper()
	f.ready(t)
	l := newLoad(seed, f.clients...)
	ctx := within(t, o.load+2*time.Minute)
	group, working := errgroup.WithContext(ctx)
	var hit time.Time
	group.Go(func() error { return l.run(working, rate*int(o.load/time.Second), o.load) })
	group.Go(func() error {
		if err := pause(working, calm); err != nil {
			return err
		}
		hit = time.Now()
		return o.hit(working, f)
	})
	must(t, o.name, group.Wait())
	maps.Copy(f.accepted, l.accepted)
	f.settle(t)
	f.judge(t)
	p, err := measure(within(t, time.Minute), f.pool, l.accepted, hit)
	must(t, "measure", err)
	p.accept = l.longest
	if p.gap > mostPause || p.taken > mostTaken {
		t.Errorf("for %s no job ended, and one took %s; want %s and %s at most", p.gap, p.taken, mostPause, mostTaken)
	}
	if t.Failed() {
		t.FailNow() // the next would say the same
	}
	return p
}

// settle waits until every job has ended and every fact is published and routed.
func (f *fleet) settle(t *testing.T) {
	t.Helper()
	a := &arena{stack: f.stack, pool: f.pool, organization: f.organization}
	a.settle(t)
}

// judge wants every job done once, and every fact in the stream once, in the order of the outbox.
func (f *fleet) judge(t *testing.T) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	jobs := ids(f.accepted)
	must(t, "audit", audit(ctx, f.pool, f.organization, jobs))
	outbox, err := readOutbox(ctx, f.pool)
	must(t, "read the outbox", err)
	stream, err := readStream(ctx, f.cluster.URL())
	must(t, "read the stream", err)
	must(t, "hold the stream against the outbox", sameEvents(stream, outbox))
	for _, kind := range []string{"job.requested", "job.completed"} {
		must(t, kind, onceEach(stream, kind, jobs))
	}
}

// pauses are what clients notice of a fault.
type pauses struct {
	jobs   int
	accept time.Duration // longest from the first try of a request to its 202
	gap    time.Duration // longest without any job ending, from the fault on
	taken  time.Duration // longest from a job's 202 to its end
}

const selectEnds = `SELECT id::text, finished_at FROM jobs WHERE id = ANY ($1::uuid[]) ORDER BY finished_at`

func measure(ctx context.Context, pool *pgxpool.Pool, accepted map[string]time.Time, hit time.Time) (pauses, error) {
	p := pauses{jobs: len(accepted)}
	rows, err := pool.Query(ctx, selectEnds, ids(accepted))
	if err != nil {
		return p, err
	}
	defer rows.Close()
	last := hit
	for rows.Next() {
		var id string
		var at time.Time
		if err := rows.Scan(&id, &at); err != nil {
			return p, err
		}
		p.taken = max(p.taken, at.Sub(accepted[id]))
		if at.After(last) {
			p.gap = max(p.gap, at.Sub(last))
			last = at
		}
	}
	return p, rows.Err()
}

// TestChaosOfTheCluster takes parts of the fleet away, one ordeal after the other.
func TestChaosOfTheCluster(t *testing.T) {
	t.Parallel()
	count, rate := min(*ordealsFlag, len(ordeals)), 10
	parts := [][]string{allQueues}
	if count > 3 {
		parts, rate = nil, 20
		for _, q := range allQueues {
			parts = append(parts, []string{q})
		}
	}
	f := newFleet(t, parts...)
	var table strings.Builder
	fmt.Fprintf(&table, "%-58s %6s %12s %12s %12s\n", "fault", "jobs", "no job ended", "slowest job", "slowest 202")
	defer func() { t.Logf("\n%s", table.String()) }()
	for i, o := range ordeals[:count] {
		if !t.Run(o.name, func(t *testing.T) {
			p := f.endure(t, uint64(i+1), rate, o)
			fmt.Fprintf(&table, "%-58s %6d %12s %12s %12s\n", o.name, p.jobs, p.gap.Round(10*time.Millisecond),
				p.taken.Round(10*time.Millisecond), p.accept.Round(10*time.Millisecond))
		}) {
			return
		}
	}
}
