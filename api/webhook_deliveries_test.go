package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
)

func (r *reply) delivery() (v deliveryView) {
	r.t.Helper()
	r.json(&v)
	return v
}

func (r *reply) deliveries() (v page[deliveryView]) {
	r.t.Helper()
	r.want(200).json(&v)
	return v
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	hook := g.webhook(t, key, "")
	other := g.webhook(t, key, "")
	path := "/api/webhooks/" + hook.ID + "/deliveries"
	first := g.delivered(t, org, hook.ID)
	second := g.delivered(t, org, hook.ID)
	g.delivered(t, org, other.ID)
	g.execute(t, `UPDATE webhook_deliveries SET run = 2, attempts = 2, status = 'succeeded', status_code = 204, error_code = NULL, error = NULL WHERE id = $1`, first)
	g.tried(t, org, first, 2, 1, 503)
	g.execute(t, `INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, request_headers, response_headers, response_body, status_code)
		VALUES ($1, $2, 2, 2, now(), 3, '{}', '{}', '', 204)`, org, first)

	list := g.call(t, key, "GET", path, "").deliveries()
	if len(list.Data) != 2 || list.Data[0].ID != second || list.Data[1].ID != first {
		t.Fatalf("the list is %+v", list)
	}
	d := list.Data[1]
	if d.Status != "succeeded" || d.Run != 2 || len(d.Attempts) != 2 || d.Attempts[0].Attempt != 1 || *d.Attempts[0].StatusCode != 503 || d.Attempts[1].Error != nil ||
		*d.EndpointID != hook.ID || d.JobID != nil || d.Purpose != "event" || d.Links.Self != path+"/"+first {
		t.Errorf("the first is %+v", d)
	}
	one := g.call(t, key, "GET", path+"?limit=1", "").deliveries()
	if rest := g.call(t, key, "GET", path+"?limit=1&cursor="+*one.NextCursor, "").deliveries(); len(rest.Data) != 1 || rest.Data[0].ID != first || rest.HasMore {
		t.Errorf("the second page is %+v", rest)
	}
	g.call(t, key, "GET", path+"?status=failed&limit=1&cursor="+*one.NextCursor, "").problem(400, "invalid_cursor")
	g.call(t, key, "GET", "/api/webhooks/"+other.ID+"/deliveries?limit=1&cursor="+*one.NextCursor, "").problem(400, "invalid_cursor")
	for query, want := range map[string]string{
		"status=failed": second, "status=succeeded": first, "status=pending": "", "event_type=invoice.paid&status=failed": second,
		"event_type=invoice.sent": "", "event_id=" + d.EventID: first, "event_id=" + strings.ToUpper(d.EventID): first, "purpose=test": "",
		"purpose=event&status=failed": second, "created_before=" + ago(time.Hour): "", "created_after=" + ago(time.Hour) + "&status=failed": second,
		"created_after=" + ago(-time.Hour): "",
	} {
		got := ""
		for _, d := range g.call(t, key, "GET", path+"?"+query, "").deliveries().Data {
			got += d.ID
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, pointer := range map[string]string{"status=done": "/query/status", "event_id=x": "/query/event_id", "event_type=*": "/query/event_type",
		"purpose=callback": "/query/purpose", "created_after=now": "/query/created_after", "run=1": "/query/run"} {
		g.call(t, key, "GET", path+"?"+query, "").problem(422, "validation_failed", pointer)
	}

	var detail deliveryDetail
	g.call(t, key, "GET", path+"/"+first, "").want(200).json(&detail)
	if len(detail.Attempts) != 3 || detail.Attempts[0].Run != 1 || detail.Attempts[2].StatusCode == nil || *detail.Attempts[0].Address != "203.0.113.7:443" ||
		string(detail.Attempts[0].RequestHeaders) != `{"Webhook-Id":["x"]}` || *detail.Attempts[0].ResponseBody != "O\uFFFD\x00" || !strings.Contains(string(detail.Event), d.EventID) {
		t.Errorf("in detail it is %+v", detail)
	}
	g.call(t, key, "GET", "/api/webhooks/"+other.ID+"/deliveries/"+first, "").problem(404, "not_found")
	g.call(t, key, "GET", path+"/x", "").problem(404, "not_found")
	g.call(t, key, "GET", "/api/webhooks/"+outbox.NewID()+"/deliveries", "").problem(404, "not_found")
}

// A delivery says what it waits for.
func TestDeliveriesWait(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	hook := g.webhook(t, key, `,"rate_limit":1`)
	id := g.delivered(t, org, hook.ID)
	path := "/api/webhooks/" + hook.ID + "/deliveries/" + id
	for _, row := range []struct {
		is, paused, reason string
		replayable         bool
	}{
		{`admitted = true, attempts = 0, next_attempt_at = now()`, `NULL`, "", false},
		{`admitted = true, attempts = 1, next_attempt_at = now()`, `NULL`, "", false},
		{`admitted = true, attempts = 1, next_attempt_at = now() + interval '1 hour'`, `NULL`, "retry", true},
		{`admitted = true, attempts = 0, next_attempt_at = now() - interval '10 seconds'`, `NULL`, "", false},
		{`admitted = true, attempts = 0, next_attempt_at = now() - interval '1 minute'`, `NULL`, "rate_limit", false},
		{`admitted = true, attempts = 0, next_attempt_at = now() - interval '1 minute', purpose = 'test'`, `NULL`, "turn", false},
		{`admitted = true, attempts = 1, next_attempt_at = now() - interval '1 minute', purpose = 'event'`, `now() + interval '1 hour'`, "paused", true},
		{`admitted = true, attempts = 0, next_attempt_at = now()`, `now() + interval '1 hour'`, "", false},
		{`admitted = false, attempts = 0, next_attempt_at = now() - interval '1 minute'`, `now() + interval '1 hour'`, "paused", true},
		{`admitted = false, attempts = 0, next_attempt_at = now() - interval '1 minute'`, `NULL`, "turn", false},
		{`admitted = false, attempts = 0, next_attempt_at = now()`, `NULL`, "turn", false},
		{`admitted = false, attempts = 0, next_attempt_at = now()`, `now() + interval '1 hour'`, "paused", true},
		{`admitted = false, attempts = 0, next_attempt_at = now()`, `now() - interval '1 hour'`, "turn", false},
	} {
		g.execute(t, `UPDATE webhook_deliveries SET run = 1, status = 'pending', finished_at = NULL, `+row.is+` WHERE id = $1`, id)
		g.execute(t, `UPDATE webhook_lanes SET paused_until = `+row.paused+` WHERE id = $1`, hook.ID)
		var d deliveryDetail
		asked := time.Now().Truncate(time.Microsecond)
		g.call(t, key, "GET", path, "").want(200).json(&d)
		reason := ""
		if d.Waiting != nil {
			reason = d.Waiting.Reason
			if d.NextAttemptAt == nil || d.NextAttemptAt.Before(asked) || d.Waiting.NextAttemptAt != nil && d.NextAttemptAt.Before(*d.Waiting.NextAttemptAt) {
				t.Errorf("%s, paused %s: the next attempt is at %v, asked at %v, while it waits for %+v", row.is, row.paused, d.NextAttemptAt, asked, d.Waiting)
			}
		}
		if reason != row.reason {
			t.Errorf("%s, paused %s: waits for %q, want %q", row.is, row.paused, reason, row.reason)
		}
		if (reason == "retry" || reason == "paused") && (d.Waiting.NextAttemptAt == nil || time.Until(*d.Waiting.NextAttemptAt) < 50*time.Minute) {
			t.Errorf("%s: until %v", row.is, d.Waiting.NextAttemptAt)
		}
		if !row.replayable {
			g.call(t, key, "POST", path+"/replay", "").problem(409, "delivery_pending")
			continue
		}
		if again := g.call(t, key, "POST", path+"/replay", "").want(202).delivery(); again.Run != 2 || again.Status != "pending" || again.Waiting != nil {
			t.Errorf("%s: replayed it is %+v", row.is, again)
		}
	}
}

func TestReplayOfADelivery(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	hook := g.webhook(t, key, "")
	id := g.delivered(t, org, hook.ID)
	path := "/api/webhooks/" + hook.ID + "/deliveries/" + id
	var before deliveryDetail
	g.call(t, key, "GET", path, "").want(200).json(&before)

	first := g.call(t, key, "POST", path+"/replay", "", "Idempotency-Key", "k").want(202)
	d := first.delivery()
	if d.Status != "pending" || d.Run != 2 || len(d.Attempts) != 0 || d.Code != nil || d.StatusCode != nil || d.FinishedAt != nil || d.Waiting != nil ||
		d.EventID != before.EventID || !d.BegunAt.After(before.BegunAt) || first.header.Get("Location") != path {
		t.Errorf("replayed it is %s", first.body)
	}
	if again := g.call(t, key, "POST", path+"/replay", "", "Idempotency-Key", "k").want(202).delivery(); again.Run != 2 {
		t.Errorf("a repeat is run %d", again.Run)
	}
	facts := g.factsOf(t, org, "webhook.delivery_requested")
	if len(facts) != 1 || facts[0]["delivery_id"] != id || facts[0]["endpoint_id"] != hook.ID || facts[0]["run"] != 2.0 {
		t.Errorf("the facts are %v", facts)
	}
	g.call(t, key, "POST", path+"/replay", "").problem(409, "delivery_pending")
	g.execute(t, `UPDATE webhook_deliveries SET status = 'succeeded', finished_at = now(), next_attempt_at = NULL WHERE id = $1`, id)
	g.call(t, key, "PATCH", "/api/webhooks/"+hook.ID, `{"status":"disabled"}`).want(200)
	g.call(t, key, "POST", path+"/replay", "").problem(409, "webhook_disabled")
	g.call(t, key, "PATCH", "/api/webhooks/"+hook.ID, `{"status":"enabled"}`).want(200)
	g.call(t, key, "POST", path+"/replay", "").want(202)
	if facts := g.factsOf(t, org, "webhook.delivery_requested"); len(facts) != 2 {
		t.Errorf("refusals stated facts: %v", facts)
	}
}

func TestTestsOfWebhooks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	hook := g.webhook(t, key, "")
	path := "/api/webhooks/" + hook.ID
	g.call(t, key, "PATCH", path, `{"status":"disabled"}`).want(200)
	types := []string{"", webhookTest}
	for _, k := range events.Catalogue() {
		if !k.Inside {
			types = append(types, k.Type)
		}
	}
	for _, eventType := range types {
		body, wanted := `{"event_type":"`+eventType+`"}`, eventType
		if eventType == "" {
			body, wanted = "", webhookTest
		}
		d := g.call(t, key, "POST", path+"/test", body).want(202).delivery()
		if d.Purpose != "test" || d.Status != "pending" || d.EventType != wanted || d.Run != 1 || d.Waiting != nil || len(d.Attempts) != 0 {
			t.Errorf("%s: %+v", eventType, d)
		}
		var detail deliveryDetail
		g.call(t, key, "GET", path+"/deliveries/"+d.ID, "").want(200).json(&detail)
		var event struct {
			SpecVersion, ID, Type, Source, OrganizationID string
			Data                                          map[string]any
		}
		if err := json.Unmarshal(detail.Event, &event); err != nil {
			t.Fatal(err)
		}
		if event.SpecVersion != "1.0" || event.ID != d.EventID || event.Type != wanted || event.OrganizationID != org {
			t.Errorf("%s: the event is %s", eventType, detail.Event)
		}
		if wanted == webhookTest && event.Data["endpoint_id"] != hook.ID || wanted != webhookTest && event.Data["sample"] != true {
			t.Errorf("%s: the data is %v", eventType, event.Data)
		}
	}
	facts := g.factsOf(t, org, "webhook.delivery_requested")
	if len(facts) != len(types) || facts[0]["run"] != 1.0 || facts[0]["endpoint_id"] != hook.ID {
		t.Errorf("%d tests stated %d facts", len(types), len(facts))
	}
	if list := g.call(t, key, "GET", path+"/deliveries?purpose=test&limit=200", "").deliveries(); len(list.Data) != len(types) {
		t.Errorf("%d tests are listed", len(list.Data))
	}
	first := g.call(t, key, "POST", path+"/test", "", "Idempotency-Key", "k").want(202).delivery()
	if again := g.call(t, key, "POST", path+"/test", "{}", "Idempotency-Key", "k").want(202).delivery(); again.ID != first.ID {
		t.Error("a repeat is another test")
	}
	for body, pointer := range map[string]string{`{"event_type":"*"}`: "/event_type", `{"event_type":"invoice.*"}`: "/event_type", `{"event_type":"no.such"}`: "/event_type",
		`{"event_type":"webhook.replay_requested"}`: "/event_type", `{"event_type":7}`: "/event_type", `{"x":7}`: "/x"} {
		g.call(t, key, "POST", path+"/test", body).problem(422, "validation_failed", pointer)
	}
	g.call(t, key, "POST", path+"/test", "[]").problem(422, "validation_failed")
	g.call(t, key, "POST", path+"/test", "{").problem(400, "invalid_json")

	// What is deleted gets no tests any more, and those that wait end.
	g.call(t, key, "DELETE", path, "").want(204)
	var pending int
	if err := g.system.Pool().QueryRow(t.Context(), `SELECT count(*) FROM webhook_deliveries WHERE status = 'pending' OR error_code <> 'endpoint_deleted'`).Scan(&pending); err != nil || pending != 0 {
		t.Errorf("%d are pending or ended otherwise, %v", pending, err)
	}
}

func TestReplayOfATime(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	hook := g.webhook(t, key, "")
	path := "/api/webhooks/" + hook.ID + "/replay"
	since, until := ago(2*time.Hour), ago(time.Hour)
	var v replayView
	g.call(t, key, "POST", path, `{"since":"`+since+`","until":"`+until+`"}`).want(202).json(&v)
	if v.EndpointID != hook.ID || !v.Failed || v.Missed || time.Since(v.Since).Round(time.Minute) != 2*time.Hour || time.Since(v.Until).Round(time.Minute) != time.Hour {
		t.Errorf("accepted is %+v", v)
	}
	g.call(t, key, "POST", path, `{"since":"`+since+`","failed":false,"missed":true,"until":null}`).want(202).json(&v)
	if v.Failed || !v.Missed || time.Since(v.Until) > time.Minute {
		t.Errorf("accepted is %+v", v)
	}
	facts := g.factsOf(t, org, "webhook.replay_requested")
	if len(facts) != 2 || facts[0]["failed"] != true || facts[0]["missed"] != false || facts[1]["failed"] != false || facts[1]["missed"] != true ||
		facts[0]["endpoint_id"] != hook.ID {
		t.Errorf("the facts are %v", facts)
	}
	for body, pointer := range map[string]string{
		`{}`: "/since", `{"since":null}`: "/since", `{"since":"yesterday"}`: "/since", `{"since":"` + ago(31*24*time.Hour) + `"}`: "/since",
		`{"since":"` + ago(-time.Hour) + `"}`: "/since", `{"since":"` + until + `","until":"` + since + `"}`: "/since",
		`{"since":"` + since + `","until":"` + ago(-time.Hour) + `"}`: "/until", `{"since":"` + since + `","failed":false}`: "/failed",
		`{"since":"` + since + `","missed":"yes"}`: "/missed", `{"since":"` + since + `","status":"failed"}`: "/status",
	} {
		g.call(t, key, "POST", path, body).problem(422, "validation_failed", pointer)
	}
	g.call(t, key, "PATCH", "/api/webhooks/"+hook.ID, `{"status":"disabled"}`).want(200)
	g.call(t, key, "POST", path, `{"since":"`+since+`"}`).problem(409, "webhook_disabled")
	if facts := g.factsOf(t, org, "webhook.replay_requested"); len(facts) != 2 {
		t.Errorf("refusals stated facts: %v", facts)
	}
}
