package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Usage is what calls of models, and the answers that took their place, come to.
type Usage struct {
	Calls            int64 `db:"calls"`    // that were made, whatever became of them
	Answers          int64 `db:"answers"`  // of models, the cache and the rules
	Failures         int64 `db:"failures"` // calls that gave no answer
	ByModels         int64 `db:"by_models"`
	ByRules          int64 `db:"by_rules"`
	Cacheable        int64 `db:"cacheable"` // answers that were looked for in the cache
	Cached           int64 `db:"cached"`    // and found
	PromptTokens     int64 `db:"prompt_tokens"`
	CompletionTokens int64 `db:"completion_tokens"`
	LatencyMS        int64 `db:"latency_ms"`      // of the models' answers together, the wait at the gate included
	CostNanoUSD      int64 `db:"cost_nano_usd"`   // that the fallback provider takes
	ShadowNanoUSD    int64 `db:"shadow_nano_usd"` // that it would have taken for all answers of models and the cache
	CostNanoINR      int64 `db:"cost_nano_inr"`   // each call at the rate of its day
	ShadowNanoINR    int64 `db:"shadow_nano_inr"`
}

// Add adds another usage to this one.
func (u *Usage) Add(v Usage) {
	for _, sum := range []struct {
		of *int64
		by int64
	}{
		{&u.Calls, v.Calls}, {&u.Answers, v.Answers}, {&u.Failures, v.Failures}, {&u.ByModels, v.ByModels}, {&u.ByRules, v.ByRules},
		{&u.Cacheable, v.Cacheable}, {&u.Cached, v.Cached}, {&u.PromptTokens, v.PromptTokens},
		{&u.CompletionTokens, v.CompletionTokens}, {&u.LatencyMS, v.LatencyMS}, {&u.CostNanoUSD, v.CostNanoUSD},
		{&u.ShadowNanoUSD, v.ShadowNanoUSD}, {&u.CostNanoINR, v.CostNanoINR}, {&u.ShadowNanoINR, v.ShadowNanoINR},
	} {
		*sum.of += sum.by
	}
}

// What a call counts, by the hour of its organization's clock in which it was written down, which is when it
// ended. A call that a breaker, a limit, a full queue or a budget kept back, or that was given up before it
// began, was none. An answer that a limit on tokens cut has a detail where it was refused.
const (
	countCalls = `
SELECT c.organization_id, date_trunc('hour', c.created_at, o.timezone) AS hour, c.created_at, c.kind, c.provider, c.model,
       made::int AS calls, answered::int AS answers, (made AND NOT answered)::int AS failures,
       (answered AND c.cacheable)::int AS cacheable, (answered AND c.cached)::int AS cached,
       CASE WHEN made THEN c.prompt_tokens ELSE 0 END AS prompt_tokens,
       CASE WHEN made THEN c.completion_tokens ELSE 0 END AS completion_tokens,
       CASE WHEN answered THEN c.queue_ms::bigint + c.run_ms ELSE 0 END AS latency_ms,
       c.cost_nano_usd, shadow AS shadow_nano_usd, coalesce(round(c.cost_nano_usd * c.usd_inr), 0) AS cost_nano_inr,
       coalesce(round(shadow * c.usd_inr), 0) AS shadow_nano_inr
FROM ai_calls c JOIN organizations o ON o.id = c.organization_id
CROSS JOIN LATERAL (
    SELECT c.provider NOT IN ('cache', 'rules') AND c.outcome NOT IN ('breaker_open', 'queue_full', 'out_of_budget', 'budget_unknown')
           AND NOT (c.outcome IN ('cancelled', 'timeout', 'overloaded') AND c.run_ms = 0 AND c.status IS NULL),
           c.outcome = 'ok' OR c.outcome = 'length' AND c.detail IS NULL,
           CASE c.provider WHEN 'rules' THEN 0 ELSE c.shadow_nano_usd END
) AS counted (made, answered, shadow)`

	sumCounts = `sum(calls)::bigint AS calls, sum(answers)::bigint AS answers, sum(failures)::bigint AS failures,
       sum(cacheable)::bigint AS cacheable, sum(cached)::bigint AS cached, sum(prompt_tokens)::bigint AS prompt_tokens,
       sum(completion_tokens)::bigint AS completion_tokens, sum(cost_nano_usd)::bigint AS cost_nano_usd,
       sum(shadow_nano_usd)::bigint AS shadow_nano_usd, sum(cost_nano_inr)::bigint AS cost_nano_inr,
       sum(shadow_nano_inr)::bigint AS shadow_nano_inr`

	usageColumns = `organization_id, hour, kind, provider, model, calls, answers, failures, cacheable, cached, prompt_tokens,
       completion_tokens, cost_nano_usd, shadow_nano_usd, cost_nano_inr, shadow_nano_inr, latency_ms`
)

