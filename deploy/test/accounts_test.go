//go:build deploytest

package deploytest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// accounts holds what was accepted against what became of it: every job ended well, once, and was told of once; the
// stream has what the outbox has; each mail arrived.
func (d *deployed) accounts(t *testing.T, l *load) {
	ctx := within(t, 3*time.Minute)
	ids := slices.Sorted(maps.Keys(l.accepted))
	if err := d.settled(ctx, ids); err != nil {
		t.Fatal(err)
	}
	conn, err := d.database(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, f := range faults {
		found, err := f.find(ctx, conn, d.mine, ids)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			t.Errorf("%d %s: %v", len(found), f.what, found[:min(len(found), 5)])
		}
	}
	n, err := d.sameEvents(ctx, conn)
	if err != nil {
		t.Error(err)
	}
	untold := 0
	for _, id := range ids {
		if callbacks.heard(id) == 0 {
			untold++
		}
	}
	if untold > 0 {
		t.Errorf("nobody was told of the end of %d jobs", untold)
	}
	d.report.add("accounts", "%d jobs accepted, each ended once and well, each end told; outbox = stream: %d events", len(ids), n)
	d.mails(ctx, t, conn, l)
}

// settled waits until nothing is under way.
func (d *deployed) settled(ctx context.Context, ids []string) error {
	return eventually(ctx, func(ctx context.Context) error {
		var open, deliveries int
		err := d.row(ctx, `SELECT (SELECT count(*) FROM jobs WHERE id = ANY ($1::uuid[]) AND finished_at IS NULL),
			(SELECT count(*) FROM river_job WHERE state NOT IN ('completed', 'cancelled', 'discarded', 'scheduled'))`, []any{ids}, &open, &deliveries)
		if err == nil && open+deliveries > 0 {
			err = fmt.Errorf("%d jobs haven't ended, %d rows of the queue", open, deliveries)
		}
		if err != nil {
			return err
		}
		for _, id := range ids {
			if callbacks.heard(id) == 0 {
				return fmt.Errorf("nobody was told of the end of job %s", id)
			}
		}
		return nil
	})
}

// A fault is a question whose answer has to be no row: $1 is the organization, $2 the jobs that were accepted.
type fault struct{ what, sql string }

var faults = []fault{
	{"jobs that were accepted but are not there",
		`SELECT id::text FROM unnest($2::uuid[]) id WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.organization_id = $1::uuid AND j.id = id)`},
	{"jobs that have not succeeded",
		`SELECT id::text || ' ' || status FROM jobs WHERE organization_id = $1::uuid AND id = ANY ($2::uuid[]) AND status <> 'succeeded'`},
	// The work of a worker that died goes on in a new row; the old one is cancelled.
	{"jobs without exactly one completed row of the queue",
		`SELECT j.id::text FROM jobs j LEFT JOIN river_job r ON r.args ->> 'job_id' = j.id::text
		 WHERE j.organization_id = $1::uuid AND j.id = ANY ($2::uuid[])
		 GROUP BY j.id HAVING count(r.id) FILTER (WHERE r.state = 'completed' AND r.kind = j.kind) <> 1`},
	{"jobs without exactly one event of their end",
		`SELECT j.id::text FROM jobs j LEFT JOIN outbox o ON o.subject = j.id::text AND o.type IN ('job.completed', 'job.failed', 'job.cancelled')
		 WHERE j.organization_id = $1::uuid AND j.id = ANY ($2::uuid[]) GROUP BY j.id HAVING count(o.event_id) <> 1`},
	{"dead events", `SELECT id || ' ' || reason FROM dead_events WHERE $1::uuid IS NOT NULL AND $2::uuid[] IS NOT NULL`},
}

func (f fault) find(ctx context.Context, conn *pgx.Conn, organization string, ids []string) ([]string, error) {
	rows, err := conn.Query(ctx, f.sql, organization, ids)
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", f.what, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", f.what, err)
	}
	return found, nil
}

// sameEvents holds the stream against the outbox: the same events, in the same order, each once.
func (d *deployed) sameEvents(ctx context.Context, conn *pgx.Conn) (int, error) {
	rows, err := conn.Query(ctx, `SELECT event_id::text FROM outbox ORDER BY xid, id`)
	if err != nil {
		return 0, err
	}
	outbox, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, err
	}
	stream, err := d.stored(ctx)
	if err != nil {
		return 0, err
	}
	if !slices.Equal(outbox, stream) {
		return 0, fmt.Errorf("the outbox has %d events, the stream %d, and not the same in the same order", len(outbox), len(stream))
	}
	return len(stream), nil
}

// stored reads the ids of all events from the stream.
func (d *deployed) stored(ctx context.Context) ([]string, error) {
	c, err := d.one(ctx, "nats")
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(strings.Replace(d.nats, "@nats:", "@"+c.address()+":", 1))
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
	var ids []string
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			return nil, fmt.Errorf("read message %d: %w", seq, err)
		}
		ids = append(ids, m.Header.Get("ce-id"))
	}
	return ids, nil
}

// mails holds the mailbox against the jobs. A mail of which nobody knew whether the server had taken it, as it was
// killed between taking it and saying so, is said to be unknown and then sent again: that alone may arrive twice.
func (d *deployed) mails(ctx context.Context, t *testing.T, conn *pgx.Conn, l *load) {
	rows, err := conn.Query(ctx, `SELECT DISTINCT m.subject FROM mail_messages m JOIN mail_events e ON e.message_id = m.id
		WHERE m.organization_id = $1 AND e.type = 'unknown'`, d.mine)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var doubled int
	err = eventually(ctx, func(ctx context.Context) error {
		subjects, err := d.arrived(ctx)
		if err != nil {
			return err
		}
		doubled = 0
		for _, name := range l.mails {
			switch n := subjects[name]; {
			case n == 0:
				return fmt.Errorf("mail %s hasn't arrived", name)
			case n > 1 && !slices.Contains(unknown, "deploytest "+name):
				return fmt.Errorf("mail %s arrived %d times, and was never said to be unknown", name, n)
			case n > 1:
				doubled++
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	d.report.add("mails", "%d accepted, all arrived; %d were unknown for a while and sent again, %d of them arrived twice", len(l.mails), len(unknown), doubled)
}
