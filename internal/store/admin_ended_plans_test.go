package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

const busyCause = "00000000000000aa"

// Much has ended, nothing is left of most, and one cause has failed thousands of jobs.
const fillEnded = `
INSERT INTO organizations (id, name, state)
VALUES ('0197aaaa-0000-7000-8000-00000000000a', 'x', 'x');

INSERT INTO jobs (organization_id, id, kind, queue, status, run, max_attempts, input, output, error, event_id, finished_at)
SELECT '0197aaaa-0000-7000-8000-00000000000a', ('0197bbbb-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'mail.send', 'mail',
       CASE WHEN n % 4 = 0 THEN 'failed' ELSE 'succeeded' END, 1, 3, '{}', CASE WHEN n % 4 > 0 THEN '{}'::jsonb END,
       CASE WHEN n % 4 = 0 THEN '{"code": "x"}'::jsonb END, gen_random_uuid(), now() FROM generate_series(1, 20000) n;

INSERT INTO river_job (id, state, max_attempts, args, kind, queue, finalized_at, errors)
SELECT n, CASE WHEN n % 4 = 0 THEN 'discarded' ELSE 'completed' END::river_job_state, 3, '{}', 'cache.invalidate', 'cache', now(),
       CASE WHEN n % 4 = 0 THEN ARRAY['{"attempt": 1, "error": "x"}'::jsonb] END
FROM generate_series(1, 20000) n;

INSERT INTO job_attempts (organization_id, job_id, river_job_id, kind, queue, run, attempt, outcome, error, fingerprint)
SELECT '0197aaaa-0000-7000-8000-00000000000a', ('0197bbbb-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 100000 + n, 'mail.send', 'mail', 1, a,
       'failed', 'x', '00000000000000aa' FROM generate_series(4, 20000, 4) n, generate_series(1, 2) a;

INSERT INTO job_attempts (organization_id, river_job_id, kind, queue, run, attempt, outcome, error, fingerprint)
SELECT '0197aaaa-0000-7000-8000-00000000000a', n, 'cache.invalidate', 'cache', 1, a, 'failed', 'x', '00000000000000aa'
FROM generate_series(4, 20000, 4) n, generate_series(1, 2) a;

INSERT INTO mail_messages (organization_id, id, state, stream, template)
SELECT organization_id, id, 'accepted', 'transactional', 'invoice' FROM jobs;

INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
SELECT id, id, 'https://hooks.example.com/', '{*}', 'whsec_' || repeat('x', 44) FROM organizations;

INSERT INTO webhook_lanes (organization_id, id) SELECT organization_id, id FROM webhook_endpoints;

INSERT INTO webhook_events (organization_id, id, type, body) SELECT organization_id, id, 'invoice.paid', '{}' FROM jobs;

INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, status, attempts, next_attempt_at, finished_at)
SELECT organization_id, id, organization_id, organization_id, id, 'invoice.paid', 'event', 'succeeded', 1, NULL, now() FROM jobs`

// hasFew are the tables of which all may be read here.
var hasFew = []string{"mail_events", "mail_suppressions", "webhook_endpoints", "organizations"}

// looks are what an operator asks of all organizations, by what is looked for.
func looks(ctx context.Context, db *store.DB) map[string]func() error {
	all := map[string]func() error{
		"figures of mail": func() error { _, err := db.MailMetrics(ctx, time.Now()); return err },
	}
	look := func(name string, ask func(tx pgx.Tx) error) {
		all[name] = func() error { return db.AsOperator(ctx, 5*time.Second, ask) }
	}
	look("pending deliveries", func(tx pgx.Tx) error {
		_, err := store.AdminDeliveries(ctx, tx, store.AdminDeliveryFilter{Status: store.DeliveryPending, Limit: 51})
		return err
	})
	jobs := func(name string, f store.AdminJobFilter) {
		look(name, func(tx pgx.Tx) error {
			_, err := store.AdminJobs(ctx, tx, f, store.AdminJobPlace{}, 50, 0)
			return err
		})
	}
	jobs("jobs of a cause", store.AdminJobFilter{Fingerprint: busyCause})
	jobs("jobs of a cause, oldest first", store.AdminJobFilter{Fingerprint: busyCause, Order: store.OldestFirst})
	jobs("jobs of a cause that failed", store.AdminJobFilter{Fingerprint: busyCause, Status: store.Failed})
	return all
}

// TestPlansOfTheOperator: what is asked of all organizations reads little where much has ended.
func TestPlansOfTheOperator(t *testing.T) {
	t.Parallel()
	db, tape, operator := asOperator(t, fillEnded)
	for name, call := range looks(t.Context(), db) {
		for _, s := range tape.heardOf(t, call) {
			for _, fault := range faultsOf(explain(t, operator, s)) {
				if table, whole := strings.CutPrefix(fault, "reads all of "); !whole || !slices.Contains(hasFew, table) {
					t.Errorf("%s: %s\n%s", name, fault, s.sql)
				}
			}
		}
	}
}
