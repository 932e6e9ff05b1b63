package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/telemetry"
	"github.com/payaid/payaid/internal/telemetry/trace"
	"github.com/payaid/payaid/jobs"
)

// River takes at most MaxWorkers jobs per cooldown; the defaults (100 ms, and a poll of 1 s behind it)
// cost most of its speed.
const (
	fetchCooldown = 5 * time.Millisecond
	fetchPoll     = 100 * time.Millisecond
)

// A client also sends at most one notification per queue and cooldown, and a job that gets none waits for
// the poll. The router inserts many jobs in one transaction, so it can afford one for nearly each.
const notifyCooldown = time.Millisecond

// newClient makes the client that works. Work inserts by the other one, which tells of nearly each job at once.
func newClient(c Config, id string, hand *inHand, inserter *river.Client[pgx.Tx]) (*river.Client[pgx.Tx], error) {
	if len(c.Queues) == 0 {
		return nil, errors.New("start a worker: name a queue")
	}
	queues := make(map[string]river.QueueConfig, len(c.Queues))
	for name, n := range c.Queues {
		queues[name] = river.QueueConfig{MaxWorkers: n}
	}
	config := riverConfig(c.Table, c.Log)
	config.ID = id
	config.Hooks = hand.hooks()
	config.Middleware = append(c.middleware(), river.WorkerMiddlewareFunc(
		func(ctx context.Context, _ *rivertype.JobRow, work func(context.Context) error) error {
			return work(jobs.Inserting(ctx, inserter))
		}))
	config.Queues = queues
	config.SoftStopTimeout = c.SoftStop
	client, err := river.NewClient(riverpgxv5.New(c.Relaxed.Pool()), config)
	if err != nil {
		return nil, fmt.Errorf("start river: %w", err)
	}
	return client, nil
}

// sayWhatFor tells those who log what a job does which kind of job it is.
func sayWhatFor(ctx context.Context, row *rivertype.JobRow, work func(context.Context) error) error {
	return work(telemetry.For(ctx, &telemetry.Purpose{Kind: row.Kind, JobID: strconv.FormatInt(row.ID, 10),
		TraceID: telemetry.TraceID(trace.TraceParent(ctx, ""))}))
}

func riverConfig(table []jobs.Job, log *slog.Logger) *river.Config {
	return &river.Config{
		Workers:           jobs.Register(table),
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: fetchPoll,
		// During a deploy a newer process may know a kind that this one doesn't: it takes none of those, and
		// passes them on.
		FetchOnlyKnownKinds: true,
		SkipUnknownJobCheck: true,
		JobTimeout:          -1, // every kind states its own
		// Our own rescue is quicker; this one is the net under it.
		RescueStuckJobsAfter: 2 * time.Hour,
		// Reindexing needs the owner of the table, which we are not.
		ReindexerSchedule: river.NeverSchedule(),
		Logger:            slog.New(newSparse(log.Handler())),
	}
}

// NewInserter makes a River client that inserts and doesn't work.
func NewInserter(pool *pgxpool.Pool, table []jobs.Job, log *slog.Logger) (*river.Client[pgx.Tx], error) {
	config := riverConfig(table, log)
	config.FetchCooldown = notifyCooldown
	client, err := river.NewClient(riverpgxv5.New(pool), config)
	if err != nil {
		return nil, fmt.Errorf("prepare river: %w", err)
	}
	return client, nil
}

// stopClient waits for running jobs: until they end, or their contexts are ended and they go back.
func stopClient(stop func(context.Context) error, soft time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), soft+10*time.Second)
	defer cancel()
	if err := stop(ctx); err != nil {
		return fmt.Errorf("stop river: %w", err)
	}
	return nil
}
