package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/events/outbox"
)

// webhook makes an endpoint with further fields.
func (g *rig) webhook(t testing.TB, key, fields string) newWebhook {
	t.Helper()
	var v newWebhook
	g.call(t, key, "POST", "/api/webhooks", `{"url":"https://hooks.example.com/in","events":["invoice.*"]`+fields+`}`).want(201).json(&v)
	return v
}

// delivered writes a delivery to an endpoint down that failed at once, as a worker does.
func (g *rig) delivered(t testing.TB, organizationID, endpointID string) (id string) {
	t.Helper()
	id, event := outbox.NewID(), outbox.NewID()
	g.execute(t, `INSERT INTO webhook_lanes (organization_id, id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, organizationID, endpointID)
	g.execute(t, `INSERT INTO webhook_events (organization_id, id, type, body) VALUES ($1, $2, 'invoice.paid', $3)`,
		organizationID, event, `{"specversion":"1.0","id":"`+event+`","type":"invoice.paid"}`)
	g.execute(t, `
INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, status, attempts, next_attempt_at,
                                status_code, error_code, error, finished_at)
VALUES ($1, $2, $3, $3, $4, 'invoice.paid', 'event', 'failed', 1, NULL, 500, 'status', 'it answered 500', now())`, organizationID, id, endpointID, event)
	g.tried(t, organizationID, id, 1, 1, 500)
	return id
}

// tried writes an attempt down.
func (g *rig) tried(t testing.TB, organizationID, deliveryID string, run, attempt, status int) {
	t.Helper()
	g.execute(t, `
INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, address, status_code, error_code, error,
                              request_headers, response_headers, response_body)
