package admin

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/payaid/payaid/operator"
)

// A webhooksPage is a part of the endpoints of all organizations.
type webhooksPage struct {
	List         operator.WebhookEndpointList
	Pager        pager
	Status       string
	Organization string
	Names        map[string]string // of organizations, by id
}

// webhooks shows the endpoints of all organizations.
func (p *Pages) webhooks(r *request) error {
	data := webhooksPage{Status: r.FormValue("status"), Organization: r.FormValue("organization_id")}
	if err := r.client.Get(r.Context(), "/api/admin/webhooks", r.filters("status", "organization_id"), &data.List); err != nil {
		return err
	}
	data.Pager, data.Names = r.pager(data.List.NextCursor), r.organizationNames()
	return r.render(http.StatusOK, "webhooks", "Webhooks", data)
}

// A webhookPage is one endpoint with its last deliveries.
type webhookPage struct {
	operator.WebhookEndpoint
	Deliveries operator.DeliveryList
	Pager      pager
	DayAgo     string
}

func endpointPath(r *request) string {
	return "/webhooks/" + pathEscape(r.PathValue("organization")) + "/" + pathEscape(r.PathValue("id"))
}

// webhook shows one endpoint.
func (p *Pages) webhook(r *request) error {
	var data webhookPage
	if err := r.client.Get(r.Context(), "/api/admin"+endpointPath(r), nil, &data.WebhookEndpoint); err != nil {
		return err
	}
	query := r.filters("status")
	query.Set("organization_id", data.OrganizationID)
	query.Set("endpoint_id", data.ID)
	if err := r.client.Get(r.Context(), "/api/admin/deliveries", query, &data.Deliveries); err != nil {
		return err
	}
	data.Pager, data.DayAgo = r.pager(data.Deliveries.NextCursor), time.Now().UTC().AddDate(0, 0, -1).Format("2006-01-02T15:04")
	return r.renderAt(http.StatusOK, "webhook", []crumb{{"Webhooks", "/admin/webhooks"}, {Title: data.Receiver}}, data)
}

// changeWebhook enables, disables or replays an endpoint.
func (p *Pages) changeWebhook(r *request) error {
	verb := r.PathValue("verb")
	var in any
	said := map[string]string{"enable": "It hears of what happens again.", "disable": "It hears of nothing any more.", "replay": "What failed since then is delivered again, a few at a time."}[verb]
	if said == "" {
		return p.missing(r)
	}
	if verb == "replay" {
		in = map[string]any{"since": timeField(r.PostFormValue("since")), "missed": r.PostFormValue("missed") == "true"}
	}
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin"+endpointPath(r)+"/"+verb, in, nil); err != nil {
		return err
	}
	return r.redirect("/admin"+endpointPath(r), said)
}

// A deliveriesPage is a part of the deliveries of all organizations.
type deliveriesPage struct {
	List  operator.DeliveryList
	Pager pager
	Query url.Values
}

// deliveries shows deliveries of all organizations, of the last day where nothing narrows them.
func (p *Pages) deliveries(r *request) error {
	data := deliveriesPage{Query: r.URL.Query()}
	query := r.filters("status", "purpose", "event_type", "organization_id")
	if err := r.client.Get(r.Context(), "/api/admin/deliveries", query, &data.List); err != nil {
		return err
	}
	data.Pager = r.pager(data.List.NextCursor)
	return r.renderAt(http.StatusOK, "deliveries", []crumb{{"Webhooks", "/admin/webhooks"}, {Title: "Deliveries"}}, data)
}

func deliveryAPI(r *request) string { return "/api/admin/deliveries/" + pathEscape(r.PathValue("id")) }

// delivery shows one delivery, without contents.
func (p *Pages) delivery(r *request) error {
	var d operator.FullDelivery
	if err := r.client.Get(r.Context(), deliveryAPI(r), nil, &d); err != nil {
		return err
	}
	return showDelivery(r, d)
}

// A deliveryPage is one delivery. It is kept for longer than the event that it tells of.
type deliveryPage struct {
	operator.FullDelivery
	HasEvent bool
}

func showDelivery(r *request, d operator.FullDelivery) error {
	err := r.client.Get(r.Context(), "/api/admin/events/"+pathEscape(d.EventID), nil, nil)
	if err != nil && !operator.IsCode(err, "not_found") {
		return err
	}
	return r.renderAt(http.StatusOK, "delivery", []crumb{{"Webhooks", "/admin/webhooks"}, {"Deliveries", "/admin/webhooks/deliveries"}, {Title: d.EventType}}, deliveryPage{d, err == nil})
}

// revealDelivery shows one delivery with what was sent and answered.
func (p *Pages) revealDelivery(r *request) error {
	var d operator.FullDelivery
	if err := r.client.Do(r.Context(), http.MethodPost, deliveryAPI(r)+"/reveal", nil, &d); err != nil {
		return err
	}
	return showDelivery(r, d)
}

// replayDelivery makes a delivery again.
func (p *Pages) replayDelivery(r *request) error {
	if err := r.client.Do(r.Context(), http.MethodPost, deliveryAPI(r)+"/replay", nil, nil); err != nil {
		return err
	}
	return r.redirect(strings.TrimSuffix(r.URL.Path, "/replay"), "It is made again, ahead of the others.")
}
