package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/likeness"
	"github.com/payaid/payaid/internal/sampledata"
	"github.com/payaid/payaid/internal/store"
)

type seedCmd struct {
	operatorSettings
	Organizations int       `default:"1" help:"How many to make."`
	Contacts      int       `default:"1000" help:"Contacts of each."`
	Deals         int       `default:"2000" help:"Deals of each."`
	Invoices      int       `default:"1000" help:"Invoices of each, with their items and payments."`
	Jobs          int       `default:"0" help:"Jobs that have ended, of all the organizations together: rows of River's and of ours, of the last 20 hours."`
	Seed          *uint64   `placeholder:"NUMBER" help:"The same seed and day make the same data, ids included; one at random by default, which is printed."`
	Today         time.Time `format:"2006-01-02" placeholder:"DATE" help:"Day before which all of it happened; the current one by default."`
	Name          string    `help:"Name of the organizations, numbered if there are several."`
	Keys          bool      `help:"Make a key for each, and print it."`
}

// Help implements kong.HelpProvider.
func (seedCmd) Help() string {
	return "Contacts, deals, invoices and payments of made-up small businesses in India over eighteen months. Each " +
		"organization is made as a whole or not at all. DATABASE_URL must be the login that owns the tables, as the rows are " +
		"copied past row-level security. A big load into tables that hold less has those tables for itself until it ends. No events are written, so no jobs run because of the data. None of the jobs of --jobs is left to be worked; for 5,000,000 of them think of 6 GB and some minutes."
}

// Run makes the organizations and says what was made.
func (c *seedCmd) Run(ctx context.Context, a *app) error {
	if c.Jobs < 0 || c.Jobs > sampledata.Most {
		return fmt.Errorf("--jobs: want a number from 0 to %d, got %d", sampledata.Most, c.Jobs)
	}
	r, err := c.find(a)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, r.DatabaseURL)
	if err != nil {
		return advised(fmt.Errorf("connect to the database: %w", err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if c.Seed == nil {
		// Short enough to be typed, and never one of those small ones that people choose.
		random := 1_000_000 + rand.Uint64N(1_000_000_000_000)
		c.Seed = &random
	}
	began := time.Now()
	keys := make(map[string]string)
	o := sampledata.Options{Organizations: c.Organizations, Contacts: c.Contacts, Deals: c.Deals, Invoices: c.Invoices,
		Seed: *c.Seed, Today: c.Today, Name: c.Name}
	o.Progress = func(table string, rows int64) {
		fmt.Fprintf(a.stderr, "%8s  %s: %d rows\n", time.Since(began).Round(time.Second), table, rows)
	}
	if c.Keys {
		o.Made = func(ctx context.Context, tx pgx.Tx, made sampledata.Organization) (err error) {
			keys[made.ID], err = createSampleKey(ctx, tx, made.ID)
			return err
		}
	}
	sum, err := sampledata.Fill(ctx, conn, o)
	for _, made := range sum.Organizations {
		fmt.Fprintf(a.stdout, "%s  %s, %s", made.ID, made.Name, made.State)
		if key, ok := keys[made.ID]; ok {
			fmt.Fprintf(a.stdout, "  %s", key)
		}
		fmt.Fprintln(a.stdout)
	}
	if len(sum.Organizations) > 0 {
		c.tell(a, sum, time.Since(began))
	}
	if err == nil && c.Jobs > 0 {
		err = c.fillJobs(ctx, conn, sum.Organizations, o)
	}
	if errors.Is(err, sampledata.ErrNotOwner) {
		return fmt.Errorf("%w: give DATABASE_URL the login that runs `payaid migrate`", err)
	}
	return advised(err)
}

func (c *seedCmd) fillJobs(ctx context.Context, conn *pgx.Conn, made []sampledata.Organization, o sampledata.Options) error {
	ended := sampledata.JobOptions{Jobs: c.Jobs, Seed: o.Seed, Fingerprint: likeness.Of, Progress: o.Progress}
	for _, organization := range made {
		ended.Organizations = append(ended.Organizations, organization.ID)
	}
	return sampledata.FillJobs(ctx, conn, ended)
}

func createSampleKey(ctx context.Context, tx pgx.Tx, organization string) (string, error) {
	text, prefix, hash := api.NewKey()
	_, err := store.CreateAPIKey(ctx, tx, store.APIKey{OrganizationID: organization, ID: outbox.NewID(), Name: "sample data",
		Prefix: prefix, Scopes: []string{"read", "write", "jobs"}}, hash)
	return text, err
}

func (c *seedCmd) tell(a *app, sum sampledata.Summary, took time.Duration) {
	rows := sum.Contacts + sum.Deals + sum.Invoices + sum.Items + sum.Payments
	organizations := "organizations"
	if len(sum.Organizations) == 1 {
		organizations = "organization"
	}
	fmt.Fprintf(a.stdout, "made %d %s with %d contacts, %d deals, %d invoices of %d items, %d payments\n",
		len(sum.Organizations), organizations, sum.Contacts, sum.Deals, sum.Invoices, sum.Items, sum.Payments)
	fmt.Fprintf(a.stdout, "in %s, %.0f rows a second; no events were written\n", took.Round(time.Millisecond), float64(rows)/took.Seconds())
	fmt.Fprintf(a.stdout, "the same again, in an empty database: --seed=%d --today=%s\n", *c.Seed, sum.Today.Format(time.DateOnly))
}
