package events

import "time"

// WebhookDisabled says that an endpoint hears of nothing any more until it is enabled again.
type WebhookDisabled struct {
	EndpointID   string     `json:"endpoint_id"`
	Code         string     `json:"code"`          // owner, gone (it answered 410) or failing
	Failures     int        `json:"failures"`      // in a row
	FailingSince *time.Time `json:"failing_since"` // null: it was not failing
	Version      int64      `json:"version"`
}

// EventType implements Fact.
func (WebhookDisabled) EventType() string { return "webhook.disabled" }

// Aggregate implements Fact.
func (f WebhookDisabled) Aggregate() (string, int64) { return f.EndpointID, f.Version }

// WebhookDeliveryRequested says that somebody wants a delivery made now: a test, or one that was made before.
type WebhookDeliveryRequested struct {
	DeliveryID string `json:"delivery_id"`
	EndpointID string `json:"endpoint_id"` // "" for a callback
	Run        int    `json:"run"`         // the delivery's version too: one more for every replay
}

// EventType implements Fact.
func (WebhookDeliveryRequested) EventType() string { return "webhook.delivery_requested" }

// Aggregate implements Fact.
func (f WebhookDeliveryRequested) Aggregate() (string, int64) { return f.DeliveryID, int64(f.Run) }

// WebhookReplayRequested says that somebody wants an endpoint to hear of a time again.
type WebhookReplayRequested struct {
	EndpointID string    `json:"endpoint_id"`
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`
	Failed     bool      `json:"failed"` // deliveries that failed
	Missed     bool      `json:"missed"` // facts that no delivery was made of, as the endpoint was disabled
	Version    int64     `json:"version"`
}

// EventType implements Fact.
func (WebhookReplayRequested) EventType() string { return "webhook.replay_requested" }

// Aggregate implements Fact.
func (f WebhookReplayRequested) Aggregate() (string, int64) { return f.EndpointID, f.Version }
