// Package workers is the process that works: a River client for the queues that it was given, and the
// loops that keep work going whoever dies: router, heartbeat and rescue, schedules, and the sweeps that
// end overdue jobs and share the queues fairly. Any number of processes may run; each loop that must be
// alone finds out by itself.
package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry/trace"
	"github.com/payaid/payaid/jobs"
)

// Config is what a worker process needs.
type Config struct {
	DB      *store.DB // role System, durable commits
	Relaxed *store.DB // role System, commits that return early: River's own bookkeeping
	Stream  *stream.Stream
	Table   []jobs.Job
	Queues  map[string]int // name to jobs at a time
	Hints   jobs.Hints
	// Providers says what this process knows of the providers of models; nil: nothing. Others read it.
	Providers func() []store.ProviderState
	// Watch hears of every attempt when it ends, and of those that died; nil: nobody does. It must not wait.
	Watch func(JobObservation)
	// Past gives the minutes that are over, with what all processes counted; nil: nobody counts.
	Past    func(context.Context, int) ([]minutes.Minute, error)
	Tracer  *trace.Tracer // of jobs and what becomes of events; nil: nobody traces them
	Version string
	Log     *slog.Logger
	// SoftStop is how long running jobs may go on after the process is told to stop; then their contexts
	// end, and they go back to the queue. 0: 20 s.
	SoftStop time.Duration
	// Beat is how often a process shows that it lives; after five missed ones its jobs are given to
	// others. 0: 2 s.
	Beat time.Duration
	// Alive hears of each turn of the loop that shows others that the process lives, whether the database was there
	// for it or not; nil: nobody does. Silence means that it hangs.
	Alive func()
}

// A Worker is one worker process.
type Worker struct {
	Config
	id string
}

// New makes a worker process. It begins to work with Run.
func New(c Config) *Worker {
	if c.SoftStop == 0 {
		c.SoftStop = 20 * time.Second
	}
	if c.Beat == 0 {
		c.Beat = 2 * time.Second
	}
	if c.Alive == nil {
		c.Alive = func() {}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Worker{Config: c, id: fmt.Sprintf("%s-%d-%s", host, os.Getpid(), uuid.NewString()[:8])}
}

// ID names the process: in River's attempted_by, in worker_processes, in logs.
func (w *Worker) ID() string { return w.id }

// Run works until ctx ends, then lets running jobs end or go back, and returns when nothing of it runs
// any more. It ends with an error when others have given its jobs away.
func (w *Worker) Run(ctx context.Context) error {
	hand := newInHand()
	inserter, err := NewInserter(w.DB.Pool(), w.Table, w.Log)
	if err != nil {
		return err
	}
	client, err := newClient(w.Config, w.id, hand, inserter)
	if err != nil {
		return err
	}
	life := &life{db: w.DB, id: w.id, beat: w.Beat, hand: hand, report: w.Providers, lost: lostJobs(w.Config), alive: w.Alive, log: w.Log}
	if err := life.begin(ctx, w.Queues, kindsOf(w.Table), w.Version); err != nil {
		return err
	}
	// The loops outlive ctx until River has stopped: a process that goes silent while its last jobs
	// still run would see them given away.
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	group, loops := errgroup.WithContext(loops)
	group.Go(func() error { return quiet(life.run(loops)) })
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		stopLoops()
		return errors.Join(fmt.Errorf("start river: %w", err), group.Wait(), life.end(ctx))
	}
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	router := &router{pool: w.DB.Pool(), db: w.DB, stream: w.Stream, river: inserter, table: w.Table,
		tracer: w.Tracer, log: w.Log}
	group.Go(func() error { return quiet(router.run(working)) })
	schedules := &schedules{db: w.DB, river: client, table: w.Table, traced: w.Tracer != nil, log: w.Log}
	group.Go(func() error { return quiet(schedules.run(working)) })
	sweep := &sweep{db: w.DB, hints: w.Hints, river: client, adriftEvery: 10 * w.Beat, table: w.Table, log: w.Log}
	group.Go(func() error { return quiet(sweep.run(working)) })
	webhooks := &webhookSweep{db: w.DB, river: inserter, log: w.Log}
	group.Go(func() error { return quiet(webhooks.run(working)) })
	failures := &failureSampler{db: w.DB, log: w.Log}
	group.Go(func() error { return quiet(failures.run(working)) })
	sampler := &sampler{db: w.Relaxed, id: w.id, queues: queuesOf(w.Table), past: w.Past, log: w.Log}
	group.Go(func() error { return quiet(sampler.run(working)) })
	w.Log.Info("worker works", "worker_id", w.id, "queues", w.Queues)
	w.Alive()

	stop := client.Stop
	select {
	case <-ctx.Done():
	case <-loops.Done(): // the jobs run elsewhere by now
		stop = client.StopAndCancel
	}
	stopWorking()
	err = stopClient(stop, w.SoftStop)
	stopLoops()
	err = errors.Join(err, group.Wait(), life.end(ctx))
	w.Log.Info("worker stopped", "worker_id", w.id)
	return err
}

// kindsOf are the kinds that a process knows, and so takes.
func kindsOf(table []jobs.Job) []string {
	kinds := make([]string, len(table))
	for i, j := range table {
		kinds[i] = j.Kind
	}
	slices.Sort(kinds)
	return kinds
}

// queuesOf are the queues that there are, whether they have jobs or not.
func queuesOf(table []jobs.Job) []string {
	var names []string
	for _, q := range jobs.Queues() {
		names = append(names, q.Name)
	}
	for _, j := range table {
		names = append(names, j.Spec.Queue.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// quiet takes the end of a context for what it is: no error.
func quiet(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// every calls do at once and then at intervals until ctx ends. What goes wrong is logged and tried again,
// less and less often.
func every(ctx context.Context, d time.Duration, log *slog.Logger, what string, do func(context.Context) error) error {
	const most = 5 * time.Second
	for wait := d; ; {
		err := do(ctx)
		if err == nil {
			wait = d
		} else if ctx.Err() == nil {
			wait = min(2*wait, max(most, d))
			log.Warn(what+" will be tried again", "error", err, "in_ms", wait.Milliseconds())
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}
