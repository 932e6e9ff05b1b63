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

	"github.com/payaid/payaid/admin"
	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/internal/telemetry/otlp"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/workers"
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
	webhookRules
	traceSettings
	metricsSettings
	drainSettings
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
		webhooks:  c.webhookRules.check(&p),
		traces:    c.traceSettings.check(&p), drainPause: c.drainSettings.check(&p),
	}
	metrics := c.metricsSettings.check(&p, setup.listen)
	if err := p.err(); err != nil {
		return err
	}
	log := telemetry.NewLog(a.stderr, format, level).With("process", "api")
	listener, err := listen(ctx, setup.listen)
	if err != nil {
		return err
	}
	log.Info("api listens", "address", listener.Addr().String())
	defer func() { _ = listener.Close() }()
	return a.watched(ctx, watching{address: metrics, parts: []string{apiPart}, model: c.aiSettings.check(&p, rulesOff), traces: setup.traces}, log, func(ctx context.Context, w *watch) error {
		setup.watch = w
		setup.notify, err = a.serviceManager(ctx)
		if err != nil {
			return err
		}
		defer setup.notify.close()
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
	webhooks  webhook.Policy
	traces    otlp.Options
	watch     *watch
	notify    *notifier
	// drainPause is how long it goes on answering after it was told to stop, unready.
	drainPause time.Duration
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // its sockets take no filter: see letNobodyBegin
	l, err := config.Listen(ctx, "tcp", address)
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
	stated, err := newEventLog(nc)
	if err != nil {
		return err
	}
	server, err := api.New(api.Config{
		DB: db, Kinds: kinds(a.table(jobs.Deps{})), Hints: hint.New(nc), Cache: cache, AdminKey: s.adminKey,
		Limiter: limiter, RateLimit: s.limits.requests, AIRates: aiRates, TrustedProxies: s.limits.proxies,
		Checks: checks, GSTRates: s.rates, Pricing: s.pricing, Tickets: tickets(db), MailAddress: mailAddress, Sink: s.sink, BackupRetention: api.BackupRetention(s.retention), Version: version(), Settings: a.settings, Log: log,
		Watch: s.watch.requests(counter.request), Figures: figures, Tracer: traces.Tracer(), Webhooks: s.webhooks, EventLog: stated, WriteMail: writeMail(db),
		Replayer: replayer{s.pool, me.ApplicationName(""), a.table(jobs.Deps{})},
		Work:     workKinds(a.table(jobs.Deps{})), LeaderLocks: leaderLocks(),
	})
	if err != nil {
		return err
	}
	defer server.Close()
	pages, err := admin.New(admin.Config{API: server, Version: version(), TrustedProxies: s.limits.proxies, Log: log})
	if err != nil {
		return err
	}
	server.Pages(pages)
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
	watch.Go(func() {
		if awaitDatabase(watching, db, log) == nil {
			s.notify.watchAPI(watching, livezOf(listener.Addr()))
		}
	})
	s.watch.readiness().begins(apiPart, db.Ready)
	s.watch.readiness().works(apiPart)
	return serve(ctx, server, listener, s.drainPause, log)
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

// workKinds tells the API of all kinds of jobs.
func workKinds(table []jobs.Job) []api.WorkKind {
	list := make([]api.WorkKind, len(table))
	for i, j := range table {
		list[i] = api.WorkKind{Name: j.Kind, Queue: j.Spec.Queue.Name, Summary: j.Spec.Summary, Scope: j.Spec.Scope,
			MaxAttempts: j.Spec.MaxAttempts, Timeout: j.Spec.Timeout, Cron: cronOf(j.Spec)}
	}
	return list
}

// cronOf is when the clock starts a kind, as far as this process knows: backups are configured for workers.
func cronOf(spec jobs.Spec) string {
	if spec.Cron == jobs.NoCron {
		return ""
	}
	return spec.Cron
}

// leaderLocks tells the API what one process at a time does.
func leaderLocks() []api.LeaderLock {
	return []api.LeaderLock{
		{Name: "relay", What: "Publishes facts from the outbox to the stream", Lock: outbox.RelayLock},
		{Name: "router", What: "Starts jobs and deliveries because of facts", Lock: workers.RouterLock},
	}
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

// livezOf asks an API of this process whether it lives, by the way that its clients take.
func livezOf(address net.Addr) func(context.Context) error {
	return func(ctx context.Context) error {
		return client{base: "http://" + address.String()}.do(ctx, http.MethodGet, "/livez", nil, nil)
	}
}
