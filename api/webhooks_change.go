package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

const (
	// maxWebhooks is how many endpoints an organization has at most. Each event may become as many deliveries, and the
	// router, which serves all organizations, writes those of a batch in one transaction.
	maxWebhooks = 20
	// secretOverlap is how long a receiver has time to take a new secret over.
	secretOverlap = 24 * time.Hour
)

type createWebhookInput struct {
	Body struct {
		URL    string   `json:"url" minLength:"1" maxLength:"2048" doc:"Where deliveries are posted to: https, at a public address"`
		Events []string `json:"events" minItems:"1" maxItems:"100" doc:"Types of events, such as invoice.paid; all of a noun, such as contact.*; or * for all"`
		WebhookFields
	}
}

// createWebhook makes an endpoint that hears of what happens from then on.
func (s *Server) createWebhook(ctx context.Context, in *createWebhookInput) (*created[newWebhook], error) {
	e := store.WebhookEndpoint{OrganizationID: exchangeOf(ctx).caller.OrganizationID, ID: outbox.NewID(), Headers: map[string]string{}}
	p := webhookPatch{URL: given(&in.Body.URL), Events: given(&in.Body.Events), WebhookFields: in.Body.WebhookFields}
	if _, err := p.apply(&e, s.Webhooks); err != nil {
		return nil, err
	}
	return s.newSecret(ctx, http.StatusCreated, func(tx pgx.Tx, secret string) (store.WebhookEndpoint, error) {
		made, err := store.CreateWebhookEndpoint(ctx, tx, e, secret, maxWebhooks)
		if errors.Is(err, store.ErrTooMany) {
			err = refuse("too_many_webhooks", fmt.Sprintf("the organization has %d endpoints, as many as it may; delete one, or let one hear of more events", maxWebhooks))
		}
		return made, err
	})
}

// newSecret answers with an endpoint and the secret that was made for it.
func (s *Server) newSecret(ctx context.Context, status int, write func(tx pgx.Tx, secret string) (store.WebhookEndpoint, error)) (*created[newWebhook], error) {
	a, err := s.changeOnce(ctx, func(tx pgx.Tx) (answer, []events.Fact, error) {
		secret := webhook.NewSecret()
		e, err := write(tx, secret)
		if err != nil {
			return answer{}, nil, err
		}
		view := webhookViewOf(e)
		shown, err := encode(view)
		if err != nil {
			return answer{}, nil, err
		}
		body, err := encode(newWebhook{view, secret})
		return answer{status: status, body: body,
			headers: answerHeaders{Location: webhookPath(e.ID), ETag: summedTag(e.Version, shown)}}, nil, err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[newWebhook](a), nil
}

type patchWebhookInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag that the change is meant for"`
	Body    webhookPatch
}

// patchWebhook changes an endpoint, enables it or disables it.
func (s *Server) patchWebhook(ctx context.Context, in *patchWebhookInput) (*versioned[encoded[WebhookView]], error) {
	var e store.WebhookEndpoint
	err := s.change(ctx, func(tx pgx.Tx) (facts []events.Fact, err error) {
		if e, err = webhookToChange(ctx, tx, in.ID, in.IfMatch); err != nil {
			return nil, err
		}
		before := e
		changed, err := in.Body.apply(&e, s.Webhooks)
		if err != nil || !changed.any {
			return nil, err
		}
		if changed.cleanRecord {
			if err := store.ResetWebhookLane(ctx, tx, e.OrganizationID, e.ID); err != nil {
				return nil, err
			}
		}
		if e, err = store.UpdateWebhookEndpoint(ctx, tx, e); err != nil || !changed.disabled {
			return nil, err
		}
		if err := store.EndDeliveries(ctx, tx, e, store.EndpointDisabled, "The endpoint was disabled before this was delivered."); err != nil {
			return nil, err
		}
		return []events.Fact{events.WebhookDisabled{EndpointID: e.ID, Code: store.WebhookDisabledByOwner,
			Failures: before.Failures, FailingSince: utc(before.FailingSince), Version: e.Version}}, nil
	})
	if err != nil {
		return nil, err
	}
	return webhookOutputOf(e)
}

func webhookToChange(ctx context.Context, tx pgx.Tx, text, ifMatch string) (store.WebhookEndpoint, error) {
	id, err := parseID(text)
	if err != nil {
		return store.WebhookEndpoint{}, err
	}
	e, err := store.LockWebhookEndpoint(ctx, tx, exchangeOf(ctx).caller.OrganizationID, id)
	if err != nil {
		return e, err
	}
	return e, checkMatch(ifMatch, e.Version)
}

type deleteWebhookInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag of what is to be deleted"`
}

// deleteWebhook deletes an endpoint. What was still to be delivered to it isn't.
func (s *Server) deleteWebhook(ctx context.Context, in *deleteWebhookInput) (*struct{}, error) {
	return nil, s.change(ctx, func(tx pgx.Tx) ([]events.Fact, error) {
		e, err := webhookToChange(ctx, tx, in.ID, in.IfMatch)
		if err != nil {
			return nil, err
		}
		if err := store.DeleteWebhookEndpoint(ctx, tx, e); err != nil {
			return nil, err
		}
		return nil, store.EndDeliveries(ctx, tx, e, store.EndpointDeleted, "The endpoint was deleted before this was delivered.")
	})
}

type rotateWebhookInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag of what is to be changed"`
	Body    struct {
		RevokePrevious bool `json:"revoke_previous,omitempty" nullable:"true" doc:"The secret so far ends at once, as it got into wrong hands. Otherwise webhook-signature is made with both for 24 hours, the newest first. X-Webhook-Signature is made with the newest alone: receivers that verify it need the new secret at once"`
	}
}

// rotateWebhook gives an endpoint a new secret.
func (s *Server) rotateWebhook(ctx context.Context, in *rotateWebhookInput) (*created[newWebhook], error) {
	overlap := secretOverlap
	if in.Body.RevokePrevious {
		overlap = 0
	}
	return s.newSecret(ctx, http.StatusOK, func(tx pgx.Tx, secret string) (store.WebhookEndpoint, error) {
		e, err := webhookToChange(ctx, tx, in.ID, in.IfMatch)
		if err != nil {
			return e, err
		}
		return store.RotateWebhookSecret(ctx, tx, e, secret, overlap)
	})
}