VALUES ($1, $2, $3, $4, now(), 12, '203.0.113.7:443', $5, 'status', 'it answered', '{"Webhook-Id":["x"]}', '{"Server":["nginx"]}', '\x4fff00')`,
		organizationID, deliveryID, run, attempt, status)
}

func (r *reply) webhook() (v WebhookView) {
	r.t.Helper()
	r.json(&v)
	return v
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	first := g.call(t, key, "POST", "/api/webhooks", `{"url":"HTTPS://Hooks.Example.com:443","events":["invoice.paid","contact.*"],
		"description":" CRM ","headers":{"x-team":"billing","authorization":"Bearer s3cret","X-A":null},"rate_limit":60}`).want(201)
	var made newWebhook
	first.json(&made)
	if made.URL != "https://hooks.example.com/" || *made.Description != "CRM" || *made.RateLimit != 60 || made.Status != "enabled" || made.Version != 1 ||
		!strings.HasPrefix(made.Secret, "whsec_") || made.DisabledCode != nil || made.PreviousSecretExpiresAt != nil ||
		!maps.Equal(made.Headers, map[string]string{"X-Team": "billing", "Authorization": "***"}) {
		t.Errorf("made %s", first.body)
	}
	path := first.header.Get("Location")
	read := g.call(t, key, "GET", path, "").want(200)
	if strings.Contains(string(read.body), "whsec_") || strings.Contains(string(read.body), "s3cret") {
		t.Errorf("a read shows secrets: %s", read.body)
	}
	g.call(t, key, "GET", path, "", "If-None-Match", read.header.Get("ETag")).want(304)

	// How it does shows, and is no other version.
	g.execute(t, `INSERT INTO webhook_lanes (organization_id, id, failures, failing_since, paused_until, last_failure_at)
		VALUES ($1, $2, 6, now(), now() + interval '1 minute', now())`, org, made.ID)
	ill := g.call(t, key, "GET", path, "", "If-None-Match", read.header.Get("ETag")).want(200)
	if h := ill.webhook().Health; h.Failures != 6 || h.FailingSince == nil || h.PausedUntil == nil || h.LastFailureAt == nil || h.LastSuccessAt != nil {
		t.Errorf("its health is %s", ill.body)
	}

	changed := g.call(t, key, "PATCH", path, `{"description":null,"rate_limit":null,"events":["*"],
		"headers":{"AUTHORIZATION":"***","X-Team":null,"X-More":"1"}}`, "If-Match", read.header.Get("ETag")).want(200)
	if v := changed.webhook(); v.Version != 2 || v.Description != nil || v.RateLimit != nil || v.Events[0] != "*" || v.Health.Failures != 6 ||
		!maps.Equal(v.Headers, map[string]string{"Authorization": "***", "X-More": "1"}) {
		t.Errorf("changed %s", changed.body)
	}
	if got := g.stored(t, made.ID, "headers->>'Authorization'"); got != "Bearer s3cret" {
		t.Errorf("*** was taken for a value: %s", got)
	}
	g.call(t, key, "PATCH", path, `{"url":"https://other.example.com"}`, "If-Match", `"1"`).problem(412, "precondition_failed")
	if v := g.call(t, key, "PATCH", path, `{"url":"https://hooks.example.com","headers":{"X-More":"***","X-Team":null}}`).want(200).webhook(); v.Version != 2 || v.Health.Failures != 6 {
		t.Errorf("a change to the same is %+v", v)
	}
	if v := g.call(t, key, "PATCH", path, `{"url":"https://other.example.com","headers":{"authorization":null}}`).want(200).webhook(); v.Health.Failures != 0 || v.Health.PausedUntil != nil {
		t.Errorf("another URL inherits the health %+v", v.Health)
	}
	if v := g.call(t, key, "PATCH", path, `{"headers":null}`).want(200).webhook(); len(v.Headers) != 0 {
		t.Errorf("null leaves the headers %v", v.Headers)
	}

	g.call(t, key, "DELETE", path, "", "If-Match", `"1"`).problem(412, "precondition_failed")
	delivery := path + "/deliveries/" + g.delivered(t, org, made.ID)
	g.call(t, key, "DELETE", path, "").want(204)
	for _, ask := range [][3]string{{"GET", delivery, ""}, {"POST", delivery + "/replay", ""}, {"GET", path, ""}, {"DELETE", path, ""}, {"PATCH", path, `{}`}, {"GET", path + "/deliveries", ""},
		{"POST", path + "/rotate", ""}, {"POST", path + "/test", ""}, {"POST", path + "/replay", `{"since":"` + ago(time.Hour) + `"}`}} {
		g.call(t, key, ask[0], ask[1], ask[2]).problem(404, "not_found")
	}
	var list page[WebhookView]
	if g.call(t, key, "GET", "/api/webhooks", "").want(200).json(&list); len(list.Data) != 0 {
		t.Errorf("a deleted one is listed: %+v", list)
	}
}

func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339Nano) }

// stored reads something of an endpoint that the API doesn't show.
func (g *rig) stored(t testing.TB, id, what string) (value string) {
	t.Helper()
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT coalesce((`+what+`)::text, '') FROM webhook_endpoints WHERE id = $1`, id).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// facts gives the data of an organization's facts of a type, the oldest first.
func (g *rig) factsOf(t testing.TB, organizationID, eventType string) (list []map[string]any) {
	t.Helper()
	rows, err := g.system.Pool().Query(t.Context(), `SELECT data FROM outbox WHERE organization_id = $1 AND type = $2 ORDER BY id`, organizationID, eventType)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var raw string
		var data map[string]any
		if err := rows.Scan(&raw); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(raw), &data); err != nil {
			t.Fatal(err)
		}
		list = append(list, data)
	}
	return list
}

