package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/internal/telemetry/otlp"
	"github.com/payaid/payaid/jobs"
)

type apiCmd struct {
	listenSettings
	databaseSettings
	natsSettings
	dataSettings
	redisSettings
	limitSettings
	aiLimitSettings
	adminSettings
	gstSettings
	aiSettings
	retentionSettings
	traceSettings
	metricsSettings
	logSettings
}

// Run serves until it is told to stop.
func (c *apiCmd) Run(ctx context.Context, a *app) error {
	if err := c.join(&c.databaseSettings, &c.natsSettings, &c.redisSettings); err != nil {
		return err
	}
	p := a.problems()
	level, format := c.logSettings.check(&p)
	setup := apiSetup{
		listen: c.listenSettings.check(&p), pool: c.databaseSettings.check(&p), natsURL: c.natsSettings.check(&p),
		adminKey: c.adminSettings.check(&p), redisURL: c.redisSettings.check(&p), rates: c.gstSettings.check(&p),
		data: c.Data, limits: c.limitSettings.check(&p), aiRates: c.aiLimitSettings.check(&p), pricing: c.aiSettings.check(&p, rulesOff).pricing(),
		retention: c.retentionSettings.check(&p),
		traces:    c.traceSettings.check(&p),
	}
	metrics := c.metricsSettings.check(&p, setup.listen)
	if err := p.err(); err != nil {
		return err
	}
	log := telemetry.NewLog(a.stderr, format, level).With("process", "api")
	listener, err := listen(setup.listen)
	if err != nil {
		return err
	}
	log.Info("api listens", "address", listener.Addr().String())
	defer func() { _ = listener.Close() }()
	return a.watched(ctx, watching{address: metrics, model: c.aiSettings.check(&p, rulesOff), traces: setup.traces}, log, func(ctx context.Context, w *watch) error {
		setup.watch = w
		return a.runAPI(ctx, setup, listener, log)
	})
}

