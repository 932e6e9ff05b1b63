package operator

import "time"

// A WebhookEndpoint is where an organization wants to hear of its facts, and how its receiver does.
type WebhookEndpoint struct {
	ID             string      `json:"id"`
	OrganizationID string      `json:"organization_id"`
	Receiver       string      `json:"receiver" doc:"Origin of its URL; a path or a query may be a secret, and is left out"`
	Events         []string    `json:"events"`
	Description    *string     `json:"description"`
	Headers        []string    `json:"headers" doc:"Names of those that are sent with every delivery"`
	RateLimit      *int        `json:"rate_limit" doc:"Deliveries a minute"`
	Status         string      `json:"status" enum:"enabled,disabled"`
	DisabledCode   *string     `json:"disabled_code" doc:"owner, gone or failing"`
	DisabledReason *string     `json:"disabled_reason"`
	DisabledAt     *time.Time  `json:"disabled_at"`
	Failures       int         `json:"failures" doc:"In a row"`
	FailingSince   *time.Time  `json:"failing_since"`
	PausedUntil    *time.Time  `json:"paused_until"`
	LastSuccessAt  *time.Time  `json:"last_success_at"`
	LastFailureAt  *time.Time  `json:"last_failure_at"`
	Waiting        int         `json:"waiting" doc:"Deliveries that wait for their turn or next attempt; 1000 at most"`
	Recent         RecentTries `json:"recent" doc:"Of its last 200 deliveries"`
	Version        int64       `json:"version"`
	CreatedAt      time.Time   `json:"created_at"`
}

// RecentTries is how deliveries went lately.
type RecentTries struct {
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Pending   int `json:"pending"`
}

// WebhookEndpointList is a part of the endpoints of all organizations, newest first.
type WebhookEndpointList struct {
	Data       []WebhookEndpoint `json:"data"`
	NextCursor *string           `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool              `json:"has_more"`
}

// A Delivery is one event for one receiver, and what became of it.
type Delivery struct {
	ID             string     `json:"id"`
	OrganizationID string     `json:"organization_id"`
	EndpointID     *string    `json:"endpoint_id" doc:"null: the callback of a job"`
	JobID          *string    `json:"job_id" doc:"Whose callback it is"`
	Receiver       string     `json:"receiver" doc:"Its origin"`
	EventID        string     `json:"event_id" doc:"The webhook-id that the receiver sees"`
	EventType      string     `json:"event_type"`
	Purpose        string     `json:"purpose" enum:"event,callback,test"`
	Status         string     `json:"status" enum:"pending,succeeded,failed"`
	Run            int        `json:"run"`
	Attempts       int        `json:"attempts" doc:"Of the run"`
	NextAttemptAt  *time.Time `json:"next_attempt_at"`
	StatusCode     *int       `json:"status_code"`
	Code           *string    `json:"code"`
	Error          *string    `json:"error"`
	CreatedAt      time.Time  `json:"created_at"`
	FinishedAt     *time.Time `json:"finished_at"`
}

// DeliveryList is a part of the deliveries of all organizations, newest first.
type DeliveryList struct {
	Data       []Delivery `json:"data"`
	NextCursor *string    `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool       `json:"has_more"`
}

// A FullDelivery is a delivery with its attempts.
type FullDelivery struct {
	Delivery
	Waiting *string       `json:"waiting" doc:"What a pending one waits for: retry, paused, turn or rate_limit"`
	Tries   []DeliveryTry `json:"tries" doc:"Of all runs, the oldest first; the last 100"`
	Body    Object        `json:"body" doc:"The event as it is sent; null unless it was revealed, or no longer kept"`
	Hidden  bool          `json:"hidden" doc:"Contents are left out: POST …/reveal shows them"`
}

// A DeliveryTry is one attempt at a delivery.
type DeliveryTry struct {
	Run             int                 `json:"run"`
	Attempt         int                 `json:"attempt"`
	At              time.Time           `json:"at"`
	LatencyMS       int                 `json:"latency_ms"`
	Address         *string             `json:"address" doc:"That was connected to"`
	StatusCode      *int                `json:"status_code"`
	Code            *string             `json:"code" doc:"null: it succeeded"`
	Error           *string             `json:"error"`
	RequestHeaders  map[string][]string `json:"request_headers" doc:"Names alone unless it was revealed; credentials are shown as *** even then"`
	ResponseHeaders map[string][]string `json:"response_headers" doc:"Names alone unless it was revealed"`
	ResponseBody    *string             `json:"response_body" doc:"Its beginning; null unless it was revealed"`
}

// WebhookReplay says what an endpoint is to hear of again.
type WebhookReplay struct {
	Since  time.Time `json:"since" doc:"At most 30 days ago"`
	Missed bool      `json:"missed,omitempty" doc:"Also the events of which no delivery was made, as the endpoint was disabled or wasn't there"`
}
