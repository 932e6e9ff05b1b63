package api

import (
	"strings"
	"testing"
)

// Deliveries of all organizations are told together, and no more of any.
func TestMetricsOfWebhooks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	v := g.metrics(t).Webhooks
	if v.Pending != 0 || v.OldestPending != nil || v.P95MS != nil || len(v.Unmeasured) != 2 {
		t.Errorf("of nothing: got %s", shown(v))
	}
	g.execute(t, `INSERT INTO webhook_endpoints (organization_id, id, url, events, secret, status, disabled_code, disabled_at)
		SELECT gen_random_uuid(), gen_random_uuid(), 'https://hooks.example.com/?secret', '{*}', 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=', 'disabled', code, now()
		FROM unnest('{owner,gone,failing,failing}'::text[]) AS code`)
	g.execute(t, `INSERT INTO webhook_lanes (organization_id, id, failures, failing_since, paused_until)
		VALUES (gen_random_uuid(), gen_random_uuid(), 9, now(), now() + interval '1 minute'), (gen_random_uuid(), gen_random_uuid(), 9, now(), NULL)`)
	g.execute(t, `INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, begun_at, status, next_attempt_at, finished_at)
		SELECT '00000000-0000-0000-0000-000000000001', gen_random_uuid(), lane, lane, gen_random_uuid(), 'contact.created', 'event', now() - interval '16 minutes', status,
		       CASE WHEN status = 'pending' THEN now() END, CASE WHEN status <> 'pending' THEN now() END
		FROM unnest('{pending,pending,pending,succeeded,succeeded,failed}'::text[]) AS status, (SELECT gen_random_uuid() AS lane) AS receiver`)
	g.execute(t, `INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, request_headers)
		SELECT organization_id, id, 1, 1, now(), 40, '{}' FROM webhook_deliveries WHERE status <> 'pending'`)
	v = g.metrics(t).Webhooks
	if v.Pending != 3 || *v.OldestPending < 960 || *v.OldestPending > 1500 || v.Backlog < 960 || v.DeliveredLastHour != 2 || v.FailedLastHour != 1 ||
		*v.P95MS != 40 || v.Paused != 1 || v.Failing != 2 || v.Disabled != 3 || len(v.Unmeasured) != 0 {
		t.Errorf("got %s", shown(v))
	}
	d := g.details(t)["webhooks"]
	for _, part := range []string{"3 deliveries are pending, one whose receiver is well for 16m", "1 receiver is left alone", "3 endpoints are disabled"} {
		if d.State != "degraded" || !strings.Contains(d.Detail, part) {
			t.Errorf("got %+v, want %q", d, part)
		}
	}
	g.execute(t, `UPDATE webhook_deliveries SET begun_at = now()`)
	if d := g.details(t)["webhooks"]; d.State != "ok" {
		t.Errorf("with nothing late: got %+v", d)
	}
}
