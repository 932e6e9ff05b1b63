package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/migrations"
)

type benchCmd struct {
	Data     string        `help:"Folder for the databases of the measurement; it is removed afterwards. The disk that it is on is part of what is measured." placeholder:"DIR"`
	Clients  int           `default:"64" help:"Clients at a time."`
	Duration time.Duration `default:"8s" help:"How long each rate is measured."`
	Jobs     int           `default:"5000" help:"Jobs in a throughput measurement."`
	Contacts int           `default:"1000000" help:"Contacts of the organization whose lists are measured; each has two deals and an invoice."`
	OldJobs  int           `default:"5000000" name:"old-jobs" help:"Jobs that have ended, among which the pages of the admin are measured."`
	Only     []string      `enum:"submit,idle,steady,saturated,cost,reads,lists,admin,ai,mail,webhooks,backup,indexes" help:"Measure these alone: ${enum}."`
	BackupMB int           `default:"1000" name:"backup-mb" help:"Size of the database that is backed up, in MB." placeholder:"MB"`
	Profile  string        `help:"Write a CPU profile of the whole run to this file." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (benchCmd) Help() string {
	return "Starts private servers, measures the product and the bare parts that it is made of in one run, and prints " +
		"both with their ratios. Talks to this machine only, and ends by itself."
}

// Run measures.
func (c *benchCmd) Run(ctx context.Context, a *app) error {
	WithNoop()(a)
	dir, err := os.MkdirTemp(c.Data, "payaid-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for the bench: %w", err)
	}
	defer os.RemoveAll(dir)
	// Postgres runs as another user when root measures.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	stopProfile, err := profile(c.Profile)
	if err != nil {
		return err
	}
	defer stopProfile()
	b := bench{app: a, benchCmd: *c, dir: dir, log: telemetry.NewLog(a.stderr, telemetry.Text, slog.LevelWarn)}
	return b.run(ctx)
}

// bench is one run of all measurements.
type bench struct {
	*app
	benchCmd
	dir      string
	log      *slog.Logger
	postgres *localstack.Postgres
	natsURL  string
	rows     []row
}

// A row is one measurement beside what it is measured against.
type row struct {
	what, value, against string
	ratio                float64 // 0: none
	target               string
	verdict              verdict
}

// A verdict says whether a target was met; none for a row without one.
type verdict string

func met(is bool) verdict {
	if is {
		return "met"
	}
	return "missed"
}

func (b *bench) run(ctx context.Context) error {
	var err error
	b.postgres, err = localstack.StartPostgres(ctx, localstack.PostgresOptions{
		Dir: filepath.Join(b.dir, "postgres"), Fsync: true, MaxConnections: 400, Log: b.log})
	if err != nil {
		return err
	}
	defer b.stop(b.postgres.Stop)
	n, err := localstack.StartNATS(ctx, localstack.NATSOptions{Dir: filepath.Join(b.dir, "nats"), Log: b.log})
	if err != nil {
		return err
	}
	defer b.stop(n.Stop)
	b.natsURL = n.URL()
	if err := b.describe(ctx, b.stdout); err != nil {
		return err
	}
	for _, m := range b.measurements() {
		if len(b.Only) > 0 && !slices.Contains(b.Only, m.name) {
			continue
		}
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("measure %s: %w", m.name, err)
		}
	}
	b.print(b.stdout)
	return nil
}

type measurement struct {
	name string
	run  func(context.Context) error
}

// measurements are what --only chooses from.
func (b *bench) measurements() []measurement {
	return []measurement{{"submit", b.submits}, {"idle", b.idle}, {"steady", b.steady}, {"saturated", b.saturated}, {"cost", b.cost},
		{"reads", b.reads}, {"lists", b.lists}, {"admin", b.admin}, {"ai", b.ai}, {"mail", b.mail}, {"webhooks", b.hooks}, {"backup", b.backups}, {"indexes", b.indexes}}
}

func (b *bench) stop(stop func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := stop(ctx); err != nil {
		b.log.Warn("bench leaves something behind", "error", err)
	}
}

// database makes a fresh, migrated database.
func (b *bench) database(ctx context.Context, name string) (string, error) {
	if err := b.postgres.CreateDatabase(ctx, name, ""); err != nil {
		return "", err
	}
	url := b.postgres.URL(name)
	_, err := migrations.Up(ctx, url)
	return url, err
}

func (b *bench) add(r row) { b.rows = append(b.rows, r) }

func (b *bench) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-52s %-26s %-52s %6s  %-27s %s\n", "what", "measured", "against", "ratio", "target", "is")
	for _, r := range b.rows {
		ratio := ""
		if r.ratio > 0 {
			ratio = fmt.Sprintf("%.2f", r.ratio)
		}
		fmt.Fprintf(w, "%-52s %-26s %-52s %6s  %-27s %s\n", r.what, r.value, r.against, ratio, r.target, r.verdict)
	}
}

// profile records where the processor's time goes, until the returned function is called.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("write the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("write the profile: %w", err), f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
