package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

type jobsCmd struct {
	List   jobsListCmd   `cmd:"" help:"List jobs, newest first."`
	Show   jobsShowCmd   `cmd:"" help:"Show one job."`
	Retry  jobsRetryCmd  `cmd:"" help:"Give jobs that failed, were cancelled or wait a new run."`
	Cancel jobsCancelCmd `cmd:"" help:"Give jobs up."`
}

type jobsListCmd struct {
	operatorSettings
	Organization organizationFlag `placeholder:"ID" help:"Of one organization only."`
	Status       string           `enum:",queued,running,succeeded,failed,cancelled" default:"" help:"queued, running, succeeded, failed or cancelled."`
	Kind         string           `help:"Of one kind only."`
	Limit        int              `default:"50" help:"At most so many."`
	JSON         bool             `help:"As JSON lines."`
}

// Run lists jobs.
func (c *jobsListCmd) Run(ctx context.Context, a *app) error {
	return c.withDB(ctx, a, func(db *store.DB) error {
		list, err := c.list(ctx, db)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSONLines(a, list)
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tORGANIZATION\tKIND\tSTATUS\tATTEMPT\tCREATED\tENDED\tWAITS FOR")
		for _, j := range list {
			waits := ""
			if j.WaitingReason != nil {
				waits = *j.WaitingReason
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\n", j.ID, j.OrganizationID, j.Kind, j.Status,
				j.Attempt, j.MaxAttempts, moment(&j.CreatedAt), moment(j.FinishedAt), waits)
		}
		return w.Flush()
	})
}

func (c *jobsListCmd) list(ctx context.Context, db *store.DB) ([]store.Job, error) {
	f := store.JobFilter{Status: c.Status, Kind: c.Kind, Limit: c.Limit}
	if c.Organization == "" {
		return db.AllJobs(ctx, f)
	}
	return db.Jobs(ctx, string(c.Organization), f)
}

type jobsShowCmd struct {
	operatorSettings
	ID string `arg:"" help:"Of the job."`
	// Prompts and answers are the organization's; an operator sees them only on purpose.
	Content bool `help:"Show input and output, which belong to the organization."`
}

// Run shows one job as JSON.
func (c *jobsShowCmd) Run(ctx context.Context, a *app) error {
	return c.withDB(ctx, a, func(db *store.DB) error {
		j, err := db.FindJob(ctx, c.ID)
		if err != nil {
			return err
		}
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(shownJob(j, c.Content))
	})
}

// shownJob is a job for an operator's eyes.
func shownJob(j store.Job, content bool) map[string]any {
	out := map[string]any{
		"id": j.ID, "organization_id": j.OrganizationID, "kind": j.Kind, "queue": j.Queue, "status": j.Status,
		"priority": j.Priority, "overflow": j.Overflow, "run": j.Run, "attempt": j.Attempt, "max_attempts": j.MaxAttempts,
		"error": j.Error, "waiting_reason": j.WaitingReason, "next_attempt_at": j.NextAttemptAt, "run_at": j.RunAt,
		"deadline": j.Deadline, "river_job_id": j.RiverJobID, "event_id": j.EventID, "request_id": j.RequestID,
		"created_at": j.CreatedAt, "started_at": j.StartedAt, "finished_at": j.FinishedAt, "version": j.Version,
	}
	if content {
		out["input"], out["output"], out["metadata"] = j.Input, j.Output, j.Metadata
	}
	return out
}

func printJSONLines(a *app, list []store.Job) error {
	encoder := json.NewEncoder(a.stdout)
	for _, j := range list {
		if err := encoder.Encode(shownJob(j, false)); err != nil {
			return err
		}
	}
	return nil
}

type jobsRetryCmd struct {
	operatorSettings
	ID []string `arg:"" help:"Of the jobs."`
}

// Run gives jobs a new run.
func (c *jobsRetryCmd) Run(ctx context.Context, a *app) error {
	return c.change(ctx, a, c.ID, "retried", func(tx pgx.Tx, j store.Job) error {
		event := outbox.NewID()
		j, err := store.RequeueJob(ctx, tx, j.OrganizationID, j.ID, event, store.Fair)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		err = outbox.QueueAs(b, event, outbox.Origin{OrganizationID: j.OrganizationID}, events.JobRequested{
			JobID: j.ID, Kind: j.Kind, Queue: j.Queue, Run: j.Run, Priority: j.Priority, MaxAttempts: j.MaxAttempts,
			RunAt: j.RunAt, Version: j.Version,
		})
		if err != nil {
			return err
		}
		return tx.SendBatch(ctx, b).Close()
	})
}

type jobsCancelCmd struct {
	operatorSettings
	ID []string `arg:"" help:"Of the jobs."`
}

// Run gives jobs up.
func (c *jobsCancelCmd) Run(ctx context.Context, a *app) error {
	return c.change(ctx, a, c.ID, "cancelled", func(tx pgx.Tx, j store.Job) error {
		j, err := store.CancelJob(ctx, tx, j.OrganizationID, j.ID)
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, outbox.Origin{OrganizationID: j.OrganizationID},
			events.JobCancelled{JobID: j.ID, Kind: j.Kind, Version: j.Version})
	})
}

// change does one thing to several jobs, each in a transaction of its own, and reports on each.
func (s operatorSettings) change(ctx context.Context, a *app, ids []string, done string, do func(pgx.Tx, store.Job) error) error {
	return s.withDB(ctx, a, func(db *store.DB) error {
		failed := 0
		for _, id := range ids {
			j, err := db.FindJob(ctx, id)
			if err == nil {
				err = db.Tx(ctx, func(tx pgx.Tx) error { return do(tx, j) })
			}
			if err != nil {
				failed++
				fmt.Fprintln(a.stderr, "payaid:", err)
				continue
			}
			fmt.Fprintln(a.stdout, done, id)
		}
		if failed > 0 {
			return fmt.Errorf("%d of %d jobs are as they were", failed, len(ids))
		}
		return nil
	})
}