func TestWebhooksAreDisabledAndEnabled(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	hook := g.webhook(t, key, "")
	path := "/api/webhooks/" + hook.ID
	g.execute(t, `INSERT INTO webhook_lanes (organization_id, id, failures, failing_since) VALUES ($1, $2, 6, now())`, org, hook.ID)
	pending := g.delivered(t, org, hook.ID)
	g.execute(t, `UPDATE webhook_deliveries SET status = 'pending', finished_at = NULL, next_attempt_at = now() + interval '1 hour', admitted = true WHERE id = $1`, pending)

	off := g.call(t, key, "PATCH", path, `{"status":"disabled"}`).want(200).webhook()
	if off.Status != "disabled" || *off.DisabledCode != "owner" || off.DisabledReason == nil || off.DisabledAt == nil {
		t.Errorf("disabled it is %+v", off)
	}
	facts := g.factsOf(t, org, "webhook.disabled")
	if len(facts) != 1 || facts[0]["endpoint_id"] != hook.ID || facts[0]["code"] != "owner" || facts[0]["failures"] != 6.0 || facts[0]["version"] != 2.0 {
		t.Errorf("the facts are %v", facts)
	}
	var d deliveryDetail
	g.call(t, key, "GET", path+"/deliveries/"+pending, "").want(200).json(&d)
	if d.Status != "failed" || *d.Code != "endpoint_disabled" || d.FinishedAt == nil || d.Waiting != nil {
		t.Errorf("what was pending is %+v", d.DeliveryHead)
	}
	if again := g.call(t, key, "PATCH", path, `{"status":"disabled"}`).want(200).webhook(); again.Version != off.Version || !again.DisabledAt.Equal(*off.DisabledAt) {
		t.Errorf("disabled again it is %+v", again)
	}
	moved := g.call(t, key, "PATCH", path, `{"description":"x"}`).want(200).webhook()
	if moved.Status != "disabled" || !moved.DisabledAt.Equal(*off.DisabledAt) || *moved.DisabledCode != "owner" {
		t.Errorf("another change makes it %+v", moved)
	}
	for status, want := range map[string]int{"enabled": 0, "disabled": 1, "": 1} {
		var list page[WebhookView]
		if g.call(t, key, "GET", "/api/webhooks?status="+status, "").want(200).json(&list); len(list.Data) != want {
			t.Errorf("of status %q there are %d", status, len(list.Data))
		}
	}
	g.execute(t, `UPDATE webhook_lanes SET failures = 7, failing_since = now() WHERE id = $1`, hook.ID)
	on := g.call(t, key, "PATCH", path, `{"status":"enabled"}`).want(200).webhook()
	if on.Status != "enabled" || on.DisabledCode != nil || on.DisabledReason != nil || on.DisabledAt != nil || on.Health.Failures != 0 {
		t.Errorf("enabled it is %+v", on)
	}
	if facts := g.factsOf(t, org, "webhook.disabled"); len(facts) != 1 {
		t.Errorf("enabling it says %v", facts)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	hook := g.webhook(t, key, "")
	path := "/api/webhooks/" + hook.ID + "/rotate"
	rotate := func(body string, headers ...string) newWebhook {
		t.Helper()
		var v newWebhook
		g.call(t, key, "POST", path, body, headers...).want(200).json(&v)
		return v
	}
	second := rotate("")
	if second.Secret == hook.Secret || second.Version != 2 || second.PreviousSecretExpiresAt == nil ||
		time.Until(*second.PreviousSecretExpiresAt) > 24*time.Hour || time.Until(*second.PreviousSecretExpiresAt) < 23*time.Hour {
		t.Errorf("rotated it is %+v", second)
	}
	if g.stored(t, hook.ID, "secret") != second.Secret || g.stored(t, hook.ID, "previous_secret") != hook.Secret {
		t.Error("other secrets are stored than were told")
	}
	// A repeat of the request changes nothing, and tells the same secret.
	third := rotate(`{"revoke_previous":false}`, "Idempotency-Key", "k")
	if again := rotate(`{"revoke_previous":false}`, "Idempotency-Key", "k"); again.Secret != third.Secret || again.Version != 3 {
		t.Errorf("a repeat is %+v", again)
	}
	if got := g.stored(t, hook.ID, "previous_secret"); got != second.Secret {
		t.Error("the secret before is not the one before")
	}
	fourth := rotate(`{"revoke_previous":true}`)
	if fourth.PreviousSecretExpiresAt != nil || g.stored(t, hook.ID, "previous_secret") != "" || g.stored(t, hook.ID, "secret") != fourth.Secret {
		t.Errorf("revoked it is %+v", fourth)
	}
	g.call(t, key, "POST", path, `{}`, "If-Match", `"1"`).problem(412, "precondition_failed")
	// What has run out isn't shown.
	rotate("")
	g.execute(t, `UPDATE webhook_endpoints SET previous_secret_until = now() - interval '1 second' WHERE id = $1`, hook.ID)
	if v := g.call(t, key, "GET", "/api/webhooks/"+hook.ID, "").want(200).webhook(); v.PreviousSecretExpiresAt != nil {
		t.Errorf("a secret that ran out is shown until %v", v.PreviousSecretExpiresAt)
	}
}

func TestBadWebhooksAreRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	good := "/api/webhooks/" + g.webhook(t, key, `,"headers":{"X-Api-Key":"k"}`).ID
	many := `"` + strings.Join(strings.Split(strings.Repeat("x", 101), ""), `","`) + `"`
	headers := make(map[string]string)
	for i := range 21 {
		headers[fmt.Sprintf("X-%d", i)] = "x"
	}
	tooMany, err := json.Marshal(headers)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ fields, pointer, detail string }{
		{`"url":"http://hooks.example.com"`, "/url", "must begin with https://"},
		{`"url":"https://127.0.0.1/"`, "/url", "isn't public"},
		{`"url":"https://user:pw@example.com/"`, "/url", "user or password"},
		{`"url":""`, "/url", "expected length >= 1"},
		{`"url":"https://example.com/` + strings.Repeat("x", 2048) + `"`, "/url", "expected length <= 2048"},
		{`"url":7`, "/url", "expected string"},
		{`"url":null`, "/url", ""},
		{`"events":[]`, "/events", ""},
		{`"events":null`, "/events", ""},
		{`"events":"*"`, "/events", "expected array"},
		{`"events":[` + many + `]`, "/events", ""},
		{`"events":["*",7]`, "/events/1", "expected string"},
		{`"events":["*","invoice.payd"]`, "/events/1", "is no event's; of invoice there are invoice.cancelled, "},
		{`"events":["contacts.*"]`, "/events/0", "is no event's; there are those of backup, contact, "},
		{`"events":["webhook.delivery_requested"]`, "/events/0", "is no event's; of webhook there are webhook.disabled, "},
		{`"events":["invoice"]`, "/events/0", "is no event's"},
		{`"events":["*.*"]`, "/events/0", "is no event's"},
		{`"events":["*","contact.*","*"]`, "/events/2", "is there twice"},
		{`"headers":{"Host":"x"}`, "/headers/Host", "can't be set"},
		{`"headers":{"X-A":"ok","content-length":"1"}`, "/headers/content-length", "can't be set"},
		{`"headers":{"X/Y":"x"}`, "/headers/X~1Y", "letters, digits and hyphens"},
		{`"headers":{"X-A":"x\r\ny"}`, "/headers/X-A", "in one line"},
		{`"headers":{"X-A":"1","x-a":"2"}`, "/headers/x-a", "is there twice"},
		{`"headers":{"X-A":7}`, "/headers/X-A", "expected string"},
		{`"headers":{"Authorization":"***"}`, "/headers/Authorization", "has no value that *** could keep"},
		{`"headers":{"X-A":"***"}`, "/headers/X-A", "has no value that *** could keep"},
		{`"headers":` + string(tooMany), "/headers", "has more than 20 headers"},
		{`"headers":[]`, "/headers", "expected object"},
		{`"rate_limit":0`, "/rate_limit", "expected number >= 1"},
		{`"rate_limit":60001`, "/rate_limit", "expected number <= 60000"},
		{`"rate_limit":1.5`, "/rate_limit", "expected integer"},
		{`"description":" "`, "/description", "must not be blank"},
		{`"description":"` + strings.Repeat("x", 501) + `"`, "/description", "expected length <= 500"},
		{`"secret":"whsec_x"`, "/secret", "unexpected property"},
		{`"disabled_code":"gone"`, "/disabled_code", "unexpected property"},
	} {
		for _, ask := range []struct{ method, path, body string }{
			{"POST", "/api/webhooks", wholeWebhook(t, row.fields)}, {"PATCH", good, "{" + row.fields + "}"},
		} {
			p := g.call(t, key, ask.method, ask.path, ask.body).problem(422, "validation_failed")
			if len(p.Errors) != 1 || p.Errors[0].Pointer != row.pointer || !strings.Contains(p.Errors[0].Detail, row.detail) {
				t.Errorf("%s %.80s: %+v, want %s: %s", ask.method, row.fields, p.Errors, row.pointer, row.detail)
			}
		}
	}
	g.call(t, key, "POST", "/api/webhooks", wholeWebhook(t, `"status":"disabled"`)).problem(422, "validation_failed", "/status")
	g.call(t, key, "PATCH", good, `{"status":"gone"}`).problem(422, "validation_failed", "/status")
	g.call(t, key, "PATCH", good, `{"status":null}`).problem(422, "validation_failed", "/status")
	g.call(t, key, "POST", "/api/webhooks", `{}`).problem(422, "validation_failed", "/events", "/url")
	p := g.call(t, key, "PATCH", good, `{"url":"ftp://x","events":["x"],"headers":{"Host":"x"},"status":"disabled"}`).problem(422, "validation_failed")
	if len(p.Errors) != 3 {
		t.Errorf("of three faults it says %+v", p.Errors)
	}
	if v := g.call(t, key, "GET", good, "").want(200).webhook(); v.Version != 1 || v.Status != "enabled" {
		t.Errorf("a refused change has made version %d", v.Version)
	}
	var list page[WebhookView]
	if g.call(t, key, "GET", "/api/webhooks", "").want(200).json(&list); len(list.Data) != 1 {
		t.Errorf("kept are %+v", list.Data)
	}
}

