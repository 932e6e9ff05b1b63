package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
)

// A ChainCall is a call of a model for a job.
type ChainCall struct {
	OrganizationID   string    `db:"organization_id"`
	ID               string    `db:"id"`
	JobID            string    `db:"job_id"`
	Attempt          int       `db:"attempt"`
	Provider         string    `db:"provider"`
	Model            string    `db:"model"`
	Outcome          string    `db:"outcome"`
	Status           *int      `db:"status"`
	Detail           string    `db:"detail"`
	FallbackReason   string    `db:"fallback_reason"`
	Cached           bool      `db:"cached"`
	QueueMS          int       `db:"queue_ms"`
	FirstTokenMS     *int      `db:"first_token_ms"`
	RunMS            int       `db:"run_ms"`
	PromptTokens     int       `db:"prompt_tokens"`
	CompletionTokens int       `db:"completion_tokens"`
	CostNanoUSD      int64     `db:"cost_nano_usd"`
	StartedAt        time.Time `db:"started_at"`
}

const chainCalls = `
SELECT c.organization_id::text, c.id::text, c.job_id::text, c.attempt, c.provider, c.model, c.outcome, c.status, coalesce(c.detail, '') AS detail,
       coalesce(c.fallback_reason, '') AS fallback_reason, c.cached, c.queue_ms, c.first_token_ms, c.run_ms, c.prompt_tokens,
       c.completion_tokens, c.cost_nano_usd, c.started_at
FROM unnest($1::uuid[], $2::uuid[]) AS given (organization_id, id)
JOIN ai_calls c ON c.organization_id = given.organization_id AND c.job_id = given.id LIMIT $3`

// ChainCalls reads the calls of models for jobs.
func ChainCalls(ctx context.Context, tx pgx.Tx, jobs []Key, atMost int) ([]ChainCall, error) {
	return chainRows[ChainCall](ctx, tx, "calls of models", chainCalls, jobs, atMost)
}

// A ChainRecipient is a recipient of a mail, without the address.
type ChainRecipient struct {
	OrganizationID string     `db:"organization_id"`
	MessageID      string     `db:"message_id"`
	Position       int        `db:"position"`
	Field          string     `db:"field"`
	Domain         string     `db:"domain"`
	State          string     `db:"state"`
	Attempts       int        `db:"attempts"`
	Code           *int       `db:"code"`
	Status         string     `db:"status"`
	QueueID        string     `db:"queue_id"`
	SendingAt      *time.Time `db:"sending_at"`
	AcceptedAt     *time.Time `db:"accepted_at"`
	UnknownAt      *time.Time `db:"unknown_at"`
	NextAttemptAt  *time.Time `db:"next_attempt_at"`
	CreatedAt      time.Time  `db:"created_at"`
	UpdatedAt      time.Time  `db:"updated_at"`
}

const chainRecipients = `
SELECT r.organization_id::text, r.message_id::text, r.position, r.field, split_part(r.address, '@', 2) AS domain, r.state, r.attempts, r.code,
       coalesce(r.status, '') AS status, coalesce(r.queue_id, '') AS queue_id, r.sending_at, r.accepted_at, r.unknown_at, r.next_attempt_at,
       r.created_at, r.updated_at
FROM unnest($1::uuid[], $2::uuid[]) AS given (organization_id, id)
JOIN mail_recipients r ON r.organization_id = given.organization_id AND r.message_id = given.id
ORDER BY r.message_id, r.position LIMIT $3`

// ChainRecipients reads the recipients of mails.
func ChainRecipients(ctx context.Context, tx pgx.Tx, mails []Key, atMost int) ([]ChainRecipient, error) {
	return chainRows[ChainRecipient](ctx, tx, "recipients", chainRecipients, mails, atMost)
}

// A ChainMailEvent is a line of a mail's timeline.
type ChainMailEvent struct {
	OrganizationID string    `db:"organization_id"`
	ID             string    `db:"id"`
	MessageID      string    `db:"message_id"`
	Position       int       `db:"position"` // of the recipient, 0: the whole mail
	Type           string    `db:"type"`
	Code           string    `db:"code"`
	Status         string    `db:"status"`
	CreatedAt      time.Time `db:"created_at"`
}

const chainMailEvents = `
SELECT e.organization_id::text, e.id::text, e.message_id::text, coalesce(e.position, 0) AS position, e.type,
       left(coalesce(e.detail->>'code', ''), 40) AS code, left(coalesce(e.detail->>'status', ''), 40) AS status, e.created_at
FROM unnest($1::uuid[], $2::uuid[]) AS given (organization_id, id)
JOIN mail_events e ON e.organization_id = given.organization_id AND e.message_id = given.id
ORDER BY e.created_at, e.id LIMIT $3`

// ChainMailEvents reads the timelines of mails.
func ChainMailEvents(ctx context.Context, tx pgx.Tx, mails []Key, atMost int) ([]ChainMailEvent, error) {
	return chainRows[ChainMailEvent](ctx, tx, "what became of mails", chainMailEvents, mails, atMost)
}

// A ChainEffect is an effect of a job outside Postgres.
type ChainEffect struct {
	OrganizationID string     `db:"organization_id"`
	JobID          string     `db:"job_id"`
	Key            string     `db:"effect_key"`
	State          string     `db:"state"`
	Attempt        int        `db:"attempt"`
	StartedAt      time.Time  `db:"started_at"`
	FinishedAt     *time.Time `db:"finished_at"`
}

const chainEffects = `
SELECT e.organization_id::text, e.job_id::text, e.effect_key, e.state, e.attempt, e.started_at, e.finished_at
FROM unnest($1::uuid[], $2::uuid[]) AS given (organization_id, id)
JOIN job_effects e ON e.organization_id = given.organization_id AND e.job_id = given.id LIMIT $3`

