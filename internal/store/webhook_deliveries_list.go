package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// What a delivery is made for.
const (
	DeliveryOfEvent    = "event"
	DeliveryOfCallback = "callback"
	DeliveryOfTest     = "test"
)

// A ListedDelivery is a delivery as it is shown, with what it waits for.
type ListedDelivery struct {
	OrganizationID string     `db:"organization_id"`
	ID             string     `db:"id"`
	LaneID         string     `db:"lane_id"`
	EndpointID     *string    `db:"endpoint_id"` // nil: a callback
	JobID          *string    `db:"job_id"`      // of a callback
	URL            *string    `db:"url"`         // of a callback; nil: the endpoint's
	EventID        string     `db:"event_id"`
	EventType      string     `db:"event_type"`
	Purpose        string     `db:"purpose"`
	Status         string     `db:"status"`
	Run            int        `db:"run"`
	BegunAt        time.Time  `db:"begun_at"`
	Attempts       int        `db:"attempts"` // of the run
	Admitted       bool       `db:"admitted"`
	NextAttemptAt  *time.Time `db:"next_attempt_at"`
	StatusCode     *int       `db:"status_code"`
	ErrorCode      *string    `db:"error_code"`
	Error          *string    `db:"error"`
	FinishedAt     *time.Time `db:"finished_at"`
	CreatedAt      time.Time  `db:"created_at"`

	PausedUntil *time.Time `db:"paused_until"` // the lane; nil: it is not paused, or no longer
	// Silenced says that the endpoint is disabled or was deleted.
	Silenced bool `db:"silenced"`
	// RateLimit is the endpoint's, in deliveries a minute; nil: it has none.
	RateLimit *int `db:"rate_limit"`

	Tries []ListedTry `db:"tries"` // the oldest first
}

// A ListedTry is an attempt as lists show it.
type ListedTry struct {
	Run        int       `json:"run"`
	Attempt    int       `json:"attempt"`
	At         time.Time `json:"at"`
	LatencyMS  int       `json:"latency_ms"`
	StatusCode *int      `json:"status_code"`
	Code       *string   `json:"code"`
	Error      *string   `json:"error"`
}

// A DeliveryFilter narrows a list of deliveries. Zero fields don't, but for the first two.
type DeliveryFilter struct {
	EndpointID    string // "": callbacks
	JobID         string // of callbacks, "": of all jobs
	Status        string
	EventType     string
	EventID       string
	Purpose       string
	CreatedAfter  time.Time
	CreatedBefore time.Time
	Before        string // id: only older ones
	Limit         int
}

const shownDeliveryColumns = `d.organization_id::text, d.id::text, d.lane_id::text, d.endpoint_id::text, d.job_id::text, d.url, d.event_id::text, d.event_type,
    d.purpose, d.status, d.run, d.begun_at, d.attempts, d.admitted, d.next_attempt_at, d.status_code, d.error_code, d.error, d.finished_at, d.created_at`

// The page is cut before what belongs to it is looked up: the attempts of its last runs alone.
const (
	pageOfDeliveries = `
SELECT page.*, CASE WHEN l.paused_until > now() THEN l.paused_until END AS paused_until,
       coalesce(e.status = 'disabled' OR e.deleted_at IS NOT NULL, false) AS silenced, e.rate_limit, tries
FROM (SELECT ` + shownDeliveryColumns + ` FROM webhook_deliveries d WHERE `
	aroundDeliveries = `) AS page
LEFT JOIN webhook_lanes l ON l.organization_id = $1 AND l.id = page.lane_id::uuid
LEFT JOIN webhook_endpoints e ON e.organization_id = $1 AND e.id = page.endpoint_id::uuid
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('run', run, 'attempt', attempt, 'at', started_at, 'latency_ms', latency_ms,
                    'status_code', status_code, 'code', error_code, 'error', error) ORDER BY attempt), '[]') AS tries
    FROM webhook_attempts a WHERE a.organization_id = $1 AND a.delivery_id = page.id::uuid AND a.run = page.run
) AS shown
ORDER BY page.id DESC`
	webhookEndpointExists = `SELECT true FROM webhook_endpoints WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL`
)

// Deliveries lists the deliveries of an endpoint, or callbacks, newest first. It is ErrNotFound where there is no such
// endpoint.
func (db *DB) Deliveries(ctx context.Context, organizationID string, f DeliveryFilter) ([]ListedDelivery, error) {
	b := BatchAs(organizationID)
	if f.EndpointID != "" {
		b.Queue(webhookEndpointExists, organizationID, f.EndpointID).QueryRow(func(row pgx.Row) error {
			var exists bool
			return notFound(row.Scan(&exists))
		})
	}
	var list []ListedDelivery
	sql, args := f.query(organizationID)
	b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[ListedDelivery])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("list webhook deliveries of %s: %w", organizationID, err)
	}
	return list, nil
}

// Those that wait and those that were admitted have an index each.
const pendingOfLane = `(d.lane_id = ? AND d.status = 'pending' AND NOT d.admitted OR d.lane_id = ? AND d.status = 'pending' AND d.admitted)`

// query spells only the conditions that there are, so that each combination is planned with its own index. The
// order within names the table: the list has an id too, a text, which no index is sorted by.
func (f DeliveryFilter) query(organizationID string) (sql string, args []any) {
	args = []any{organizationID}
	conditions := []string{"d.organization_id = $1"}
	where := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args))))
	}
	text := func(condition, value string) {
		if value != "" {
			where(condition, value)
		}
	}
	if f.EndpointID == "" {
		conditions = append(conditions, "d.job_id IS NOT NULL")
	}
	text("d.endpoint_id = ?", f.EndpointID)
	text("d.job_id = ?", f.JobID)
	// Indexes have those of a status alone, which a statement that is prepared for any value must be told.
	switch {
	case f.Status == Failed:
		conditions = append(conditions, "d.status = 'failed'")
	case f.Status == DeliveryPending && f.EndpointID != "":
		where(pendingOfLane, f.EndpointID)
	default:
		text("d.status = ?", f.Status)
	}
	text("d.event_type = ?", f.EventType)
	text("d.event_id = ?", f.EventID)
	text("d.purpose = ?", f.Purpose)
	// The id tells the time too, and is what the index is sorted by.
	if !f.CreatedAfter.IsZero() {
		where("d.created_at >= ?", f.CreatedAfter)
		where("d.id >= ?", idAt(f.CreatedAfter.Add(-idSlack)))
	}
	if !f.CreatedBefore.IsZero() {
		where("d.created_at < ?", f.CreatedBefore)
		where("d.id < ?", idAt(f.CreatedBefore.Add(idSlack)))
	}
	text("d.id < ?", f.Before)
	args = append(args, f.Limit)
	return pageOfDeliveries + strings.Join(conditions, " AND ") + ` ORDER BY d.id DESC LIMIT $` + strconv.Itoa(len(args)) + aroundDeliveries, args
}
