package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	neturl "net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry/otlp"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/workers"
)

// open connects to Postgres as the options say, the rest being the pool's.
func (p pool) open(ctx context.Context, o store.PoolOptions, log *slog.Logger) (*store.DB, error) {
	o.URL, o.AcquireWait, o.Base, o.Log = p.url, p.timeout, p.size, log
	if o.MaxConns == 0 {
		o.MaxConns = p.most
	}
	return store.Open(ctx, o)
}

// connectNATS connects and stays connected: a server that is away, even at the start, is waited for. Of
// several the client takes the next. A server that froze, or whose host fell off the network, holds the
// connection without a word, and is left after six seconds.
func connectNATS(url, name string, log *slog.Logger) (*nats.Conn, error) {
	nc, err := nats.Connect(url,
		nats.Name(name), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.Timeout(2*time.Second), nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("nats connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("nats connected again", "server", nc.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("nats", "error", err) }))
	if bad := (*neturl.Error)(nil); errors.As(err, &bad) {
		return nil, errors.New("connect to NATS: NATS_URL: is not a URL") // it would show the password
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if !nc.IsConnected() {
		log.Warn("nats is away, and is tried until it is there")
	}
	return nc, nil
}

// redisOptions reads an address. Its error does not repeat it, as it may hold a password.
func redisOptions(url string) (*redis.Options, error) {
	if strings.HasPrefix(url, sentinelScheme+"://") {
		options, err := sentinelOptions(url)
		if err != nil {
			return nil, fmt.Errorf("REDIS_URL: %w", err)
		}
		return options, nil
	}
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("REDIS_URL: is not a Redis URL")
	}
	return options, nil
}

// openCache makes the cache, nil where there is no Redis. It connects when it is first used.
func openCache(url string, log *slog.Logger) (*cachetag.Cache, error) {
	if url == "" {
		return nil, nil
	}
	options, err := redisOptions(url)
	if err != nil {
		return nil, err
	}
	return cachetag.Open(cachetag.Options{Redis: options, Log: log})
}

// silence is for a library that writes each refused connection to the standard error; its callers get
// the same as errors.
type silence struct{}

// Printf implements the logger of go-redis.
func (silence) Printf(context.Context, string, ...any) {}

// tickets makes and reads what mails carry, with the key that all processes of the installation share.
func tickets(db *store.DB) *ticket.Maker {
	return ticket.NewMaker(func(ctx context.Context) ([]byte, error) { return db.Secret(ctx, "mail") })
}

// table is all the jobs, and those that the program was built with besides.
func (a *app) table(d jobs.Deps) []jobs.Job {
	table := jobs.All(d)
	for _, more := range a.moreJobs {
		table = append(table, more(d)...)
	}
	return table
}

// The parts of the product that a process may be ready with.
const (
	apiPart    = "api"
	relayPart  = "relay"
	workerPart = "worker"
)

// both tells two who listen; the first may be nil.
func both(first, second func()) func() {
	return func() {
		if first != nil {
			first()
		}
		second()
	}
}

// relaySetup is what a relay is started with.
type relaySetup struct {
	pool     pool
	natsURL  string
	redisURL string // "": its slow queries are counted nowhere else
	data     string // folder of an up, "" without
	traces   otlp.Options
	watch    *watch
	alive    func() // hears that it goes round; nil: nobody does
}

// runRelay publishes the outbox until ctx ends.
func (a *app) runRelay(ctx context.Context, r relaySetup, log *slog.Logger) error {
	traces := openTraces(r.traces, "payaid-relay", log)
	defer traces.Close()
	me := relayProcess(r.pool)
	counter, err := newCounter(me, r.redisURL, folders{data: r.data}, log)
	if err != nil {
		return err
	}
	db, err := r.pool.open(ctx, r.watch.slow("relay", counter.watch(store.PoolOptions{Role: store.System, Name: me.ApplicationName(""), MaxConns: min(relayPool, r.pool.most), Tracer: statementsOf(traces)})), log)
	if err != nil {
		return err
	}
	defer db.Close()
	counter.use("outbox", db)
	defer counter.run(ctx)()
	if err := awaitDatabase(ctx, db, log); err != nil {
		return err
	}
	if err := checkBudget(ctx, r.pool.url, me, log); err != nil {
		return err
	}
	nc, err := connectNATS(r.natsURL, "payaid-relay", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	s, err := stream.Open(nc)
	if err != nil {
		return err
	}
	changed, err := hint.New(nc).Outbox()
	if err != nil {
		return err
	}
	sources := r.watch.sources()
	defer sources.remove()
	sources.pool("relay", db)
	sources.database(db, a.table(jobs.Deps{}))
	sources.stream(db, s)
	relay := outbox.NewRelay(db.Pool(), r.watch.log(s.Traced(traces.Tracer())), changed, log)
	r.watch.readiness().begins(relayPart, db.Ready)
	return relay.Alive(both(r.alive, r.watch.readiness().turns(relayPart))).Run(ctx)
}

// workerSetup is what a worker process is started with.
type workerSetup struct {
	pool     pool
	natsURL  string
	redisURL string // "": nothing is cached
	data     string // folder of an up, "" without
	model    model
	mail     mailServer
	sending  sending
	inbox    inbox
	backups  backups
	webhooks webhooks
	queues   map[string]int
	traces   otlp.Options
	watch    *watch
	alive    func() // hears that it goes round; nil: nobody does
	// stopGrace is how long jobs may go on after the process was told to stop.
	stopGrace time.Duration
	// publicURL is where links in mails lead, without a slash at its end; "": mails have none.
	publicURL string
}

// runWorker works queues until ctx ends.
func (a *app) runWorker(ctx context.Context, w workerSetup, log *slog.Logger) error {
	traces := openTraces(w.traces, "payaid-worker", log)
	defer traces.Close()
	me := workerProcess(w.pool)
	counter, err := newCounter(me, w.redisURL, folders{data: w.data, backups: w.backups.config.Dir}, log)
	if err != nil {
		return err
	}
	db, err := w.pool.open(ctx, w.watch.slow("jobs", counter.watch(store.PoolOptions{Role: store.System, Name: me.ApplicationName(""), Tracer: statementsOf(traces)})), log)
	if err != nil {
		return err
	}
	defer db.Close()
	relaxed, err := w.pool.open(ctx, w.watch.slow("river", counter.watch(store.PoolOptions{Role: store.System, Name: me.ApplicationName("river"), Relaxed: true, Tracer: statementsOf(traces)})), log)
	if err != nil {
		return err
	}
	defer relaxed.Close()
	counter.use("jobs", db)
	counter.use("river", relaxed)
	defer counter.run(ctx)()
	nc, err := connectNATS(w.natsURL, "payaid-worker", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	s, err := stream.Open(nc)
	if err != nil {
		return err
	}
	if err := awaitDatabase(ctx, db, log); err != nil {
		return err
	}
	if err := checkBudget(ctx, w.pool.url, me, log); err != nil {
		return err
	}
	slots := store.NewSlots(relaxed, "ollama."+w.model.chain.OllamaURL, w.model.parallel)
	defer slots.Close()
	w.model.chain.Gate, w.model.chain.Log, w.model.chain.Rules = slots, log, w.model.rules
	if w.queues[jobs.AI.Name] == 0 {
		w.model.chain.Warm = []inference.Tier{} // those who ask models keep them warm
	}
	chain, err := inference.New(w.model.chain)
	if err != nil {
		return err
	}
	cache, err := openCache(w.redisURL, log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer cache.Close()
	mailing, keepMail, err := w.mailing(db, log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	backing, err := w.backups.backing(w.pool.url, log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	w.prepareBackups(log)
	delivering, closeDelivering, err := w.delivering(log)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer closeDelivering()
	hints := hint.New(nc)
	deps := jobs.Deps{Backing: backing, Cache: cache, Answers: cache, Forgetter: cache, DB: db, Relaxed: relaxed, Hints: hints, Model: chain, Puller: chain, Rules: w.model.rules,
		RupeesPerDollar: w.model.usdINR, Mailing: mailing, Webhooks: delivering, Log: log}
	deps.Model, deps.Mailing, deps.Webhooks = w.watch.model(chain), w.watch.mailing(mailing), w.watch.delivering(delivering)
	worker := workers.New(workers.Config{
		DB: db, Relaxed: relaxed, Stream: s, Table: a.table(deps), Queues: w.queues, Hints: hints, Watch: w.watch.attempts(counter.job), Past: counter.Past,
		Providers: func() []store.ProviderState { return append(providerStates(chain.Status()), w.mailStates(mailing)...) }, Tracer: traces.Tracer(), Version: version(), Alive: both(w.alive, w.watch.readiness().turns(workerPart)), SoftStop: w.stopGrace, Log: log,
	})
	sources := w.sources(workerParts{db: db, relaxed: relaxed, stream: s, cache: cache, mailing: mailing, webhooks: delivering, chain: chain}, a.table(jobs.Deps{}))
	defer sources.remove()
	w.watch.readiness().begins(workerPart, db.Ready)
	return besideJobs(ctx, chain.Run, func() error { return w.inbox.beside(ctx, deps, w.queues, log, worker.Run) },
		func(ctx context.Context) { db.WatchBurst(ctx, log.With("pool", "jobs")) },
		func(ctx context.Context) { relaxed.WatchBurst(ctx, log.With("pool", "river")) },
		keepMail)
}

// besideJobs runs what jobs lean on until work has returned, which may be after ctx has ended.
func besideJobs(ctx context.Context, probe func(context.Context) error, work func() error, keep ...func(context.Context)) error {
	probing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var keeping sync.WaitGroup
	for _, run := range keep {
		keeping.Go(func() { run(probing) })
	}
	probed := make(chan error, 1)
	go func() { probed <- probe(probing) }()
	err := work()
	stop()
	keeping.Wait()
	if probeErr := <-probed; !errors.Is(probeErr, context.Canceled) {
		err = errors.Join(err, probeErr)
	}
	return err
}
