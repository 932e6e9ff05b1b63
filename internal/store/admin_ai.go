package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MostCallsLooked is where looking back over calls of models ends: percentiles of the newest ones say how it goes, and
// the exact sums are kept by the hour.
const MostCallsLooked = 10_000

// longestCall is more than lies between the moment at which an attempt began, which its id tells, and the one at which it
// was written down.
const longestCall = time.Hour

// An AICallGroup counts attempts at one model of one provider that ended alike.
type AICallGroup struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Outcome  string `json:"outcome"`
	Hour     int64  `json:"hour"`
	Day      int64  `json:"day"`
}

// An AIReason counts why calls went to a provider that was not the first choice.
type AIReason struct {
	Reason   string `json:"reason"`
	Provider string `json:"provider"`
	Hour     int64  `json:"hour"`
	Day      int64  `json:"day"`
}

// An AIPace is how quickly one model answered in the last day, in milliseconds: the 50th and the 95th percentile.
type AIPace struct {
	Provider   string    `json:"provider"`
	Model      string    `json:"model"`
	Answers    int64     `json:"answers"`
	Latency    []float64 `json:"latency"`     // the wait for its turn included
	FirstToken []float64 `json:"first_token"` // nil: no answer came in tokens
}

// AILately is what attempts at models came to in the last day.
type AILately struct {
	Groups    []AICallGroup
	Reasons   []AIReason
	Paces     []AIPace
	Cacheable int64 // answers that were looked for in the cache
	Cached    int64 // and found
	Looked    int64 // attempts that were looked at; MostCallsLooked: older ones of the day are left out
}

const answered = `(outcome = 'ok' OR outcome = 'length' AND detail IS NULL)`

// The newest come first in the index, so that a busy day costs no more than any other. They are read once for all
// questions about them.
const selectAILately = `
WITH lately AS MATERIALIZED (
    SELECT provider, model, outcome, detail, fallback_reason, cacheable, cached, queue_ms::bigint + run_ms AS latency_ms,
           queue_ms::bigint + first_token_ms AS first_token_ms, created_at >= $2::timestamptz - interval '1 hour' AS hour
    FROM ai_calls WHERE id >= $1 AND created_at >= $2::timestamptz - interval '1 day' ORDER BY id DESC LIMIT $3
)
SELECT (SELECT jsonb_agg(g) FROM (
            SELECT provider, model, outcome, count(*) FILTER (WHERE hour) AS hour, count(*) AS day
            FROM lately GROUP BY 1, 2, 3 ORDER BY 1, 2, 5 DESC, 3) AS g),
       (SELECT jsonb_agg(r) FROM (
            SELECT fallback_reason AS reason, provider, count(*) FILTER (WHERE hour) AS hour, count(*) AS day
            FROM lately WHERE fallback_reason IS NOT NULL GROUP BY 1, 2 ORDER BY 4 DESC, 1, 2) AS r),
       (SELECT jsonb_agg(p) FROM (
            SELECT provider, model, count(*) AS answers,
                   percentile_cont('{0.5,0.95}'::float8[]) WITHIN GROUP (ORDER BY latency_ms) AS latency,
                   percentile_cont('{0.5,0.95}'::float8[]) WITHIN GROUP (ORDER BY first_token_ms) FILTER (WHERE first_token_ms IS NOT NULL) AS first_token
            FROM lately WHERE ` + answered + ` AND provider NOT IN ('cache', 'rules') GROUP BY 1, 2 ORDER BY 1, 2) AS p),
       (SELECT count(*) FROM lately WHERE ` + answered + ` AND cacheable), (SELECT count(*) FROM lately WHERE ` + answered + ` AND cached),
       (SELECT count(*) FROM lately)`

// AILatelyOf looks at the attempts of the day before now, over all organizations.
func AILatelyOf(ctx context.Context, tx pgx.Tx, now time.Time) (l AILately, err error) {
	row := tx.QueryRow(ctx, selectAILately, idAt(now.Add(-24*time.Hour-longestCall)), now, MostCallsLooked)
	if err := row.Scan(&l.Groups, &l.Reasons, &l.Paces, &l.Cacheable, &l.Cached, &l.Looked); err != nil {
		return l, fmt.Errorf("look at the calls of the last day: %w", err)
	}
	return l, nil
}

