package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// rate calls each of do over and over, all at once, for a time, and gives the calls per second.
func rate(ctx context.Context, d time.Duration, do []func(context.Context) error) (float64, error) {
	running, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var calls atomic.Int64
	group, _ := errgroup.WithContext(ctx)
	began := time.Now()
	for _, do := range do {
		group.Go(func() error {
			for running.Err() == nil {
				if err := do(ctx); err != nil {
					return err
				}
				calls.Add(1)
			}
			return nil
		})
	}
	err := group.Wait()
	return float64(calls.Load()) / time.Since(began).Seconds(), err
}

// submits compares the API with the bare transaction that it makes: the same rows, by as many
// connections as the API has clients, without HTTP, checks and answers.
func (b *bench) submits(ctx context.Context) error {
	bare, err := b.bareCommits(ctx)
	if err != nil {
		return err
	}
	s, err := b.start(ctx, "bench_submit", apiAlone)
	if err != nil {
		return err
	}
	strikes, closeAll, err := s.hammers(ctx, b.Clients, submitNoop)
	if err != nil {
		return err
	}
	defer closeAll()
	// Both sides warm.
	if _, err := rate(ctx, time.Second, strikes); err != nil {
		return err
	}
	submits, err := rate(ctx, b.Duration, strikes)
	if err != nil {
		return err
	}
	b.add(row{what: fmt.Sprintf("HTTP submit, durable, %d clients", b.Clients), value: fmt.Sprintf("%.0f /s", submits),
		against: fmt.Sprintf("bare commit %.0f /s", bare), ratio: submits / bare, target: ">= 0.8",
		verdict: met(submits/bare >= 0.8)})
	return s.stop()
}

func (b *bench) bareCommits(ctx context.Context) (float64, error) {
	url, err := b.database(ctx, "bench_bare")
	if err != nil {
		return 0, err
	}
	db, err := store.Open(ctx, store.PoolOptions{URL: url, Role: store.App, Name: "bench", MaxConns: b.Clients})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	organization := outbox.NewID()
	commits := slices.Repeat([]func(context.Context) error{
		func(ctx context.Context) error { return commitJob(ctx, db, organization) },
	}, b.Clients)
	if _, err := rate(ctx, time.Second, commits); err != nil {
		return 0, err
	}
	return rate(ctx, b.Duration, commits)
}

func commitJob(ctx context.Context, db *store.DB, organization string) error {
	now := time.Now().UTC()
	j := store.Job{OrganizationID: organization, ID: outbox.NewID(), EventID: outbox.NewID(), Kind: "bench.noop",
		Queue: benchQueue.Name, Priority: 2, MaxAttempts: 25, Input: []byte(`{}`), Metadata: []byte(`{}`), RunAt: now, CreatedAt: now}
	batch := store.BatchAs(organization)
	store.QueueJob(batch, j)
	err := outbox.QueueAs(batch, j.EventID, outbox.Origin{OrganizationID: organization}, events.JobRequested{
		JobID: j.ID, Kind: j.Kind, Queue: j.Queue, Run: 1, Priority: 2, MaxAttempts: 25, RunAt: now, Version: 1})
	if err != nil {
		return err
	}
	return db.Send(ctx, batch)
}

// endToEnd is the time from before a submit until its client knows that the job is done.
func (s *stack) endToEnd(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	j, err := s.client.submit(ctx, "bench.noop", map[string]any{}, nil)
	if err != nil {
		return 0, err
	}
	if j, err = s.client.await(ctx, j.ID, 30*time.Second); err == nil && j.Status != "succeeded" {
		err = fmt.Errorf("job %s is %s", j.ID, j.Status)
	}
	return time.Since(began), err
}

// latencies gathers times from several goroutines.
type latencies struct {
	mu   sync.Mutex
	list []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, d)
}

// at gives the time that a part of all stayed below.
func (l *latencies) at(part float64) time.Duration {
	slices.Sort(l.list)
	return l.list[min(len(l.list)-1, int(part*float64(len(l.list))))]
}

