package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// published is an event as the stream holds it.
type published struct{ id, kind, subject string }

// readStream reads the whole stream from its beginning, without the product's own reader.
func readStream(ctx context.Context, url string) ([]published, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	s, err := js.Stream(ctx, "EVENTS")
	if err != nil {
		return nil, err
	}
	state := s.CachedInfo().State
	if state.Msgs != state.LastSeq {
		return nil, fmt.Errorf("the stream holds %d messages of %d", state.Msgs, state.LastSeq)
	}
	var all []published
	for seq := uint64(1); seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			return nil, fmt.Errorf("read message %d: %w", seq, err)
		}
		all = append(all, published{m.Header.Get("ce-id"), m.Header.Get("ce-type"), m.Header.Get("ce-subject")})
	}
	return all, nil
}

// readOutbox reads every committed fact in the order of the outbox.
func readOutbox(ctx context.Context, pool *pgxpool.Pool) ([]published, error) {
	rows, err := pool.Query(ctx, `SELECT event_id::text, type, subject FROM outbox ORDER BY xid, id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p published, err error) {
		return p, row.Scan(&p.id, &p.kind, &p.subject)
	})
}

// sameEvents holds the stream against the outbox: the same events, in the same order, each once.
func sameEvents(stream, outbox []published) error {
	for i := range min(len(stream), len(outbox)) {
		if stream[i] != outbox[i] {
			return fmt.Errorf("message %d is %+v, the outbox has %+v there", i+1, stream[i], outbox[i])
		}
	}
	if len(stream) != len(outbox) {
		return fmt.Errorf("the stream has %d events, the outbox %d", len(stream), len(outbox))
	}
	seen := make(map[string]bool)
	for _, e := range stream {
		if seen[e.id] {
			return fmt.Errorf("event %s was published twice", e.id)
		}
		seen[e.id] = true
	}
	return nil
}

// onceEach reports which of the jobs have not exactly one event of a type.
func onceEach(stream []published, kind string, jobs []string) error {
	count := make(map[string]int)
	for _, e := range stream {
		if e.kind == kind {
			count[e.subject]++
		}
	}
	var bad []error
	for _, id := range jobs {
		if count[id] != 1 {
			bad = append(bad, fmt.Errorf("job %s has %d events %s", id, count[id], kind))
		}
	}
	return errors.Join(bad[:min(len(bad), 5)]...)
}

// A fault is a question whose answer has to be no row.
type fault struct{ what, sql string }

// allFaults are about one organization, whose jobs the clients know: $1 is the organization, $2 the ids.
var allFaults = []fault{
	{"jobs that were accepted but are not there",
		`SELECT id::text FROM unnest($2::uuid[]) id WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.organization_id = $1::uuid AND j.id = id)`},
	{"jobs that nobody was told of",
		`SELECT id::text FROM jobs WHERE organization_id = $1::uuid AND id <> ALL ($2::uuid[])`},
	{"jobs that have not succeeded",
		`SELECT id::text, status, waiting_reason FROM jobs WHERE organization_id = $1::uuid AND id = ANY ($2::uuid[]) AND status <> 'succeeded'`},
	// The work of a worker that died goes on in a new row; the old one is cancelled.
	{"jobs without exactly one completed row of River",
		`SELECT j.id::text, j.run, j.lease, jsonb_agg(to_jsonb(r) - 'args' ORDER BY r.id)::text FROM jobs j
		 LEFT JOIN river_job r ON r.args ->> 'job_id' = j.id::text
		 WHERE j.organization_id = $1::uuid AND j.id = ANY ($2::uuid[])
		 GROUP BY j.id, j.run, j.lease
		 HAVING count(r.id) FILTER (WHERE r.state = 'completed') <> 1 OR bool_or(r.state NOT IN ('completed', 'cancelled'))`},
	{"jobs without exactly one effect that is done",
		`SELECT j.id::text, count(e.job_id) FROM jobs j
		 LEFT JOIN job_effects e ON e.organization_id = j.organization_id AND e.job_id = j.id
		 WHERE j.organization_id = $1::uuid AND j.id = ANY ($2::uuid[])
		 GROUP BY j.id HAVING count(e.job_id) <> 1 OR bool_or(e.state <> 'done')`},
	{"effects of jobs that nobody knows",
		`SELECT e.job_id::text FROM job_effects e WHERE e.organization_id <> $1::uuid OR e.job_id <> ALL ($2::uuid[])`},
	{"dead events", `SELECT id, reason FROM dead_events WHERE $1::uuid IS NOT NULL AND $2::uuid[] IS NOT NULL`},
}

// audit asks for every fault.
func audit(ctx context.Context, pool *pgxpool.Pool, organization string, jobs []string) error {
	var all []error
	for _, f := range allFaults {
		rows, err := pool.Query(ctx, f.sql, organization, jobs)
		if err != nil {
			return fmt.Errorf("look for %s: %w", f.what, err)
		}
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
			values, err := row.Values()
			return fmt.Sprintln(values...), err
		})
		if err != nil {
			return fmt.Errorf("look for %s: %w", f.what, err)
		}
		if len(found) > 0 {
			all = append(all, fmt.Errorf("%d %s: %v", len(found), f.what, found[:min(len(found), 5)]))
		}
	}
	return errors.Join(all...)
}

// snapshot is every row of an organization's jobs, as text.
func snapshot(ctx context.Context, pool *pgxpool.Pool, organization string) (string, error) {
	var text string
	err := pool.QueryRow(ctx, `SELECT coalesce(jsonb_agg(to_jsonb(j) ORDER BY id), '[]')::text FROM jobs j
		WHERE organization_id = $1::uuid`, organization).Scan(&text)
	return text, err
}

// slowest is the longest time from a job's 202 to its end.
func slowest(ctx context.Context, pool *pgxpool.Pool, accepted map[string]time.Time) (time.Duration, error) {
	rows, err := pool.Query(ctx, `SELECT id::text, finished_at FROM jobs WHERE finished_at IS NOT NULL`)
	if err != nil {
		return 0, err
	}
	var longest time.Duration
	var id string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error {
		if since, ok := accepted[id]; ok {
			longest = max(longest, at.Sub(since))
		}
		return nil
	})
	return longest, err
}

// ids are the keys of what was accepted.
func ids(accepted map[string]time.Time) []string {
	var list []string
	for id := range accepted {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}
