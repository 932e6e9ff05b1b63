package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// A target is a part that is killed: one of the instances each time.
type target struct {
	name   string
	strike []func(ctx context.Context, dead time.Duration) error
}

// A blow kills a target after a pause since the last blow, and leaves it dead for a while. The next blow
// does not wait for that, so that outages overlap.
type blow struct {
	target   int
	instance uint32
	after    time.Duration
	dead     time.Duration
}

const (
	blowFirst, blowSpread = 400 * time.Millisecond, 1800 * time.Millisecond
	deadFirst, deadSpread = 100 * time.Millisecond, 2500 * time.Millisecond
)

// schedule makes n blows, spread over all targets.
func schedule(seed uint64, n, targets int) (blows []blow, lasts time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 2))
	var round []int
	between := func(first, spread time.Duration) time.Duration {
		return first + time.Duration(rng.Int64N(int64(spread)))
	}
	for range n {
		if len(round) == 0 {
			round = rng.Perm(targets)
		}
		b := blow{target: round[0], instance: rng.Uint32(), after: between(blowFirst, blowSpread), dead: between(deadFirst, deadSpread)}
		round = round[1:]
		lasts += b.after
		blows = append(blows, b)
	}
	return blows, lasts
}

// arena is what TestChaos fights in.
type arena struct {
	*stack
	pool      *pgxpool.Pool
	processes []*process
	targets   []target
	load      *load

	organization string
	bystander    string // another organization, whose jobs are due tomorrow
	before       string // its rows before the fight
}

// TestChaos submits jobs while everything is killed again and again, and then holds what clients were
// told against what the database and the stream hold.
func TestChaos(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	t.Logf("to repeat this schedule: -seed %d -jobs %d -kills %d", seed, *jobsFlag, *killsFlag)
	a := newArena(t, seed)
	began := time.Now()
	a.fight(t, seed)
	fought := time.Since(began)
	a.settle(t)
	settled := time.Since(began) - fought
	a.judge(t)
	a.report(t, fought, settled)
}

func newArena(t *testing.T, seed uint64) *arena {
	t.Helper()
	a := &arena{stack: newStack(t)}
	a.pool = a.stack.pool()
	api1, c1 := a.api("api-1")
	api2, c2 := a.api("api-2")
	relays := []*process{a.relay("relay-1"), a.relay("relay-2")}
	workers := []*process{a.worker("worker-1"), a.worker("worker-2")}
	a.processes = append(append([]*process{api1, api2}, relays...), workers...)
	a.targets = []target{
		{"api", []func(context.Context, time.Duration) error{api1.strike, api2.strike}},
		{"relay", []func(context.Context, time.Duration) error{relays[0].strike, relays[1].strike}},
		{"worker", []func(context.Context, time.Duration) error{workers[0].strike, workers[1].strike}},
		{"postgres", []func(context.Context, time.Duration) error{service(a.postgres.Kill)}},
		{"nats", []func(context.Context, time.Duration) error{service(a.nats.Kill)}},
		{"redis", []func(context.Context, time.Duration) error{service(a.redis.Kill)}},
	}
	var own *client
	a.organization, own = c1.organization(t, "Fighter")
	a.load = newLoad(seed, own, &client{base: c2.base, key: own.key, http: c2.http})
	a.stand(t, c1)
	return a
}

// service kills one that its own supervisor starts again.
func service(kill func()) func(context.Context, time.Duration) error {
	return func(context.Context, time.Duration) error {
		kill()
		return nil
	}
}

// stand gives an organization that has nothing to do with it some jobs that are not due.
func (a *arena) stand(t *testing.T, admin *client) {
	t.Helper()
	var own *client
	a.bystander, own = admin.organization(t, "Bystander")
	for range 10 {
		own.submit(t, "bench.noop", `{"effect":true}`, `,"run_at":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"`)
	}
	var err error
	if a.before, err = snapshot(t.Context(), a.pool, a.bystander); err != nil {
		t.Fatal(err)
	}
}

