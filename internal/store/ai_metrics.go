package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// AIMetrics are figures of all organizations together, for the operator.
type AIMetrics struct {
	All       *ProviderUsage  // of the window; nil: nothing was asked
	Providers []ProviderUsage // those that did something in the window, by name
	Jobs      AIJobs          // that ended in the window
	Since     time.Time       // first day of the month, in India
	Month     Usage           // since the first of the month of each organization's calendar
	Workers   []WorkerProcess // by id
}

// A ProviderUsage is what one provider did, or all together.
type ProviderUsage struct {
	Provider string `db:"provider"` // "" for all
	Usage
	// Latencies are the 50th, 95th and 99th percentile of its answers, in milliseconds; nil: no model answered.
	Latencies []float64 `db:"latencies"`
	Looked    int64     `db:"looked"` // calls, and what was no call; MostCallsLooked of all at most, the newest
}

// MostAIJobsLooked is where looking back over jobs ends: it is for shares and percentiles alone, and rows of jobs are wide.
const MostAIJobsLooked = 2000

// AIJobs are jobs that models work for, from submit, or the time that they were put off to, until their end.
type AIJobs struct {
	Succeeded int64
	Failed    int64     // for want of an answer, not by a mistake of who asked
	Latencies []float64 // percentiles as above, in milliseconds; nil: none ended
}

// actAsOperator lets one transaction see all organizations. The login may, or the roles were given out more
// narrowly than this product needs.
const actAsOperator = `SELECT set_config('role', '` + string(System) + `', true)`

const selectAIProviders = `
SELECT coalesce(provider, '') AS provider, ` + sumUsageOfAll + `,
       percentile_cont('{0.5,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY latency_ms)
           FILTER (WHERE answers = 1 AND provider NOT IN ('cache', 'rules')) AS latencies, count(*) AS looked
FROM (` + countCalls + ` WHERE c.id >= $2 AND c.created_at >= $1 ORDER BY c.id DESC LIMIT $3) AS counts
GROUP BY GROUPING SETS ((provider), ()) HAVING count(*) > 0
ORDER BY 1`

// Downloads of models are no answers. Of the failed ones count those for want of an answer: not those that asked
// for what isn't there, for what can't be asked, or for a model of their own choice that there isn't.
const selectAIJobsAndMonth = `
SELECT ended.*, month.*, date_trunc('month', $2::timestamptz AT TIME ZONE 'Asia/Kolkata')
FROM (
    SELECT count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed' AND coalesce(error ->> 'code', '') NOT IN
               ('not_found', 'invalid_state', 'forbidden', 'request', 'too_large', 'misconfigured')),
           percentile_cont('{0.5,0.95,0.99}'::float8[])
               WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM finished_at - greatest(created_at, run_at)))
               FILTER (WHERE status <> 'cancelled')
    FROM (SELECT status, error, created_at, run_at, finished_at FROM jobs
          WHERE kind LIKE 'ai.%' AND finished_at IS NOT NULL AND finished_at >= $1 AND kind <> 'ai.pull_model'
          ORDER BY finished_at DESC LIMIT $3) AS newest
) AS ended, (
    SELECT coalesce(sum(cost_nano_usd), 0)::bigint, coalesce(sum(shadow_nano_usd), 0)::bigint,
           coalesce(sum(cost_nano_inr), 0)::bigint, coalesce(sum(shadow_nano_inr), 0)::bigint
    FROM (
        SELECT organization_id, hour, cost_nano_usd, shadow_nano_usd, cost_nano_inr, shadow_nano_inr
        FROM ai_usage_hours WHERE hour >= $2::timestamptz - interval '33 days'
        UNION ALL
        SELECT organization_id, hour, cost_nano_usd, shadow_nano_usd, cost_nano_inr, shadow_nano_inr
        FROM (` + countCalls + ` WHERE c.created_at >= (SELECT until FROM ai_usage_until)) AS rest
    ) AS counts JOIN organizations o ON o.id = counts.organization_id
    WHERE hour >= date_trunc('month', $2::timestamptz, o.timezone)
) AS month`

// AIMetrics reads how models did since a moment until now, over all organizations, in one round trip.
func (db *DB) AIMetrics(ctx context.Context, since, now time.Time) (AIMetrics, error) {
	var m AIMetrics
	b := &pgx.Batch{}
	b.Queue(actAsOperator)
	b.Queue(selectAIProviders, since, idAt(since.Add(-longestCall)), MostCallsLooked).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ProviderUsage])
		if err == nil && len(list) > 0 {
			m.All, m.Providers = &list[0], list[1:]
		}
		return err
	})
	b.Queue(selectAIJobsAndMonth, since, now, MostAIJobsLooked).QueryRow(func(row pgx.Row) error {
		return row.Scan(&m.Jobs.Succeeded, &m.Jobs.Failed, &m.Jobs.Latencies, &m.Month.CostNanoUSD, &m.Month.ShadowNanoUSD,
			&m.Month.CostNanoINR, &m.Month.ShadowNanoINR, &m.Since)
	})
	b.Queue(selectWorkers).Query(func(rows pgx.Rows) (err error) {
		m.Workers, err = pgx.CollectRows(rows, pgx.RowToStructByName[WorkerProcess])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return m, fmt.Errorf("read the figures of models: %w", becoming(System, err))
	}
	return m, nil
}
