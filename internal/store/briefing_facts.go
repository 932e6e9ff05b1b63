package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// BriefingFacts is what happened in an organization since yesterday began, and what waits for it today, by its
// own calendar. A sum that no int64 holds is the greatest that it does.
type BriefingFacts struct {
	OrganizationName string `db:"organization_name"`
	Timezone         string `db:"timezone"`

	Overdue      int   `db:"overdue"`
	OverdueTotal int64 `db:"overdue_total"` // paise, as all amounts
	Rotting      int   `db:"rotting"`
	RottingValue int64 `db:"rotting_value"`
	FollowUps    int   `db:"follow_ups"` // due today or before
	NewLeads     int   `db:"new_leads"`  // since yesterday began
	Payments     int   `db:"payments"`   // since yesterday began
	PaidTotal    int64 `db:"paid_total"`
	OpenDeals    int   `db:"open_deals"`
	Pipeline     int64 `db:"pipeline"` // their value

	TopOverdue   []OverdueLine  `db:"-"` // the greatest 5
	TopRotting   []RottingLine  `db:"-"` // the most valuable 5
	TopFollowUps []FollowUpLine `db:"-"` // the oldest 5

	OverdueJSON   json.RawMessage `db:"top_overdue"`
	RottingJSON   json.RawMessage `db:"top_rotting"`
	FollowUpsJSON json.RawMessage `db:"top_follow_ups"`
}

// An OverdueLine is an overdue invoice in a briefing.
type OverdueLine struct {
	Number    string `json:"number"`
	Contact   string `json:"contact"`
	AmountDue int64  `json:"amount_due"` // paise
	DueDate   string `json:"due_date"`   // YYYY-MM-DD
}

// A RottingLine is a deal in a briefing that has been in its stage for too long.
type RottingLine struct {
	Title          string    `json:"title"`
	Contact        string    `json:"contact"`
	Stage          string    `json:"stage"`
	Value          int64     `json:"value"` // paise
	StageChangedAt time.Time `json:"stage_changed_at"`
}

// A FollowUpLine is a contact in a briefing that somebody meant to speak with by now.
type FollowUpLine struct {
	Contact string    `json:"contact"`
	Company *string   `json:"company"`
	Due     time.Time `json:"due"`
}

