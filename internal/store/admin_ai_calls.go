package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// An AICallFilter narrows a list of attempts at models. Zero fields don't.
type AICallFilter struct {
	Provider, Model, Outcome, OrganizationID, JobID string
	StartedAfter, StartedBefore                     time.Time
	Before                                          string // id: only older ones
	Limit                                           int
}

// A ListedAICall is an attempt at a model as lists show it.
type ListedAICall struct {
	ID               string    `db:"id"`
	OrganizationID   string    `db:"organization_id"`
	Organization     *string   `db:"organization"`
	JobID            string    `db:"job_id"`
	Attempt          int       `db:"attempt"`
	Kind             string    `db:"kind"`
	Provider         string    `db:"provider"`
	Model            string    `db:"model"`
	Outcome          string    `db:"outcome"`
	Status           *int      `db:"status"`
	Detail           *string   `db:"detail"`
	FallbackReason   *string   `db:"fallback_reason"`
	Cached           bool      `db:"cached"`
	QueueMS          int64     `db:"queue_ms"`
	FirstTokenMS     *int64    `db:"first_token_ms"`
	RunMS            int64     `db:"run_ms"`
	PromptTokens     int64     `db:"prompt_tokens"`
	CompletionTokens int64     `db:"completion_tokens"`
	CostNano         int64     `db:"cost_nano_inr"`
	ShadowNano       int64     `db:"shadow_nano_inr"`
	StartedAt        time.Time `db:"started_at"`
	CreatedAt        time.Time `db:"created_at"`
}

const (
	selectAICalls = `
SELECT c.id::text, c.organization_id::text, (SELECT name FROM organizations o WHERE o.id = c.organization_id) AS organization, c.job_id::text, c.attempt, c.kind, c.provider, c.model, c.outcome, c.status,
       c.detail, c.fallback_reason, c.cached, c.queue_ms, c.first_token_ms, c.run_ms, c.prompt_tokens, c.completion_tokens,
       coalesce(round(c.cost_nano_usd * c.usd_inr), 0)::bigint AS cost_nano_inr,
       coalesce(round(CASE c.provider WHEN 'rules' THEN 0 ELSE c.shadow_nano_usd END * c.usd_inr), 0)::bigint AS shadow_nano_inr,
       c.started_at, c.created_at
FROM (SELECT * FROM ai_calls WHERE `
	namedAICalls = `) AS c ORDER BY c.id DESC`
)

// AICalls lists attempts at models over all organizations, those that began last first.
func AICalls(ctx context.Context, tx pgx.Tx, f AICallFilter) ([]ListedAICall, error) {
	if f.JobID != "" && f.OrganizationID == "" {
		var err error
		if f.OrganizationID, err = jobOwner(ctx, tx, f.JobID); err != nil {
			return nil, err
		}
	}
	var w whereClause
	w.text("provider = ?", f.Provider)
	w.text("model = ?", f.Model)
	w.text("outcome = ?", f.Outcome)
	w.text("organization_id = ?", f.OrganizationID)
	w.text("job_id = ?", f.JobID)
	w.span("started_at", f.StartedAfter, f.StartedBefore)
	w.text("id < ?", f.Before)
	rows, err := tx.Query(ctx, selectAICalls+w.sql()+" ORDER BY ai_calls.id DESC LIMIT "+w.value(f.Limit)+namedAICalls, w.args...)
	return rowsOf[ListedAICall](rows, err, "list calls of models")
}

const findJobOwner = `
SELECT organization_id::text FROM jobs
WHERE id = $1 AND created_at BETWEEN $2::timestamptz - $3::interval AND $2::timestamptz + $3::interval`

// jobOwner finds whose job it is, as calls are found by both soonest; "": nobody knows.
func jobOwner(ctx context.Context, tx pgx.Tx, id string) (organizationID string, err error) {
	parsed, err := uuid.Parse(id)
	if err != nil || parsed.Version() != 7 {
		return "", nil
	}
	seconds, nanos := parsed.Time().UnixTime()
	err = tx.QueryRow(ctx, findJobOwner, id, time.Unix(seconds, nanos), idSlack).Scan(&organizationID)
	if err != nil && notFound(err) != ErrNotFound {
		return "", fmt.Errorf("find job %s: %w", id, err)
	}
	return organizationID, nil
}
