package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Stages of a deal. The first four are open, in the order of a pipeline; won is final, and a lost deal may
// be taken up again.
const (
	DealLead        = "lead"
	DealQualified   = "qualified"
	DealProposal    = "proposal"
	DealNegotiation = "negotiation"
	DealWon         = "won"
	DealLost        = "lost"
)

// A Deal is business that may come of a contact.
type Deal struct {
	OrganizationID    string     `db:"organization_id"`
	ID                string     `db:"id"`
	ContactID         string     `db:"contact_id"`
	Title             string     `db:"title"`
	Value             int64      `db:"value"` // paise
	Currency          string     `db:"currency"`
	Stage             string     `db:"stage"`
	Status            string     `db:"status"`              // of the stage: open, won or lost
	Probability       int        `db:"probability"`         // per cent; 100 of what is won, 0 of what is lost
	ExpectedCloseDate *time.Time `db:"expected_close_date"` // midnight UTC of that day
	LostReason        *string    `db:"lost_reason"`         // of a lost deal alone
	StageChangedAt    time.Time  `db:"stage_changed_at"`
	ClosedAt          *time.Time `db:"closed_at"` // when it was won or lost
	Version           int64      `db:"version"`
	CreatedAt         time.Time  `db:"created_at"`
	UpdatedAt         time.Time  `db:"updated_at"`

	Insights []Insight `db:"-"` // the latest first; lists leave them out
}

const dealColumns = `organization_id::text, id::text, contact_id::text, title, value, currency, stage, status, probability,
    expected_close_date, lost_reason, stage_changed_at, closed_at, version, created_at, updated_at`

// forChange locks what is read for a change that leaves its key alone: others may still refer to it.
const forChange = ` FOR NO KEY UPDATE`

const selectDeal = `SELECT ` + dealColumns + ` FROM deals WHERE organization_id = $1 AND id = $2`

// Deal reads one deal of an organization with its insights, in one round trip.
func (db *DB) Deal(ctx context.Context, organizationID, id string) (Deal, error) {
	var d Deal
	b := BatchAs(organizationID)
	queueDeal(b, &d, selectDeal, organizationID, id)
	if err := db.Send(ctx, b); err != nil {
		return d, fmt.Errorf("read deal %s: %w", id, err)
	}
	return d, nil
}

// queueDeal reads a deal, and what was found out about it.
func queueDeal(b *pgx.Batch, d *Deal, sql, organizationID, id string) {
	b.Queue(sql, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		*d, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Deal])
		return notFound(err)
	})
	queueInsights(b, &d.Insights, selectInsightsOfDeal, organizationID, id)
}

// A DealFilter narrows a list of deals. Zero fields don't.
type DealFilter struct {
	Status    string
	Stage     string
	ContactID string
	Before    string // id: only older deals
	Limit     int
}

// Deals lists an organization's deals, newest first.
func (db *DB) Deals(ctx context.Context, organizationID string, f DealFilter) ([]Deal, error) {
	sql, args := f.query(organizationID)
	var deals []Deal
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		deals, err = pgx.CollectRows(rows, pgx.RowToStructByName[Deal])
		return err
	}, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("list deals of %s: %w", organizationID, err)
	}
	return deals, nil
}

// query spells only the conditions that there are, so that each combination is planned with its own index.
// The order names the table: the list has an id too, a text, which no index is sorted by.
func (f DealFilter) query(organizationID string) (sql string, args []any) {
	args = []any{organizationID}
	conditions := []string{"organization_id = $1"}
	where := func(condition, value string) {
		if value != "" {
			args = append(args, value)
			conditions = append(conditions, condition+" $"+strconv.Itoa(len(args)))
		}
	}
	where("status =", f.Status)
	where("stage =", f.Stage)
	where("contact_id =", f.ContactID)
	where("id <", f.Before)
	args = append(args, f.Limit)
	return `SELECT ` + dealColumns + ` FROM deals WHERE ` + strings.Join(conditions, " AND ") +
		` ORDER BY deals.id DESC LIMIT $` + strconv.Itoa(len(args)), args
}