// fight submits and kills at the same time. What ends by itself is started again, as a process manager
// would.
func (a *arena) fight(t *testing.T, seed uint64) {
	t.Helper()
	blows, lasts := schedule(seed, *killsFlag, len(a.targets))
	ctx := within(t, lasts+2*time.Minute)
	keeping, stop := context.WithCancel(ctx)
	var keepers sync.WaitGroup
	for _, p := range a.processes {
		keepers.Go(func() { p.keep(keeping) })
	}
	t.Cleanup(func() {
		stop()
		keepers.Wait()
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.load.run(ctx, *jobsFlag, lasts) })
	group.Go(func() error { return a.strike(ctx, blows) })
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func (a *arena) strike(ctx context.Context, blows []blow) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, b := range blows {
		if err := pause(ctx, b.after); err != nil {
			break
		}
		hit := a.targets[b.target].strike
		group.Go(func() error { return hit[int(b.instance)%len(hit)](ctx, b.dead) })
	}
	return group.Wait()
}

// settleTime is for the last worker's death to be noticed, its jobs to run again, and a busy machine.
const settleTime = 3 * time.Minute

// settle waits until every job has ended and every fact is published and routed.
func (a *arena) settle(t *testing.T) {
	t.Helper()
	ctx := within(t, settleTime)
	err := eventually(ctx, func(ctx context.Context) error {
		var open int
		err := a.pool.QueryRow(ctx, `SELECT count(*) FROM jobs WHERE organization_id = $1::uuid AND finished_at IS NULL`,
			a.organization).Scan(&open)
		if err == nil && open > 0 {
			err = fmt.Errorf("%d jobs have not ended", open)
		}
		return err
	})
	if err != nil {
		t.Errorf("wait for the jobs: %v", err)
	}
	err = eventually(ctx, routed(a.pool))
	if err != nil {
		t.Errorf("wait for the events: %v", err)
	}
}

// judge holds everything against what the clients were told.
func (a *arena) judge(t *testing.T) {
	t.Helper()
	ctx := within(t, time.Minute)
	jobs := ids(a.load.accepted)
	if len(jobs) != *jobsFlag {
		t.Errorf("%d jobs were accepted, want %d", len(jobs), *jobsFlag)
	}
	if err := audit(ctx, a.pool, a.organization, jobs); err != nil {
		t.Error(err)
	}
	outbox, err := readOutbox(ctx, a.pool)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := readStream(ctx, a.nats.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := sameEvents(stream, outbox); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"job.requested", "job.completed"} {
		if err := onceEach(stream, kind, jobs); err != nil {
			t.Error(err)
		}
	}
	after, err := snapshot(ctx, a.pool, a.bystander)
	if err != nil {
		t.Fatal(err)
	}
	if after != a.before {
		t.Errorf("the jobs of another organization were touched:\nbefore %s\nafter  %s", a.before, after)
	}
}

// report prints what happened.
func (a *arena) report(t *testing.T, fought, settled time.Duration) {
	t.Helper()
	ctx := within(t, time.Minute)
	blows, _ := schedule(a.load.seed, *killsFlag, len(a.targets))
	kills := make([]int, len(a.targets))
	for _, b := range blows {
		kills[b.target]++
	}
	var table strings.Builder
	row := func(what string, value any) { fmt.Fprintf(&table, "  %-32s %v\n", what, value) }
	for i, target := range a.targets {
		row("kills of "+target.name, kills[i])
	}
	for _, p := range a.processes {
		if n := p.deaths.Load(); n > 0 {
			row("ended by itself: "+p.name, n)
		}
	}
	var rescued, attempts int
	err := a.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 'cancelled' AND errors[cardinality(errors)] ->> 'error' LIKE
			'the worker process died%'), coalesce(sum(attempt) FILTER (WHERE state = 'completed'), 0)
		FROM river_job WHERE args ->> 'organization_id' = $1`, a.organization).Scan(&rescued, &attempts)
	if err != nil {
		t.Fatal(err)
	}
	longest, err := slowest(ctx, a.pool, a.load.accepted)
	if err != nil {
		t.Fatal(err)
	}
	row("jobs accepted", len(a.load.accepted))
	row("requests sent again, by cause", a.load.repeats)
	row("answers replayed", a.load.replayed)
	row("attempts", attempts)
	row("given back by a dead worker", rescued)
	row("longest from first try to 202", a.load.longest.Round(time.Millisecond))
	row("longest from 202 to its end", longest.Round(time.Millisecond))
	row("under fire for", fought.Round(time.Millisecond))
	row("all ended after another", settled.Round(time.Millisecond))
	if !t.Failed() {
		row("lost", 0)
		row("twice", 0)
	}
	t.Logf("\n%s", table.String())
}
