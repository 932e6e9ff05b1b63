package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The types of what an insight is about.
const (
	SubjectContact      = "contact"
	SubjectDeal         = "deal"
	SubjectInvoice      = "invoice"
	SubjectOrganization = "organization"
)

// A Subject is what an insight is about.
type Subject struct {
	Type string // contact, deal, invoice or organization
	ID   string
}

// An Insight is what a model, or the rules in its place, found out from an organization's records: the newest
// of its kind about its subject.
type Insight struct {
	OrganizationID string          `db:"organization_id"`
	ID             string          `db:"id"`
	Kind           string          `db:"kind"` // of the job that found it out
	SubjectType    string          `db:"subject_type"`
	SubjectID      string          `db:"subject_id"`
	JobID          string          `db:"job_id"`
	Output         json.RawMessage `db:"output"`   // of the kind's shape
	Provider       string          `db:"provider"` // that found it out: ollama, groq or rules
	Model          string          `db:"model"`
	Template       string          `db:"template"` // with its version, such as lead_score.v1
	FactsAt        time.Time       `db:"facts_at"` // when the records were read
	Version        int64           `db:"version"`
	CreatedAt      time.Time       `db:"created_at"`
	UpdatedAt      time.Time       `db:"updated_at"`
}

const insightColumns = `organization_id::text, id::text, kind,
    CASE WHEN contact_id IS NOT NULL THEN 'contact' WHEN deal_id IS NOT NULL THEN 'deal'
         WHEN invoice_id IS NOT NULL THEN 'invoice' ELSE 'organization' END AS subject_type,
    coalesce(contact_id, deal_id, invoice_id, organization_id)::text AS subject_id,
    job_id::text, output, provider, model, template, facts_at, version, created_at, updated_at`

// What is found out again is no news: it stays as it was, by the job that found it out first, and is true of newer
// records. Rules are for want of a model: what one of those said within a day is better.
const sameInsight = `(old.output, old.template, old.provider) = (excluded.output, excluded.template, excluded.provider)`

// A subject that was deleted meanwhile has no insights. Its lock waits for who is about to delete it, whom the
// foreign key would find too late: that fails the transaction.
const upsertInsight = `
WITH c AS (SELECT id FROM contacts WHERE $4 = 'contact' AND organization_id = $1 AND id = $5 FOR KEY SHARE),
     d AS (SELECT id FROM deals WHERE $4 = 'deal' AND organization_id = $1 AND id = $5 FOR KEY SHARE),
     i AS (SELECT id FROM invoices WHERE $4 = 'invoice' AND organization_id = $1 AND id = $5 FOR KEY SHARE),
     subject AS (SELECT (SELECT id FROM c) AS contact, (SELECT id FROM d) AS deal, (SELECT id FROM i) AS invoice)
INSERT INTO ai_insights AS old (organization_id, id, kind, contact_id, deal_id, invoice_id, job_id, output, provider,
                                model, template, facts_at)
SELECT $1, $2, $3, contact, deal, invoice, $6, $7, $8, $9, $10, $11
FROM subject
WHERE $4 = 'organization' OR num_nonnulls(contact, deal, invoice) = 1
ON CONFLICT (organization_id, kind, contact_id, deal_id, invoice_id) DO UPDATE
SET job_id = CASE WHEN ` + sameInsight + ` THEN old.job_id ELSE excluded.job_id END,
    model = CASE WHEN ` + sameInsight + ` THEN old.model ELSE excluded.model END,
    version = CASE WHEN ` + sameInsight + ` THEN old.version ELSE old.version + 1 END,
    updated_at = CASE WHEN ` + sameInsight + ` THEN old.updated_at ELSE now() END,
    output = excluded.output, provider = excluded.provider, template = excluded.template, facts_at = excluded.facts_at
WHERE old.facts_at <= excluded.facts_at
  AND NOT (excluded.provider = 'rules' AND old.provider <> 'rules' AND old.facts_at > excluded.facts_at - interval '1 day')
RETURNING ` + insightColumns

// SaveInsight keeps an insight in place of an older one of its kind about the same subject, and gives what is
// kept, with its id and version. What was known already, of the same output, template and provider, keeps its
// version and its job: all that moves is facts_at. It is ErrConflict when the subject is gone, when what is there
// was found out from newer records, or when it is a model's of less than a day before and n is the rules'.
func SaveInsight(ctx context.Context, tx pgx.Tx, n Insight) (Insight, error) {
	rows, err := tx.Query(ctx, upsertInsight, n.OrganizationID, n.ID, n.Kind, n.SubjectType, n.SubjectID, n.JobID,
		n.Output, n.Provider, n.Model, n.Template, n.FactsAt)
	if err != nil {
		return n, fmt.Errorf("save insight %s of %s: %w", n.Kind, n.SubjectID, err)
	}
	saved, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Insight])
	if notFound(err) == ErrNotFound {
		err = ErrConflict
	}
	if err != nil {
		return n, fmt.Errorf("save insight %s of %s: %w", n.Kind, n.SubjectID, err)
	}
	return saved, nil
}

const updateLeadScore = `
UPDATE contacts SET lead_score = $3, version = version + 1, updated_at = now()
WHERE organization_id = $1 AND id = $2 AND lead_score IS DISTINCT FROM $3
RETURNING version`

// ScoreContact gives a contact its lead score and gives the contact's new version, or 0 when it had the score.
func ScoreContact(ctx context.Context, tx pgx.Tx, organizationID, contactID string, score int) (version int64, err error) {
	err = tx.QueryRow(ctx, updateLeadScore, organizationID, contactID, score).Scan(&version)
	if notFound(err) == ErrNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("score contact %s: %w", contactID, err)
	}
	return version, nil
}
