package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/sampledata"
	"github.com/payaid/payaid/migrations"
)

// backupTurns are taken alternately, so that whatever else the machine does hits both.
const backupTurns = 2

// A dumping is what one backup cost.
type dumping struct {
	client, server, wall time.Duration
	bytes                int64
}

func (d *dumping) add(o dumping) {
	d.client += o.client
	d.server += o.server
	d.wall += o.wall
	d.bytes = o.bytes
}

func (d dumping) cpu() time.Duration { return d.client + d.server }

// backups measures a backup beside `pg_dump | gzip` of the same database.
func (b *bench) backups(ctx context.Context) error {
	url, size, err := b.fillForBackup(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "backups")
	k, err := backup.New(backup.Config{DatabaseURL: url, Dir: dir, LockID: migrations.LockID, Log: b.log})
	if err != nil {
		return err
	}
	var ours, usual dumping
	for range backupTurns {
		cost, err := b.dumping(func() (int64, error) { return b.usualBackup(ctx, url) })
		if err != nil {
			return err
		}
		usual.add(cost)
		cost, err = b.dumping(func() (int64, error) {
			m, err := k.Make(ctx, backup.MakeOptions{})
			return m.Bytes, err
		})
		if err != nil {
			return err
		}
		ours.add(cost)
	}
	b.addBackups(size, ours, usual)
	return nil
}

func (b *bench) addBackups(size int64, ours, usual dumping) {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()/backupTurns) }
	compare := func(what, ours, usual string, ratio float64) row {
		return row{what: what, value: ours, against: "pg_dump | gzip: " + usual, ratio: ratio}
	}
	total := compare(fmt.Sprintf("backup of %d MB: processor time", size/1e6), seconds(ours.cpu()), seconds(usual.cpu()),
		ours.cpu().Seconds()/usual.cpu().Seconds())
	total.target, total.verdict = "<= 0.50", met(total.ratio <= 0.5)
	b.add(total)
	b.add(compare("  of it the clients'", seconds(ours.client), seconds(usual.client), ours.client.Seconds()/usual.client.Seconds()))
	b.add(compare("  of it the server's, rows counted and hashed", seconds(ours.server), seconds(usual.server), ours.server.Seconds()/usual.server.Seconds()))
	b.add(compare("  time", seconds(ours.wall), seconds(usual.wall), ours.wall.Seconds()/usual.wall.Seconds()))
	b.add(compare("  size", fmt.Sprintf("%.1f MB", float64(ours.bytes)/1e6), fmt.Sprintf("%.1f MB", float64(usual.bytes)/1e6),
		float64(ours.bytes)/float64(usual.bytes)))
}

// fillForBackup makes a database of about the size that was asked for, at rest.
func (b *bench) fillForBackup(ctx context.Context) (url string, size int64, err error) {
	if url, err = b.database(ctx, "bench_backup"); err != nil {
		return "", 0, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", 0, fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for seed := uint64(1); size < int64(b.BackupMB)*1e6; seed++ {
		_, err := sampledata.Fill(ctx, conn, sampledata.Options{Organizations: 1, Contacts: 10_000, Deals: 20_000, Invoices: 10_000,
			Seed: seed, Today: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			return "", 0, err
		}
		if err := conn.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&size); err != nil {
			return "", 0, fmt.Errorf("ask for the database's size: %w", err)
		}
	}
	// The first who reads new rows notes that they are committed, and that would count against whoever is first.
	if _, err := conn.Exec(ctx, `VACUUM ANALYZE`); err != nil {
		return "", 0, fmt.Errorf("put the database to rest: %w", err)
	}
	return url, size, nil
}

// usualBackup is the script that is in use everywhere.
func (b *bench) usualBackup(ctx context.Context, url string) (int64, error) {
	file := filepath.Join(b.dir, "usual.sql.gz")
	script := exec.CommandContext(ctx, "bash", "-c", `set -o pipefail; pg_dump "$0" | gzip > "$1"`, url, file)
	// The server's own pg_dump, without the script around it that Debian has.
	if postgres, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", b.postgres.Pid())); err == nil {
		script.Env = append(os.Environ(), "PATH="+filepath.Dir(postgres)+":"+os.Getenv("PATH"))
	}
	if out, err := script.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("run pg_dump | gzip: %w: %s", err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, fmt.Errorf("look at what pg_dump | gzip made: %w", err)
	}
	return info.Size(), nil
}

// dumping measures one backup: this process and its children that ended are the clients.
func (b *bench) dumping(do func() (bytes int64, err error)) (dumping, error) {
	client, server, err := b.processors()
	if err != nil {
		return dumping{}, err
	}
	began := time.Now()
	n, err := do()
	if err != nil {
		return dumping{}, err
	}
	d := dumping{bytes: n, wall: time.Since(began)}
	d.client, d.server, err = b.processors()
	d.client -= client
	d.server -= server
	return d, err
}

func (b *bench) processors() (client, server time.Duration, err error) {
	all, err := cpu(b.postgres.Pid())
	if err != nil {
		return 0, 0, err
	}
	var own, ended syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, 0, fmt.Errorf("read the processor time: %w", err)
	}
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ended); err != nil {
		return 0, 0, fmt.Errorf("read the processor time: %w", err)
	}
	self := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	return self + time.Duration(ended.Utime.Nano()+ended.Stime.Nano()), all - self, nil
}
