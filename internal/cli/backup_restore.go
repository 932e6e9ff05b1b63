package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
	"github.com/payaid/payaid/workers"
)

type backupRestoreCmd struct {
	Backup      string `arg:"" optional:"" default:"latest" help:"Name of a backup, path of a dump that has its manifest beside it, or latest: the newest that nobody tried and found to be no good."`
	To          string `required:"" placeholder:"DATABASE" help:"Database to make, on the server of the address."`
	Force       bool   `help:"A database of that name is kept under another, and the restored one takes its place."`
	AsIs        bool   `help:"Leave the tables as they were dumped, to look at: nothing can run on them."`
	DryRun      bool   `help:"Say what would be done, and do nothing."`
	Yes         bool   `help:"Don't ask."`
	Identity    string `placeholder:"FILE" help:"File of age's secret keys, for encrypted backups, beside BACKUP_AGE_IDENTITY."`
	DatabaseURL string `env:"DATABASE_URL" secret:"" help:"Postgres, by the login that is to own the tables; the database in it need not be there. BACKUP_DATABASE_URL goes before it."`
	Data        string `help:"Folder of a running 'payaid up', instead of DATABASE_URL." placeholder:"DIR"`
	redisSettings
	backupSettings
}

// Help implements kong.HelpProvider.
func (backupRestoreCmd) Help() string {
	return "The folder or the bucket of backups and a server are enough. What is restored is compared with its manifest, table " +
		"by table, before it gets its name; what fails or is killed on the way changes nothing. Unless --as-is is given, it is " +
		"migrated and made ready for relays and workers to go on from."
}

// restoring is what a restore is done with.
type restoring struct {
	keeper   *backup.Keeper
	options  backup.RestoreOptions
	id       string // of the backup
	redisURL string
	migrated []string
	revived  workers.Revived
	// forgotten is why the cache could not be emptied at once; a job does it then.
	forgotten error
}

// Run says what restoring would do, asks where something gives way, and does it.
func (c *backupRestoreCmd) Run(ctx context.Context, a *app) error {
	r, err := c.prepare(a)
	if err != nil {
		return err
	}
	plan, err := r.keeper.PlanRestore(ctx, r.options)
	if err != nil {
		return withRemedy(err)
	}
	printRestorePlan(a, plan)
	if c.DryRun {
		return nil
	}
	if plan.Before != "" && !c.Yes && !(interactive() && confirmed(a, "Restore, and put it in the place of "+plan.Database+"?")) {
		return errors.New("nothing was restored: it was not confirmed, and where nobody can be asked it takes --yes")
	}
	r.id = plan.Manifest.ID
	// What was looked at is what is restored, though a newer one be made meanwhile.
	if r.options.Path == "" {
		r.options.Name = plan.Manifest.Name
	}
	r.options.Progress = progressOn(a)
	if !c.AsIs {
		r.options.Revive = func(ctx context.Context, url string) error { return r.revive(ctx, a, url) }
		r.options.Cutover = r.forget
	}
	done, err := r.keeper.Restore(ctx, r.options)
	if err != nil {
		return withRemedy(err)
	}
	r.print(a, done, c.AsIs)
	return nil
}

func (c *backupRestoreCmd) prepare(a *app) (*restoring, error) {
	p := a.problems()
	b := c.backupSettings.check(&p)
	r := &restoring{redisURL: c.redisSettings.check(&p), options: backup.RestoreOptions{Name: c.Backup, Database: c.To, Replace: c.Force}}
	b.config.Identities = append(b.config.Identities, p.identityFile(c.Identity)...)
	address := cmp.Or(b.config.DatabaseURL, c.DatabaseURL)
	if address != "" {
		address = p.database(address)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	dir := cmp.Or(c.Data, defaultData(a.lookup))
	if address == "" {
		found, err := readRunning(dir)
		if err != nil {
			return nil, err
		}
		address, r.redisURL = found.DatabaseURL, cmp.Or(r.redisURL, found.RedisURL)
	}
	if path, ok := dumpPath(c.Backup); ok {
		r.options.Name, r.options.Path = "", path
		b = b.in(filepath.Dir(path))
	}
	b = b.in(filepath.Join(dir, "backups"))
	b.config.DatabaseURL = address
	var err error
	r.keeper, err = b.keeper(address, telemetry.NewLog(a.stderr, telemetry.Text, slog.LevelWarn))
	return r, err
}

// dumpPath tells the path of a file from the name of a backup.
func dumpPath(text string) (string, bool) {
	if !strings.ContainsRune(text, filepath.Separator) && filepath.Ext(text) == "" {
		return "", false
	}
	path, err := filepath.Abs(text)
	return path, err == nil
}

// revive migrates the restored tables to what this program knows, and makes them ready to go on from.
func (r *restoring) revive(ctx context.Context, a *app, url string) (err error) {
	quiet := slog.New(slog.DiscardHandler)
	if r.migrated, err = migrations.Up(ctx, url); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.PoolOptions{URL: url, Role: store.System, Name: "restore", MaxConns: 2, Log: quiet})
	if err != nil {
		return err
	}
	defer db.Close()
	if r.revived, err = workers.Revive(ctx, db, a.table(jobs.Deps{}), quiet); err == nil {
		r.look(ctx, db)
	}
	return err
}

// lookWithin is for a second place that is slow; the workers look again.
const lookWithin = 20 * time.Second

// look has the restored database know of the backups that there are: in the copy the one that was restored is still
// being made, which would raise an alarm once its maker is missed. One from elsewhere than the backups' folder is no
// backup that this database has: it is forgotten.
func (r *restoring) look(ctx context.Context, db *store.DB) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	var err error
	if r.options.Path != "" {
		err = store.ForgetBackup(ctx, db.Pool(), r.id)
	} else {
		_, err = jobs.NewBackupBook(db).Look(ctx, r.keeper)
	}
	if err != nil {
		r.keeper.Log.Warn("the restored database doesn't know its backups yet", "error", err)
	}
}

// forgetWithin bounds how long nobody reaches the database for a Redis that is slow. The job does it otherwise.
const forgetWithin = 10 * time.Second

// forget empties the cache while nobody can fill it with what the old database says.
func (r *restoring) forget(ctx context.Context) error {
	cache, err := openCache(r.redisURL, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer cache.Close()
	ctx, cancel := context.WithTimeout(ctx, forgetWithin)
	defer cancel()
	r.forgotten = cache.Forget(ctx)
	return nil
}

// withRemedy ends what an operator reads with what to do.
func withRemedy(err error) error {
	var fault *backup.Fault
	if !errors.As(err, &fault) || fault.Remedy == "" {
		return err
	}
	return fmt.Errorf("%w\n%s", err, fault.Remedy)
}