// What is new has a new id: $5 is older than any id of yesterday. What is overdue or in the pipeline is counted in
// the dashboard's indexes.
const selectBriefingFacts = `
WITH local AS MATERIALIZED (
    SELECT o.name AS organization_name, o.timezone, today,
           (today - 1)::timestamp AT TIME ZONE o.timezone AS yesterday, (today + 1)::timestamp AT TIME ZONE o.timezone AS tomorrow
    FROM organizations o CROSS JOIN LATERAL (SELECT ($2::timestamptz AT TIME ZONE o.timezone)::date AS today) AS day
    WHERE o.id = $1
), overdue AS MATERIALIZED (
    SELECT i.id, i.amount_due FROM local, invoices i
    WHERE i.organization_id = $1 AND i.status IN ('sent', 'overdue') AND i.due_date < today
), rotting AS MATERIALIZED (
    SELECT d.id, d.value FROM local, unnest($3::text[], $4::integer[]) AS most(stage, days), LATERAL (
        SELECT id, value FROM deals
        WHERE organization_id = $1 AND NOT closed AND stage = most.stage AND stage_changed_at < (today - most.days)::timestamp AT TIME ZONE timezone
          AND stage_changed_at < $2
        OFFSET 0) AS d -- stage by stage: a join would read the closed ones too
), follow_ups AS MATERIALIZED (
    SELECT c.id, c.next_follow_up FROM local, contacts c WHERE c.organization_id = $1 AND c.next_follow_up < tomorrow
      AND c.next_follow_up < $2::timestamptz + interval '2 days' -- says nothing new, but how many there will be
)
SELECT organization_name, timezone, overdue.*, rotting.*, follow_ups.*, new.*, paid.*, pipeline.*, top_overdue, top_rotting, top_follow_ups
FROM local
CROSS JOIN (SELECT count(*) AS overdue, least(coalesce(sum(amount_due), 0), 9223372036854775807)::bigint AS overdue_total FROM overdue) AS overdue
CROSS JOIN (SELECT count(*) AS rotting, least(coalesce(sum(value), 0), 9223372036854775807)::bigint AS rotting_value FROM rotting) AS rotting
CROSS JOIN (SELECT count(*) AS follow_ups FROM follow_ups) AS follow_ups
CROSS JOIN LATERAL (
    SELECT count(*) AS new_leads FROM contacts
    WHERE organization_id = $1 AND type = 'lead' AND id >= $5 AND created_at >= yesterday) AS new
CROSS JOIN LATERAL (
    SELECT count(*) AS payments, least(coalesce(sum(amount), 0), 9223372036854775807)::bigint AS paid_total FROM payments
    WHERE organization_id = $1 AND paid_at >= yesterday AND paid_at < tomorrow) AS paid
CROSS JOIN (
    SELECT count(*) AS open_deals, least(coalesce(sum(value), 0), 9223372036854775807)::bigint AS pipeline FROM deals
    WHERE organization_id = $1 AND stage = ANY ($3)) AS pipeline
CROSS JOIN (
    SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') AS top_overdue FROM (
        SELECT i.number, c.name AS contact, i.amount_due, i.due_date
        FROM (SELECT id FROM overdue ORDER BY amount_due DESC, id LIMIT 5) AS top
        JOIN invoices i ON i.organization_id = $1 AND i.id = top.id
        JOIN contacts c ON c.organization_id = $1 AND c.id = i.contact_id
        ORDER BY i.amount_due DESC, i.id) AS x) AS o
CROSS JOIN (
    SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') AS top_rotting FROM (
        SELECT d.title, c.name AS contact, d.stage, d.value, d.stage_changed_at
        FROM (SELECT id FROM rotting ORDER BY value DESC, id LIMIT 5) AS top
        JOIN deals d ON d.organization_id = $1 AND d.id = top.id
        JOIN contacts c ON c.organization_id = $1 AND c.id = d.contact_id
        ORDER BY d.value DESC, d.id) AS x) AS r
CROSS JOIN (
    SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') AS top_follow_ups FROM (
        SELECT c.name AS contact, c.company, c.next_follow_up AS due
        FROM (SELECT id FROM follow_ups ORDER BY next_follow_up, id LIMIT 5) AS top
        JOIN contacts c ON c.organization_id = $1 AND c.id = top.id
        ORDER BY c.next_follow_up, c.id) AS x) AS f`

// BriefingFacts reads how an organization stands at a moment, in one query. A deal rots that has been in a stage for
// more days than mostDays has for it; stages that are not there are closed.
func (db *DB) BriefingFacts(ctx context.Context, organizationID string, mostDays map[string]int, now time.Time) (BriefingFacts, error) {
	var f BriefingFacts
	var stages []string
	var days []int
	for stage, most := range mostDays {
		stages, days = append(stages, stage), append(days, most)
	}
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		f, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[BriefingFacts])
		return notFound(err)
	}, selectBriefingFacts, organizationID, now, stages, days, firstIDOf(now.Add(-72*time.Hour)))
	if err == nil {
		err = f.readLists()
	}
	if err != nil {
		return f, fmt.Errorf("read the facts for the briefing of %s: %w", organizationID, err)
	}
	return f, nil
}

func (f *BriefingFacts) readLists() error {
	if err := json.Unmarshal(f.OverdueJSON, &f.TopOverdue); err != nil {
		return err
	}
	if err := json.Unmarshal(f.RottingJSON, &f.TopRotting); err != nil {
		return err
	}
	return json.Unmarshal(f.FollowUpsJSON, &f.TopFollowUps)
}

// firstIDOf is below all UUIDv7 (RFC 9562, section 5.7) that are made from a moment on.
func firstIDOf(at time.Time) string {
	ms := at.UnixMilli()
	return fmt.Sprintf("%08x-%04x-7000-8000-000000000000", ms>>16, ms&0xffff)
}