// wholeWebhook adds what an endpoint needs to fields of one.
func wholeWebhook(t *testing.T, fields string) string {
	t.Helper()
	body := map[string]json.RawMessage{"url": json.RawMessage(`"https://hooks.example.com"`), "events": json.RawMessage(`["*"]`)}
	if err := json.Unmarshal([]byte("{"+fields+"}"), &body); err != nil {
		t.Fatal(err)
	}
	if string(body["headers"]) != "" { // two names that differ in capitals stay two
		delete(body, "headers")
	}
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if rest, ok := strings.CutPrefix(fields, `"headers":`); ok {
		return strings.TrimSuffix(string(raw), "}") + `,"headers":` + rest + `}`
	}
	return string(raw)
}

// Even when many are made at once, an organization has no more endpoints than it may.
func TestWebhooksAreBounded(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	_, other := g.organization(t)
	hook := g.webhook(t, key, "")
	g.execute(t, `INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
		SELECT $1, gen_random_uuid(), url, events, secret FROM webhook_endpoints, generate_series(1, $3) WHERE id = $2`, org, hook.ID, maxWebhooks-3)
	const makers = 6
	statuses := make(chan int, makers)
	var all sync.WaitGroup
	for range makers {
		all.Go(func() {
			statuses <- g.call(t, key, "POST", "/api/webhooks", `{"url":"https://hooks.example.com","events":["*"]}`).status
		})
	}
	all.Wait()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	if count[201] != 2 || count[409] != makers-2 {
		t.Errorf("of %d at once: %v", makers, count)
	}
	g.call(t, key, "POST", "/api/webhooks", `{"url":"https://hooks.example.com","events":["*"]}`).problem(409, "too_many_webhooks")
	g.webhook(t, other, "")
	g.call(t, key, "DELETE", "/api/webhooks/"+hook.ID, "").want(204)
	g.webhook(t, key, "")
}

func TestWebhookScopes(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	path := "/api/webhooks/" + g.webhook(t, key, "").ID
	delivery := path + "/deliveries/" + g.delivered(t, org, strings.TrimPrefix(path, "/api/webhooks/"))
	reader, worker := g.key(t, key, "read"), g.key(t, key, "jobs")
	for _, asked := range []string{"/api/webhooks", path, path + "/deliveries", delivery} {
		g.call(t, reader, "GET", asked, "").want(200)
		g.call(t, worker, "GET", asked, "").problem(403, "forbidden")
	}
	for _, ask := range [][3]string{{"POST", "/api/webhooks", `{"url":"https://hooks.example.com","events":["*"]}`}, {"PATCH", path, `{}`}, {"DELETE", path, ""},
		{"POST", path + "/rotate", ""}, {"POST", path + "/test", ""}, {"POST", path + "/replay", `{"since":"` + ago(time.Hour) + `"}`}, {"POST", delivery + "/replay", ""}} {
		g.call(t, reader, ask[0], ask[1], ask[2]).problem(403, "forbidden")
		g.call(t, worker, ask[0], ask[1], ask[2]).problem(403, "forbidden")
	}
}
