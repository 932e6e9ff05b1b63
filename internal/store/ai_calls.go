package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// An AICall is one attempt at a provider. It never holds a prompt or an answer.
type AICall struct {
	ID               string
	JobID            string
	Attempt          int // of the job
	Kind             string
	Provider         string
	Model            string
	Outcome          string
	Status           int    // HTTP, 0: none
	Detail           string // of an outcome that is not ok
	FallbackReason   string // why this provider was asked, "" for the first choice
	Cached           bool   // answered from the cache
	Cacheable        bool   // an answer that was looked for in the cache, and that others may get
	QueueMS          int64
	FirstTokenMS     int64 // 0: no token came
	RunMS            int64
	PromptTokens     int
	CompletionTokens int
	CostNanoUSD      int64
	ShadowNanoUSD    int64   // what it would have cost at the fallback provider
	RupeesPerDollar  float64 // on its day; 0: not known, and the call counts no rupees
	StartedAt        time.Time
}

const insertAICall = `
INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, status, detail,
                      fallback_reason, queue_ms, first_token_ms, run_ms, prompt_tokens, completion_tokens,
                      cost_nano_usd, shadow_nano_usd, started_at, cached, cacheable, usd_inr)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, nullif($9, 0), nullif($10, ''), nullif($11, ''), $12, nullif($13, 0), $14,
        $15, $16, $17, $18, $19, $20, $21, nullif($22::float8, 0))
ON CONFLICT DO NOTHING`

// QueueAICalls adds the records of attempts to a batch. Recording one twice does nothing.
func QueueAICalls(b *pgx.Batch, organizationID string, calls []AICall) {
	for _, c := range calls {
		b.Queue(insertAICall, organizationID, c.ID, c.JobID, c.Attempt, c.Kind, c.Provider, c.Model, c.Outcome, c.Status,
			c.Detail, c.FallbackReason, c.QueueMS, c.FirstTokenMS, c.RunMS, c.PromptTokens, c.CompletionTokens,
			c.CostNanoUSD, c.ShadowNanoUSD, c.StartedAt, c.Cached, c.Cacheable, c.RupeesPerDollar)
	}
}

// RecordAICalls writes the records of attempts at once.
func (db *DB) RecordAICalls(ctx context.Context, organizationID string, calls []AICall) error {
	b := &pgx.Batch{}
	QueueAICalls(b, organizationID, calls)
	if err := db.Send(ctx, b); err != nil {
		return fmt.Errorf("record AI calls: %w", err)
	}
	return nil
}
