package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
)

// costJobs is how many more jobs than in a measurement of throughput are counted here: pages and caches have to settle.
const costJobs = 4

// restFor is how long processes with nothing to do are watched.
const restFor = 20 * time.Second

// cost measures what a million jobs take of each process and of the disk, and how fast they can go at all: every process
// by itself, as in production, with all clients on the same machine.
func (b *bench) cost(ctx context.Context) (err error) {
	url, err := b.database(ctx, "bench_cost")
	if err != nil {
		return err
	}
	parts, s, err := b.startParts(ctx, url)
	defer func() {
		for i := len(parts) - 1; i >= 0; i-- {
			if parts[i].stop != nil {
				err = errors.Join(err, parts[i].stop())
			}
		}
	}()
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.PoolOptions{URL: url, Role: store.System, Name: "bench", MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	rest, err := b.atRest(ctx, parts)
	if err != nil {
		return err
	}
	strikes, closeAll, err := s.hammers(ctx, b.Clients, submitNoop)
	if err != nil {
		return err
	}
	defer closeAll()
	// Warm.
	if err := b.through(ctx, db, b.Jobs/10, strikes); err != nil {
		return err
	}
	return b.bill(ctx, db, parts, rest, strikes)
}

// startParts starts the processes of the product on a database, and those of its servers that aren't there yet.
func (b *bench) startParts(ctx context.Context, url string) ([]part, *stack, error) {
	redis, err := localstack.StartRedis(ctx, localstack.RedisOptions{Dir: filepath.Join(b.dir, "redis"), Log: b.log})
	if err != nil {
		return nil, nil, err
	}
	parts := []part{{name: "Postgres", pid: b.postgres.Pid()}, {name: "Redis", pid: redis.Pid(), stop: func() error { b.stop(redis.Stop); return nil }}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return parts, nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return parts, nil, err
	}
	env := []string{"DATABASE_URL=" + url, "REDIS_URL=" + redis.URL(), "PAYAID_ADMIN_KEY=" + benchAdminKey,
		"RATELIMIT_REQUESTS=1000000", "LISTEN=" + address, "OLLAMA_ENABLED=false", "AI_RULES_FALLBACK=true"}
	for _, one := range []struct {
		name  string
		args  []string
		heard func(string)
	}{
		{"nats", []string{filepath.Join(b.dir, "nats-alone")}, func(said string) { env = append(env, "NATS_URL="+said) }},
		{"api", nil, nil}, {"relay", nil, nil}, {"worker", []string{"--queue", benchQueue.Name}, nil},
	} {
		p, err := b.startPart(ctx, one.name, env, one.heard, one.args...)
		if err != nil {
			return parts, nil, err
		}
		parts = append(parts, p)
	}
	s := &stack{url: url, client: client{base: "http://" + address, key: benchAdminKey}}
	return parts, s, s.prepare(ctx, everything)
}

// through hands over jobs and waits until all are done.
func (b *bench) through(ctx context.Context, db *store.DB, n int, strikes []func(context.Context) error) error {
	if err := repeat(ctx, n, strikes); err != nil {
		return err
	}
	return until(ctx, soon, func() (bool, error) { return allDone(ctx, db) })
}

// spending is the processor time of each part so far.
func spending(parts []part) ([]time.Duration, error) {
	list := make([]time.Duration, len(parts))
	for i, p := range parts {
		var err error
		if list[i], err = p.spent(); err != nil {
			return nil, fmt.Errorf("read the processor time of %s: %w", p.name, err)
		}
	}
	return list, nil
}

// atRest is what each part spends while nothing happens.
func (b *bench) atRest(ctx context.Context, parts []part) ([]time.Duration, error) {
	before, err := spending(parts)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(restFor):
	}
	after, err := spending(parts)
	for i := range after {
		after[i] -= before[i]
	}
	return after, err
}

// bill measures the jobs and writes down what they cost.
func (b *bench) bill(ctx context.Context, db *store.DB, parts []part, rest []time.Duration, strikes []func(context.Context) error) error {
	n := b.Jobs * costJobs
	disk, err := readDisk(ctx, db, b.dir)
	if err != nil {
		return err
	}
	before, err := spending(parts)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.through(ctx, db, n, strikes); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := spending(parts)
	if err != nil {
		return err
	}
	var all time.Duration
	for i := range parts {
		all += after[i] - before[i]
	}
	b.add(row{what: fmt.Sprintf("%d no-op jobs, each process by itself", n), value: fmt.Sprintf("%.0f /s", float64(n)/took.Seconds()),
		against: fmt.Sprintf("%.2f cores busy, without the clients", all.Seconds()/took.Seconds())})
	b.add(row{what: "a million jobs: processors, in all", value: hours(all, n)})
	for i, p := range parts {
		b.add(row{what: "  " + p.name, value: hours(after[i]-before[i], n), ratio: (after[i] - before[i]).Seconds() / all.Seconds(),
			against: fmt.Sprintf("at rest %.0f s in an hour; %s", rest[i].Seconds()*float64(time.Hour/restFor), memoryOf(p))})
	}
	grown, err := readDisk(ctx, db, b.dir)
	if err != nil {
		return err
	}
	for i, d := range grown {
		b.add(row{what: "a million jobs: " + d.what, value: fmt.Sprintf("%.2f GB", float64(d.bytes-disk[i].bytes)/float64(n)/1e3), against: d.kept})
	}
	return nil
}

// hours is what a million jobs take of a core.
func hours(d time.Duration, jobs int) string {
	return fmt.Sprintf("%.0f CPU s", d.Seconds()/float64(jobs)*1e6)
}

func memoryOf(p part) string {
	if p.name == "Postgres" {
		return "memory as configured"
	}
	return fmt.Sprintf("at most %d MB of memory", p.peak()>>20)
}

// disk is something that jobs leave on disks.
type disk struct {
	what, kept string
	bytes      int64
}

const selectDisk = `
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,
       pg_total_relation_size('jobs') + pg_total_relation_size('job_effects') + pg_total_relation_size('job_attempts'),
       pg_total_relation_size('river_job'),
       (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'outbox'::regclass)::bigint`

// readDisk gives how much of each there is.
func readDisk(ctx context.Context, db *store.DB, dir string) ([]disk, error) {
	list := []disk{{what: "write-ahead log", kept: "until the next checkpoints, or as long as it is archived"},
		{what: "jobs and their indexes", kept: "90 days"}, {what: "River's rows", kept: "a day"}, {what: "the outbox", kept: "7 days"},
		{what: "NATS's stream", kept: "30 days, on each of its servers"}}
	err := db.Pool().QueryRow(ctx, selectDisk, pgx.QueryExecModeSimpleProtocol).Scan(&list[0].bytes, &list[1].bytes, &list[2].bytes, &list[3].bytes)
	if err != nil {
		return nil, fmt.Errorf("measure the database: %w", err)
	}
	err = filepath.WalkDir(filepath.Join(dir, "nats-alone"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // files come and go
		}
		if info, err := e.Info(); err == nil {
			list[4].bytes += info.Size()
		}
		return nil
	})
	return list, err
}
