package store_test

import (
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/store"
)

// What is rare is old here too: what is pending or failed, or is of a time, is found without what came after it.
const fillDeliveries = `
CREATE TEMP TABLE sent AS
SELECT '0197aaaa-0000-7000-8000-00000000000a'::uuid AS organization_id, n, ('0197aaaa-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id,
       ('0197aaaa-0000-7000-8000-0000000000f' || n % 2)::uuid AS lane_id, n % 2 = 0 AS callback,
       CASE WHEN n <= 100 THEN 'pending' WHEN n <= 200 THEN 'failed' ELSE 'succeeded' END AS status
FROM generate_series(1, 40000) n;

INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
VALUES ('0197aaaa-0000-7000-8000-00000000000a', '0197aaaa-0000-7000-8000-0000000000f1', 'https://x.example/', '{*}', 'whsec_' || repeat('x', 44));

INSERT INTO webhook_lanes (organization_id, id, origin) SELECT DISTINCT organization_id, lane_id, CASE WHEN callback THEN 'https://x.example' END FROM sent;

INSERT INTO webhook_events (organization_id, id, type, body) SELECT organization_id, id, 'invoice.paid', '{}' FROM sent;

INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, job_id, url, event_id, event_type, purpose, status, admitted,
                                next_attempt_at, finished_at)
SELECT organization_id, id, lane_id, CASE WHEN NOT callback THEN lane_id END, CASE WHEN callback THEN id END, CASE WHEN callback THEN 'https://x.example/' END,
       id, 'invoice.paid', CASE WHEN callback THEN 'callback' ELSE 'event' END, status, n % 3 = 0,
       CASE WHEN status = 'pending' THEN now() END, CASE WHEN status <> 'pending' THEN now() END
FROM sent;

INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, request_headers)
SELECT organization_id, id, 1, 1, now(), 1, '{}' FROM sent;

VACUUM ANALYZE webhook_deliveries, webhook_attempts, webhook_events`

const theEndpoint = "0197aaaa-0000-7000-8000-0000000000f1"

// TestDeliveryPlans: lists of deliveries read about as many rows as they show, however many there are.
func TestDeliveryPlans(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	owner := connect(t, url)
	for sql := range strings.SplitSeq(fillDeliveries, ";\n") {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	tape := &tape{}
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.App, Name: "test", MaxConns: 2, Tracer: tape})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	app := connect(t, url)
	for _, sql := range []string{`SET ROLE payaid_app`, `SET app.organization_id = '` + crowded + `'`} {
		if _, err := app.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	const middle, busy = "0197aaaa-0000-7000-8000-000000004e20", "0197aaaa-0000-7000-8000-000000000064"
	for name, f := range map[string]store.DeliveryFilter{
		"": {EndpointID: theEndpoint}, "page": {EndpointID: theEndpoint, Before: middle}, "failed": {EndpointID: theEndpoint, Status: "failed"},
		"pending": {EndpointID: theEndpoint, Status: "pending"}, "pending, page": {EndpointID: theEndpoint, Status: "pending", Before: busy},
		"succeeded": {EndpointID: theEndpoint, Status: "succeeded"}, "of an event": {EndpointID: theEndpoint, EventID: middle},
		"callbacks": {}, "callbacks, page": {Before: middle}, "of a job": {JobID: busy},
	} {
		f.Limit = pageOfTheLists
		call := func() error { _, err := db.Deliveries(t.Context(), crowded, f); return err }
		for _, s := range tape.heardOf(t, call) {
			for _, fault := range faultsOf(explain(t, app, s)) {
				t.Errorf("%s: %s\n%s", name, fault, s.sql)
			}
		}
	}
	one := func() error {
		_, err := db.Delivery(t.Context(), crowded, theEndpoint, "0197aaaa-0000-7000-8000-000000000065")
		return err
	}
	for _, s := range tape.heardOf(t, one) {
		for _, fault := range faultsOf(explain(t, app, s)) {
			t.Errorf("one: %s\n%s", fault, s.sql)
		}
	}
}
