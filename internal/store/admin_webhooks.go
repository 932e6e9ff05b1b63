package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// An AdminEndpoint is an endpoint of webhooks with how its deliveries stand.
type AdminEndpoint struct {
	WebhookEndpoint
	Waiting   int `db:"waiting"` // mostWaiting at most
	Succeeded int `db:"succeeded"`
	Failed    int `db:"failed"`
	Pending   int `db:"pending"`
}

// Endpoints are few for each organization; what is counted for each of a page ends at a bound.
const (
	adminEndpoints = `
SELECT e.organization_id::text, e.id::text, e.url, e.events, e.description, e.headers, e.rate_limit, e.status,
       e.disabled_code, e.disabled_reason, e.disabled_at,
       CASE WHEN e.previous_secret_until > now() THEN e.previous_secret_until END AS previous_secret_until,
       e.version, e.created_at, e.updated_at, coalesce(l.failures, 0) AS failures, l.failing_since,
       CASE WHEN l.paused_until > now() THEN l.paused_until END AS paused_until, l.last_success_at, l.last_failure_at,
       w.waiting, r.succeeded, r.failed, r.pending
FROM (SELECT * FROM webhook_endpoints p WHERE p.deleted_at IS NULL %s) AS e
LEFT JOIN webhook_lanes l ON l.organization_id = e.organization_id AND l.id = e.id
CROSS JOIN LATERAL (SELECT count(*)::int AS waiting FROM (
    SELECT FROM webhook_deliveries d WHERE d.organization_id = e.organization_id AND d.lane_id = e.id AND d.status = 'pending' AND NOT d.admitted
    UNION ALL
    SELECT FROM webhook_deliveries d WHERE d.organization_id = e.organization_id AND d.lane_id = e.id AND d.status = 'pending' AND d.admitted
    LIMIT 1000) AS waiting) AS w
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE status = 'succeeded')::int AS succeeded, count(*) FILTER (WHERE status = 'failed')::int AS failed,
           count(*) FILTER (WHERE status = 'pending')::int AS pending
    FROM (SELECT status FROM webhook_deliveries d WHERE d.organization_id = e.organization_id AND d.endpoint_id = e.id ORDER BY d.id DESC LIMIT 200) AS newest) AS r
ORDER BY e.id DESC`
	endpointsPage = `AND ($1 = '' OR p.organization_id = nullif($1, '')::uuid) AND ($2 = '' OR p.status = $2) AND ($3 = '' OR p.id < nullif($3, '')::uuid)
    ORDER BY p.id DESC LIMIT $4`
	oneEndpoint = `AND p.organization_id = $1 AND p.id = $2`
)

// AdminEndpoints lists the endpoints of all organizations, or of one, newest first; those of one status alone, unless
// that is "".
func AdminEndpoints(ctx context.Context, tx pgx.Tx, organizationID, status, behind string, limit int) ([]AdminEndpoint, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(adminEndpoints, endpointsPage), organizationID, status, behind, limit)
	if err != nil {
		return nil, fmt.Errorf("list endpoints of webhooks: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[AdminEndpoint])
	if err != nil {
		return nil, fmt.Errorf("list endpoints of webhooks: %w", err)
	}
	return list, nil
}

// AdminEndpointOf reads one endpoint.
func AdminEndpointOf(ctx context.Context, tx pgx.Tx, organizationID, id string) (AdminEndpoint, error) {
	var e AdminEndpoint
	rows, err := tx.Query(ctx, fmt.Sprintf(adminEndpoints, oneEndpoint), organizationID, id)
	if err == nil {
		e, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[AdminEndpoint])
		err = notFound(err)
	}
	if err != nil {
		return e, fmt.Errorf("read endpoint %s: %w", id, err)
	}
	return e, nil
}

// An AdminDelivery is a delivery as a list of all organizations' shows it.
type AdminDelivery struct {
	ChainDelivery
	JobID    *string `db:"job_id"`
	Attempts int     `db:"attempts"`
}

// An AdminDeliveryFilter narrows a list of deliveries. Zero fields don't.
type AdminDeliveryFilter struct {
	OrganizationID, EndpointID string // an endpoint's organization is named with it
	Status, EventType, Purpose string
	After, Before              time.Time // they are looked for by when they were made
	Behind                     string
	Limit                      int
}

// AdminDeliveries lists deliveries of all organizations, newest first.
func AdminDeliveries(ctx context.Context, tx pgx.Tx, f AdminDeliveryFilter) ([]AdminDelivery, error) {
	var args []any
	conditions := []string{"true"}
	where := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args))))
	}
	for condition, value := range map[string]string{"d.organization_id = ?": f.OrganizationID, "d.endpoint_id = ?": f.EndpointID,
		"d.event_type = ?": f.EventType, "d.purpose = ?": f.Purpose, "d.id < ?": f.Behind} {
		if value != "" {
			where(condition, value)
		}
	}
	switch f.Status {
	case "":
	case Failed: // has an index of its own, which the statement must name
		conditions = append(conditions, "d.status = 'failed'")
	case DeliveryPending: // has two
		conditions = append(conditions, "(d.status = 'pending' AND d.admitted OR d.status = 'pending' AND NOT d.admitted)")
	default:
		where("d.status = ?", f.Status)
	}
	// The id tells the time too, and is what the index is sorted by.
	if !f.After.IsZero() {
		where("d.created_at >= ?", f.After)
		where("d.id >= ?", idAt(f.After.Add(-idSlack)))
	}
	if !f.Before.IsZero() {
		where("d.created_at < ?", f.Before)
		where("d.id < ?", idAt(f.Before.Add(idSlack)))
	}
	args = append(args, f.Limit)
	// The page is cut before its endpoints are looked up, each by itself, which LIMIT keeps from becoming a join.
	rows, err := tx.Query(ctx, `SELECT `+chainDeliveryColumns+`, d.job_id::text, d.attempts
FROM (SELECT * FROM webhook_deliveries d WHERE `+strings.Join(conditions, " AND ")+` ORDER BY d.id DESC LIMIT $`+strconv.Itoa(len(args))+`) AS d
LEFT JOIN LATERAL (SELECT url FROM webhook_endpoints e WHERE e.organization_id = d.organization_id AND e.id = d.endpoint_id LIMIT 1) AS w ON true
ORDER BY d.id DESC`, args...)
	if err != nil {
		return nil, fmt.Errorf("list deliveries of all organizations: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[AdminDelivery])
	if err != nil {
		return nil, fmt.Errorf("list deliveries of all organizations: %w", err)
	}
	return list, nil
}

const ownerOfDelivery = `SELECT organization_id::text, coalesce(endpoint_id::text, '') FROM webhook_deliveries WHERE id = $1`

// OwnerOfDelivery finds whose a delivery is, and of which endpoint, "" for a callback, by its id alone.
func OwnerOfDelivery(ctx context.Context, tx pgx.Tx, id string) (organizationID, endpointID string, err error) {
	if err := tx.QueryRow(ctx, ownerOfDelivery, id).Scan(&organizationID, &endpointID); err != nil {
		return "", "", fmt.Errorf("find delivery %s: %w", id, notFound(err))
	}
	return organizationID, endpointID, nil
}
