package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// benchEffects is how many mails and deliveries are made at most, each: lists are read from the newest on, and by index,
// so that more of them would take the time to make them and measure the same. Of calls of models it is a fifth, as many
// as are made in a day at one a second, and they are spread over the time of all jobs.
const benchEffects = 500_000

// What the jobs did, as far as pages of their own show it: one mail or call for each job, one delivery for each of River's.
var fillEffects = []string{`
CREATE TEMP TABLE mailed AS
SELECT organization_id, id, input -> 'to' ->> 0 AS address, created_at, finished_at,
       CASE status WHEN 'succeeded' THEN CASE WHEN river_job_id % 500 = 0 THEN 'suppressed' ELSE 'accepted' END ELSE status END AS state
FROM jobs WHERE kind = 'mail.send' ORDER BY jobs.id DESC LIMIT $1`, `
INSERT INTO mail_messages (organization_id, id, state, stream, template, subject, dated_at, size, created_at)
SELECT organization_id, id, state, 'transactional', 'invoice', 'Your invoice', finished_at, 4000, created_at FROM mailed`, `
INSERT INTO mail_recipients (organization_id, message_id, position, field, address, state, attempts, queue_id, accepted_at, created_at)
SELECT organization_id, id, 1, 'to', address, state, 1, 'Q' || right(id::text, 8), CASE state WHEN 'accepted' THEN finished_at END, created_at FROM mailed`, `
INSERT INTO mail_events (organization_id, id, message_id, type, created_at)
SELECT organization_id, id, id, CASE state WHEN 'accepted' THEN 'accepted' ELSE 'not_sent' END, finished_at FROM mailed`, `
INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, run_ms, prompt_tokens, completion_tokens, started_at, created_at)
SELECT organization_id, id, id, 1, kind, CASE WHEN river_job_id % 4 = 0 THEN 'groq' ELSE 'ollama' END, 'm', CASE status WHEN 'failed' THEN 'invalid' ELSE 'ok' END,
       900, 400, 200, started_at, finished_at
FROM jobs WHERE queue = 'ai' AND started_at IS NOT NULL
  AND (hashint8(river_job_id) & 1048575) < 1048576 * $1::float8 / 5 / (SELECT count(*) FROM jobs WHERE queue = 'ai')`, `
INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
SELECT id, id, 'https://hooks.example.com/', '{*}', 'whsec_' || repeat('x', 44) FROM organizations`, `
INSERT INTO webhook_lanes (organization_id, id) SELECT organization_id, id FROM webhook_endpoints`, `
CREATE TEMP TABLE delivered AS
SELECT (args ->> 'organization_id')::uuid AS organization_id, created_at, finalized_at, river_job.id % 200 = 0 AS failed,
       (lpad(to_hex((extract(epoch FROM created_at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(river_job.id), 12, '0'))::uuid AS id
FROM river_job WHERE kind = 'webhook.deliver' ORDER BY river_job.id DESC LIMIT $1`, `
INSERT INTO webhook_events (organization_id, id, type, body, created_at) SELECT organization_id, id, 'invoice.paid', '{}', created_at FROM delivered`, `
INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, status, attempts, next_attempt_at, status_code,
                                error_code, finished_at, created_at)
SELECT organization_id, id, organization_id, organization_id, id, 'invoice.paid', 'event', CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, 1, NULL,
       CASE WHEN failed THEN 500 ELSE 200 END, CASE WHEN failed THEN 'status' END, finalized_at, created_at FROM delivered`, `
INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, status_code, error_code, request_headers, created_at)
SELECT organization_id, id, 1, 1, finalized_at, 80, CASE WHEN failed THEN 500 ELSE 200 END, CASE WHEN failed THEN 'status' END, '{}', finalized_at FROM delivered`, `
INSERT INTO bulk_actions (id, action, filter, status, matched, capped, position, done, asked_by, started_at, finished_at)
SELECT '01990000-0000-7000-8000-000000000001', 'retry', '{"status": "failed"}', 'done', n, false, n, n, '{"key_id": "admin", "key_name": "bench", "role": "admin"}', now(), now()
FROM (SELECT count(*) AS n FROM (SELECT FROM jobs WHERE status = 'failed' LIMIT $1) AS failed) AS counted`, `
INSERT INTO bulk_items (bulk_id, n, of_organization, job_id, run, status, outcome)
SELECT '01990000-0000-7000-8000-000000000001', row_number() OVER (), organization_id, id, run, status, 'done'
FROM (SELECT organization_id, id, run, status FROM jobs WHERE status = 'failed' LIMIT $1) AS failed`, `
VACUUM (ANALYZE) mail_messages, mail_recipients, mail_events, ai_calls, webhook_events, webhook_deliveries, webhook_attempts, bulk_items`,
}

// fillEffectsOf makes what ended jobs left behind beside their rows, and adds the calls up, as is done every few minutes.
func fillEffectsOf(ctx context.Context, conn *pgx.Conn, database string) error {
	for _, sql := range fillEffects {
		var args []any
		if strings.Contains(sql, "$1") {
			args = append(args, benchEffects)
		}
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("fill what the jobs did: %w", err)
		}
	}
	db, err := store.Open(ctx, store.PoolOptions{URL: database, Role: store.System, Name: "payaid-bench", MaxConns: 1})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.RollUpCalls(ctx, 5*time.Minute); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `VACUUM (ANALYZE) ai_usage_hours`)
	return err
}
