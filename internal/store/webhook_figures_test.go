package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

const fillWebhooks = `
INSERT INTO webhook_endpoints (organization_id, id, url, events, secret, status, disabled_code, disabled_at, rate_limit, deleted_at)
SELECT '00000000-0000-0000-0000-000000000001', ('00000000-0000-0000-0000-0000000000' || n)::uuid, 'https://example.com/', '{*}',
       'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=', CASE WHEN code IS NULL THEN 'enabled' ELSE 'disabled' END, code,
       CASE WHEN code IS NOT NULL THEN now() END, per_minute, deleted
FROM (VALUES ('10', NULL, NULL, NULL), ('11', NULL, NULL, NULL), ('12', NULL, 60, NULL), ('13', NULL, NULL, NULL), ('20', 'owner', NULL, NULL), ('21', 'gone', NULL, NULL),
             ('22', 'failing', NULL, NULL), ('23', 'failing', NULL, NULL), ('24', 'failing', NULL, now())) AS made (n, code, per_minute, deleted);

INSERT INTO webhook_lanes (organization_id, id, failures, failing_since, paused_until)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000010', 0, NULL, NULL),
       ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000011', 7, now() - interval '1 day', now() + interval '5 min'),
       ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000012', 0, NULL, now() - interval '5 min'),
       ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000013', 0, NULL, now() + interval '5 min');`

const waitingDeliveries = `
INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, begun_at, admitted)
SELECT '00000000-0000-0000-0000-000000000001', gen_random_uuid(), $1::uuid, $1, gen_random_uuid(), 'contact.created', 'event', now() - $2::interval, $3
FROM generate_series(1, $4::int)`

const endedDeliveries = `
WITH made AS (
    INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, status, next_attempt_at, finished_at)
    SELECT '00000000-0000-0000-0000-000000000001', gen_random_uuid(), $1::uuid, $1, gen_random_uuid(), 'contact.created', 'event', $2, NULL, now() - $3::interval
    FROM generate_series(1, $4::int) RETURNING id
)
INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, request_headers, created_at)
SELECT '00000000-0000-0000-0000-000000000001', id, 1, 1, now(), 10 * row_number() OVER (), '{}', now() - $3::interval FROM made`

const receiver = "00000000-0000-0000-0000-0000000000"

// Each figure counts what it is about, whichever role asks.
func TestFiguresOfWebhooks(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	conn := connect(t, url)
	for _, role := range []store.Role{store.App, store.System} {
		db := open(t, url, role)
		s, err := db.WebhookStanding(t.Context())
		if err != nil || s.Pending != 0 || s.OldestPending != nil || s.Backlog != 0 || s.Paused+s.Failing+s.Enabled != 0 {
			t.Errorf("as %s, of nothing: got %+v, %v", role, s, err)
		}
		if m, err := db.WebhookMetrics(t.Context(), time.Now().Add(-time.Hour)); err != nil || m != (store.WebhookMetrics{}) {
			t.Errorf("as %s, of nothing: got %+v, %v", role, m, err)
		}
	}
	do := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	do(fillWebhooks)
	do(waitingDeliveries, receiver+"10", "2 minutes", false, 30)
	do(waitingDeliveries, receiver+"10", "3 minutes", true, 10)
	do(waitingDeliveries, receiver+"11", "20 hours", false, 50) // fails
	do(waitingDeliveries, receiver+"12", "3 hours", false, 5)   // has a rate limit
	do(waitingDeliveries, receiver+"13", "4 hours", false, 5)   // asked to be left alone
	do(waitingDeliveries, receiver+"11", "30 hours", true, 1)   // waits for its next attempt
	do(endedDeliveries, receiver+"10", "succeeded", "10 minutes", 100)
	do(endedDeliveries, receiver+"10", "failed", "59 minutes", 3)
	do(endedDeliveries, receiver+"10", "failed", "61 minutes", 4)
	db := open(t, url, store.App)
	m, err := db.WebhookMetrics(t.Context(), time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	now, err := db.WebhookStanding(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	between := func(what string, got, from time.Duration) {
		t.Helper()
		if got < from || got > from+5*time.Minute {
			t.Errorf("%s: got %s, want %s", what, got, from)
		}
	}
	between("the oldest", *now.OldestPending, 30*time.Hour)
	between("the backlog of who takes what comes", now.Backlog, 2*time.Minute)
	if now.Pending != 101 || now.Paused != 2 || now.Failing != 1 || now.Enabled != 4 || now.Disabled["owner"] != 1 || now.Disabled["gone"] != 1 || now.Disabled["failing"] != 2 {
		t.Errorf("got %+v", now)
	}
	if m.Delivered != 100 || m.Failed != 3 || m.P95 == nil || *m.P95 < 900 || *m.P95 > 1000 {
		t.Errorf("got %d delivered, %d failed, p95 %v", m.Delivered, m.Failed, m.P95)
	}
	s, err := db.Scrape(t.Context(), nil)
	if err != nil || s.Webhooks.Pending != 101 || s.Webhooks.Failing != 1 {
		t.Errorf("got %+v, %v", s.Webhooks, err)
	}
}

// However long backlogs are, they are walked by and not through, and counting ends.
func TestFiguresOfWebhooksAreCheap(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	conn := connect(t, url)
	for _, lane := range []string{"10", "11", "12", "13"} {
		if _, err := conn.Exec(t.Context(), waitingDeliveries, receiver+lane, "2 minutes", false, 30_000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), endedDeliveries, receiver+"10", "succeeded", "2 hours", 60_000); err != nil {
		t.Fatal(err)
	}
	db := open(t, url, store.System)
	// Neither statistics nor a visibility map help a backlog that has just come.
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			if _, err := conn.Exec(t.Context(), `VACUUM ANALYZE webhook_deliveries`); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		m, err := db.WebhookStanding(t.Context())
		if err != nil || m.Pending != store.MostDeliveriesCounted || m.OldestPending == nil {
			t.Fatalf("got %+v, %v", m, err)
		}
		t.Logf("analyzed %v: took %s", analyzed, time.Since(began))
		tx, err := conn.Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), store.ByIndexes)
		}
		if err != nil {
			t.Fatal(err)
		}
		rows, err := tx.Query(t.Context(), `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) `+store.WebhookStandingSQL, store.MostDeliveriesCounted, 1000, 20_000)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(lines, "\n")
		if strings.Contains(text, "Sort") || strings.Contains(text, "Seq Scan on webhook_deliveries") {
			t.Errorf("analyzed %v: a backlog is read through:\n%s", analyzed, text)
		}
	}
}
