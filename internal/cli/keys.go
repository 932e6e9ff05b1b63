package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key; it is shown once."`
	List   keysListCmd   `cmd:"" help:"List an organization's keys."`
	Revoke keysRevokeCmd `cmd:"" help:"End a key for good."`
}

// withDB lends a command the database in the operator's role.
func (s operatorSettings) withDB(ctx context.Context, a *app, do func(*store.DB) error) error {
	r, err := s.find(a)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.PoolOptions{
		URL: r.DatabaseURL, Role: store.System, Name: "payaid-command", MaxConns: 4, AcquireWait: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	defer db.Close()
	return advised(do(db))
}

// advised says in words what to do where the database has no schema, or does not let us in.
func advised(err error) error {
	var unusable *store.UnusableError
	if errors.As(store.Explain(err), &unusable) {
		return errors.New(unusable.Reason())
	}
	return err
}

// noForeignKey is a code of Postgres (appendix A of its manual).
const noForeignKey = "23503"

type keysCreateCmd struct {
	operatorSettings
	Organization organizationFlag `required:"" placeholder:"ID" help:"Whose key it is; 'operator' for the operator's own."`
	Name         string           `required:"" help:"What the key is for."`
	Scope        []string         `default:"read,write,jobs" enum:"read,write,jobs,admin" help:"What it may do: read, write, jobs, admin."`
	ExpiresIn    time.Duration    `help:"Ends by itself after this time, such as 720h."`
}

// Run makes a key and prints it.
func (c *keysCreateCmd) Run(ctx context.Context, a *app) error {
	if c.ExpiresIn < 0 {
		return errors.New("--expires-in: want a time in the future")
	}
	text, prefix, hash := api.NewKey()
	k := store.APIKey{OrganizationID: string(c.Organization), ID: outbox.NewID(), Name: c.Name, Prefix: prefix, Scopes: c.Scope}
	if c.ExpiresIn > 0 {
		at := time.Now().Add(c.ExpiresIn)
		k.ExpiresAt = &at
	}
	err := c.withDB(ctx, a, func(db *store.DB) error {
		return db.Tx(ctx, func(tx pgx.Tx) error {
			_, err := store.CreateAPIKey(ctx, tx, k, hash)
			return err
		})
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == noForeignKey {
		return fmt.Errorf("there is no organization %s", k.OrganizationID)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stderr, "key", k.ID, "may", strings.Join(k.Scopes, ", ")+"; it is shown only now:")
	fmt.Fprintln(a.stdout, text)
	return nil
}

// organizationFlag is an organization's id, or "operator" for the operator's own.
type organizationFlag string

// Decode implements kong.MapperValue.
func (o *organizationFlag) Decode(ctx *kong.DecodeContext) error {
	var s string
	if err := ctx.Scan.PopValueInto("ID", &s); err != nil {
		return err
	}
	if s == "operator" {
		s = store.OperatorOrganization
	}
	if _, err := uuid.Parse(s); err != nil {
		return fmt.Errorf("%q is no id of an organization", s)
	}
	*o = organizationFlag(s)
	return nil
}

type keysListCmd struct {
	operatorSettings
	Organization organizationFlag `required:"" placeholder:"ID" help:"Whose keys; 'operator' for the operator's own."`
}

// Run lists keys.
func (c *keysListCmd) Run(ctx context.Context, a *app) error {
	return c.withDB(ctx, a, func(db *store.DB) error {
		keys, err := db.APIKeys(ctx, string(c.Organization), "", 1000)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAME\tPREFIX\tSCOPES\tCREATED\tLAST USED\tENDS")
		for _, k := range keys {
			fmt.Fprintf(w, "%s\t%s\t%s…\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Prefix, strings.Join(k.Scopes, ","),
				moment(&k.CreatedAt), moment(k.LastUsedAt), ending(k))
		}
		return w.Flush()
	})
}

func ending(k store.APIKey) string {
	if k.RevokedAt != nil {
		return "revoked " + moment(k.RevokedAt)
	}
	return moment(k.ExpiresAt)
}

func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

type keysRevokeCmd struct {
	operatorSettings
	Organization organizationFlag `required:"" placeholder:"ID" help:"Whose key; 'operator' for the operator's own."`
	ID           string           `arg:"" help:"Of the key."`
}

// Run ends a key.
func (c *keysRevokeCmd) Run(ctx context.Context, a *app) error {
	err := c.withDB(ctx, a, func(db *store.DB) error {
		return db.Tx(ctx, func(tx pgx.Tx) error {
			_, err := store.RevokeAPIKey(ctx, tx, string(c.Organization), c.ID)
			return err
		})
	})
	if err == nil {
		fmt.Fprintln(a.stdout, "revoked", c.ID, "(processes that have just seen it notice within seconds)")
	}
	return err
}
