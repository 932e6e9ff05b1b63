package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// What a usage may be grouped by.
const (
	ByDay      = "day"
	ByKind     = "kind"
	ByModel    = "model"
	ByProvider = "provider"
)

// OtherModels is the model of calls without an answer to models that a client named and the owner did not
// configure.
const OtherModels = "other"

// A UsageAsk says which usage of an organization is meant.
type UsageAsk struct {
	From, To *time.Time // days of the organization's calendar; nil: the first of the month of To, today
	GroupBy  string
	MostDays int // beyond which nothing is read
	Now      time.Time
}

// A UsageGroup is the usage of one day, kind, model or provider.
type UsageGroup struct {
	Name string `db:"name"`
	Usage
}

// A UsageFrame is what a usage is about, and the money that there is at the moment.
type UsageFrame struct {
	Timezone      string    `db:"timezone"`
	From          time.Time `db:"first_day"`
	To            time.Time `db:"last_day"`
	MonthlyBudget *int64    `db:"monthly_budget"`    // in paise; nil: no limit
	SpentNano     int64     `db:"spent_nano_inr"`    // this month, in billionths of a rupee
	ReservedNano  int64     `db:"reserved_nano_inr"` // of calls under way
	ResetsAt      time.Time `db:"resets_at"`         // the next month's beginning
}

const usageDays = `
    SELECT timezone, settings, coalesce($3::date, today) AS last_day,
           coalesce($2::date, date_trunc('month', coalesce($3::date, today))::date) AS first_day,
           date_trunc('month', today)::date AS month
    FROM organizations CROSS JOIN LATERAL (SELECT ($4::timestamptz AT TIME ZONE timezone)::date AS today) AS clock
    WHERE id = $1`

const selectUsageFrame = `
WITH here AS (` + usageDays + `)
SELECT timezone, first_day, last_day, (settings #>> '{ai,monthly_budget}')::bigint AS monthly_budget,
       coalesce(spent_nano_inr, 0) AS spent_nano_inr, coalesce(reserved_nano_inr, 0) AS reserved_nano_inr,
       (here.month + interval '1 month') AT TIME ZONE timezone AS resets_at
FROM here LEFT JOIN ai_budgets b ON b.organization_id = $1 AND b.month = here.month`

// What is rolled up comes from the hours, the rest from the calls themselves; which is which is one look. An
// hour belongs to the day in which it begins. The days in UTC, one more to both sides, hold those of any clock.
const selectUsage = `
WITH here AS (` + usageDays + `), counts AS (
    SELECT h.hour, h.kind, h.provider, h.model, h.calls, h.answers, h.failures, h.cacheable, h.cached, h.prompt_tokens,
           h.completion_tokens, h.latency_ms, h.cost_nano_usd, h.shadow_nano_usd, h.cost_nano_inr, h.shadow_nano_inr
    FROM ai_usage_hours h, here
    WHERE h.organization_id = $1 AND h.hour >= first_day - 1 AND h.hour < last_day + 2
    UNION ALL
    SELECT hour, kind, provider, model, calls, answers, failures, cacheable, cached, prompt_tokens, completion_tokens,
           latency_ms, cost_nano_usd, shadow_nano_usd, cost_nano_inr, shadow_nano_inr
    FROM (` + countCalls + ` WHERE c.organization_id = $1 AND c.created_at >= (SELECT until FROM ai_usage_until)
              AND c.created_at >= (SELECT first_day - 1 FROM here)) AS rest
)
SELECT CASE $5 WHEN 'kind' THEN kind WHEN 'model' THEN model WHEN 'provider' THEN provider
            ELSE to_char(hour AT TIME ZONE timezone, 'YYYY-MM-DD') END AS name, ` + sumUsageOfAll + `
FROM counts, here
WHERE (hour AT TIME ZONE timezone)::date BETWEEN first_day AND last_day AND last_day - first_day < $6
GROUP BY 1 ORDER BY 1`

// Sums over all providers: what took how long is a question to models alone.
const sumUsageOfAll = sumCounts + `,
       coalesce(sum(answers) FILTER (WHERE provider NOT IN ('cache', 'rules')), 0)::bigint AS by_models,
       coalesce(sum(answers) FILTER (WHERE provider = 'rules'), 0)::bigint AS by_rules,
       coalesce(sum(latency_ms) FILTER (WHERE provider NOT IN ('cache', 'rules')), 0)::bigint AS latency_ms`

// UsageOf reads what an organization has used, in one round trip. Groups in which nothing happened are left out.
func (db *DB) UsageOf(ctx context.Context, organizationID string, ask UsageAsk) (UsageFrame, []UsageGroup, error) {
	var frame UsageFrame
	var groups []UsageGroup
	b := BatchAs(organizationID)
	b.Queue(selectUsageFrame, organizationID, ask.From, ask.To, ask.Now).Query(func(rows pgx.Rows) (err error) {
		frame, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[UsageFrame])
		return notFound(err)
	})
	b.Queue(selectUsage, organizationID, ask.From, ask.To, ask.Now, ask.GroupBy, ask.MostDays).Query(func(rows pgx.Rows) (err error) {
		groups, err = pgx.CollectRows(rows, pgx.RowToStructByName[UsageGroup])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return frame, nil, fmt.Errorf("read the usage of %s: %w", organizationID, err)
	}
	return frame, groups, nil
}
