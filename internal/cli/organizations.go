package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/payaid/payaid/internal/store"
)

type organizationsCmd struct {
	List organizationsListCmd `cmd:"" help:"List organizations with their ids, newest first."`
}

type organizationsListCmd struct {
	operatorSettings
	Limit int  `default:"100" help:"At most so many, to 10000."`
	JSON  bool `help:"As JSON lines."`
}

// Run lists organizations.
func (c *organizationsListCmd) Run(ctx context.Context, a *app) error {
	const most = 10_000
	if c.Limit < 1 || c.Limit > most {
		return fmt.Errorf("--limit: want a whole number from 1 to %d, got %d", most, c.Limit)
	}
	return c.withDB(ctx, a, func(db *store.DB) error {
		// One more tells whether there are more.
		list, err := db.Organizations(ctx, c.Limit+1)
		if err != nil {
			return err
		}
		more := len(list) > c.Limit
		list = list[:min(c.Limit, len(list))]
		if err := c.print(a, list); err != nil {
			return err
		}
		if more {
			fmt.Fprintf(a.stderr, "there are more than %d; --limit shows more of them\n", c.Limit)
		}
		return nil
	})
}

func (c *organizationsListCmd) print(a *app, list []store.Organization) error {
	if c.JSON {
		encoder := json.NewEncoder(a.stdout)
		for _, o := range list {
			if err := encoder.Encode(map[string]any{"id": o.ID, "name": o.Name, "state": o.State, "plan": o.Plan, "created_at": o.CreatedAt.UTC()}); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATE\tPLAN\tCREATED")
	for _, o := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", o.ID, o.Name, o.State, o.Plan, moment(&o.CreatedAt))
	}
	return w.Flush()
}
