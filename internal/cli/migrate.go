package cli

import (
	"context"
	"fmt"

	"github.com/payaid/payaid/migrations"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" default:"withargs" help:"Apply what is pending (the default)."`
	Down   migrateDownCmd   `cmd:"" help:"Take back the newest migration."`
	Status migrateStatusCmd `cmd:"" help:"List the migrations."`
}

// migrateSettings is the login that owns the tables.
type migrateSettings struct {
	DatabaseURL string `env:"DATABASE_URL" secret:"" help:"Postgres, by the login that owns the tables."`
	Data        string `help:"Folder of a running 'payaid up', instead of DATABASE_URL." placeholder:"DIR"`
}

func (s migrateSettings) url(a *app) (string, error) {
	p := a.problems()
	if len(p.list) == 0 && s.DatabaseURL == "" && s.Data != "" {
		r, err := readRunning(s.Data)
		return r.DatabaseURL, err
	}
	url := p.postgres("DATABASE_URL", s.DatabaseURL)
	return url, p.err()
}

type migrateUpCmd struct{ migrateSettings }

// Run applies what is pending.
func (c *migrateUpCmd) Run(ctx context.Context, a *app) error {
	url, err := c.url(a)
	if err != nil {
		return err
	}
	applied, err := migrations.Up(ctx, url)
	for _, name := range applied {
		fmt.Fprintln(a.stdout, "applied", name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(a.stdout, "the schema is up to date")
	}
	return err
}

type migrateDownCmd struct{ migrateSettings }

// Run takes one migration back.
func (c *migrateDownCmd) Run(ctx context.Context, a *app) error {
	url, err := c.url(a)
	if err != nil {
		return err
	}
	name, err := migrations.Down(ctx, url)
	if err == nil {
		fmt.Fprintln(a.stdout, "took back", name)
	}
	return err
}

type migrateStatusCmd struct{ migrateSettings }

// Run lists the migrations.
func (c *migrateStatusCmd) Run(ctx context.Context, a *app) error {
	url, err := c.url(a)
	if err != nil {
		return err
	}
	steps, err := migrations.Status(ctx, url)
	for _, s := range steps {
		when := "pending"
		if !s.AppliedAt.IsZero() {
			when = s.AppliedAt.UTC().Format("2006-01-02 15:04:05Z")
		}
		fmt.Fprintf(a.stdout, "%-20s  %s\n", when, s.Name)
	}
	return err
}
