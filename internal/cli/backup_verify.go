package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/backup"
)

type backupVerifyCmd struct {
	keeperSettings
	Backup   string `arg:"" optional:"" default:"latest" help:"Name of a backup, or latest."`
	Identity string `placeholder:"FILE" help:"File of age's secret keys, for encrypted backups, beside BACKUP_AGE_IDENTITY."`
	JSON     bool   `name:"json" help:"As JSON."`
}

// Help implements kong.HelpProvider.
func (backupVerifyCmd) Help() string {
	return "Makes a database of its own of it, which is removed again, and compares every table with what was dumped. Ends with status 0 " +
		"only if all was there."
}

// Run verifies a backup.
func (c *backupVerifyCmd) Run(ctx context.Context, a *app) error {
	k, err := c.keeper(ctx, a, needDatabase, func(b *backup.Config, p *problems) {
		b.Identities = append(b.Identities, p.identityFile(c.Identity)...)
	})
	if err != nil {
		return err
	}
	defer k.close()
	v, err := k.verify(ctx, a, c.Backup)
	if c.JSON && v.State != "" {
		if printed := printJSON(a, v); printed != nil {
			return printed
		}
	} else if err == nil {
		printVerification(a.stdout, v)
	}
	return whatToDo(err)
}

// verify restores a backup for a try, and writes down what came of it.
func (k *keeping) verify(ctx context.Context, a *app, name string) (backup.Verification, error) {
	v, err := k.Verify(ctx, name, progressOn(a))
	if v.State == "" {
		return v, err // it was given up
	}
	entries, listed := k.book.Look(ctx, k.Keeper)
	if listed != nil {
		fmt.Fprintln(a.stderr, "payaid: it is not written down in the database yet:", listed)
	}
	for _, e := range entries {
		if e.Name != v.Name || e.Manifest == nil {
			continue
		}
		k.tx(ctx, a, func(tx pgx.Tx) error { return k.book.Tried(ctx, tx, nil, *e.Manifest, v) })
		if _, copied := k.Copy(ctx); copied != nil {
			fmt.Fprintln(a.stderr, "payaid: the second place doesn't have what came of it:", copied)
		}
	}
	return v, err
}

func printVerification(w io.Writer, v backup.Verification) {
	if v.State != backup.Passed {
		fmt.Fprintf(w, "verified  no, %s: %s\n", v.State, v.Detail)
		return
	}
	fmt.Fprintf(w, "verified  %s: restored in %.1f s, and all %d tables with %d rows are as they were dumped; %d indexes checked\n",
		v.Name, v.RestoreSeconds, v.Tables, v.Rows, v.IndexesChecked)
	if v.Detail != "" {
		fmt.Fprintf(w, "note      %s\n", v.Detail)
	}
}
