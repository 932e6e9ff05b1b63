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
	Scope        []string         `default:"read,write,jobs" enum:"read,write,jobs,admin,admin_read" help:"What it may do: read, write, jobs; admin (everything, for all organizations), admin_read (see all that admin sees, change nothing)."`
	RateLimit    *int             `placeholder:"N" help:"Requests that it may make in a window; otherwise RATELIMIT_REQUESTS."`
	IPAllow      []string         `name:"ip-allow" placeholder:"NETWORK" help:"An address or network that it may be used from, such as 203.0.113.0/24; may be given several times. Otherwise from all."`
	ExpiresIn    time.Duration    `placeholder:"TIME" xor:"end" help:"Ends by itself after this time, such as 720h."`
	ExpiresAt    *time.Time       `placeholder:"TIME" xor:"end" help:"Ends by itself at this time, such as 2027-03-31T18:30:00Z."`
}

// Run makes a key and prints it.
func (c *keysCreateCmd) Run(ctx context.Context, a *app) error {
	if err := c.check(time.Now()); err != nil {
		return err
	}
	text, prefix, hash := api.NewKey()
	k := store.APIKey{OrganizationID: string(c.Organization), ID: outbox.NewID(), Name: c.Name, Prefix: prefix, Scopes: c.Scope,
		RateLimit: c.RateLimit, IPAllow: c.IPAllow, ExpiresAt: c.ExpiresAt}
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

// check wants of the flags what the API wants of a key.
func (c *keysCreateCmd) check(now time.Time) error {
	const mostRequests = 1_000_000
	var p problems
	if c.ExpiresIn < 0 {
		p.add("--expires-in", "want a time to come")
	} else if c.ExpiresIn > 0 {
		at := now.Add(c.ExpiresIn)
		c.ExpiresAt = &at
	}
	if c.ExpiresAt != nil && c.ExpiresAt.Before(now) && c.ExpiresIn == 0 {
		p.add("--expires-at", "want a time to come, got %s", c.ExpiresAt.Format(time.RFC3339))
	}
	if n := c.RateLimit; n != nil && (*n < 1 || *n > mostRequests) {
		p.add("--rate-limit", "want a whole number from 1 to %d, got %d", mostRequests, *n)
	}
	for _, text := range c.IPAllow {
		if _, err := api.ParseNetwork(text); err != nil {
			p.add("--ip-allow", "want an address or a network such as 203.0.113.0/24, got %q", text)
		}
	}
	return p.err()
}

// keyID is the id of a key.
type keyID string

// Decode implements kong.MapperValue.
func (k *keyID) Decode(ctx *kong.DecodeContext) error {
	var s string
	if err := ctx.Scan.PopValueInto("ID", &s); err != nil {
		return err
	}
	id, err := uuid.Parse(s)
	if err != nil {
		return fmt.Errorf("%q is no id of a key; `payaid keys list` shows them", s)
	}
	*k = keyID(id.String())
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
	id, err := uuid.Parse(s)
	if err != nil {
		return fmt.Errorf("%q is no id of an organization; `payaid organizations list` shows them", s)
	}
	*o = organizationFlag(id.String())
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
	ID           keyID            `arg:"" help:"Of the key."`
}

// Run ends a key.
func (c *keysRevokeCmd) Run(ctx context.Context, a *app) error {
	err := c.withDB(ctx, a, func(db *store.DB) error {
		return db.Tx(ctx, func(tx pgx.Tx) error {
			_, err := store.RevokeAPIKey(ctx, tx, string(c.Organization), string(c.ID))
			return err
		})
	})
	if err == nil {
		fmt.Fprintln(a.stdout, "revoked", c.ID, "(processes that have just seen it notice within seconds)")
	}
	return err
}
