package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Scrape is what those who watch the installation ask every few seconds. None of it takes longer where millions of
// jobs and mails have ended.
type Scrape struct {
	Jobs      []QueueJobs
	Waits     []QueueWait
	Workers   []QueueWorkers
	Schedules []Schedule
	Overdue   map[string]time.Duration // of schedules that are due, by name
	Mails     map[string]int           // not settled, by state; up to mostCounted
	OldestDue time.Duration            // how long the oldest mail that is due has waited for its first try
	Dead      int                      // events; up to mostBehind
	Behind    Behind                   // the router
	Webhooks  WebhookStanding
	Database  DatabaseUse
	Backups   BackupUse
	Indexes   IndexUse
}

// QueueJobs is how many jobs of a queue are in a state; up to mostCounted.
type QueueJobs struct {
	Queue, State string
	Jobs         int
}

// QueueWait is how long the oldest job of a queue that is due has waited.
type QueueWait struct {
	Queue  string
	Beyond bool // its organization's share: it goes behind all others
	Oldest time.Duration
}

// QueueWorkers is who works a queue.
type QueueWorkers struct {
	Queue           string
	Workers, Places int
}

// Behind is what has not been carried on yet.
type Behind struct {
	Events int // up to mostBehind
	Oldest time.Duration
}

// DatabaseUse are Postgres' own counts, of the database where they are not of all.
type DatabaseUse struct {
	Connections, MaxConnections int // of all
	Deadlocks, Hits, Reads      int64
	Commits, Rollbacks          int64
	Bytes                       int64
}

// BackupUse is how backups are. Nothing is nil where there was none.
type BackupUse struct {
	LastSuccess, LastSnapshot, LastVerified *time.Time
	LastFailed                              bool // the newest that ended did
	Took, Restore                           *time.Duration
	Bytes                                   *int64
	Kept, Failed                            int
}

// IndexUse is how indexes are.
type IndexUse struct {
	Invalid   int
	SampledAt *time.Time     // nil: they never were
	Findings  map[string]int // of the newest sample, by kind
}

const (
	mostCounted = 100_000
	mostBehind  = 1000
	// scrapeWithin ends a question in the database, before who asks gives up and its connection with it.
	scrapeWithin = 2500 * time.Millisecond
)

// Compiling a statement would take longer than running it: what it may cost is reckoned by all rows that there are.
const setScrapeTime = `SELECT set_config('statement_timeout', $1::text, true), set_config('jit', 'off', true)`

const scrapeJobs = `
SELECT q, s, (SELECT count(*) FROM (
    SELECT FROM river_job WHERE state = s::river_job_state AND queue = q LIMIT $2) AS counted)
FROM unnest($1::text[]) AS q, unnest('{available,running,retryable,scheduled,pending}'::text[]) AS s`

// What is due and yet scheduled waits for River's leader, and is as late as what waits for a worker.
const scrapeWaits = `
SELECT q, p = 4, coalesce(extract(epoch FROM clock_timestamp() - min(first.scheduled_at)), 0)::float8
FROM unnest($1::text[]) AS q CROSS JOIN generate_series(1, 4) AS p
CROSS JOIN unnest('{available,retryable,scheduled}'::river_job_state[]) AS s
LEFT JOIN LATERAL (
    SELECT scheduled_at FROM river_job
    WHERE state = s AND queue = q AND priority = p AND scheduled_at <= clock_timestamp()
    ORDER BY scheduled_at LIMIT 1) AS first ON true
GROUP BY 1, 2`

const scrapeWorkers = `
SELECT q, count(w.id), coalesce(sum(w.places), 0)
FROM unnest($1::text[]) AS q LEFT JOIN (
    SELECT id, key, value::int AS places FROM worker_processes, jsonb_each_text(queues)
    WHERE heartbeat_at > clock_timestamp() - interval '15 seconds') AS w ON w.key = q
GROUP BY q`

const scrapeSchedules = `
SELECT name, kind, cron, last_run_at, next_run_at,
       CASE WHEN paused_at IS NULL THEN greatest(0, extract(epoch FROM clock_timestamp() - next_run_at)) ELSE 0 END::float8
FROM schedules ORDER BY name`

var scrapeMails = `
SELECT * FROM (VALUES ('queued', ` + mailsIn("queued") + `), ('sending', ` + mailsIn("sending") + `),
    ('deferred', ` + mailsIn("deferred") + `), ('unknown', ` + mailsIn("unknown") + `)) AS mails (state, n)`

const scrapeFlow = `
SELECT coalesce(extract(epoch FROM clock_timestamp() - (` + firstDueMail + `)), 0)::float8,
       (SELECT count(*) FROM (SELECT FROM dead_events WHERE redriven_at IS NULL LIMIT $1) AS counted)`

const scrapeDatabase = `
SELECT (SELECT sum(numbackends)::int FROM pg_stat_database),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0),
       deadlocks, blks_hit, blks_read, xact_commit, xact_rollback, pg_database_size(datid)
FROM pg_stat_database WHERE datname = current_database()`

