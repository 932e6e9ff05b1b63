package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/metrics"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry/otlp"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/workers"
)

// watch is how a process tells Prometheus what it does. A nil watch is told nothing, and costs nothing.
type watch struct {
	metrics *metrics.Metrics
	ready   *readiness
	at      net.Addr
}

// watching says how a process is watched.
type watching struct {
	address string   // where Prometheus may ask, "": nowhere
	parts   []string // of the product, that the process is ready with
	model   model
	traces  otlp.Options
}

// watched runs the parts of a process, and beside them a listener for Prometheus, if there is to be one.
func (a *app) watched(ctx context.Context, how watching, log *slog.Logger, run func(context.Context, *watch) error) error {
	if how.address == "" {
		return run(ctx, nil)
	}
	listener, err := listenForMetrics(how.address)
	if err != nil {
		return err
	}
	return a.watchedAt(ctx, listener, how, log, run)
}

func listenForMetrics(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: another program uses that port; choose another with METRICS_LISTEN", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s for Prometheus: %w", address, err)
	}
	return listener, nil
}

// watchedAt serves until the parts have ended, so that their end can be watched as well.
func (a *app) watchedAt(ctx context.Context, listener net.Listener, how watching, log *slog.Logger, run func(context.Context, *watch) error) error {
	ready := newReadiness(how.parts)
	defer context.AfterFunc(ctx, ready.stops)()
	w := &watch{at: listener.Addr(), ready: ready, metrics: metrics.New(metrics.Config{
		Version: version(), Ready: ready.check, Kinds: kindsByQueue(a.table(jobs.Deps{})), Tiers: how.model.tiers(), Sampled: how.traces.Keeps(), Log: log})}
	log.Info("metrics are served", "address", listener.Addr().String())
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, working := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stop()
		return run(working, w)
	})
	group.Go(func() error { return w.metrics.Serve(serving, listener, log) })
	return group.Wait()
}

func kindsByQueue(table []jobs.Job) map[string]string {
	kinds := make(map[string]string, len(table))
	for _, j := range table {
		kinds[j.Kind] = j.Spec.Queue.Name
	}
	return kinds
}

// tiers names the tier of each model that the owner configured.
func (m model) tiers() map[string]string {
	tiers := make(map[string]string)
	for _, models := range []struct{ fast, large string }{
		{m.chain.OllamaModels.Fast, m.chain.OllamaModels.Large}, {m.chain.GroqModels.Fast, m.chain.GroqModels.Large},
	} {
		tiers[models.large] = "large"
		tiers[models.fast] = "fast" // also where one model is both
	}
	return tiers
}

// address is where Prometheus asks, "" for nowhere.
func (w *watch) address() string {
	if w == nil {
		return ""
	}
	return "http://" + w.at.String() + "/metrics"
}

// readiness is who hears that parts begin and go round; nil where nobody asks.
func (w *watch) readiness() *readiness {
	if w == nil {
		return nil
	}
	return w.ready
}

// describe is a line about it for people, or none.
func (w *watch) describe() string {
	if w == nil {
		return ""
	}
	return "  metrics    " + w.address() + "\n"
}

// requests hears of the API's requests, beside who hears of them already.
func (w *watch) requests(also func(api.Observation)) func(api.Observation) {
	if w == nil {
		return also
	}
	return func(o api.Observation) {
		also(o)
		w.metrics.Request(metrics.Request{Method: o.Method, Route: o.Route, Status: o.Status, Took: o.Took, Lasting: o.Lasting, TraceID: o.TraceID})
	}
}

// attempts hears of the attempts of jobs, beside who hears of them already.
func (w *watch) attempts(also func(workers.JobObservation)) func(workers.JobObservation) {
	if w == nil {
		return also
	}
	return func(o workers.JobObservation) {
		also(o)
		w.metrics.Attempt(metrics.Attempt{Kind: o.Kind, Outcome: string(o.Outcome), Wait: o.Wait, Took: o.Took,
			Lost: o.Outcome == jobs.Lost, TraceID: o.TraceID})
	}
}

// slow hears of a pool's queries that took long, beside who hears of them already.
func (w *watch) slow(pool string, o store.PoolOptions) store.PoolOptions {
	if w == nil {
		return o
	}
	also, count := o.OnSlow, w.metrics.SlowQueries(pool)
	o.OnSlow = func(took time.Duration) {
		if also != nil {
			also(took)
		}
		count()
	}
	return o
}

// sources gathers what is to be looked up, and takes it back when its part ends.
type sources struct {
	watch   *watch
	removes []func()
}

func (w *watch) sources() *sources { return &sources{watch: w} }

// remove waits for questions under way, so what they are about may be closed then.
func (s *sources) remove() {
	for _, remove := range s.removes {
		remove()
	}
}

func (s *sources) add(name string, every time.Duration, read func(context.Context, *metrics.Sheet) error) {
	if s.watch != nil {
		s.removes = append(s.removes, s.watch.metrics.Add(metrics.Source{Name: name, Every: every, Read: read}))
	}
}

// look adds what can be read from memory.
func (s *sources) look(name string, read func(*metrics.Sheet)) {
	s.add(name, 0, func(_ context.Context, sheet *metrics.Sheet) error {
		read(sheet)
		return nil
	})
}

// pool shows how a pool of connections is used.
func (s *sources) pool(name string, db *store.DB) {
	s.look("pool "+name, func(sheet *metrics.Sheet) {
		p := db.Stats()
		sheet.Set(metrics.PoolConnections, float64(p.InUse), name, "in_use")
		sheet.Set(metrics.PoolConnections, float64(p.Idle), name, "idle")
		sheet.Set(metrics.PoolSize, float64(p.Base), name)
		sheet.Set(metrics.PoolMost, float64(p.Base+p.Overflow), name)
		sheet.Set(metrics.PoolBurst, float64(p.BurstInUse), name)
		sheet.Set(metrics.PoolWaits, float64(p.Waits), name)
		sheet.Set(metrics.PoolWaitTime, p.WaitTime.Seconds(), name)
		sheet.Set(metrics.PoolTimeouts, float64(p.Timeouts), name)
	})
}
