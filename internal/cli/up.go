package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/internal/telemetry/otlp"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
	"github.com/payaid/payaid/workers"
)

type upCmd struct {
	Data string `help:"Folder for the data (${default_data})." placeholder:"DIR"`
	Demo bool   `help:"Show the product at work, with an organization full of sample data."`
	Exit bool   `help:"End after the demo, with status 0 only if all of it worked. With no model in reach that is: AI jobs wait, and say why."`
	upServices
	listenSettings
	limitSettings
	aiLimitSettings
	adminSettings
	gstSettings
	aiSettings
	linkSettings
	mailSettings
	sendingSettings
	inboxSettings
	backupSettings
	webhookSettings
	traceSettings
	metricsSettings
	stopSettings
	logSettings
}

// upServices are used instead of private ones where they are set.
type upServices struct {
	DatabaseURL    string `env:"DATABASE_URL" secret:"" help:"Postgres to use instead of a private one."`
	DBPoolSize     string `name:"db-pool-size" env:"DB_POOL_SIZE" default:"20" help:"Connections that each part keeps."`
	DBPoolOverflow string `name:"db-pool-overflow" env:"DB_POOL_OVERFLOW" default:"10" help:"Connections beyond those under load."`
	DBPoolTimeout  string `name:"db-pool-timeout" env:"DB_POOL_TIMEOUT" default:"30s" help:"Longest wait for a free connection."`
	RedisURL       string `env:"REDIS_URL" secret:"" help:"Redis to use instead of a private one."`
	NATSURL        string `name:"nats-url" env:"NATS_URL" secret:"" help:"NATS to use instead of the one inside."`
}

// Help implements kong.HelpProvider.
func (upCmd) Help() string {
	return "Needs the programs of Postgres and Redis, and starts private servers of both under the data folder, NATS " +
		"inside the process, a mail sink, the API, the relay and workers for every queue. A service that is configured is " +
		"used instead. Ends cleanly on SIGTERM, and starts again on the same data after any end."
}

// upSetup is what `up` is started with.
type upSetup struct {
	data     string
	listen   string
	adminKey string
	rates    gst.Rates
	limits   limits
	aiRates  []aiRate
	model    model
	links    string // PUBLIC_URL
	mail     mailServer
	sending  sending
	inbox    inbox
	backups  backups
	webhooks webhooks
	receiver *demoReceiver // nil: there is no demo
	metrics  string        // address, "": none
	services upServices
	traces   otlp.Options
	watch    *watch
	log      *slog.Logger
	// stopGrace is how long jobs may go on after the process was told to stop.
	stopGrace time.Duration
}

// Run runs everything until it is told to stop.
func (c *upCmd) Run(ctx context.Context, a *app) error {
	setup, err := c.check(a)
	if err != nil {
		return err
	}
	// Taken first: there is no use in starting databases for an address that can't be had.
	listener, err := listen(ctx, setup.listen)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	how := watching{address: setup.metrics, parts: []string{apiPart, relayPart, workerPart}, model: setup.model, traces: setup.traces}
	return a.watched(ctx, how, setup.log.With("process", "metrics"), func(ctx context.Context, w *watch) error {
		setup.watch = w
		return c.start(ctx, a, setup, listener)
	})
}

// start runs everything behind an address that is taken.
func (c *upCmd) start(ctx context.Context, a *app, setup upSetup, listener net.Listener) error {
	unlock, err := lockData(setup.data)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer unlock()
	services, err := startServices(ctx, setup)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer services.stop()
	migrator := migrations.Migrator{DatabaseURL: services.databaseURL, Report: func(line string) { setup.log.Info("migration goes on", "progress", line) }}
	if _, err := migrator.Up(ctx); err != nil {
		return errors.Join(fmt.Errorf("migrate: %w", err), listener.Close())
	}
	return c.work(ctx, a, setup, services, listener)
}

