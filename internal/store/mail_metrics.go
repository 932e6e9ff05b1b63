package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MailServer is the provider under which workers tell of their mail server.
const MailServer = "smtp"

// MailMetrics are figures of all organizations together, for the operator.
type MailMetrics struct {
	// Mails, by state; MostMailsCounted at most of each.
	Queued, Sending, Deferred, Unknown int64
	// What happened to recipients in the window.
	Accepted, Failed, Bounced, Complained int64
	Suppressions                          int64 // in force, MostMailsCounted at most
	// OldestQueued is how long the oldest mail that is due has waited for its first attempt; nil: none does.
	OldestQueued *time.Duration
}

// firstDueMail is when the oldest mail that is due became so. It walks from the oldest on and passes by
// those that are put off to a later day, of which one mailing may be a million: so it goes no further than a length.
// What it doesn't reach, the age of the queue's oldest job tells.
const firstDueMail = `
    SELECT greatest(j.created_at, j.run_at)
    FROM (SELECT organization_id, id, created_at FROM mail_messages WHERE state = 'queued' ORDER BY created_at LIMIT 2000) AS m,
         LATERAL (SELECT created_at, run_at FROM jobs WHERE organization_id = m.organization_id AND id = m.id OFFSET 0) AS j
    WHERE j.run_at <= now() ORDER BY m.created_at LIMIT 1`

// A state is spelled, as those that are not settled have an index of their own, which only a spelled one is known to be in.
func mailsIn(state string) string {
	return "(SELECT count(*) FROM (SELECT FROM mail_messages WHERE state = '" + state + "' LIMIT $1) AS counted)"
}

var selectMailMetrics = `
WITH lately AS (
    SELECT type, count(*) AS n FROM mail_events
    WHERE created_at >= $2 AND type IN ('accepted', 'failed', 'bounced', 'complained') GROUP BY type
)
SELECT ` + mailsIn("queued") + `, ` + mailsIn("sending") + `, ` + mailsIn("deferred") + `, ` + mailsIn("unknown") + `,
       coalesce((SELECT n FROM lately WHERE type = 'accepted'), 0), coalesce((SELECT n FROM lately WHERE type = 'failed'), 0),
       coalesce((SELECT n FROM lately WHERE type = 'bounced'), 0), coalesce((SELECT n FROM lately WHERE type = 'complained'), 0),
       (SELECT count(*) FROM (SELECT FROM mail_suppressions WHERE ` + inForce + ` LIMIT $1) AS counted),
       extract(epoch FROM now() - (` + firstDueMail + `))::float8`

// MailMetrics reads how mail did since a moment until now, over all organizations, in one round trip.
func (db *DB) MailMetrics(ctx context.Context, since time.Time) (MailMetrics, error) {
	var m MailMetrics
	var oldest *float64
	b := &pgx.Batch{}
	b.Queue(actAsOperator)
	b.Queue(selectMailMetrics, MostMailsCounted, since).QueryRow(func(row pgx.Row) error {
		return row.Scan(&m.Queued, &m.Sending, &m.Deferred, &m.Unknown, &m.Accepted, &m.Failed, &m.Bounced, &m.Complained,
			&m.Suppressions, &oldest)
	})
	if err := db.Send(ctx, b); err != nil {
		return m, fmt.Errorf("read the figures of mail: %w", becoming(System, err))
	}
	if oldest != nil {
		waited := time.Duration(max(0, *oldest) * float64(time.Second))
		m.OldestQueued = &waited
	}
	return m, nil
}
