package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ContactFacts is what can be said about a contact from an organization's records: itself, its newest deals
// and invoices, and sums over all of them. What identifies a person beyond the name stays in the database:
// email, phone and GSTIN are not here.
type ContactFacts struct {
	ID              string     `db:"id"`
	Name            string     `db:"name"`
	Company         *string    `db:"company"`
	Type            string     `db:"type"`
	Stage           string     `db:"stage"`
	Status          string     `db:"status"`
	Source          *string    `db:"source"`
	City            *string    `db:"city"`
	State           *string    `db:"state"`
	Tags            []string   `db:"tags"`
	Notes           *string    `db:"notes"`
	HasPhone        bool       `db:"has_phone"`
	HasEmail        bool       `db:"has_email"`
	HasGSTIN        bool       `db:"has_gstin"`
	CreatedAt       time.Time  `db:"created_at"`
	LastContactedAt *time.Time `db:"last_contacted_at"`
	NextFollowUp    *time.Time `db:"next_follow_up"`

	OrganizationName string `db:"organization_name"`
	Timezone         string `db:"timezone"`

	OpenDeals      int   `db:"open_deals"`
	OpenValue      int64 `db:"open_value"` // paise, as all that follow
	WonDeals       int   `db:"won_deals"`
	WonValue       int64 `db:"won_value"`
	LostDeals      int   `db:"lost_deals"`
	PaidInvoices   int   `db:"paid_invoices"`
	PaidTotal      int64 `db:"paid_total"`      // payments in part among it
	UnpaidInvoices int   `db:"unpaid_invoices"` // sent or overdue
	DueTotal       int64 `db:"due_total"`
	Overdue        int   `db:"overdue_invoices"`
	OverdueTotal   int64 `db:"overdue_total"`
	// OverdueSince is the earliest due date of what is overdue, YYYY-MM-DD; nil where nothing is.
	OverdueSince  *string    `db:"overdue_since"`
	PaidLate      int        `db:"paid_late"`       // of those that were paid
	LastInvoiceAt *time.Time `db:"last_invoice_at"` // when the newest was sent
	LastPaidAt    *time.Time `db:"last_paid_at"`
	LastDealAt    *time.Time `db:"last_deal_at"` // when the newest deal was made or moved

	Deals    []DealLine    `db:"-"` // the newest 10
	Invoices []InvoiceLine `db:"-"` // the newest 10, drafts left out

	DealsJSON    json.RawMessage `db:"deals"`
	InvoicesJSON json.RawMessage `db:"invoices"`
}

// A DealLine is a deal among the facts about something else.
type DealLine struct {
	Title             string    `json:"title"`
	Stage             string    `json:"stage"`
	Value             int64     `json:"value"` // paise
	Probability       int       `json:"probability"`
	ExpectedCloseDate *string   `json:"expected_close_date"` // YYYY-MM-DD
	LostReason        *string   `json:"lost_reason"`
	StageChangedAt    time.Time `json:"stage_changed_at"`
}

// An InvoiceLine is an invoice among the facts about something else.
type InvoiceLine struct {
	Number    string     `json:"number"`
	Status    string     `json:"status"`
	Total     int64      `json:"total"`      // paise
	AmountDue int64      `json:"amount_due"` // paise
	IssueDate string     `json:"issue_date"` // YYYY-MM-DD
	DueDate   string     `json:"due_date"`   // YYYY-MM-DD
	PaidAt    *time.Time `json:"paid_at"`
}

// contactFactsColumns and contactFactsFrom are everything about the contact c at the moment $3. An invoice is overdue
// from the day after its due date, where the organization is: its status says so only when the chore has run.
const contactFactsColumns = `
       c.id::text, c.name, c.company, c.type, c.stage, c.status, c.source, c.city, c.state, c.tags, c.notes,
       c.phone IS NOT NULL AS has_phone, c.email IS NOT NULL AS has_email, c.gstin IS NOT NULL AS has_gstin,
       c.created_at, c.last_contacted_at, c.next_follow_up,
       o.name AS organization_name, o.timezone, d.*, i.*, p.*, dl.deals, il.invoices`

