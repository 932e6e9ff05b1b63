package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// told is an organization whose fact went to a receiver that answered with something hostile.
func (g *rig) told() (organization, event, endpoint, delivery string) {
	g.t.Helper()
	organization, event, endpoint, delivery = store.OperatorOrganization, outbox.NewID(), outbox.NewID(), outbox.NewID()
	g.exec(`INSERT INTO outbox (event_id, organization_id, type, subject, aggregate_version, correlation_id, route, key_id, data)
		VALUES ($1, $2, 'deal.won', $3, 1, 'req_of_a_test', $3, $3, jsonb_build_object('secret', $3::text)::json)`, event, organization, hostile)
	g.exec(`INSERT INTO webhook_endpoints (organization_id, id, url, events, description, headers, secret)
		VALUES ($1, $2, 'https://hooks.example.com/"><script>', ARRAY[$3::text], left($3, 500), jsonb_build_object($3::text, 'x'), 'whsec_' || repeat('A', 32))`, organization, endpoint, hostile)
	g.exec(`INSERT INTO webhook_events (organization_id, id, type, body) VALUES ($1, $2, 'deal.won', jsonb_build_object($3::text, $3::text)::text)`, organization, event, hostile)
	g.exec(`INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose, status, attempts, status_code, error_code, error, finished_at, next_attempt_at)
		VALUES ($1, $2, $3, $3, $4, 'deal.won', 'event', 'failed', 1, 500, 'status', $5, now(), NULL)`, organization, delivery, endpoint, event, hostile)
	g.exec(`INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, status_code, error_code, error, request_headers, response_headers, response_body)
		VALUES ($1, $2, 1, 1, now(), 5, 500, 'status', $3, jsonb_build_object($3::text, ARRAY[$3::text]), jsonb_build_object($3::text, ARRAY[$3::text]), convert_to(left($3, 4000), 'UTF8'))`, organization, delivery, hostile)
	g.exec(`INSERT INTO dead_events (consumer, stream_seq, subject, headers, body, reason) VALUES ('router', 1, $1::text, jsonb_build_object('ce-id', ARRAY[$1::text]), '', $1::text)`, hostile)
	return organization, event, endpoint, delivery
}

func TestChainIsDrawn(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, event, _, delivery := g.told()
	b := g.admin()
	for _, id := range []string{"req_of_a_test", event, delivery} {
		b.get("/admin/chain/"+id).wants(http.StatusOK, "deal.won", "req_of_a_test", "Webhook to https://hooks.example.com", "POST, attempt 1", "Went wrong").inert()
	}
	if p := b.get("/admin/chain?q=" + url.QueryEscape(" req_of_a_test ")); p.url.Path != "/admin/chain/req_of_a_test" {
		t.Errorf("the search leads to %s", p.url.Path)
	}
	b.get("/admin/chain").wants(http.StatusOK, "What can be asked for")
	b.get("/admin/chain/"+url.PathEscape(hostile)).wants(http.StatusNotFound, "Nothing that is kept has this id", "Kept for").inert()
	b.get("/admin/chain/nothing").wants(http.StatusNotFound, "7 days")
}

func TestEventsAndWebhooksAreInert(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	organization, event, endpoint, delivery := g.told()
	b := g.admin()
	for _, path := range []string{"/admin/events", "/admin/events/" + event, "/admin/events/dead", "/admin/webhooks", "/admin/webhooks/deliveries",
		"/admin/webhooks/" + organization + "/" + endpoint, "/admin/webhooks/deliveries/" + delivery} {
		b.get(path).wants(http.StatusOK).inert()
	}
	b.get("/admin/events/" + event).wants(http.StatusOK).lacks("secret")
	b.post("/admin/events/"+event+"/reveal", url.Values{}).wants(http.StatusOK, "secret").inert()
	b.post("/admin/webhooks/deliveries/"+delivery+"/reveal", url.Values{}).wants(http.StatusOK).inert()
}

// Who may only look is offered no act, and can do none.
func TestWatchersCannotActOnEventsOrWebhooks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	organization, event, endpoint, delivery := g.told()
	one := "/admin/webhooks/" + organization + "/" + endpoint
	acts := map[string]string{"/admin/events/" + event: "/reveal", "/admin/events/dead": "/redrive", one: "/disable", "/admin/webhooks/deliveries/" + delivery: "/replay"}
	watcher, admin := g.signedIn(g.key("admin_read")), g.admin()
	for page, verb := range acts {
		if p := watcher.get(page).wants(http.StatusOK); strings.Contains(p.body, `action="`+page+verb) {
			t.Errorf("%s offers who may only look to %s", page, verb)
		}
		watcher.post(page+verb, url.Values{"all": {"true"}}).wants(http.StatusForbidden)
		if p := admin.get(page).wants(http.StatusOK); !strings.Contains(p.body, `action="`+page+verb) {
			t.Errorf("%s doesn't offer to %s", page, verb)
		}
	}
	watcher.post("/admin/events/replay", url.Values{"since": {"2026-01-01T00:00"}}).wants(http.StatusForbidden)
	admin.post("/admin/webhooks/deliveries/"+delivery+"/replay", url.Values{}).wants(http.StatusOK, "It is made again")
	admin.post(one+"/replay", url.Values{"since": {time.Now().Add(-time.Hour).UTC().Format("2006-01-02T15:04")}}).wants(http.StatusOK, "delivered again")
	admin.post(one+"/disable", url.Values{}).wants(http.StatusOK, "It hears of nothing any more")
	admin.post(one+"/enable", url.Values{}).wants(http.StatusOK, "It hears of what happens again")
	admin.get("/admin/audit").wants(http.StatusOK, "webhook.disable", "webhook.enable", "webhook.replay", "delivery.replay")
}

// Deliveries are kept longer than the events that they tell of.
func TestDeliveriesLeadToTheirEventsWhileThereAreAny(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, event, _, delivery := g.told()
	b := g.admin()
	page := "/admin/webhooks/deliveries/" + delivery
	for _, name := range []string{event, "Chain"} {
		b.get(b.get(page).wants(http.StatusOK).link(name)).wants(http.StatusOK, "deal.won", "req_of_a_test")
	}
	gone := outbox.NewID()
	g.exec(`UPDATE webhook_deliveries SET event_id = $2 WHERE id = $1`, delivery, gone)
	b.get("/admin/events/" + gone).wants(http.StatusNotFound)
	for _, old := range []*shown{b.get(page), b.post(page+"/reveal", url.Values{})} {
		if old.wants(http.StatusOK, gone, "events are kept for a week").link(gone) != "" || slices.ContainsFunc(old.find("a"), func(a *html.Node) bool { return textOf(a) == "Chain" && attribute(a, "class") == "button" }) {
			t.Error("it leads to an event that is gone")
		}
	}
}
