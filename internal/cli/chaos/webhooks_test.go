package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
)

// A partnership is an organization whose facts are told to receivers, and the processes that tell them.
type partnership struct {
	*stack
	pool         *pgxpool.Pool
	organization string
	own          *client
	relay        *process
	workers      []*process
}

// newPartnership starts the product with some workers, whose receivers may be on this machine.
func newPartnership(t *testing.T, workers int, env ...string) *partnership {
	t.Helper()
	p := &partnership{stack: newStack(t)}
	p.env = append(p.env, "WEBHOOK_ALLOW_HTTP=true", "WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8")
	p.env = append(p.env, env...)
	p.pool = p.stack.pool()
	_, admin := p.api("api")
	p.organization, p.own = admin.organization(t, "Partner")
	p.relay = p.stack.relay("relay")
	for i := range workers {
		p.workers = append(p.workers, p.hookWorker(fmt.Sprintf("worker-%d", i+1)))
	}
	for _, w := range p.workers {
		_, err := w.says(within(t, 30*time.Second), "worker works")
		must(t, "start a worker", err)
	}
	return p
}

func (p *partnership) hookWorker(name string) *process {
	p.t.Helper()
	return p.process(name, nil, "worker", "--queue", "webhook", "--queue", "maintenance", "--queue", "mail", "--queue", "cache")
}

// happen commits n facts at once, and gives the ids of their events.
func (p *partnership) happen(ctx context.Context, n int) ([]string, error) {
	b := &pgx.Batch{}
	list := make([]string, n)
	for i := range list {
		list[i] = outbox.NewID()
		fact := events.ContactCreated{ContactID: outbox.NewID(), Type: "lead", Stage: "prospect", Status: "active", Version: 1}
		if err := outbox.QueueAs(b, list[i], outbox.Origin{OrganizationID: p.organization}, fact); err != nil {
			return nil, err
		}
	}
	if err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, b).Close() }); err != nil {
		return nil, fmt.Errorf("write %d facts: %w", n, err)
	}
	return list, nil
}

// analyze has Postgres look at what tables hold, as it does by itself within a minute or two. Until then the plans are those
// of the empty tables.
func (p *partnership) analyze(t *testing.T) {
	t.Helper()
	_, err := p.pool.Exec(t.Context(), `ANALYZE`)
	must(t, "analyze", err)
}

// settle waits until nothing is left to be delivered, now or later.
func (p *partnership) settle(t *testing.T, most time.Duration) {
	t.Helper()
	err := eventually(within(t, most), func(ctx context.Context) error {
		var open int
		err := p.pool.QueryRow(ctx, `SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'`).Scan(&open)
		if err == nil && open > 0 {
			err = fmt.Errorf("%d deliveries are pending", open)
		}
		return err
	})
	must(t, "wait for the deliveries", err)
	// What delivers must not run on for what is delivered.
	err = eventually(within(t, time.Minute), func(ctx context.Context) error {
		var open int
		err := p.pool.QueryRow(ctx, `SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver' AND finalized_at IS NULL`).Scan(&open)
		if err == nil && open > 0 {
			err = fmt.Errorf("%d jobs of River have not ended", open)
		}
		return err
	})
	must(t, "wait for the jobs of River", err)
}

// hookFaults are questions whose answer has to be no row, where every delivery has been made: $1 is an endpoint, $2 are
// the ids of its events.
var hookFaults = []fault{
	{"events without exactly one delivery that succeeded", `SELECT e.id::text, count(d.id), min(d.status), min(d.error_code) FROM unnest($2::uuid[]) AS e (id)
		LEFT JOIN webhook_deliveries d ON d.event_id = e.id AND d.endpoint_id = $1::uuid
		GROUP BY e.id HAVING count(d.id) <> 1 OR bool_or(d.status <> 'succeeded')`},
	{"deliveries of what did not happen",
		`SELECT id::text, event_id::text FROM webhook_deliveries WHERE endpoint_id = $1::uuid AND event_id <> ALL ($2::uuid[])`},
	// One whose worker was taken for dead may have been made by another meanwhile, and both have been written down.
	{"deliveries without an attempt that succeeded", `SELECT d.id::text, d.attempts, count(a.attempt), count(a.attempt) FILTER (WHERE a.error_code IS NULL)
		FROM webhook_deliveries d LEFT JOIN webhook_attempts a ON a.delivery_id = d.id AND a.run = d.run
		WHERE d.endpoint_id = $1::uuid AND d.event_id = ANY ($2::uuid[])
		GROUP BY d.organization_id, d.id HAVING count(a.attempt) FILTER (WHERE a.error_code IS NULL) = 0 OR count(a.attempt) < d.attempts`},
	{"dead events", `SELECT id, reason FROM dead_events WHERE $1::uuid IS NOT NULL AND $2::uuid[] IS NOT NULL`},
}

// judge holds what a receiver got against what happened, and against what is written down about it.
func (p *partnership) judge(t *testing.T, r *receiver, s subscription, happened []string) {
	t.Helper()
	if err := r.lacks(happened); err != nil {
		t.Error(err)
	}
	var all []error
	for _, f := range hookFaults {
		rows, err := p.pool.Query(t.Context(), f.sql, s.ID, happened)
		must(t, "look for "+f.what, err)
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
			values, err := row.Values()
			return strings.TrimSpace(fmt.Sprintln(values...)), err
		})
		must(t, "look for "+f.what, err)
		if len(found) > 0 {
			all = append(all, fmt.Errorf("receiver %s: %d %s: %q", r.name, len(found), f.what, found[:min(len(found), 5)]))
		}
	}
	if err := errors.Join(all...); err != nil {
		t.Error(err)
	}
}

// repeats is how many requests brought what the receiver had accepted already.
func (r *receiver) repeats() int {
	n := 0
	for _, d := range r.all() {
		if d.status >= 200 && d.status <= 299 {
			n++
		}
	}
	accepted, _ := r.has()
	return n - accepted
}
