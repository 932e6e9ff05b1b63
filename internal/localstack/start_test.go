package localstack

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// startAll starts what a machine needs, at once, as `payaid up` does.
func startAll(ctx context.Context, dir string) (stop func() error, err error) {
	var pg *Postgres
	var r *Redis
	var n *NATS
	var s *Sink
	var g errgroup.Group
	g.Go(func() (err error) {
		pg, err = StartPostgres(ctx, PostgresOptions{Dir: filepath.Join(dir, "postgres"), Fsync: true})
		return err
	})
	g.Go(func() (err error) {
		r, err = StartRedis(ctx, RedisOptions{Dir: filepath.Join(dir, "redis")})
		return err
	})
	g.Go(func() (err error) { n, err = StartNATS(ctx, NATSOptions{Dir: filepath.Join(dir, "nats")}); return err })
	g.Go(func() (err error) { s, err = StartSink(ctx, SinkOptions{Dir: filepath.Join(dir, "mail")}); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return func() error {
		var g errgroup.Group
		for _, service := range []stopper{pg, r, n, s} {
			g.Go(func() error { return service.Stop(context.WithoutCancel(ctx)) })
		}
		return g.Wait()
	}, nil
}

// BenchmarkSecondStart is the time until all services are ready on a machine that
// ran them before, and the time that stopping them takes.
func BenchmarkSecondStart(b *testing.B) {
	dir, err := newTestDir("all")
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	stop, err := startAll(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	first := time.Since(begin)
	var stopping time.Duration
	for b.Loop() {
		b.StopTimer()
		begin := time.Now()
		if err := stop(); err != nil {
			b.Fatal(err)
		}
		stopping += time.Since(begin)
		b.StartTimer()
		if stop, err = startAll(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(first.Seconds(), "s/first-start")
	b.ReportMetric(stopping.Seconds()/float64(b.N), "s/stop")
	if err := stop(); err != nil {
		b.Fatal(err)
	}
}
