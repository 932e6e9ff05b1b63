package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

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
	url := p.database(s.DatabaseURL)
	return url, p.err()
}

// migrator says on standard error what it does and waits for.
func (s migrateSettings) migrator(a *app) (migrations.Migrator, error) {
	url, err := s.url(a)
	return migrations.Migrator{DatabaseURL: url, Report: func(line string) { fmt.Fprintln(a.stderr, line) }}, err
}

// migrateWait is how patient a change is.
type migrateWait struct {
	Wait time.Duration `default:"10m" help:"Longest wait for a backup, another migration, a lock or a restart."`
}

type migrateUpCmd struct {
	migrateSettings
	migrateWait
}

// Run applies what is pending.
func (c *migrateUpCmd) Run(ctx context.Context, a *app) error {
	m, err := c.migrator(a)
	if err != nil {
		return err
	}
	m.Patience = c.Wait
	applied, err := m.Up(ctx)
	for _, name := range applied {
		fmt.Fprintln(a.stdout, "applied", name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(a.stdout, "the schema is up to date")
	}
	return err
}

type migrateDownCmd struct {
	migrateSettings
	migrateWait
	Yes bool `help:"Don't ask."`
}

// Run says what taking the newest migration back would do, asks, and does it.
func (c *migrateDownCmd) Run(ctx context.Context, a *app) error {
	m, err := c.migrator(a)
	if err != nil {
		return err
	}
	m.Patience = c.Wait
	undo, err := m.NextDown(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s would be taken back by:\n\n%s\n\n", undo.Name, undo.Script)
	if len(undo.Lost) > 0 {
		fmt.Fprintf(a.stdout, "Lost with it: %s\n", strings.Join(undo.Lost, ", "))
	}
	if !c.Yes && !(interactive() && confirmed(a, "Take it back?")) {
		return errors.New("nothing was taken back: it was not confirmed, and where nobody can be asked it takes --yes")
	}
	if err := m.Down(ctx, undo.Name); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "took back", undo.Name)
	return nil
}

// interactive is true where someone may be typing. An answer from a pipe was written before the question.
func interactive() bool {
	in, err := os.Stdin.Stat()
	return err == nil && in.Mode()&os.ModeCharDevice != 0
}

type migrateStatusCmd struct{ migrateSettings }

// Run lists the migrations, and says what is going on.
func (c *migrateStatusCmd) Run(ctx context.Context, a *app) error {
	m, err := c.migrator(a)
	if err != nil {
		return err
	}
	steps, err := m.Status(ctx)
	if err != nil {
		return err
	}
	for _, s := range steps {
		when := "pending"
		if !s.AppliedAt.IsZero() {
			when = s.AppliedAt.UTC().Format("2006-01-02 15:04:05Z")
		}
		fmt.Fprintf(a.stdout, "%-20s  %s\n", when, s.Name)
	}
	now, err := m.Now(ctx)
	for _, line := range now {
		fmt.Fprintln(a.stdout, line)
	}
	return err
}
