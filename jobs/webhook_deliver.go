package jobs

import (
	"time"

	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/store"
)

// deliverWebhookArgs are the arguments of webhook.deliver: one run of a delivery.
type deliverWebhookArgs struct {
	OrganizationID string `json:"organization_id"`
	DeliveryID     string `json:"delivery_id"`
	Run            int    `json:"run"`
	// Now says that somebody asked for it and waits: the lane's pauses and places don't count.
	Now bool `json:"now,omitempty"`
}

// DeliverWebhook is the kind of the jobs that make deliveries.
const DeliverWebhook = "webhook.deliver"

// Kind implements river.JobArgs.
func (deliverWebhookArgs) Kind() string { return DeliverWebhook }

// deliverWebhookSpec bounds a job of River's for a delivery. Attempts are the delivery's own to count: River's are for
// processes that die in the middle, and for a database that is away.
var deliverWebhookSpec = Spec{
	Queue: Webhook, Timeout: 2 * time.Minute, MaxAttempts: 1000, Backoff: exponential(time.Second, time.Minute),
}

// insertTurns are River's jobs of deliveries whose turn has come.
func insertTurns(turns []store.Turn) []river.InsertManyParams {
	inserts := make([]river.InsertManyParams, len(turns))
	for i, t := range turns {
		opts := &river.InsertOpts{Queue: deliverWebhookSpec.Queue.Name, MaxAttempts: deliverWebhookSpec.MaxAttempts, Priority: normalPriority}
		if t.Beyond {
			opts.Priority = overflowPriority
		}
		inserts[i] = river.InsertManyParams{
			Args: deliverWebhookArgs{OrganizationID: t.OrganizationID, DeliveryID: t.DeliveryID, Run: t.Run}, InsertOpts: opts,
		}
	}
	return inserts
}

// deliveryAskedFor has a delivery made that somebody asked for, whatever its lane says.
func deliveryAskedFor(e events.Envelope, f events.WebhookDeliveryRequested) (deliverWebhookArgs, bool) {
	return deliverWebhookArgs{OrganizationID: e.OrganizationID, DeliveryID: f.DeliveryID, Run: f.Run, Now: true}, true
}
