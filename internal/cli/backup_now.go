package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/jobs"
)

type backupNowCmd struct {
	keeperSettings
	Verify bool `help:"Restore it for a try as well. A worker does so by itself, where one runs."`
	Plain  bool `help:"Don't encrypt it, though others here are."`
	JSON   bool `name:"json" help:"As JSON."`
}

// Help implements kong.HelpProvider.
func (backupNowCmd) Help() string {
	return "Makes it from here, without a worker, of any database that the login sees all of, and brings copies to the second place. It " +
		"goes by the settings here, which a running service need not share: so it removes older ones only where BACKUP_RETENTION_DAYS or " +
		"BACKUP_RETENTION is set here, and makes none that isn't encrypted beside one that is, unless told to. Ends with status 0 only if " +
		"there is a backup, also in the second place where there is one, and with --verify only if it was restored."
}

// madeNow is what is printed of a backup.
type madeNow struct {
	Name         string               `json:"name"`
	SnapshotAt   time.Time            `json:"snapshot_at"`
	Bytes        int64                `json:"bytes"`
	PlainBytes   int64                `json:"plain_bytes"`
	Tables       int                  `json:"tables"`
	Rows         int64                `json:"rows"`
	Seconds      float64              `json:"seconds"`
	Places       []string             `json:"places"`
	NotCopied    *string              `json:"not_copied"`
	Encrypted    bool                 `json:"encrypted"`
	Removed      []string             `json:"removed"`
	Verification *backup.Verification `json:"verification"`
}

// Run makes a backup.
func (c *backupNowCmd) Run(ctx context.Context, a *app) error {
	k, err := c.keeper(ctx, a, needDatabase, func(b *backup.Config, _ *problems) {
		if !c.retentionChosen(a) {
			b.Retention = backup.Retention{} // keeps all
		}
	})
	if err != nil {
		return err
	}
	defer k.close()
	if err := c.asOthers(ctx, k.Keeper); err != nil {
		return err
	}
	m, after, err := k.make(ctx, a)
	if err != nil {
		return whatToDo(err)
	}
	out := madeNow{Name: m.Name, SnapshotAt: m.SnapshotAt.UTC(), Bytes: m.Bytes, PlainBytes: m.PlainBytes, Tables: len(m.Tables), Rows: m.Rows(),
		Seconds: m.FinishedAt.Sub(m.StartedAt).Seconds(), Places: after.Places, Encrypted: m.Encrypted(), Removed: after.Removed}
	if after.NotCopied != "" {
		out.NotCopied = &after.NotCopied
	}
	if c.Verify {
		var v backup.Verification
		v, err = k.verify(ctx, a, m.Name)
		out.Verification = &v
	}
	if c.JSON {
		if printed := printJSON(a, out); printed != nil {
			return printed
		}
	} else {
		out.print(a.stdout, k.Dir)
	}
	if err == nil && out.NotCopied != nil {
		err = errors.New("the backup is good, and the second place doesn't have it: a worker goes on trying, or run `payaid backup now` again")
	}
	return whatToDo(err)
}

// defaultDays is what BACKUP_RETENTION_DAYS is unless set.
const defaultDays = "30"

// retentionChosen reports whether somebody said here how long backups are kept. The default is the service's, whose
// own settings may keep them longer.
func (c *backupNowCmd) retentionChosen(a *app) bool {
	_, set := a.lookup("BACKUP_RETENTION_DAYS")
	return set || c.BackupRetention != "" || c.BackupRetentionDays != defaultDays
}

// asOthers refuses to make a backup that anybody can read beside one that only the holder of a key can.
func (c *backupNowCmd) asOthers(ctx context.Context, k *backup.Keeper) error {
	if c.Plain || len(k.Recipients) > 0 {
		return nil
	}
	entries, err := k.List(ctx)
	if err != nil {
		return nil // making it says what is wrong
	}
	for _, e := range entries { // the newest first
		if e.Good() && e.Manifest.Encrypted() {
			return fmt.Errorf("%s is encrypted, and this backup would not be: set BACKUP_AGE_RECIPIENT (it was made for %s), or say --plain",
				e.Name, strings.Join(e.Manifest.Recipients, ", "))
		}
		if e.Good() {
			return nil
		}
	}
	return nil
}

// make makes a backup and writes it down.
func (k *keeping) make(ctx context.Context, a *app) (m backup.Manifest, after jobs.AfterBackup, err error) {
	var try *jobs.BackupTry
	options := backup.MakeOptions{ID: outbox.NewID(), Progress: progressOn(a)}
	if k.book != nil {
		if try, err = k.book.Begin(ctx, nil, ""); err != nil {
			return m, after, err
		}
		defer try.End()
		options.ID = try.ID
	}
	if m, err = k.Make(ctx, options); err != nil {
		k.failed(ctx, a, try, err)
		return m, after, err
	}
	after = k.book.After(ctx, k.Keeper, m, telemetry.NewLog(a.stderr, telemetry.Text, slog.LevelWarn))
	k.tx(ctx, a, func(tx pgx.Tx) error { return try.Complete(ctx, tx, outbox.NewID(), m, after.Places) })
	return m, after, nil
}

func (k *keeping) failed(ctx context.Context, a *app, try *jobs.BackupTry, err error) {
	if try != nil {
		if noted := try.Fail(ctx, err); noted != nil {
			fmt.Fprintln(a.stderr, "payaid:", noted)
		}
	}
	if ctx.Err() != nil {
		return
	}
	if told := k.PingFailed(ctx, err); told != nil {
		fmt.Fprintln(a.stderr, "payaid:", told)
	}
}

func (m madeNow) print(w io.Writer, dir string) {
	fmt.Fprintf(w, "backup    %s: %d tables with %d rows, as of %s\n", m.Name, m.Tables, m.Rows, moment(&m.SnapshotAt))
	encrypted := ""
	if m.Encrypted {
		encrypted = ", encrypted"
	}
	fmt.Fprintf(w, "size      %s of %s%s, in %.1f s\n", bytesIn(m.Bytes), bytesIn(m.PlainBytes), encrypted, m.Seconds)
	fmt.Fprintf(w, "places    %s\n", strings.ReplaceAll(strings.Join(m.Places, ", "), backup.InFolder, dir))
	if m.NotCopied != nil {
		fmt.Fprintf(w, "note      the second place doesn't have it: %s\n", *m.NotCopied)
	}
	if len(m.Removed) > 0 {
		fmt.Fprintf(w, "removed   %s\n", strings.Join(m.Removed, ", "))
	}
	if m.Verification != nil {
		printVerification(w, *m.Verification)
	}
}

func printJSON(a *app, v any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