// apiSetup is what an API process is started with.
type apiSetup struct {
	listen    string
	pool      pool
	natsURL   string
	redisURL  string    // "": none
	data      string    // folder of an up, "" without
	cache     api.Cache // nil: the one that Redis makes
	adminKey  string
	limits    limits
	aiRates   []aiRate
	rates     gst.Rates
	pricing   api.AIPricing
	sink      api.MailSink // nil: mail leaves the house
	retention backup.Retention
	traces    otlp.Options
	watch     *watch
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: another program uses that port; choose another with LISTEN or --listen", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// A request is answered in milliseconds; a longer wait for the pool would only hang the client.
const requestPoolWait = 5 * time.Second

// runAPI serves on a listener until ctx ends, then lets requests finish.
func (a *app) runAPI(ctx context.Context, s apiSetup, listener net.Listener, log *slog.Logger) error {
	s.limits.warn(log)
	s.pool.timeout = min(s.pool.timeout, requestPoolWait)
	traces := openTraces(s.traces, "payaid-api", log)
	defer traces.Close()
	me := apiProcess(s.pool)
	counter, err := newCounter(me, s.redisURL, folders{data: s.data}, log)
	if err != nil {
		return err
	}
	db, err := s.pool.open(ctx, s.watch.slow("api", counter.watch(store.PoolOptions{Role: store.App, Name: me.ApplicationName(""), Tracer: statementsOf(traces)})), log)
	if err != nil {
		return err
	}
	defer db.Close()
	counter.use("requests", db)
	defer counter.run(ctx)()
	if err := checkBudget(ctx, s.pool.url, me, log); err != nil {
		return err
	}
	nc, err := connectNATS(s.natsURL, "payaid-api", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	checks, closeChecks, err := s.checks(db, nc)
	if err != nil {
		return err
	}
	defer closeChecks()
	opened, err := openCache(s.redisURL, log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer opened.Close()
	cache := s.cache
	if cache == nil {
		cache = opened
	}
	limiter, err := s.limits.limiter(s.redisURL, log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if limiter != nil {
		defer limiter.Close()
	}
	aiRates, closeRates, err := limitersOf(s.aiRates, s.redisURL, log)
	defer closeRates()
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	figures, err := counter.figures(nc, s.redisURL != "")
	if err != nil {
		return err
	}
	server, err := api.New(api.Config{
		DB: db, Kinds: kinds(a.table(jobs.Deps{})), Hints: hint.New(nc), Cache: cache, AdminKey: s.adminKey,
		Limiter: limiter, RateLimit: s.limits.requests, AIRates: aiRates, TrustedProxies: s.limits.proxies,
		Checks: checks, GSTRates: s.rates, Pricing: s.pricing, Tickets: tickets(db), MailAddress: mailAddress, Sink: s.sink, BackupRetention: api.BackupRetention(s.retention), Version: version(), Log: log,
		Watch: s.watch.requests(counter.request), Figures: figures, Tracer: traces.Tracer(),
	})
	if err != nil {
		return err
	}
	defer server.Close()
	sources := s.watch.sources()
	defer sources.remove()
	sources.pool("api", db)
	sources.cache("api", opened)
	sources.limiter("requests", limiter)
	sources.limiter("ai", limitersIn(aiRates)...)
	sources.database(db, a.table(jobs.Deps{}))
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop()
	watch.Go(func() { db.WatchBurst(watching, log) })
	// Requests are refused meanwhile, and the process that answers them says why.
	watch.Go(func() { _ = awaitDatabase(watching, db, log) })
	return serve(ctx, server, listener, log)
}

// checks are what readiness looks at. Postgres alone is required: without NATS facts wait in the outbox,
// and without Redis everything works.
func (s apiSetup) checks(db *store.DB, nc *nats.Conn) ([]api.Check, func(), error) {
	list := []api.Check{
		{Name: "postgres", Required: true, Probe: func(ctx context.Context) (string, error) { return "", db.Ready(ctx) }},
		{Name: "nats", Probe: func(ctx context.Context) (string, error) {
			if !nc.IsConnected() {
				return "", errors.New("not connected; facts wait in the outbox")
			}
			return nc.ConnectedServerVersion(), nc.FlushWithContext(ctx)
		}},
	}
	if s.redisURL == "" {
		return list, func() {}, nil
	}
	options, err := redisOptions(s.redisURL)
	if err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	// The question ends with the time that it is given, and says why it got no answer.
	options.ContextTimeoutEnabled, options.MaxRetries, options.DialerRetries = true, -1, 1
	client := redis.NewClient(options)
	list = append(list, api.Check{Name: "redis", Probe: func(ctx context.Context) (string, error) {
		return "", client.Ping(ctx).Err()
	}})
	return list, func() { _ = client.Close() }, nil
}

// kinds gives the API what clients may submit, and nothing else of the jobs.
func kinds(table []jobs.Job) []api.Kind {
	var list []api.Kind
	for _, j := range table {
		if j.Spec.Scope == "" {
			continue
		}
		list = append(list, api.Kind{
			Name: j.Kind, Queue: j.Spec.Queue.Name, Scope: j.Spec.Scope, Share: j.Spec.Queue.Share,
			MaxAttempts: j.Spec.MaxAttempts, Check: faults(j.Spec.Check), Changes: j.Spec.Changes, Beside: j.Spec.Beside,
			Summary: j.Spec.Summary, Notes: j.Spec.Notes, Schema: j.Spec.InputSchema, Output: j.Spec.OutputSchema, Codes: codes(j.Spec),
		})
	}
	return list
}

func codes(spec jobs.Spec) (list []api.JobCode) {
	for _, c := range spec.Codes() {
		list = append(list, api.JobCode(c))
	}
	return list
}

func faults(check func(json.RawMessage) []jobs.Fault) func(json.RawMessage) []api.Fault {
	return func(input json.RawMessage) []api.Fault {
		var out []api.Fault
		for _, f := range check(input) {
			out = append(out, api.Fault{Pointer: f.Pointer, Detail: f.Detail})
		}
		return out
	}
}

// drainTime is how long requests may go on after the process is told to stop.
const drainTime = 15 * time.Second

func serve(ctx context.Context, server *api.Server, listener net.Listener, log *slog.Logger) error {
	h := &http.Server{
		Handler:           server.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		// Above the longest wait that a client may ask for. Streams set their own.
		WriteTimeout:   90 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	server.Drain()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := h.Shutdown(stopping); err != nil {
		log.Warn("api cut off requests", "error", err)
		return h.Close()
	}
	log.Info("api stopped")
	return nil
}
