package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// bareArgs is a job of River alone.
type bareArgs struct{}

// Kind implements river.JobArgs.
func (bareArgs) Kind() string { return "bare" }

// bareWorker tells when it worked, if somebody listens. River's own news of completions comes up to a
// quarter of a second late, which would flatter us.
type bareWorker struct {
	river.WorkerDefaults[bareArgs]
	worked chan struct{}
}

// Work implements river.Worker.
func (w bareWorker) Work(context.Context, *river.Job[bareArgs]) error {
	select {
	case w.worked <- struct{}{}:
	default:
	}
	return nil
}

// riverAlone is River with nothing of ours, as well tuned as ours is.
type riverAlone struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	worked chan struct{}
}

func (b *bench) startRiver(ctx context.Context, database string) (*riverAlone, error) {
	if err := b.postgres.CreateDatabase(ctx, database, ""); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(b.postgres.URL(database))
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(b.Clients + 20)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("migrate river: %w", err)
	}
	workers := river.NewWorkers()
	worked := make(chan struct{}, 1)
	river.AddWorker(workers, bareWorker{worked: worked})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: benchQueue.Workers}},
		FetchCooldown: 5 * time.Millisecond, FetchPollInterval: 100 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, fmt.Errorf("prepare river: %w", err)
	}
	if err := client.Start(ctx); err != nil {
		return nil, fmt.Errorf("start river: %w", err)
	}
	return &riverAlone{pool: pool, client: client, worked: worked}, nil
}

func (r *riverAlone) stop(ctx context.Context) error {
	defer r.pool.Close()
	return r.client.Stop(ctx)
}

func (r *riverAlone) insert(ctx context.Context) error {
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		_, err := r.client.InsertTx(ctx, tx, bareArgs{}, nil)
		return err
	})
}

func (b *bench) riverIdle(ctx context.Context, n int) (*latencies, error) {
	r, err := b.startRiver(ctx, "river_idle")
	if err != nil {
		return nil, err
	}
	if err := r.insert(ctx); err != nil { // warm
		return nil, err
	}
	<-r.worked
	var l latencies
	for range n {
		began := time.Now()
		if err := r.insert(ctx); err != nil {
			return nil, err
		}
		select {
		case <-r.worked:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		l.add(time.Since(began))
	}
	return &l, r.stop(ctx)
}

func (b *bench) riverSaturated(ctx context.Context) (throughput, error) {
	r, err := b.startRiver(ctx, "river_saturated")
	if err != nil {
		return throughput{}, err
	}
	alone, err := b.throughput(func() error {
		err := repeat(ctx, b.Jobs, slices.Repeat([]func(context.Context) error{r.insert}, b.Clients))
		if err != nil {
			return err
		}
		return until(ctx, soon, func() (bool, error) {
			var left bool
			err := r.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM river_job WHERE state IN ('available', 'running'))`).Scan(&left)
			return !left, err
		})
	})
	return alone, errors.Join(err, r.stop(ctx))
}
