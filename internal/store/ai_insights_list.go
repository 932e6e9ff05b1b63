package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// An InsightFilter narrows a list of insights. Zero fields don't.
type InsightFilter struct {
	Kind    string
	Subject Subject // of a contact, deal or invoice; its type alone means nothing
	Before  string  // id: only those about a kind and subject that came up earlier
	Limit   int
}

// Insights lists what was found out for an organization. An insight keeps its id while it is found out anew, so
// newest are those about a kind and subject that nothing was known of before.
func (db *DB) Insights(ctx context.Context, organizationID string, f InsightFilter) ([]Insight, error) {
	sql, args := f.query(organizationID)
	var insights []Insight
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		insights, err = pgx.CollectRows(rows, pgx.RowToStructByName[Insight])
		return err
	}, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("list insights of %s: %w", organizationID, err)
	}
	return insights, nil
}

// subjectColumns name the things that have insights of their own.
var subjectColumns = map[string]string{SubjectContact: "contact_id", SubjectDeal: "deal_id", SubjectInvoice: "invoice_id"}

// query spells only the conditions that there are, so that each combination is planned with its own index.
// The order names the table: the list has an id too, a text, which no index is sorted by.
func (f InsightFilter) query(organizationID string) (sql string, args []any) {
	args = []any{organizationID}
	conditions := []string{"organization_id = $1"}
	where := func(condition, value string) {
		if value != "" {
			args = append(args, value)
			conditions = append(conditions, condition+" $"+strconv.Itoa(len(args)))
		}
	}
	where("kind =", f.Kind)
	where(subjectColumns[f.Subject.Type]+" =", f.Subject.ID)
	where("id <", f.Before)
	args = append(args, f.Limit)
	return `SELECT ` + insightColumns + ` FROM ai_insights WHERE ` + strings.Join(conditions, " AND ") +
		` ORDER BY ai_insights.id DESC LIMIT $` + strconv.Itoa(len(args)), args
}

// There is one insight of each kind about a thing, so these are as few as there are kinds.
const (
	selectInsights      = `SELECT ` + insightColumns + ` FROM ai_insights WHERE organization_id = $1 AND `
	latestInsightsFirst = ` = $2 ORDER BY updated_at DESC, ai_insights.id DESC`

	selectInsightsOfContact = selectInsights + `contact_id` + latestInsightsFirst
	selectInsightsOfDeal    = selectInsights + `deal_id` + latestInsightsFirst
	selectInsightsOfInvoice = selectInsights + `invoice_id` + latestInsightsFirst
)

// queueInsights adds to a batch what was found out about one thing, the latest first.
func queueInsights(b *pgx.Batch, into *[]Insight, sql, organizationID, id string) {
	b.Queue(sql, organizationID, id).Query(func(rows pgx.Rows) (err error) {
		*into, err = pgx.CollectRows(rows, pgx.RowToStructByName[Insight])
		return err
	})
}