func (l *latencies) String() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", millis(l.at(0.5)), millis(l.at(0.99)))
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// idle measures one job at a time, from the submit to the client's knowing that it is done.
func (b *bench) idle(ctx context.Context) error {
	s, err := b.start(ctx, "bench_idle", everything)
	if err != nil {
		return err
	}
	var ours latencies
	for range 300 {
		d, err := s.endToEnd(ctx)
		if err != nil {
			return err
		}
		ours.add(d)
	}
	if err := s.stop(); err != nil {
		return err
	}
	alone, err := b.riverIdle(ctx, 300)
	if err != nil {
		return err
	}
	b.add(row{what: "submit to done, idle, one at a time", value: ours.String(), against: "River alone, to its start, " + alone.String(),
		target: "p50 <= 10 ms, p99 <= 30 ms", verdict: met(ours.at(0.5) <= 10*time.Millisecond && ours.at(0.99) <= 30*time.Millisecond)})
	return nil
}

// steady measures an even 200 jobs per second.
func (b *bench) steady(ctx context.Context) error {
	s, err := b.start(ctx, "bench_steady", everything)
	if err != nil {
		return err
	}
	var ours latencies
	group, groupCtx := errgroup.WithContext(ctx)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range int(b.Duration / (5 * time.Millisecond)) {
		<-tick.C
		group.Go(func() error {
			d, err := s.endToEnd(groupCtx)
			ours.add(d)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	b.add(row{what: "submit to done at 200 per second", value: ours.String(), target: "p50 <= 15 ms, p99 <= 100 ms",
		verdict: met(ours.at(0.5) <= 15*time.Millisecond && ours.at(0.99) <= 100*time.Millisecond)})
	return s.stop()
}

// saturated hands over all jobs as fast as they are taken, and waits until all are done.
func (b *bench) saturated(ctx context.Context) error {
	s, err := b.start(ctx, "bench_saturated", everything)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.PoolOptions{URL: s.url, Role: store.System, Name: "bench", MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	strikes, closeAll, err := s.hammers(ctx, b.Clients, submitNoop)
	if err != nil {
		return err
	}
	defer closeAll()
	ours, err := b.throughput(func() error {
		if err := repeat(ctx, b.Jobs, strikes); err != nil {
			return err
		}
		return until(ctx, soon, func() (bool, error) { return allDone(ctx, db) })
	})
	if err := errors.Join(err, s.stop()); err != nil {
		return err
	}
	alone, err := b.riverSaturated(ctx)
	if err != nil {
		return err
	}
	b.add(row{what: fmt.Sprintf("submit to done, %d jobs, %d clients", b.Jobs, b.Clients), value: ours.String(),
		against: "River alone " + alone.String(), ratio: ours.perSecond / alone.perSecond, target: ">= 0.6",
		verdict: met(ours.perSecond/alone.perSecond >= 0.6)})
	return nil
}

// A throughput is how many jobs were done per second, and what each took of the processors.
type throughput struct {
	perSecond float64
	cpu       time.Duration
}

func (t throughput) String() string {
	return fmt.Sprintf("%.0f /s (%.2f ms cpu)", t.perSecond, millis(t.cpu))
}

// throughput measures work that does all the jobs.
func (b *bench) throughput(work func() error) (throughput, error) {
	before, err := cpu(b.postgres.Pid())
	if err != nil {
		return throughput{}, err
	}
	began := time.Now()
	if err := work(); err != nil {
		return throughput{}, err
	}
	took := time.Since(began)
	after, err := cpu(b.postgres.Pid())
	return throughput{perSecond: float64(b.Jobs) / took.Seconds(), cpu: (after - before) / time.Duration(b.Jobs)}, err
}

// repeat calls each of do over and over, all at once, until there were total calls.
func repeat(ctx context.Context, total int, do []func(context.Context) error) error {
	var taken atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for _, do := range do {
		group.Go(func() error {
			for taken.Add(1) <= int64(total) {
				if err := do(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// until asks again and again, for two minutes at most.
func until(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the jobs do not end: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// soon is how often what has taken part in a measurement is asked whether it is over.
const soon = 10 * time.Millisecond

func allDone(ctx context.Context, db *store.DB) (bool, error) {
	var left bool
	err := db.Pool().QueryRow(ctx, `SELECT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL AND NOT overflow)`).Scan(&left)
	return !left, err
}
