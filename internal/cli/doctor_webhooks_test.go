package cli

import (
	"net/netip"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/migrations"
)

const troubledOrganization = `
INSERT INTO webhook_endpoints (organization_id, id, url, events, secret, status, disabled_code, disabled_at)
SELECT '00000000-0000-0000-0000-000000000001', ('00000000-0000-0000-0000-0000000000' || n)::uuid, 'https://hooks.example.com/?token=hunter2', '{*}',
       'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=', CASE WHEN code IS NULL THEN 'enabled' ELSE 'disabled' END, code, CASE WHEN code IS NOT NULL THEN now() END
FROM (VALUES ('10', NULL), ('11', NULL), ('20', 'owner'), ('21', 'gone'), ('22', 'failing')) AS made (n, code);
INSERT INTO webhook_lanes (organization_id, id, failures, failing_since)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000010', 37, now() - interval '25 hours'),
       ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000011', 7, now() - interval '23 hours');
INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, begun_at)
SELECT '00000000-0000-0000-0000-000000000001', gen_random_uuid(), id, id, gen_random_uuid(), 'contact.created', 'event', now() - interval '11 minutes'
FROM (VALUES ('00000000-0000-0000-0000-000000000012'::uuid)) AS healthy (id)`

// What is wrong with webhooks is named with what to do about it, and what is well isn't.
func TestDoctorLooksAtWebhooks(t *testing.T) {
	t.Parallel()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	url := pg.URL(pg.NewDatabase(t, template))
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.System, Name: "test", MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	look := func() (d doctor) {
		t.Helper()
		d.webhooks(t.Context(), db)
		return d
	}
	d := look()
	found(t, d, "webhooks").says(t, fine, "0 deliveries are pending")
	if len(d.findings) != 1 {
		t.Errorf("of nothing: got %+v", d.findings)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	do := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = conn.Close(t.Context()) }()
	do(troubledOrganization)
	d = look()
	found(t, d, "webhooks").says(t, broken, "1 deliveries", "no worker", "payaid worker --queue webhook")
	found(t, d, "webhook endpoints disabled").says(t, uneasy, "2: ", "-000000000021", "-000000000022", "(gone)", "(failing)", "PATCH /api/webhooks/{id}")
	found(t, d, "webhook endpoints failing").says(t, uneasy, "1: ", "-000000000010", "37 times in a row", "three days")
	do(`INSERT INTO worker_processes (id, host, pid, queues, version) VALUES ('a', 'h', 1, '{"webhook": 20}', 'x')`)
	found(t, look(), "webhooks").says(t, uneasy, "waited for its turn for 11m", "start more workers")
	do(`UPDATE webhook_deliveries SET begun_at = now()`)
	found(t, look(), "webhooks").says(t, fine, "1 deliveries are pending")
}

// Settings that open what nobody should reach are named; those that somebody needs, on purpose, are told.
func TestDoctorJudgesWhereWebhooksMayGo(t *testing.T) {
	t.Parallel()
	networks := func(list ...string) (out []netip.Prefix) {
		for _, n := range list {
			out = append(out, netip.MustParsePrefix(n))
		}
		return out
	}
	for name, c := range map[string]struct {
		policy webhook.Policy
		links  string
		state  string
		words  []string
	}{
		"nothing":            {webhook.Policy{}, "https://crm.example.com", fine, []string{"https alone"}},
		"one network":        {webhook.Policy{Networks: networks("10.20.0.0/16")}, "https://crm.example.com", fine, []string{"10.20.0.0/16"}},
		"all of IPv4":        {webhook.Policy{Networks: networks("0.0.0.0/0")}, "", uneasy, []string{"0.0.0.0/0", "WEBHOOK_ALLOW_NETWORKS"}},
		"this machine":       {webhook.Policy{Networks: networks("10.1.2.3/32", "127.0.0.1/32")}, "", uneasy, []string{"127.0.0.1/32"}},
		"the metadata":       {webhook.Policy{Networks: networks("169.254.169.254/32")}, "", uneasy, []string{"metadata"}},
		"a large IPv6":       {webhook.Policy{Networks: networks("fd00::/8")}, "", uneasy, []string{"fd00::/8"}},
		"http, in public":    {webhook.Policy{AllowHTTP: true}, "https://crm.example.com", uneasy, []string{"unset WEBHOOK_ALLOW_HTTP"}},
		"http, in the house": {webhook.Policy{AllowHTTP: true}, "http://127.0.0.1:8080", fine, []string{"http is allowed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d doctor
			d.receivers(c.policy, "", c.links)
			found(t, d, "webhook receivers").says(t, c.state, c.words...)
		})
	}
}
