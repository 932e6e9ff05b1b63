package api

import (
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/operator"
)

// listening is an organization with an endpoint, and a delivery to it that failed.
func (g *rig) listening(t *testing.T) (org, endpoint, delivery string) {
	t.Helper()
	org, key := g.organization(t)
	var e WebhookView
	g.call(t, key, "POST", "/api/webhooks", `{"url":"https://hooks.example.com/in?token=query-secret","events":["*"],"headers":{"X-Api-Token":"header-secret"}}`).want(201).json(&e)
	delivery = outbox.NewID()
	g.execute(t, `INSERT INTO webhook_events (organization_id, id, type, body) VALUES ($1, $2, 'deal.won', '{"body":"secret"}')`, org, delivery)
	g.execute(t, `INSERT INTO webhook_lanes (organization_id, id, failures, failing_since) VALUES ($1, $2, 3, now()) ON CONFLICT DO NOTHING`, org, e.ID)
	g.execute(t, `INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, status, attempts, status_code, error_code, error, finished_at, next_attempt_at)
		VALUES ($1, $2, $3, $3, $2, 'deal.won', 'event', 'failed', 1, 500, 'status', $4, now(), NULL)`, org, delivery, e.ID, hostile)
	g.execute(t, `INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, status_code, error_code, error, request_headers, response_headers, response_body)
		VALUES ($1, $2, 1, 1, now(), 5, 500, 'status', 'x', '{"X-Custom":["sent-secret"]}', '{"Server":["answered-secret"]}', 'body-secret')`, org, delivery)
	return org, e.ID, delivery
}

func TestAdminWebhooks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, endpoint, delivery := g.listening(t)
	other, _, _ := g.listening(t)
	var list operator.WebhookEndpointList
	r := g.call(t, testAdminKey, "GET", "/api/admin/webhooks?organization_id="+org, "").want(200)
	r.json(&list)
	if len(list.Data) != 1 || list.Data[0].Receiver != "https://hooks.example.com/…" || list.Data[0].Failures != 3 || list.Data[0].Recent.Failed != 1 {
		t.Errorf("listed %s", r.body)
	}
	if g.call(t, testAdminKey, "GET", "/api/admin/webhooks", "").want(200).json(&list); len(list.Data) != 2 {
		t.Errorf("of all organizations: %+v", list.Data)
	}
	for _, path := range []string{"/api/admin/webhooks", "/api/admin/webhooks/" + org + "/" + endpoint, "/api/admin/deliveries", "/api/admin/deliveries/" + delivery} {
		body := string(g.call(t, testAdminKey, "GET", path, "").want(200).body)
		if strings.Contains(body, "secret") {
			t.Errorf("%s shows a secret: %s", path, body)
		}
	}
	// An endpoint is its organization's.
	g.call(t, testAdminKey, "GET", "/api/admin/webhooks/"+other+"/"+endpoint, "").want(404)
	var deliveries operator.DeliveryList
	g.call(t, testAdminKey, "GET", "/api/admin/deliveries?status=failed&organization_id="+org+"&endpoint_id="+endpoint, "").want(200).json(&deliveries)
	if len(deliveries.Data) != 1 || deliveries.Data[0].ID != delivery {
		t.Errorf("deliveries %+v", deliveries.Data)
	}
	var d operator.FullDelivery
	g.call(t, testAdminKey, "GET", "/api/admin/deliveries/"+delivery, "").want(200).json(&d)
	if !d.Hidden || len(d.Tries) != 1 || d.Tries[0].ResponseHeaders["Server"] == nil {
		t.Errorf("the delivery is %+v", d)
	}
	g.call(t, testAdminKey, "POST", "/api/admin/deliveries/"+delivery+"/reveal", "").want(200).json(&d)
	if d.Hidden || *d.Tries[0].ResponseBody != "body-secret" || d.Tries[0].ResponseHeaders["Server"][0] != "answered-secret" || !strings.Contains(string(d.Body), "secret") {
		t.Errorf("revealed is %+v", d)
	}
	if a := g.audit(t, "?action=delivery.reveal"); len(a) != 1 || a[0].TargetID != delivery || *a[0].OrganizationID != org {
		t.Errorf("the audit log has %+v", a)
	}
}

func TestAdminActsOnWebhooks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, endpoint, delivery := g.listening(t)
	_, watcher := g.readOnlyKey(t)
	one := "/api/admin/webhooks/" + org + "/" + endpoint
	again := "/api/admin/deliveries/" + delivery + "/replay"
	since := `{"since":"` + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + `"}`
	for path, body := range map[string]string{one + "/disable": "", one + "/enable": "", one + "/replay": since, again: "",
		"/api/admin/deliveries/" + delivery + "/reveal": ""} {
		g.call(t, watcher, "POST", path, body).want(403)
	}
	var e operator.WebhookEndpoint
	var d operator.FullDelivery
	if g.call(t, testAdminKey, "POST", again, "").want(202).json(&d); d.Status != "pending" || d.Run != 2 {
		t.Errorf("replayed is %+v", d)
	}
	g.call(t, testAdminKey, "POST", one+"/replay", since).want(204)
	g.call(t, testAdminKey, "POST", one+"/replay", `{"since":"2020-01-01T00:00:00Z"}`).want(422)
	if g.call(t, testAdminKey, "POST", one+"/disable", "").want(200).json(&e); e.Status != "disabled" || *e.DisabledCode != "owner" {
		t.Errorf("disabled is %+v", e)
	}
	g.call(t, testAdminKey, "POST", again, "").want(409)
	g.call(t, testAdminKey, "POST", one+"/replay", since).want(409)
	if g.call(t, testAdminKey, "POST", one+"/enable", "").want(200).json(&e); e.Status != "enabled" || e.Failures != 0 {
		t.Errorf("enabled is %+v", e)
	}
	// What was done is said to the organization's listeners, and to the audit log.
	var facts string
	err := g.system.Pool().QueryRow(t.Context(), `SELECT string_agg(type, ' ' ORDER BY event_id) FROM outbox WHERE organization_id = $1 AND type LIKE 'webhook.%'`, org).Scan(&facts)
	if want := "webhook.delivery_requested webhook.replay_requested webhook.disabled"; err != nil || facts != want {
		t.Errorf("stated %q, want %q: %v", facts, want, err)
	}
	for action, after := range map[string]string{"webhook.disable": `"status":"disabled"`, "webhook.enable": `"status":"enabled"`, "delivery.replay": `"run":2`, "webhook.replay": `"since"`} {
		a := g.audit(t, "?outcome=done&action="+action)
		if len(a) != 1 || *a[0].OrganizationID != org || !strings.Contains(strings.ReplaceAll(string(a[0].After), " ", ""), after) {
			t.Errorf("%s in the audit log: %+v", action, a)
		}
	}
}
