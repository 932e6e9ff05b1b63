package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// An AIOrganization is what models cost and saved an organization in the month of its own calendar, and how far its
// budget is used.
type AIOrganization struct {
	ID           string    `db:"id"`
	Name         string    `db:"name"`
	Month        time.Time `db:"month"`  // its first day, as a date
	Budget       *int64    `db:"budget"` // in paise; nil: no limit
	SpentNano    int64     `db:"spent_nano_inr"`
	ReservedNano int64     `db:"reserved_nano_inr"`
	Answers      int64     `db:"answers"`
	CostNano     int64     `db:"cost_nano_inr"`
	ShadowNano   int64     `db:"shadow_nano_inr"`
	// What all organizations together come to, those beyond the list included.
	All           int64 `db:"all_organizations"`
	AllCostNano   int64 `db:"all_cost_nano_inr"`
	AllShadowNano int64 `db:"all_shadow_nano_inr"`
}

// Those whose budget is nearest to its end come first: they are who somebody will hear from.
const selectAIOrganizations = `
WITH here AS (
    SELECT id, name, timezone, date_trunc('month', $1::timestamptz AT TIME ZONE timezone)::date AS month,
           (settings #>> '{ai,monthly_budget}')::bigint AS budget
    FROM organizations WHERE $2 = '' OR id = nullif($2, '')::uuid
), counts AS MATERIALIZED ( -- as below: once, and not for each organization
    SELECT organization_id, hour, answers, cost_nano_inr, shadow_nano_inr
    FROM ai_usage_hours WHERE hour >= $1::timestamptz - interval '33 days' AND ($2 = '' OR organization_id = nullif($2, '')::uuid)
    UNION ALL
    SELECT organization_id, hour, answers, cost_nano_inr, shadow_nano_inr
    FROM (` + countCalls + ` WHERE c.created_at >= (SELECT until FROM ai_usage_until)) AS rest
    WHERE $2 = '' OR organization_id = nullif($2, '')::uuid
), used AS MATERIALIZED (
    SELECT organization_id, sum(answers)::bigint AS answers, sum(cost_nano_inr)::bigint AS cost_nano_inr, sum(shadow_nano_inr)::bigint AS shadow_nano_inr
    FROM counts JOIN here ON here.id = organization_id
    WHERE hour >= date_trunc('month', $1::timestamptz, here.timezone) GROUP BY 1
)
SELECT here.id::text, name, here.month, budget, coalesce(b.spent_nano_inr, 0) AS spent_nano_inr, coalesce(b.reserved_nano_inr, 0) AS reserved_nano_inr,
       coalesce(answers, 0) AS answers, coalesce(cost_nano_inr, 0) AS cost_nano_inr, coalesce(shadow_nano_inr, 0) AS shadow_nano_inr,
       count(*) OVER () AS all_organizations, coalesce(sum(cost_nano_inr) OVER (), 0)::bigint AS all_cost_nano_inr,
       coalesce(sum(shadow_nano_inr) OVER (), 0)::bigint AS all_shadow_nano_inr
FROM here LEFT JOIN used ON used.organization_id = here.id
LEFT JOIN ai_budgets b ON b.organization_id = here.id AND b.month = here.month
WHERE budget IS NOT NULL OR b.month IS NOT NULL OR used.answers IS NOT NULL
ORDER BY (coalesce(b.spent_nano_inr, 0) + coalesce(b.reserved_nano_inr, 0))::numeric / nullif(budget, 0) DESC NULLS LAST,
         coalesce(shadow_nano_inr, 0) - coalesce(cost_nano_inr, 0) DESC, here.id
LIMIT $3`

// AIOrganizations lists what models cost and saved organizations this month; with an id, that one alone.
func AIOrganizations(ctx context.Context, tx pgx.Tx, now time.Time, id string, limit int) ([]AIOrganization, error) {
	rows, err := tx.Query(ctx, selectAIOrganizations, now, id, limit)
	return rowsOf[AIOrganization](rows, err, "look at the money of organizations")
}

// WorkersIn is DB.Workers within a transaction.
func WorkersIn(ctx context.Context, tx pgx.Tx) ([]WorkerProcess, error) {
	rows, err := tx.Query(ctx, selectWorkersAlive, workerSilence)
	return rowsOf[WorkerProcess](rows, err, "list workers")
}
