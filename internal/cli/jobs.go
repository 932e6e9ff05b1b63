package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/payaid/payaid/operator"
)

type jobsCmd struct {
	List   jobsListCmd   `cmd:"" help:"List jobs, newest first."`
	Show   jobsShowCmd   `cmd:"" help:"Show one job."`
	Retry  jobsRetryCmd  `cmd:"" help:"Give jobs that failed, were cancelled or wait a new run."`
	Cancel jobsCancelCmd `cmd:"" help:"Give jobs up."`
}

// jobsPath is where the API has jobs for who operates the installation.
const jobsPath = "/api/admin/jobs"

type jobsListCmd struct {
	adminAPI
	Organization organizationFlag `placeholder:"ID" help:"Of one organization only."`
	Status       string           `enum:",queued,waiting,scheduled,running,succeeded,failed,cancelled" default:"" help:"queued, waiting (put off), scheduled (for later), running, succeeded, failed or cancelled."`
	Kind         string           `help:"Of one kind only."`
	Queue        string           `help:"Of one queue only."`
	Error        string           `placeholder:"TEXT" help:"That failed with this text in the error."`
	Internal     bool             `help:"Also those that facts and the clock started."`
	Limit        int              `default:"50" help:"At most so many."`
	JSON         bool             `help:"As JSON lines."`
}

// mostListed is how many jobs the API gives at a time.
const mostListed = 200

// Run lists jobs.
func (c *jobsListCmd) Run(ctx context.Context, a *app) error {
	if c.Limit < 1 {
		return fmt.Errorf("--limit: want a number from 1, got %d", c.Limit)
	}
	return c.with(ctx, a, func(api *operator.Client) error {
		list, err := c.list(ctx, api)
		if err != nil {
			return err
		}
		if c.JSON {
			encoder := json.NewEncoder(a.stdout)
			for _, j := range list {
				if err := encoder.Encode(j); err != nil {
					return err
				}
			}
			return nil
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tORGANIZATION\tKIND\tSTATUS\tATTEMPT\tCREATED\tENDED\tWAITS FOR")
		for _, j := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\n", j.ID, orEmpty(j.OrganizationID), j.Kind, j.Status,
				j.Attempt, j.MaxAttempts, moment(&j.CreatedAt), moment(j.FinishedAt), orEmpty(j.WaitingReason))
		}
		return w.Flush()
	})
}

func (c *jobsListCmd) query() url.Values {
	query := url.Values{"sort": {"requested"}}
	if c.Internal {
		query = url.Values{"routine": {"show"}}
	}
	for name, value := range map[string]string{"organization_id": string(c.Organization), "status": c.Status, "kind": c.Kind,
		"queue": c.Queue, "error": c.Error} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// list reads pages until there are enough.
func (c *jobsListCmd) list(ctx context.Context, api *operator.Client) (list []operator.Job, err error) {
	query := c.query()
	for len(list) < c.Limit {
		query.Set("limit", strconv.Itoa(min(mostListed, c.Limit-len(list))))
		var page operator.JobList
		if err := api.Get(ctx, jobsPath, query, &page); err != nil {
			return nil, err
		}
		list = append(list, page.Data...)
		if page.NextCursor == nil {
			break
		}
		query.Set("cursor", *page.NextCursor)
	}
	return list, nil
}

type jobsShowCmd struct {
	adminAPI
	ID string `arg:"" help:"Of the job."`
	// Prompts and answers are the organization's; an operator sees them only on purpose.
	Content bool `help:"Show input, output and where to call back too, which belong to the organization. It is noted in the audit log."`
}

// Run shows one job as JSON.
func (c *jobsShowCmd) Run(ctx context.Context, a *app) error {
	return c.with(ctx, a, func(api *operator.Client) error {
		path := jobsPath + "/" + url.PathEscape(c.ID)
		var shown map[string]json.RawMessage
		if err := api.Get(ctx, path, nil, &shown); err != nil {
			return fmt.Errorf("job %s: %w", c.ID, err)
		}
		if c.Content {
			var content map[string]json.RawMessage
			if err := api.Do(ctx, http.MethodPost, path+"/reveal", nil, &content); err != nil {
				return fmt.Errorf("content of job %s: %w", c.ID, err)
			}
			for name, value := range content {
				shown[name] = value
			}
		}
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(shown)
	})
}

type jobsRetryCmd struct {
	adminAPI
	ID []string `arg:"" help:"Of the jobs."`
}

// Run gives jobs a new run.
func (c *jobsRetryCmd) Run(ctx context.Context, a *app) error {
	return c.each(ctx, a, c.ID, "retry", "retried")
}

type jobsCancelCmd struct {
	adminAPI
	ID []string `arg:"" help:"Of the jobs."`
}

// Run gives jobs up.
func (c *jobsCancelCmd) Run(ctx context.Context, a *app) error {
	return c.each(ctx, a, c.ID, "cancel", "cancelled")
}

// each does one thing to several jobs and reports on each.
func (s adminAPI) each(ctx context.Context, a *app, ids []string, do, done string) error {
	return s.with(ctx, a, func(api *operator.Client) error {
		failed := 0
		for _, id := range ids {
			err := api.Do(ctx, http.MethodPost, jobsPath+"/"+url.PathEscape(id)+"/"+do, nil, nil)
			if err == nil {
				fmt.Fprintln(a.stdout, done, id)
				continue
			}
			var refused *operator.Problem
			if !errors.As(err, &refused) {
				return err
			}
			failed++
			fmt.Fprintf(a.stderr, "payaid: job %s: %v\n", id, err)
		}
		if failed > 0 {
			return fmt.Errorf("%d of %d jobs are as they were", failed, len(ids))
		}
		return nil
	})
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
