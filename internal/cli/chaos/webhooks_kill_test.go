package chaos

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestDeliveriesSurviveKilledProcesses kills workers, and the relay once, in the middle of deliveries. Each receiver gets
// every event at least once, and what it gets again has the same id and the same body.
func TestDeliveriesSurviveKilledProcesses(t *testing.T) {
	t.Parallel()
	const kills = 8
	f := newFlood(t, 3)
	blows := []func(context.Context) error{}
	for i := range kills {
		victim := f.workers[i%len(f.workers)]
		if i == kills/2 {
			victim = f.relay
		}
		blows = append(blows, func(ctx context.Context) error { return victim.strike(ctx, 500*time.Millisecond) })
	}
	f.run(t, blows)
}

// TestDeliveriesSurviveOutages freezes a worker for so long that others take it for dead, restarts Postgres and leaves
// Redis away for a while, all in the middle of deliveries.
func TestDeliveriesSurviveOutages(t *testing.T) {
	t.Parallel()
	f := newFlood(t, 2)
	f.run(t, []func(context.Context) error{
		func(ctx context.Context) error { return freeze(ctx, f.workers[0], 20*time.Second) },
		func(context.Context) error { f.postgres.Kill(); return nil },
		func(ctx context.Context) error {
			f.stop(f.redis)
			defer f.startRedis()
			return pause(ctx, 5*time.Second)
		},
		func(context.Context) error { f.nats.Kill(); return nil },
	})
}

// freeze stops a process, which then knows nothing of the time that has passed.
func freeze(ctx context.Context, p *process, d time.Duration) error {
	l, _ := p.current()
	if err := syscall.Kill(-l.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze %s: %w", p.name, err)
	}
	defer func() { _ = syscall.Kill(-l.cmd.Process.Pid, syscall.SIGCONT) }()
	return pause(ctx, d)
}

// A flood is many events that are told while things happen to those who tell them.
type flood struct {
	*partnership
	receivers     []*receiver
	subscriptions []subscription
	happened      []string
}

// newFlood makes receivers that take a moment for each request, so that kills find some under way.
func newFlood(t *testing.T, receivers int) *flood {
	t.Helper()
	f := &flood{partnership: newPartnership(t, 2)}
	for i := range receivers {
		r := newReceiver(t, fmt.Sprintf("receiver-%d", i+1), slowly(30*time.Millisecond, answersWith(http.StatusOK)))
		f.receivers = append(f.receivers, r)
		f.subscriptions = append(f.subscriptions, f.own.subscribe(t, r, `"*"`))
	}
	return f
}

// run makes the events happen, deals the blows, spread over the deliveries, and judges what has come.
func (f *flood) run(t *testing.T, blows []func(context.Context) error) {
	t.Helper()
	ctx := within(t, 5*time.Minute)
	keeping, stop := context.WithCancel(ctx)
	var keepers sync.WaitGroup
	for _, p := range append([]*process{f.relay}, f.workers...) {
		keepers.Go(func() { p.keep(keeping) })
	}
	defer keepers.Wait()
	defer stop()
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for i, strike := range blows {
		group.Go(func() error {
			if err := f.reach(ctx, (i+1)**hooksFlag/(len(blows)+1)); err != nil {
				return fmt.Errorf("blow %d: %w", i+1, err)
			}
			t.Logf("blow %d of %d after %s", i+1, len(blows), time.Since(began).Round(time.Millisecond))
			return strike(ctx)
		})
	}
	group.Go(func() (err error) {
		f.happened, err = f.happen(ctx, *hooksFlag)
		return err
	})
	must(t, "deal blows", group.Wait())
	f.settle(t, 4*time.Minute)
	for i, r := range f.receivers {
		n, last := r.has()
		t.Logf("%s has %d events after %s, of which %d came again", r.name, n, last.Sub(began).Round(time.Millisecond), r.repeats())
		f.judge(t, r, f.subscriptions[i], f.happened)
	}
}

// reach waits until the first receiver has so many events.
func (f *flood) reach(ctx context.Context, n int) error { return f.receivers[0].gets(ctx, n) }
