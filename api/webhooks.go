package api

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

// WebhookView is an endpoint of webhooks as it is read: where an organization wants to hear of its facts.
type WebhookView struct {
	ID          string            `json:"id" format:"uuid"`
	URL         string            `json:"url" doc:"As it is called: host in lower case and ASCII, default port left out"`
	Events      []string          `json:"events" doc:"Types of events, such as invoice.paid; all of a noun, such as contact.*; or * for all"`
	Description *string           `json:"description"`
	Headers     map[string]string `json:"headers" doc:"Sent with every delivery. Values of those that carry credentials are shown as ***"`
	RateLimit   *int              `json:"rate_limit" doc:"Deliveries a minute at most; null: as many as come"`
	Status      string            `json:"status" enum:"enabled,disabled"`
	// A disabled endpoint hears of nothing, tests aside.
	DisabledCode            *string       `json:"disabled_code" enum:"owner,gone,failing" doc:"owner: somebody wished so; gone: it answered 410; failing: it failed for three days, or while a delivery was tried and given up, or 100 times in a row"`
	DisabledReason          *string       `json:"disabled_reason"`
	DisabledAt              *time.Time    `json:"disabled_at"`
	PreviousSecretExpiresAt *time.Time    `json:"previous_secret_expires_at" doc:"Until then deliveries are signed by the secret before as well; null: by the newest alone"`
	Health                  webhookHealth `json:"health"`
	Version                 int64         `json:"version"`
	CreatedAt               time.Time     `json:"created_at"`
	UpdatedAt               time.Time     `json:"updated_at"`
	Links                   webhookLinks  `json:"links"`
}

type webhookHealth struct {
	Failures      int        `json:"failures" doc:"In a row"`
	FailingSince  *time.Time `json:"failing_since"`
	PausedUntil   *time.Time `json:"paused_until" doc:"After some failures in a row nothing is tried until then, and one delivery ahead of the others after it; null: it is not paused"`
	LastSuccessAt *time.Time `json:"last_success_at"`
	LastFailureAt *time.Time `json:"last_failure_at"`
}

type webhookLinks struct {
	Self       string `json:"self"`
	Deliveries string `json:"deliveries"`
}

// newWebhook is an endpoint with the secret that it was given just now.
type newWebhook struct {
	WebhookView
	Secret string `json:"secret" doc:"Signs deliveries, as Standard Webhooks has it. Shown here only"`
}

func webhookViewOf(e store.WebhookEndpoint) WebhookView {
	headers := make(map[string]string, len(e.Headers))
	for name, value := range e.Headers {
		if webhook.Hidden(name) {
			value = webhook.Masked
		}
		headers[name] = value
	}
	self := webhookPath(e.ID)
	return WebhookView{
		ID: e.ID, URL: e.URL, Events: e.Events, Description: e.Description, Headers: headers, RateLimit: e.RateLimit,
		Status: e.Status, DisabledCode: e.DisabledCode, DisabledReason: e.DisabledReason, DisabledAt: utc(e.DisabledAt),
		PreviousSecretExpiresAt: utc(e.PreviousSecretUntil),
		Health: webhookHealth{Failures: e.Failures, FailingSince: utc(e.FailingSince), PausedUntil: utc(e.PausedUntil),
			LastSuccessAt: utc(e.LastSuccessAt), LastFailureAt: utc(e.LastFailureAt)},
		Version: e.Version, CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(),
		Links: webhookLinks{Self: self, Deliveries: self + "/deliveries"},
	}
}

func webhookPath(id string) string { return "/api/webhooks/" + id }

// webhookOutputOf is an endpoint as it is answered. Its tag sums up all that is shown, as its health comes and goes
// without a new version.
func webhookOutputOf(e store.WebhookEndpoint) (*versioned[encoded[WebhookView]], error) {
	body, err := encode(webhookViewOf(e))
	if err != nil {
		return nil, err
	}
	return versionedOf(summedTag(e.Version, body), encoded[WebhookView]{body}), nil
}

type webhooksInput struct {
	PageQuery
	Status string `query:"status" enum:"enabled,disabled"`
}

type webhooksOutput struct{ Body page[WebhookView] }

// listWebhooks lists the endpoints of an organization's webhooks. They are read from the database alone, as what is
// asked of them is how they do by now.
func (s *Server) listWebhooks(ctx context.Context, in *webhooksInput) (*webhooksOutput, error) {
	before, err := parseCursor(in.Cursor, "webhooks", in.Status)
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.WebhookEndpoints(ctx, exchangeOf(ctx).caller.OrganizationID, in.Status, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	views := make([]WebhookView, len(rows))
	for i, e := range rows {
		views[i] = webhookViewOf(e)
	}
	return &webhooksOutput{pageOf(views, in.Limit, func(v WebhookView) string { return v.ID }, "webhooks", in.Status)}, nil
}

type webhookInput struct {
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}

// getWebhook reads one endpoint.
func (s *Server) getWebhook(ctx context.Context, in *webhookInput) (*versioned[encoded[WebhookView]], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	e, err := s.DB.WebhookEndpoint(ctx, exchangeOf(ctx).caller.OrganizationID, id)
	if err != nil {
		return nil, err
	}
	out, err := webhookOutputOf(e)
	if err != nil {
		return nil, err
	}
	return out.unless(in.IfNoneMatch), nil
}