const contactFactsFrom = `
JOIN organizations o ON o.id = c.organization_id
CROSS JOIN LATERAL (SELECT ($3::timestamptz AT TIME ZONE o.timezone)::date AS today) AS day
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE status = 'open') AS open_deals,
           coalesce(sum(value) FILTER (WHERE status = 'open'), 0)::bigint AS open_value,
           count(*) FILTER (WHERE status = 'won') AS won_deals,
           coalesce(sum(value) FILTER (WHERE status = 'won'), 0)::bigint AS won_value,
           count(*) FILTER (WHERE status = 'lost') AS lost_deals,
           max(stage_changed_at) AS last_deal_at
    FROM deals WHERE organization_id = c.organization_id AND contact_id = c.id) AS d
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE status = 'paid') AS paid_invoices,
           coalesce(sum(amount_paid), 0)::bigint AS paid_total,
           count(*) FILTER (WHERE unpaid) AS unpaid_invoices,
           coalesce(sum(amount_due) FILTER (WHERE unpaid), 0)::bigint AS due_total,
           count(*) FILTER (WHERE unpaid AND due_date < today) AS overdue_invoices,
           coalesce(sum(amount_due) FILTER (WHERE unpaid AND due_date < today), 0)::bigint AS overdue_total,
           (min(due_date) FILTER (WHERE unpaid AND due_date < today))::text AS overdue_since,
           count(*) FILTER (WHERE status = 'paid' AND (paid_at AT TIME ZONE o.timezone)::date > due_date) AS paid_late,
           max(sent_at) AS last_invoice_at
    FROM invoices WHERE organization_id = c.organization_id AND contact_id = c.id) AS i
CROSS JOIN LATERAL (
    SELECT max(p.paid_at) AS last_paid_at
    FROM invoices v JOIN payments p ON p.organization_id = v.organization_id AND p.invoice_id = v.id
    WHERE v.organization_id = c.organization_id AND v.contact_id = c.id AND v.amount_paid > 0) AS p
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') AS deals FROM (
        SELECT title, stage, value, probability, expected_close_date, lost_reason, stage_changed_at
        FROM deals WHERE organization_id = c.organization_id AND contact_id = c.id ORDER BY id DESC LIMIT 10) AS x) AS dl
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') AS invoices FROM (
        SELECT number, status, total, amount_due, issue_date, due_date, paid_at
        FROM invoices WHERE organization_id = c.organization_id AND contact_id = c.id AND number IS NOT NULL
        ORDER BY id DESC LIMIT 10) AS x) AS il`

const selectContactFacts = `SELECT` + contactFactsColumns + ` FROM contacts c` + contactFactsFrom + `
WHERE c.organization_id = $1 AND c.id = $2`

// ContactFacts reads what there is to know of a contact at a moment, in one query; ErrNotFound when there is no such
// contact.
func (db *DB) ContactFacts(ctx context.Context, organizationID, contactID string, now time.Time) (ContactFacts, error) {
	f, err := factsOf[ContactFacts](ctx, db, selectContactFacts, organizationID, contactID, now)
	if err != nil {
		return f, fmt.Errorf("read the facts about contact %s: %w", contactID, err)
	}
	return f, nil
}

// factsOf reads facts that have those about a contact in them.
func factsOf[F any, P interface {
	*F
	readLists() error
}](ctx context.Context, db *DB, sql, organizationID, id string, now time.Time) (F, error) {
	var f F
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		f, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[F])
		return notFound(err)
	}, sql, organizationID, id, now)
	if err != nil {
		return f, err
	}
	return f, P(&f).readLists()
}

// readLists decodes what came as JSON.
func (f *ContactFacts) readLists() error {
	if err := json.Unmarshal(f.DealsJSON, &f.Deals); err != nil {
		return err
	}
	return json.Unmarshal(f.InvoicesJSON, &f.Invoices)
}
