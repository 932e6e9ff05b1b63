package cli

import (
	"context"

	"github.com/payaid/payaid/internal/telemetry"
)

type relayCmd struct {
	databaseSettings
	natsSettings
	dataSettings
	traceSettings
	logSettings
}

// Help implements kong.HelpProvider.
func (relayCmd) Help() string {
	return "Any number of relays may run; one is active, and another takes over within seconds when it is gone."
}

// Run relays until it is told to stop.
func (c *relayCmd) Run(ctx context.Context, a *app) error {
	if err := c.join(&c.databaseSettings, &c.natsSettings, &redisSettings{}); err != nil {
		return err
	}
	p := a.problems()
	level, format := c.logSettings.check(&p)
	pool, natsURL := c.databaseSettings.check(&p), c.natsSettings.check(&p)
	traces := c.traceSettings.check(&p)
	if err := p.err(); err != nil {
		return err
	}
	return a.runRelay(ctx, pool, natsURL, traces, telemetry.NewLog(a.stderr, format, level).With("process", "relay"))
}
