package cli

import (
	"context"

	"github.com/payaid/payaid/internal/telemetry"
)

type relayCmd struct {
	databaseSettings
	natsSettings
	redisSettings
	dataSettings
	traceSettings
	metricsSettings
	logSettings
}

// Help implements kong.HelpProvider.
func (relayCmd) Help() string {
	return "Any number of relays may run; one is active, and another takes over within seconds when it is gone."
}

// Run relays until it is told to stop.
func (c *relayCmd) Run(ctx context.Context, a *app) error {
	if err := c.join(&c.databaseSettings, &c.natsSettings, &c.redisSettings); err != nil {
		return err
	}
	p := a.problems()
	level, format := c.logSettings.check(&p)
	setup := relaySetup{pool: c.databaseSettings.check(&p), natsURL: c.natsSettings.check(&p), redisURL: c.redisSettings.check(&p), data: c.Data, traces: c.traceSettings.check(&p)}
	metrics := c.metricsSettings.check(&p, "")
	if err := p.err(); err != nil {
		return err
	}
	log := telemetry.NewLog(a.stderr, format, level).With("process", "relay")
	return a.watched(ctx, watching{address: metrics, parts: []string{relayPart}, traces: setup.traces}, log, func(ctx context.Context, w *watch) error {
		setup.watch = w
		notify, err := a.serviceManager(ctx)
		if err != nil {
			return err
		}
		defer notify.close()
		setup.alive = notify.alive
		return a.runRelay(ctx, setup, log)
	})
}
