package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// NanoPerPaisa turns paise into the unit of the ledger: a billionth of a rupee.
const NanoPerPaisa = 10_000_000

// An AIReservation is money that is set aside for one call of the fallback provider.
type AIReservation struct {
	OrganizationID string
	ID             string
	JobID          string
	NanoINR        int64 // what the call may cost at most
}

// An AIAccount is an organization's money in a month of its own calendar.
type AIAccount struct {
	Month  time.Time // its first day, as a date
	Budget *int64    // in paise; nil: no limit
	Used   int64     // spent or set aside, in billionths of a rupee
}

// aiLimit is an organization's budget for a month in the ledger's unit, as far as that reaches, and null for none.
const aiLimit = `least((settings #>> '{ai,monthly_budget}')::numeric * 10000000, 9223372036854775807)`

// The row of the month is taken under its lock, and what it says then decides. What is told beside may be a
// moment older.
const reserveAI = `
WITH o AS (
    SELECT date_trunc('month', $5::timestamptz AT TIME ZONE timezone)::date AS month,
           (settings #>> '{ai,monthly_budget}')::bigint AS budget, ` + aiLimit + ` AS most
    FROM organizations WHERE id = $1
), taken AS (
    INSERT INTO ai_budgets AS b (organization_id, month, reserved_nano_inr)
    SELECT $1, month, $4::bigint FROM o WHERE most IS NULL OR $4 <= most
    ON CONFLICT (organization_id, month) DO UPDATE
        SET reserved_nano_inr = b.reserved_nano_inr + excluded.reserved_nano_inr, updated_at = now()
        WHERE (SELECT most IS NULL OR b.spent_nano_inr::numeric + b.reserved_nano_inr + excluded.reserved_nano_inr <= most FROM o)
    RETURNING b.month
), kept AS (
    INSERT INTO ai_reservations (organization_id, id, month, job_id, nano_inr, created_at)
    SELECT $1, $2, month, $3, $4, $5 FROM taken
    RETURNING id
)
SELECT o.month, o.budget, coalesce(b.spent_nano_inr + b.reserved_nano_inr, 0), EXISTS (SELECT FROM kept)
FROM o LEFT JOIN ai_budgets b ON b.organization_id = $1 AND b.month = o.month`

// ReserveAI sets money aside if the organization's budget of the month that it is there at a moment has it, and
// says so. However many do this at once, what is spent and set aside never exceeds the budget.
func (db *DB) ReserveAI(ctx context.Context, r AIReservation, at time.Time) (a AIAccount, granted bool, err error) {
	err = db.with(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, reserveAI, r.OrganizationID, r.ID, r.JobID, r.NanoINR, at).
			Scan(&a.Month, &a.Budget, &a.Used, &granted)
	})
	if err != nil {
		return a, false, fmt.Errorf("reserve money of %s for job %s: %w", r.OrganizationID, r.JobID, notFound(err))
	}
	return a, granted, nil
}

const settleAI = `
WITH r AS (
    DELETE FROM ai_reservations WHERE organization_id = $1 AND id = $2
    RETURNING month, nano_inr, created_at = 'infinity' AS swept
)
UPDATE ai_budgets b
SET reserved_nano_inr = b.reserved_nano_inr - CASE WHEN r.swept THEN 0 ELSE r.nano_inr END,
    spent_nano_inr = greatest(0, b.spent_nano_inr + $3 - CASE WHEN r.swept THEN r.nano_inr ELSE 0 END), updated_at = now()
FROM r WHERE b.organization_id = $1 AND b.month = r.month`

// SettleAI replaces what was set aside by what the call did cost, in the month in which it was set aside. Of a
// reservation that was swept meanwhile it corrects what was counted. To settle again does nothing.
func (db *DB) SettleAI(ctx context.Context, r AIReservation, costNanoINR int64) error {
	if _, err := db.exec(ctx, settleAI, r.OrganizationID, r.ID, costNanoINR); err != nil {
		return fmt.Errorf("settle money of %s for job %s: %w", r.OrganizationID, r.JobID, err)
	}
	return nil
}