// An AIPoint is what models did in one step of time. Who answered is said apart.
type AIPoint struct {
	At       time.Time `db:"at"` // where the step begins
	Ollama   int64     `db:"ollama"`
	Groq     int64     `db:"groq"`
	Cache    int64     `db:"cache"`
	Rules    int64     `db:"rules"`
	Failures int64     `db:"failures"` // attempts without an answer
	// LatencyMS is the mean of the models' answers; nil: none answered.
	LatencyMS *float64 `db:"latency_ms"`
	SavedNano int64    `db:"saved_nano_inr"`
}

const aiPoint = `
       coalesce(sum(answers) FILTER (WHERE provider = 'ollama'), 0)::bigint AS ollama,
       coalesce(sum(answers) FILTER (WHERE provider = 'groq'), 0)::bigint AS groq,
       coalesce(sum(answers) FILTER (WHERE provider = 'cache'), 0)::bigint AS cache,
       coalesce(sum(answers) FILTER (WHERE provider = 'rules'), 0)::bigint AS rules,
       coalesce(sum(failures), 0)::bigint AS failures,
       (sum(latency_ms) FILTER (WHERE provider NOT IN ('cache', 'rules'))
           / nullif(sum(answers) FILTER (WHERE provider NOT IN ('cache', 'rules')), 0))::float8 AS latency_ms,
       (coalesce(sum(shadow_nano_inr), 0) - coalesce(sum(cost_nano_inr), 0))::bigint AS saved_nano_inr`

const aiCountsColumns = `provider, answers, failures, latency_ms, cost_nano_inr, shadow_nano_inr`

// Steps in which nothing happened are there too: a line drawn over a gap would tell of calls that nobody made.
const selectAIMinutes = `
SELECT step AS at,` + aiPoint + `
FROM generate_series(date_trunc('minute', $1::timestamptz) - interval '59 minutes', date_trunc('minute', $1::timestamptz), '1 minute') AS step
LEFT JOIN (
    SELECT date_trunc('minute', created_at) AS minute, counts.*
    FROM (SELECT ` + aiCountsColumns + `, created_at FROM (` + countCalls + ` WHERE c.id >= $2 AND c.created_at >= $1::timestamptz - interval '1 hour'
          ORDER BY c.id DESC LIMIT $3) AS calls) AS counts
) AS made ON made.minute = step
GROUP BY step ORDER BY step`

// AIMinutes is the hour before now in minutes.
func AIMinutes(ctx context.Context, tx pgx.Tx, now time.Time) ([]AIPoint, error) {
	rows, err := tx.Query(ctx, selectAIMinutes, now, idAt(now.Add(-time.Hour-longestCall)), MostCallsLooked)
	return rowsOf[AIPoint](rows, err, "look at the calls of the last hour")
}

// An hour of an organization's clock may begin at half past one of UTC; what is shown begins where India's do.
const selectAIHours = `
WITH counts AS (
    SELECT hour, ` + aiCountsColumns + ` FROM ai_usage_hours WHERE hour >= $2
    UNION ALL
    SELECT hour, ` + aiCountsColumns + ` FROM (` + countCalls + ` WHERE c.created_at >= (SELECT until FROM ai_usage_until)) AS rest
), binned AS (
    SELECT date_bin('1 hour', hour, '2000-01-01 00:30+00') AS bin, counts.* FROM counts WHERE hour >= $2
)
SELECT step AS at,` + aiPoint + `
FROM generate_series(date_bin('1 hour', $2::timestamptz, '2000-01-01 00:30+00'), $1::timestamptz, '1 hour') AS step
LEFT JOIN binned ON binned.bin = step
GROUP BY step ORDER BY step`

// AIHours is what models did since a moment until now in hours, from what is added up and the rest.
func AIHours(ctx context.Context, tx pgx.Tx, since, now time.Time) ([]AIPoint, error) {
	rows, err := tx.Query(ctx, selectAIHours, now, since)
	return rowsOf[AIPoint](rows, err, "look at what models did by the hour")
}
