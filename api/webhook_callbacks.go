package api

import (
	"context"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

// CallbackSecretView is what signs the callbacks of an organization's jobs.
type CallbackSecretView struct {
	Secret                  string     `json:"secret" doc:"Signs callbacks, as Standard Webhooks has it"`
	PreviousSecretExpiresAt *time.Time `json:"previous_secret_expires_at" doc:"Until then callbacks are signed by the secret before as well; null: by this one alone"`
	CreatedAt               time.Time  `json:"created_at" doc:"Of the secret"`
}

func callbackSecretViewOf(s store.CallbackSecret) CallbackSecretView {
	return CallbackSecretView{Secret: s.Secret, PreviousSecretExpiresAt: utc(s.PreviousUntil), CreatedAt: s.CreatedAt.UTC()}
}

type callbackSecretOutput struct{ Body CallbackSecretView }

// getCallbackSecret shows the secret, and makes it where nobody needed it before: whoever is to take callbacks must
// have it before the first one comes.
func (s *Server) getCallbackSecret(ctx context.Context, _ *struct{}) (*callbackSecretOutput, error) {
	secret, err := s.DB.CallbackSecret(ctx, exchangeOf(ctx).caller.OrganizationID, webhook.NewSecret)
	if err != nil {
		return nil, err
	}
	return &callbackSecretOutput{callbackSecretViewOf(secret)}, nil
}

type rotateCallbacksInput struct {
	Body struct {
		RevokePrevious bool `json:"revoke_previous,omitempty" nullable:"true" doc:"The secret so far ends at once, as it got into wrong hands. Otherwise webhook-signature is made with both for 24 hours, the newest first. X-Webhook-Signature is made with the newest alone: receivers that verify it need the new secret at once"`
	}
}

// rotateCallbackSecret gives an organization's callbacks a new secret.
func (s *Server) rotateCallbackSecret(ctx context.Context, in *rotateCallbacksInput) (*created[CallbackSecretView], error) {
	grace := store.CallbackGrace
	if in.Body.RevokePrevious {
		grace = 0
	}
	a, err := s.once(ctx, func(tx pgx.Tx) (answer, error) {
		secret, err := store.RotateCallbackSecret(ctx, tx, exchangeOf(ctx).caller.OrganizationID, webhook.NewSecret(), grace)
		if err != nil {
			return answer{}, err
		}
		body, err := encode(callbackSecretViewOf(secret))
		return answer{status: http.StatusOK, body: body}, err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[CallbackSecretView](a), nil
}

type callbacksInput struct {
	DeliveryQuery
	JobID string `query:"job_id" format:"uuid" doc:"Of this job"`
}

// listCallbacks lists the callbacks of jobs, newest first. They are kept for 30 days after their end.
func (s *Server) listCallbacks(ctx context.Context, in *callbacksInput) (*deliveriesOutput, error) {
	job, ok := canonicalID(in.JobID)
	if in.JobID != "" && !ok {
		return nil, invalid(Fault{"/query/job_id", "must be the id of a job"})
	}
	p, err := in.page(ctx, s, store.DeliveryFilter{JobID: job}, "callbacks")
	if err != nil {
		return nil, err
	}
	return &deliveriesOutput{p}, nil
}

type callbackInput struct {
	ID string `path:"id" doc:"Of the delivery"`
}

// getCallback reads one callback with what was sent and what came back.
func (s *Server) getCallback(ctx context.Context, in *callbackInput) (*deliveryOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	d, err := s.DB.Delivery(ctx, exchangeOf(ctx).caller.OrganizationID, "", id)
	if err != nil {
		return nil, err
	}
	return &deliveryOutput{revalidate, deliveryDetailOf(d)}, nil
}

// replayCallback calls back again, with the same webhook-id.
func (s *Server) replayCallback(ctx context.Context, in *callbackInput) (*created[deliveryView], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return s.deliverNow(ctx, func(tx pgx.Tx, x *exchange) (store.ListedDelivery, error) {
		return rerun(ctx, tx, x.caller.OrganizationID, "", id)
	})
}