// rollUpAtOnce bounds a transaction where there is much to catch up with.
const rollUpAtOnce = 6 * time.Hour

const lockUsageUntil = `SELECT until, now() - $1::interval FROM ai_usage_until FOR UPDATE`

// The hours of an organization grow until they are over; what is added was not there before.
const rollUpCalls = `
INSERT INTO ai_usage_hours AS h (` + usageColumns + `)
SELECT organization_id, hour, kind, provider, model, ` + sumCounts + `, sum(latency_ms)::bigint
FROM (` + countCalls + ` WHERE c.created_at >= $1 AND c.created_at < $2) AS counts
GROUP BY organization_id, hour, kind, provider, model
ON CONFLICT (organization_id, hour, kind, provider, model) DO UPDATE SET
    calls = h.calls + excluded.calls, answers = h.answers + excluded.answers, failures = h.failures + excluded.failures,
    cacheable = h.cacheable + excluded.cacheable, cached = h.cached + excluded.cached,
    prompt_tokens = h.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = h.completion_tokens + excluded.completion_tokens, latency_ms = h.latency_ms + excluded.latency_ms,
    cost_nano_usd = h.cost_nano_usd + excluded.cost_nano_usd, shadow_nano_usd = h.shadow_nano_usd + excluded.shadow_nano_usd,
    cost_nano_inr = h.cost_nano_inr + excluded.cost_nano_inr, shadow_nano_inr = h.shadow_nano_inr + excluded.shadow_nano_inr`

const firstCallSince = `SELECT min(created_at) FROM ai_calls WHERE created_at >= $1`

const advanceUsage = `UPDATE ai_usage_until SET until = $1`

// RollUpCalls adds calls to the hours in which they ended, up to settled ago: by then every transaction that
// wrote some has ended. Each call is added once, whoever does this at the same time and whenever one of them
// dies, as the place that was reached moves in the transaction that adds.
func (db *DB) RollUpCalls(ctx context.Context, settled time.Duration) error {
	for empty := false; ; {
		var done bool
		err := db.Tx(ctx, func(tx pgx.Tx) (err error) {
			empty, done, err = rollUpSome(ctx, tx, settled, empty)
			return err
		})
		if err != nil {
			return fmt.Errorf("roll up AI calls: %w", err)
		}
		if done {
			return nil
		}
	}
}

// rollUpSome rolls up one stretch. After an empty one it goes on where there is something.
func rollUpSome(ctx context.Context, tx pgx.Tx, settled time.Duration, jump bool) (empty, done bool, err error) {
	var from, end time.Time
	if err := tx.QueryRow(ctx, lockUsageUntil, settled).Scan(&from, &end); err != nil {
		return false, false, err
	}
	if !from.Before(end) {
		return false, true, nil
	}
	to := from.Add(rollUpAtOnce)
	if jump {
		var next *time.Time
		if err := tx.QueryRow(ctx, firstCallSince, from).Scan(&next); err != nil {
			return false, false, err
		}
		to = end
		if next != nil {
			to = next.Add(rollUpAtOnce)
		}
	}
	if to.After(end) {
		to = end
	}
	tag, err := tx.Exec(ctx, rollUpCalls, from, to)
	if err == nil {
		_, err = tx.Exec(ctx, advanceUsage, to)
	}
	return tag.RowsAffected() == 0, to.Equal(end), err
}
