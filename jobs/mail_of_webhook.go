package jobs

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/payaid/payaid/events"
	letters "github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/store"
)

var webhookDisabledTemplate = "webhook_disabled"

// mailOfDisabledWebhook tells of endpoints that their owner has not disabled.
func mailOfDisabledWebhook(e events.Envelope, f events.WebhookDisabled) (sendMailArgs, bool) {
	return mailFor(e, f.EndpointID), f.Code != "owner"
}

// mailDisabledWebhook tells the owner of an endpoint that hears of nothing any more. One that was enabled again
// meanwhile is no news, and an organization without an address wants to hear nothing: who runs the product may.
func (w sendMail) mailDisabledWebhook(ctx context.Context, organizationID string, c mailCause) error {
	e, err := w.DB.DisabledWebhookToMail(ctx, organizationID, c.About)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if e.MailSender.Email == nil {
		w.Log.Info("nobody is told by mail of a disabled endpoint", "event_id", c.EventID, "organization_id", organizationID,
			"endpoint_id", c.About, "reason", "the organization has no email address")
		return nil
	}
	o, err := c.mailOrder(organizationID, webhookDisabledTemplate, map[string]any{
		"to": []string{addressOf(e.MailSender.Name, *e.MailSender.Email)}, "template": webhookDisabledTemplate, "data": webhookLetter(c.About, e),
	})
	if err != nil {
		return err
	}
	return w.give(ctx, o, store.Mail{OrganizationID: organizationID, Template: &webhookDisabledTemplate}, c)
}

func webhookLetter(endpointID string, e store.DisabledWebhookToMail) letters.WebhookDisabled {
	return letters.WebhookDisabled{
		Organization: sender(e.MailSender), Endpoint: letters.Endpoint{ID: endpointID, URL: withoutQuery(e.URL), Description: e.Description},
		Reason: e.Reason, DisabledOn: e.DisabledOn, FailingSince: e.FailingSince.UTC().Truncate(time.Second).Format(time.RFC3339),
	}.Shortened()
}

// withoutQuery is a URL with host and path alone: a query may hold a password.
func withoutQuery(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
