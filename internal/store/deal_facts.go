package store

import (
	"context"
	"fmt"
	"time"
)

// DealFacts is what can be said about a deal: itself, and all about its contact.
type DealFacts struct {
	ContactFacts
	DealID            string    `db:"deal_id"`
	Title             string    `db:"deal_title"`
	DealStage         string    `db:"deal_stage"`
	Value             int64     `db:"deal_value"`       // paise
	Probability       int       `db:"deal_probability"` // as somebody estimated it, or by its stage
	ExpectedCloseDate *string   `db:"deal_expected"`    // YYYY-MM-DD
	LostReason        *string   `db:"deal_lost_reason"`
	StageChangedAt    time.Time `db:"deal_stage_changed_at"`
	DealCreatedAt     time.Time `db:"deal_created_at"`
}

const selectDealFacts = `
SELECT t.id::text AS deal_id, t.title AS deal_title, t.stage AS deal_stage, t.value AS deal_value, t.probability AS deal_probability,
       t.expected_close_date::text AS deal_expected, t.lost_reason AS deal_lost_reason,
       t.stage_changed_at AS deal_stage_changed_at, t.created_at AS deal_created_at,` + contactFactsColumns + `
FROM deals t
JOIN contacts c ON c.organization_id = t.organization_id AND c.id = t.contact_id` + contactFactsFrom + `
WHERE t.organization_id = $1 AND t.id = $2`

// DealFacts reads what there is to know of a deal at a moment, in one query; ErrNotFound when there is no such deal.
func (db *DB) DealFacts(ctx context.Context, organizationID, dealID string, now time.Time) (DealFacts, error) {
	f, err := factsOf[DealFacts](ctx, db, selectDealFacts, organizationID, dealID, now)
	if err != nil {
		return f, fmt.Errorf("read the facts about deal %s: %w", dealID, err)
	}
	return f, nil
}