const scrapeBackups = `
SELECT max(finished_at) FILTER (WHERE good), max(snapshot_at) FILTER (WHERE good), max(verified_at) FILTER (WHERE good),
       coalesce((array_agg(state ORDER BY finished_at DESC) FILTER (WHERE finished_at IS NOT NULL AND state IN ('completed', 'failed')))[1] = 'failed', false),
       (array_agg(extract(epoch FROM finished_at - started_at)::float8 ORDER BY finished_at DESC) FILTER (WHERE good))[1],
       (array_agg(bytes ORDER BY finished_at DESC) FILTER (WHERE good))[1],
       (array_agg(restore_seconds::float8 ORDER BY verified_at DESC) FILTER (WHERE good AND verified_at IS NOT NULL))[1],
       count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state = 'failed')
FROM (SELECT *, state = 'completed' AS good FROM backups) AS all_of_them`

const scrapeIndexes = `
SELECT (SELECT count(*) FROM pg_index WHERE NOT indisvalid), newest.taken_at, coalesce((
    SELECT jsonb_object_agg(key, value) FROM jsonb_each(newest.findings) WHERE jsonb_typeof(value) = 'number'), '{}')
FROM (VALUES (1)) AS one LEFT JOIN LATERAL (
    SELECT taken_at, findings FROM index_sample_runs ORDER BY taken_at DESC LIMIT 1) AS newest ON true`

// Scrape looks at the queues named and all else, over all organizations, in one round trip.
func (db *DB) Scrape(ctx context.Context, queues []string) (Scrape, error) {
	s := Scrape{Overdue: make(map[string]time.Duration), Mails: make(map[string]int)}
	b := &pgx.Batch{}
	b.Queue(actAsOperator)
	b.Queue(setScrapeTime, fmt.Sprint(scrapeWithin.Milliseconds()))
	b.Queue(scrapeJobs, queues, mostCounted).Query(collect(&s.Jobs))
	b.Queue(scrapeWaits, queues).Query(each(func(row pgx.Row) error {
		var w QueueWait
		var waited float64
		err := row.Scan(&w.Queue, &w.Beyond, &waited)
		w.Oldest = seconds(waited)
		s.Waits = append(s.Waits, w)
		return err
	}))
	b.Queue(scrapeWorkers, queues).Query(collect(&s.Workers))
	b.Queue(scrapeSchedules).Query(each(s.schedule))
	b.Queue(scrapeMails, mostCounted).Query(each(func(row pgx.Row) error {
		var state string
		var n int
		err := row.Scan(&state, &n)
		s.Mails[state] = n
		return err
	}))
	b.Queue(scrapeFlow, mostBehind).QueryRow(func(row pgx.Row) error {
		var waited float64
		err := row.Scan(&waited, &s.Dead)
		s.OldestDue = seconds(waited)
		return err
	})
	b.Queue(selectUnrouted).QueryRow(func(row pgx.Row) error {
		var waited float64
		err := row.Scan(&s.Behind.Events, &waited)
		s.Behind.Oldest = seconds(waited)
		return err
	})
	b.Queue(scrapeDatabase).QueryRow(s.Database.scan)
	b.Queue(scrapeBackups).QueryRow(s.Backups.scan)
	b.Queue(scrapeIndexes).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.Indexes.Invalid, &s.Indexes.SampledAt, &s.Indexes.Findings)
	})
	queueWebhookStanding(b, &s.Webhooks)
	if err := db.Send(ctx, b); err != nil {
		return s, fmt.Errorf("look at the installation: %w", becoming(System, err))
	}
	return s, nil
}

func (s *Scrape) schedule(row pgx.Row) error {
	var one Schedule
	var overdue float64
	err := row.Scan(&one.Name, &one.Kind, &one.Cron, &one.LastRunAt, &one.NextRunAt, &overdue)
	s.Schedules = append(s.Schedules, one)
	s.Overdue[one.Name] = seconds(overdue)
	return err
}

func (d *DatabaseUse) scan(row pgx.Row) error {
	return row.Scan(&d.Connections, &d.MaxConnections, &d.Deadlocks, &d.Hits, &d.Reads, &d.Commits, &d.Rollbacks, &d.Bytes)
}

func (u *BackupUse) scan(row pgx.Row) error {
	var took, restore *float64
	err := row.Scan(&u.LastSuccess, &u.LastSnapshot, &u.LastVerified, &u.LastFailed, &took, &u.Bytes, &restore, &u.Kept, &u.Failed)
	u.Took, u.Restore = lasting(took), lasting(restore)
	return err
}

func lasting(s *float64) *time.Duration {
	if s == nil {
		return nil
	}
	d := seconds(*s)
	return &d
}

// seconds is not less than none: clocks differ.
func seconds(n float64) time.Duration { return time.Duration(max(0, n) * float64(time.Second)) }

// collect reads rows of the fields of T, in their order.
func collect[T any](into *[]T) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*into, err = pgx.CollectRows(rows, pgx.RowToStructByPos[T])
		return err
	}
}

// each reads one row after the other.
func each(read func(pgx.Row) error) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			if err := read(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}
