package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A Found is a row that an id may mean.
type Found struct {
	Sort           string     `db:"sort"` // job, delivery, contact, deal, invoice, key, endpoint, backup or mail
	OrganizationID string     `db:"organization_id"`
	ID             string     `db:"id"`
	At             time.Time  `db:"at"`
	EventID        string     `db:"event_id"` // of a delivery
	JobID          string     `db:"job_id"`   // that it belongs to
	Name           string     `db:"name"`     // of a key
	UsedAt         *time.Time `db:"used_at"`  // a key
}

// Tables whose rows tell by their id when they were made are searched at that time alone; the others are small.
const findByTime = `
SELECT 'job' AS sort, organization_id::text, id::text, created_at AS at, '' AS event_id, id::text AS job_id, '' AS name, NULL::timestamptz AS used_at
FROM jobs WHERE id = $1 AND created_at BETWEEN $2::timestamptz - $3::interval AND $2::timestamptz + $3::interval
UNION ALL
SELECT 'delivery', organization_id::text, id::text, created_at, event_id::text, coalesce(job_id::text, ''), '', NULL
FROM webhook_deliveries WHERE id = $1 AND created_at BETWEEN $2::timestamptz - $3::interval AND $2::timestamptz + $3::interval`

const findEverywhere = `
SELECT 'endpoint' AS sort, organization_id::text, id::text, created_at AS at, '' AS event_id, '' AS job_id, '' AS name, NULL::timestamptz AS used_at
FROM webhook_endpoints WHERE id = $1
UNION ALL
SELECT 'backup', '', id::text, started_at, '', coalesce(job_id::text, ''), name, NULL FROM backups WHERE id = $1
UNION ALL
SELECT 'key', organization_id::text, id::text, created_at, '', '', name, last_used_at FROM api_keys WHERE id = $1
UNION ALL
SELECT 'mail', organization_id::text, id::text, created_at, '', id::text, '', NULL FROM mail_messages WHERE id = $1
UNION ALL
SELECT f.* FROM organizations o CROSS JOIN LATERAL (
    SELECT 'contact', c.organization_id::text, c.id::text, c.created_at, '', '', '', NULL::timestamptz
    FROM contacts c WHERE c.organization_id = o.id AND c.id = $1
    UNION ALL
    SELECT 'deal', d.organization_id::text, d.id::text, d.created_at, '', '', '', NULL
    FROM deals d WHERE d.organization_id = o.id AND d.id = $1
    UNION ALL
    SELECT 'invoice', i.organization_id::text, i.id::text, i.created_at, '', '', '', NULL
    FROM invoices i WHERE i.organization_id = o.id AND i.id = $1) AS f`

// timeOf is when an id of ours was made; ErrNotFound: it is none.
func timeOf(id string) (time.Time, error) {
	parsed, err := uuid.Parse(id)
	if err != nil || parsed.Version() != 7 {
		return time.Time{}, fmt.Errorf("read %q: %w", id, ErrNotFound)
	}
	return time.Unix(parsed.Time().UnixTime()), nil
}

// FindByID finds what a UUID may mean among the rows of all organizations.
func FindByID(ctx context.Context, tx pgx.Tx, id string) ([]Found, error) {
	var all []Found
	if made, err := timeOf(id); err == nil {
		if all, err = found(ctx, tx, findByTime, id, made, idSlack); err != nil {
			return nil, err
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	return found(ctx, tx, findEverywhere, id)
}

func found(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]Found, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("look for %v: %w", args[0], err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Found])
	if err != nil {
		return nil, fmt.Errorf("look for %v: %w", args[0], err)
	}
	return list, nil
}

const mailByQueueID = `
SELECT 'mail' AS sort, organization_id::text, message_id::text AS id, created_at AS at, '' AS event_id, message_id::text AS job_id, '' AS name,
       NULL::timestamptz AS used_at
FROM mail_recipients WHERE queue_id = $1 AND queue_id IS NOT NULL LIMIT 10`

// FindQueueID finds mails by the name that a mail server gave them.
func FindQueueID(ctx context.Context, tx pgx.Tx, id string) ([]Found, error) {
	return found(ctx, tx, mailByQueueID, id)
}

// JobsOfRequest finds the newest jobs that came of a request.
func JobsOfRequest(ctx context.Context, tx pgx.Tx, requestID string, atMost int) ([]Key, error) {
	rows, err := tx.Query(ctx, jobsOfRequest, requestID, atMost)
	if err != nil {
		return nil, fmt.Errorf("look for the jobs of request %s: %w", requestID, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Key])
	if err != nil {
		return nil, fmt.Errorf("look for the jobs of request %s: %w", requestID, err)
	}
	return list, nil
}

const jobsAboutThing = `
(SELECT organization_id::text, job_id::text FROM ai_insights WHERE organization_id = $1 AND contact_id = $2 ORDER BY ai_insights.id DESC LIMIT $3)
UNION (SELECT organization_id::text, job_id::text FROM ai_insights WHERE organization_id = $1 AND deal_id = $2 ORDER BY ai_insights.id DESC LIMIT $3)
UNION (SELECT organization_id::text, job_id::text FROM ai_insights WHERE organization_id = $1 AND invoice_id = $2 ORDER BY ai_insights.id DESC LIMIT $3)
UNION (SELECT organization_id::text, id::text FROM mail_messages WHERE organization_id = $1 AND contact_id = $2 ORDER BY mail_messages.id DESC LIMIT $3)
UNION (SELECT organization_id::text, id::text FROM mail_messages WHERE organization_id = $1 AND invoice_id = $2 ORDER BY mail_messages.id DESC LIMIT $3)`

// JobsAbout finds the newest jobs whose answer or mail is about a contact, a deal or an invoice.
func JobsAbout(ctx context.Context, tx pgx.Tx, organizationID, id string, atMost int) ([]Key, error) {
	rows, err := tx.Query(ctx, jobsAboutThing, organizationID, id, atMost)
	if err != nil {
		return nil, fmt.Errorf("look for jobs about %s: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Key])
	if err != nil {
		return nil, fmt.Errorf("look for jobs about %s: %w", id, err)
	}
	return list, nil
}