// What was swept stays until its job is cleaned up, for a process that was only frozen and settles after all.
const sweepAI = `
WITH old AS (
    SELECT organization_id, id FROM ai_reservations WHERE created_at < $1
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
), swept AS (
    UPDATE ai_reservations r SET created_at = 'infinity' FROM old
    WHERE r.organization_id = old.organization_id AND r.id = old.id
    RETURNING r.organization_id, r.month, r.nano_inr
), sums AS (
    SELECT organization_id, month, sum(nano_inr)::bigint AS nano_inr, count(*) AS calls FROM swept GROUP BY 1, 2
), moved AS (
    UPDATE ai_budgets b SET reserved_nano_inr = b.reserved_nano_inr - s.nano_inr,
        spent_nano_inr = b.spent_nano_inr + s.nano_inr, updated_at = now()
    FROM sums s WHERE b.organization_id = s.organization_id AND b.month = s.month
)
SELECT coalesce(sum(calls), 0)::bigint FROM sums`

// SweepAI counts as spent, in full, what was set aside before a moment by processes that never settled it. It
// says how many calls that were.
func (db *DB) SweepAI(ctx context.Context, before time.Time) (swept int64, err error) {
	for {
		var n int64
		err := db.with(ctx, func(conn *pgxpool.Conn) error {
			return conn.QueryRow(ctx, sweepAI, before, deleteAtOnce).Scan(&n)
		})
		if err != nil {
			return swept, fmt.Errorf("sweep reservations: %w", err)
		}
		if swept += n; n < deleteAtOnce {
			return swept, nil
		}
	}
}

const spendAI = `
INSERT INTO ai_budgets AS b (organization_id, month, spent_nano_inr)
SELECT id, date_trunc('month', $3::timestamptz AT TIME ZONE timezone)::date, $2 FROM organizations WHERE id = $1
ON CONFLICT (organization_id, month) DO UPDATE
    SET spent_nano_inr = b.spent_nano_inr + excluded.spent_nano_inr, updated_at = now()`

// SpendAI books money of an organization that has no budget, so that one that is set later knows of it.
func (db *DB) SpendAI(ctx context.Context, organizationID string, nanoINR int64, at time.Time) error {
	if _, err := db.exec(ctx, spendAI, organizationID, nanoINR, at); err != nil {
		return fmt.Errorf("book money of %s: %w", organizationID, err)
	}
	return nil
}

const selectAIAccount = `
WITH o AS (
    SELECT date_trunc('month', $2::timestamptz AT TIME ZONE timezone)::date AS month,
           (settings #>> '{ai,monthly_budget}')::bigint AS budget
    FROM organizations WHERE id = $1
)
SELECT o.month, o.budget, coalesce(b.spent_nano_inr + b.reserved_nano_inr, 0)
FROM o LEFT JOIN ai_budgets b ON b.organization_id = $1 AND b.month = o.month`

// AIAccount reads an organization's money of the month that it is there at a moment, as that organization.
func (db *DB) AIAccount(ctx context.Context, organizationID string, at time.Time) (a AIAccount, err error) {
	err = db.queryAs(ctx, organizationID, func(rows pgx.Rows) error {
		a, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[AIAccount])
		return notFound(err)
	}, selectAIAccount, organizationID, at)
	if err != nil {
		return a, fmt.Errorf("read the AI account of %s: %w", organizationID, err)
	}
	return a, nil
}

// Left is what may still be spent, in whole paise and never negative, and nil where there is no budget.
func (a AIAccount) Left() *int64 {
	if a.Budget == nil {
		return nil
	}
	// Rounded up, as what has been begun of a paisa can't be spent; nothing is multiplied, as it could overflow.
	used := a.Used / NanoPerPaisa
	if a.Used%NanoPerPaisa > 0 {
		used++
	}
	left := max(0, *a.Budget-used)
	return &left
}
