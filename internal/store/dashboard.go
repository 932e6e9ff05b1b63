package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Tally is how many things there are of a sort, and the paise that they come to. A sum that no int64
// holds is the greatest that it does.
type Tally struct{ Count, Amount int64 }

// A Dashboard is an organization's business at one moment. What there is none of has no entry.
type Dashboard struct {
	Contacts map[string]Tally // by status
	Deals    map[string]Tally // by stage; the amount is their value
	Invoices map[string]Tally // by status; the amount is what is due. Overdue are also those that nobody has marked yet
	Revenue  []MonthlyRevenue // of the last twelve months, oldest first, empty ones too
}

// MonthlyRevenue is the payments of a month of the organization's timezone.
type MonthlyRevenue struct {
	Month string // YYYY-MM
	Paid  int64  // paise
}

// Each part reads one index; where the visibility map allows it, no table.
const selectDashboard = `
WITH local AS (
    SELECT timezone, ($2::timestamptz AT TIME ZONE timezone)::date AS today,
           date_trunc('month', $2::timestamptz AT TIME ZONE timezone) AS month
    FROM organizations WHERE id = $1
), tallies AS (
    SELECT 'contacts' AS of, status AS sort, count(*) AS n, 0 AS amount FROM contacts WHERE organization_id = $1 GROUP BY status
    UNION ALL
    SELECT 'deals', stage, count(*), sum(value) FROM deals WHERE organization_id = $1 GROUP BY stage
    UNION ALL
    SELECT 'invoices', status, count(*), 0 FROM invoices WHERE organization_id = $1 AND status IN ('draft', 'paid', 'cancelled') GROUP BY status
    UNION ALL
    SELECT 'invoices', CASE WHEN due_date < today THEN 'overdue' ELSE status END, count(*), sum(amount_due)
    FROM local, invoices WHERE organization_id = $1 AND status IN ('sent', 'overdue') GROUP BY 2
    UNION ALL
    SELECT 'revenue', to_char(start, 'YYYY-MM'), 0, (
        SELECT coalesce(sum(amount), 0) FROM payments
        WHERE organization_id = $1 AND paid_at >= start AT TIME ZONE timezone
          AND paid_at < (start + interval '1 month') AT TIME ZONE timezone)
    FROM local, generate_series(month - interval '11 months', month, interval '1 month') AS start
)
SELECT of, sort, n, least(amount, 9223372036854775807)::bigint FROM tallies ORDER BY of, sort`

// Dashboard reads how an organization's business stands at a moment, in one query.
func (db *DB) Dashboard(ctx context.Context, organizationID string, now time.Time) (Dashboard, error) {
	d := Dashboard{Contacts: map[string]Tally{}, Deals: map[string]Tally{}, Invoices: map[string]Tally{}}
	err := db.queryAs(ctx, organizationID, d.read, selectDashboard, organizationID, now)
	if err != nil {
		return d, fmt.Errorf("read the dashboard of %s: %w", organizationID, err)
	}
	return d, nil
}

func (d *Dashboard) read(rows pgx.Rows) error {
	var of, sort string
	var t Tally
	_, err := pgx.ForEachRow(rows, []any{&of, &sort, &t.Count, &t.Amount}, func() error {
		switch of {
		case "contacts":
			d.Contacts[sort] = t
		case "deals":
			d.Deals[sort] = t
		case "invoices":
			d.Invoices[sort] = t
		case "revenue":
			d.Revenue = append(d.Revenue, MonthlyRevenue{Month: sort, Paid: t.Amount})
		}
		return nil
	})
	return err
}
