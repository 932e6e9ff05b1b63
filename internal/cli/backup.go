package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/jobs"
)

type backupCmd struct {
	Now     backupNowCmd     `cmd:"" help:"Make a backup."`
	List    backupListCmd    `cmd:"" help:"List backups, newest first."`
	Verify  backupVerifyCmd  `cmd:"" help:"Restore a backup for a try, and compare all that is in it."`
	Restore backupRestoreCmd `cmd:"" help:"Make a database of a backup."`
}

// keeperSettings lead to the backups of a database.
type keeperSettings struct {
	DatabaseURL string `env:"DATABASE_URL" secret:"" help:"Postgres. BACKUP_DATABASE_URL goes before it, for what backups are made of."`
	Data        string `help:"Folder of a running 'payaid up', instead of DATABASE_URL." placeholder:"DIR"`
	backupSettings
}

// keeping is the backups of a database, and the book that is kept of them.
type keeping struct {
	*backup.Keeper
	book  *jobs.BackupBook // nil: the database can't be written into, or has no tables of ours
	db    *store.DB        // of the book
	close func()
}

// A need says what a command can't do without.
type need int

const (
	needFolder need = iota
	needDatabase
)

// keeper finds the backups. They are found without a database as well, from the folder and the second place.
func (s keeperSettings) keeper(ctx context.Context, a *app, n need, choose ...func(*backup.Config, *problems)) (*keeping, error) {
	p := a.problems()
	b := s.backupSettings.check(&p)
	for _, c := range choose {
		c(&b.config, &p)
	}
	if s.DatabaseURL != "" {
		s.DatabaseURL = p.database(s.DatabaseURL)
	}
	if b.config.Dir == "" && s.DatabaseURL != "" && s.Data == "" {
		p.add("BACKUP_DIR", "name the folder of backups")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	dir := cmp.Or(s.Data, defaultData(a.lookup))
	if cmp.Or(s.DatabaseURL, b.config.DatabaseURL) == "" {
		found, err := readRunning(dir)
		if err != nil && n == needDatabase {
			return nil, err
		}
		s.DatabaseURL = found.DatabaseURL
	}
	k, err := b.in(filepath.Join(dir, "backups")).keeper(s.DatabaseURL, telemetry.NewLog(a.stderr, telemetry.Text, slog.LevelWarn))
	if err != nil {
		return nil, err
	}
	out := &keeping{Keeper: k, close: func() {}}
	if n == needDatabase {
		out.openBook(ctx, a, cmp.Or(s.DatabaseURL, b.config.DatabaseURL))
	}
	return out, nil
}

// openBook opens the book, if there is one: backups are made of databases without tables of ours as well.
func (k *keeping) openBook(ctx context.Context, a *app, url string) {
	db, err := store.Open(ctx, store.PoolOptions{URL: url, Role: store.System, Name: "payaid-command", MaxConns: 2, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		if _, err = db.BackupStanding(ctx); err == nil {
			k.db, k.book, k.close = db, jobs.NewBackupBook(db), db.Close
			return
		}
		db.Close()
	}
	if ctx.Err() == nil {
		fmt.Fprintln(a.stderr, "payaid: it is not written down in the database:", advised(err))
	}
}

// tx writes into the book; without one it is nothing. A book that can't be written follows the folder later.
func (k *keeping) tx(ctx context.Context, a *app, write func(pgx.Tx) error) {
	if k.book == nil {
		return
	}
	if err := k.db.Tx(ctx, write); err != nil {
		fmt.Fprintln(a.stderr, "payaid: it is not written down in the database yet:", err)
	}
}

// whatToDo ends an error about a backup with its remedy.
func whatToDo(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return withRemedy(err)
}

// bytesIn are bytes as people say them.
func bytesIn(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/step, 0
	for ; value >= step && unit < 4; unit++ {
		value /= step
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[unit])
}
