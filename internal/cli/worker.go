package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/jobs"
)

type workerCmd struct {
	Queue []string `required:"" placeholder:"NAME[:N]" help:"A queue to work, and how many of its jobs at a time. May be given several times."`
	databaseSettings
	natsSettings
	dataSettings
	redisSettings
	aiSettings
	mailSettings
	sendingSettings
	inboxSettings
	linkSettings
	backupSettings
	webhookSettings
	traceSettings
	metricsSettings
	stopSettings
	logSettings
}

// Help implements kong.HelpProvider.
func (workerCmd) Help() string {
	var lines []string
	for _, q := range jobs.Queues() {
		lines = append(lines, fmt.Sprintf("%s (%d)", q.Name, q.Workers))
	}
	return "The queues, and how many jobs at a time a process works unless told otherwise: " + strings.Join(lines, ", ") +
		". Every worker knows every kind of job; --queue only chooses what it works."
}

// Run works until it is told to stop.
func (c *workerCmd) Run(ctx context.Context, a *app) error {
	if err := c.join(&c.databaseSettings, &c.natsSettings, &c.redisSettings); err != nil {
		return err
	}
	p := a.problems()
	level, format := c.logSettings.check(&p)
	setup := workerSetup{
		pool: c.databaseSettings.check(&p), natsURL: c.natsSettings.check(&p), redisURL: c.redisSettings.check(&p), model: c.aiSettings.check(&p, rulesOff),
		queues: readQueues(c.Queue, a.table(jobs.Deps{}), &p), publicURL: c.linkSettings.check(&p), traces: c.traceSettings.check(&p),
		mail: c.mailSettings.check(&p).orSink(c.sink()), sending: c.sendingSettings.check(&p), inbox: c.inboxSettings.check(&p, c.MailBounces),
		backups: c.backupSettings.check(&p), webhooks: c.webhookSettings.check(&p), data: c.Data, stopGrace: c.stopSettings.check(&p),
	}
	metrics := c.metricsSettings.check(&p, "")
	if err := p.err(); err != nil {
		return err
	}
	log := telemetry.NewLog(a.stderr, format, level).With("process", "worker")
	return a.watched(ctx, watching{address: metrics, parts: []string{workerPart}, model: setup.model, traces: setup.traces}, log, func(ctx context.Context, w *watch) error {
		setup.watch = w
		notify, err := a.serviceManager(ctx)
		if err != nil {
			return err
		}
		defer notify.close()
		setup.alive = notify.alive
		return a.runWorker(ctx, setup, log)
	})
}

// readQueues reads NAME or NAME:N. A queue that no kind of job uses is a typing mistake.
func readQueues(list []string, table []jobs.Job, p *problems) map[string]int {
	known := make(map[string]int)
	for _, q := range jobs.Queues() {
		known[q.Name] = q.Workers
	}
	for _, j := range table {
		if _, ok := known[j.Spec.Queue.Name]; !ok {
			known[j.Spec.Queue.Name] = j.Spec.Queue.Workers
		}
	}
	out := make(map[string]int)
	for _, one := range list {
		name, number, explicit := strings.Cut(one, ":")
		n, ok := known[name]
		if !ok {
			p.add("--queue", "there is no queue %q; the queues are %s", name, strings.Join(sortedNames(known), ", "))
			continue
		}
		if explicit {
			var err error
			if n, err = strconv.Atoi(number); err != nil || n < 1 || n > 10000 {
				p.add("--queue", "want %s:N with N from 1 to 10000, got %q", name, one)
			}
		}
		out[name] = n
	}
	return out
}

func sortedNames[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