func (c *upCmd) check(a *app) (upSetup, error) {
	p := a.problems()
	level, format := c.logSettings.check(&p)
	s := upSetup{
		data: c.Data, listen: c.listenSettings.check(&p), adminKey: c.adminSettings.check(&p),
		rates: c.gstSettings.check(&p), limits: c.limitSettings.check(&p), aiRates: c.aiLimitSettings.check(&p), model: c.aiSettings.check(&p, rulesOn), links: c.linkSettings.check(&p), mail: c.mailSettings.check(&p),
		sending:  c.sendingSettings.check(&p),
		inbox:    c.inboxSettings.check(&p, c.MailBounces),
		backups:  c.backupSettings.check(&p),
		webhooks: c.webhookSettings.check(&p),
		metrics:  c.metricsSettings.check(&p, c.Listen),
		services: c.upServices, traces: c.traceSettings.check(&p), stopGrace: c.stopSettings.check(&p),
	}
	if c.Exit && !c.Demo {
		p.add("--exit", "ends after the demo, so it needs --demo")
	}
	// The address of a private Postgres is not known yet; the rest is checked all the same.
	databaseSettings{DatabaseURL: cmp.Or(c.DatabaseURL, "postgres://127.0.0.1/payaid"), DBPoolSize: c.DBPoolSize,
		DBPoolOverflow: c.DBPoolOverflow, DBPoolTimeout: c.DBPoolTimeout}.check(&p)
	if c.NATSURL != "" {
		natsSettings{NATSURL: c.NATSURL}.check(&p)
	}
	redisSettings{RedisURL: c.RedisURL}.check(&p)
	if s.data == "" {
		s.data = defaultData(a.lookup)
	}
	if err := p.err(); err != nil {
		return s, err
	}
	s.log = telemetry.NewLog(a.stderr, format, level)
	data, err := filepath.Abs(s.data)
	if err != nil {
		return s, err
	}
	s.data = data
	// Others must be able to pass through to their own folders below; secrets have their own modes.
	if err := os.MkdirAll(s.data, 0o755); err != nil {
		return s, fmt.Errorf("make the data folder: %w", err)
	}
	if s.adminKey == "" {
		s.adminKey, err = keptSecret(filepath.Join(s.data, "admin-key"))
	}
	return s, err
}

// lockData keeps a second `up` off the same folder.
func lockData(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "up.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(f.Name())
		_ = f.Close()
		return nil, fmt.Errorf("another `payaid up` (process %s) uses %s; stop it, or choose another folder with --data",
			strings.TrimSpace(string(pid)), dir)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return func() {
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // a child that is being forked holds a copy of the descriptor
		_ = f.Close()
	}, nil
}

