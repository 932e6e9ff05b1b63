// Package cli is the commands: it reads the configuration, and is the only place that knows everything
// and wires it together.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/operator"
)

// commands is the command line.
type commands struct {
	Up            upCmd            `cmd:"" help:"Run everything on this machine."`
	API           apiCmd           `cmd:"" name:"api" help:"Serve the HTTP API."`
	Relay         relayCmd         `cmd:"" help:"Publish the outbox to the event stream."`
	Worker        workerCmd        `cmd:"" help:"Work one or more queues."`
	Backup        backupCmd        `cmd:"" help:"Make, list, verify and restore backups."`
	Migrate       migrateCmd       `cmd:"" help:"Bring the database's schema up to date."`
	Doctor        doctorCmd        `cmd:"" help:"Say what is wrong, and how to mend it."`
	Organizations organizationsCmd `cmd:"" help:"List organizations."`
	Keys          keysCmd          `cmd:"" help:"Make, list and revoke API keys."`
	Seed          seedCmd          `cmd:"" help:"Make organizations with sample data."`
	Jobs          jobsCmd          `cmd:"" help:"List, show, retry and cancel jobs."`
	Mail          mailCmd          `cmd:"" help:"Settle mails of which nobody knows."`
	Events        eventsCmd        `cmd:"" help:"Watch, replay and mend events."`
	Bench         benchCmd         `cmd:"" help:"Measure this machine against the bare parts."`
	BenchPart     benchPartCmd     `cmd:"" hidden:""`
	Healthcheck   healthcheckCmd   `cmd:"" help:"Ask a running process whether it is ready; for containers."`
	Version       versionCmd       `cmd:"" help:"Print the version."`
}

const description = `PayAid: the self-hosted, event-driven backend of a CRM and invoicing product.

Settings are environment variables, or flags of the same name; a secret may also come from the file that
NAME_FILE names. Start with 'payaid up --demo'.`

// An Option changes how the commands are built.
type Option func(*app)

// WithJobs adds kinds of jobs that the product doesn't have, for measuring and for tests.
func WithJobs(more func(jobs.Deps) []jobs.Job) Option {
	return func(a *app) { a.moreJobs = append(a.moreJobs, more) }
}

// Main runs a command line and returns the exit status: 0, 1 when the command went wrong, 2 when it was
// not understood.
func Main(args []string, stdout, stderr io.Writer, options ...Option) int {
	redis.SetLogger(silence{})
	log.SetOutput(io.Discard) // net/http writes there, as it is, what receivers of webhooks send unasked
	a := &app{stdout: stdout, stderr: stderr, lookup: os.LookupEnv}
	for _, option := range options {
		option(a)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return a.run(ctx, args)
}

// app is what every command works with.
type app struct {
	stdout, stderr io.Writer
	lookup         func(string) (string, bool) // of the environment
	files          map[string]string           // what is wrong with files of secrets, by the secret
	moreJobs       []func(jobs.Deps) []jobs.Job
	settings       []operator.Setting // what the command was started with
}

// exited carries kong's wish to end through a panic, as --help ends in the middle of parsing.
type exited int

func (a *app) run(ctx context.Context, args []string) (status int) {
	defer func() {
		if v := recover(); v != nil {
			code, ok := v.(exited)
			if !ok {
				panic(v)
			}
			status = int(code)
		}
	}()
	parser, err := kong.New(&commands{},
		kong.Name("payaid"), kong.Description(description), kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 110}),
		kong.Resolvers(a.secretFiles()), kong.Vars{"default_data": defaultData(a.lookup), "gst_rates": gst.DefaultRates().String()},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(a))
	if err != nil {
		fmt.Fprintln(a.stderr, "payaid:", err)
		return 2
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(a.stderr, "payaid: %v\nRun 'payaid --help' to see what there is.\n", err)
		return 2
	}
	a.settings = a.shownSettings(parsed.Flags())
	if err := parsed.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.stderr, "payaid:", err)
		return 1
	}
	return 0
}