// ChainEffects reads the effects of jobs.
func ChainEffects(ctx context.Context, tx pgx.Tx, jobs []Key, atMost int) ([]ChainEffect, error) {
	return chainRows[ChainEffect](ctx, tx, "effects", chainEffects, jobs, atMost)
}

// A ChainDelivery is an event for one receiver.
type ChainDelivery struct {
	OrganizationID string     `db:"organization_id"`
	ID             string     `db:"id"`
	EndpointID     string     `db:"endpoint_id"` // "": a callback
	EventID        string     `db:"event_id"`
	EventType      string     `db:"event_type"`
	Purpose        string     `db:"purpose"`
	Status         string     `db:"status"`
	Run            int        `db:"run"`
	URL            string     `db:"url"`
	StatusCode     *int       `db:"status_code"`
	ErrorCode      string     `db:"error_code"`
	Error          string     `db:"error"`
	NextAttemptAt  *time.Time `db:"next_attempt_at"`
	FinishedAt     *time.Time `db:"finished_at"`
	CreatedAt      time.Time  `db:"created_at"`
}

const (
	chainDeliveryColumns = `d.organization_id::text, d.id::text, coalesce(d.endpoint_id::text, '') AS endpoint_id, d.event_id::text, d.event_type,
       d.purpose, d.status, d.run, coalesce(d.url, w.url, '') AS url, d.status_code, coalesce(d.error_code, '') AS error_code,
       coalesce(d.error, '') AS error, d.next_attempt_at, d.finished_at, d.created_at`
	chainDeliveries = `
SELECT ` + chainDeliveryColumns + ` FROM unnest($1::uuid[], $2::uuid[]) AS given (organization_id, id)
JOIN webhook_deliveries d ON d.organization_id = given.organization_id AND d.event_id = given.id
LEFT JOIN webhook_endpoints w ON w.organization_id = d.organization_id AND w.id = d.endpoint_id LIMIT $3`
	chainTries = `
SELECT a.organization_id::text, a.delivery_id::text, a.run, a.attempt, a.started_at, a.latency_ms, coalesce(a.address, '') AS address,
       a.status_code, coalesce(a.error_code, '') AS error_code, coalesce(a.error, '') AS error
FROM unnest($1::uuid[], $2::uuid[]) AS given (organization_id, id)
JOIN webhook_attempts a ON a.organization_id = given.organization_id AND a.delivery_id = given.id
ORDER BY a.started_at LIMIT $3`
)

// ChainDeliveries finds who was told of events.
func ChainDeliveries(ctx context.Context, tx pgx.Tx, events []Key, atMost int) ([]ChainDelivery, error) {
	return chainRows[ChainDelivery](ctx, tx, "deliveries", chainDeliveries, events, atMost)
}

// A ChainTry is one attempt at a delivery.
type ChainTry struct {
	OrganizationID string    `db:"organization_id"`
	DeliveryID     string    `db:"delivery_id"`
	Run            int       `db:"run"`
	Attempt        int       `db:"attempt"`
	StartedAt      time.Time `db:"started_at"`
	LatencyMS      int       `db:"latency_ms"`
	Address        string    `db:"address"`
	StatusCode     *int      `db:"status_code"`
	ErrorCode      string    `db:"error_code"`
	Error          string    `db:"error"`
}

// ChainTries reads the attempts at deliveries.
func ChainTries(ctx context.Context, tx pgx.Tx, deliveries []Key, atMost int) ([]ChainTry, error) {
	return chainRows[ChainTry](ctx, tx, "attempts at deliveries", chainTries, deliveries, atMost)
}

// A ChainAttempt is an attempt at a job that ended otherwise than well, or had something to say.
type ChainAttempt struct {
	OrganizationID string     `db:"organization_id"`
	JobID          string     `db:"job_id"`
	RiverJobID     *int64     `db:"river_job_id"`
	Run            int        `db:"run"`
	Attempt        int        `db:"attempt"`
	Worker         string     `db:"worker"`
	Outcome        string     `db:"outcome"`
	Code           string     `db:"code"`
	Error          string     `db:"error"`
	TraceID        string     `db:"trace_id"`
	StartedAt      *time.Time `db:"started_at"`
	EndedAt        time.Time  `db:"ended_at"`

	Log     json.RawMessage `db:"log"`      // a list, or nil
	LeftOut bool            `db:"left_out"` // there is a log, and was no room for it
}

// The newest attempts' logs are read, as far as there is room for them.
const chainAttempts = `
SELECT a.organization_id::text, a.job_id::text, a.river_job_id, a.run, a.attempt, coalesce(a.worker, '') AS worker, a.outcome,
       coalesce(a.code, '') AS code, coalesce(a.error, '') AS error, coalesce(a.trace_id, '') AS trace_id, a.started_at, a.ended_at,
       CASE WHEN room THEN a.log END AS log, a.log IS NOT NULL AND NOT room AS left_out
FROM (SELECT a.*, coalesce(sum(octet_length(a.log::text)) OVER (ORDER BY a.id DESC), 0) <= $4 AS room
      FROM unnest($1::uuid[], $2::uuid[]) AS given (organization_id, id)
      JOIN job_attempts a ON a.organization_id = given.organization_id AND a.job_id = given.id) a
ORDER BY a.id LIMIT $3`

// ChainAttempts reads the attempts at jobs of which something is to be told, with at most so many bytes of their logs.
func ChainAttempts(ctx context.Context, tx pgx.Tx, jobs []Key, atMost, logBytes int) ([]ChainAttempt, error) {
	return chainRows[ChainAttempt](ctx, tx, "attempts", chainAttempts, jobs, atMost, logBytes)
}