// work runs the parts of the product until ctx ends or one of them gives up.
func (c *upCmd) work(ctx context.Context, a *app, s upSetup, services *services, listener net.Listener) error {
	var p problems
	pool := databaseSettings{DatabaseURL: services.databaseURL, DBPoolSize: c.DBPoolSize, DBPoolOverflow: c.DBPoolOverflow,
		DBPoolTimeout: c.DBPoolTimeout}.check(&p)
	if err := p.err(); err != nil {
		return errors.Join(err, listener.Close())
	}
	address := "http://" + listener.Addr().String()
	if c.Demo {
		var err error
		if s.receiver, err = openDemoReceiver(); err != nil {
			return errors.Join(err, listener.Close())
		}
		defer s.receiver.close()
		s.webhooks.policy.Own = []netip.AddrPort{s.receiver.address}
	}
	here := running{PID: os.Getpid(), API: address, Metrics: s.watch.address(), DatabaseURL: services.databaseURL, NATSURL: services.natsURL,
		RedisURL: services.redisURL, SinkPort: services.sinkPort}
	if err := here.write(s.data); err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { _ = os.Remove(filepath.Join(s.data, runningFile)) }()

	if s.links == "" && services.sink != nil && isLoopback(listener.Addr().(*net.TCPAddr).IP.String()) {
		s.links = address // whoever reads the sink's mail can follow its links on this machine
	}
	sources := s.watch.sources()
	defer sources.remove()
	sources.disk("data", s.data)
	working, stop := context.WithCancel(ctx)
	defer stop()
	group, working := errgroup.WithContext(working)
	group.Go(func() error {
		return a.runAPI(working, apiSetup{data: s.data, pool: pool, natsURL: services.natsURL, redisURL: services.redisURL,
			adminKey: s.adminKey, rates: s.rates, limits: s.limits, aiRates: s.aiRates, pricing: s.model.pricing(),
			sink: services.sink, retention: s.backups.config.Retention, webhooks: s.webhooks.policy, traces: s.traces, watch: s.watch}, listener, s.log.With("process", "api"))
	})
	group.Go(func() error {
		return ended(a.runRelay(working, relaySetup{pool: pool, natsURL: services.natsURL, redisURL: services.redisURL, data: s.data, traces: s.traces, watch: s.watch}, s.log.With("process", "relay")))
	})
	group.Go(func() error { return a.keepWorking(working, s, pool, services) })
	group.Go(func() error {
		if err := c.tell(working, a, s, address, services); err != nil || c.Exit {
			stop()
			return err
		}
		return nil
	})
	return ended(group.Wait())
}

// keepWorking runs a worker for every queue. One that others took for dead starts anew.
func (a *app) keepWorking(ctx context.Context, s upSetup, p pool, services *services) error {
	queues := make(map[string]int)
	for _, q := range jobs.Queues() {
		queues[q.Name] = q.Workers
	}
	for _, j := range a.table(jobs.Deps{}) {
		queues[j.Spec.Queue.Name] = j.Spec.Queue.Workers
	}
	setup := workerSetup{data: s.data, pool: p, natsURL: services.natsURL, redisURL: services.redisURL, model: s.model, queues: queues, publicURL: s.links, traces: s.traces, watch: s.watch,
		mail: s.mail.orSink(services.sinkPort), sending: s.sending, inbox: s.inbox,
		webhooks: s.webhooks, stopGrace: s.stopGrace, backups: s.backups.in(filepath.Join(s.data, "backups"))}
	for {
		err := a.runWorker(ctx, setup, s.log.With("process", "worker"))
		if !errors.Is(err, workers.ErrGivenAway) || ctx.Err() != nil {
			return ended(err)
		}
		s.log.Warn("worker starts anew", "error", err)
	}
}

// ended takes the end of a context for what it is.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// tell prints where everything is, once it is ready, and gives the demo.
func (c *upCmd) tell(ctx context.Context, a *app, s upSetup, address string, services *services) error {
	api := client{base: address, key: s.adminKey}
	if err := api.waitReady(ctx, 30*time.Second); err != nil {
		return err
	}
	model := lookAtModel(ctx, s.model.chain)
	if model.remedy != "" {
		model.text += "\n             → " + model.remedy
	}
	fmt.Fprintf(a.stdout, "\nPayAid is ready.\n\n  API        %s   (documentation: %s/docs)\n  pages      %s/admin   (sign in with the admin key)\n  admin key  %s\n%s  data       %s\n%s  AI         %s\n\n",
		address, address, address, s.adminKey, services.describe(), s.data, s.watch.describe(), model.text)
	if !c.Demo {
		return nil
	}
	err := a.demo(ctx, demoSetup{admin: api, receiver: s.receiver, model: model.reachable, rules: s.model.rules, sink: services.sinkPort != 0,
		databaseURL: services.databaseURL, data: s.data})
	if err != nil && !c.Exit && ctx.Err() == nil {
		fmt.Fprintf(a.stderr, "payaid: %v\nThe product goes on; what is above says why it did not.\n", err)
		return nil
	}
	return err
}
