package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// An AnySuppressionFilter narrows a list of suppressions of all organizations. Zero fields don't.
type AnySuppressionFilter struct {
	OrganizationID, Stream, Reason string
	Address                        string // in any capitals
	Domain                         string // in lower case
	Before                         string // id: only older ones
	Limit                          int
}

// An AnySuppression is an address that an organization sends nothing to, with whose it is.
type AnySuppression struct {
	Suppression
	Organization *string `db:"organization"`
}

const (
	selectAnySuppressions = `
SELECT page.*, (SELECT name FROM organizations o WHERE o.id = page.organization_id::uuid) AS organization FROM (SELECT ` + suppressionColumns + ` FROM mail_suppressions WHERE ` + inForce + ` AND `
	namedSuppressions = `) AS page ORDER BY page.id DESC`
)

// AnySuppressions lists the suppressions that are in force over all organizations, newest first.
func AnySuppressions(ctx context.Context, tx pgx.Tx, f AnySuppressionFilter) ([]AnySuppression, error) {
	var w whereClause
	w.text("organization_id = ?", f.OrganizationID)
	w.text("stream = ?", f.Stream)
	w.text("reason = ?", f.Reason)
	w.text("address = lower(?)", f.Address)
	if f.Domain != "" {
		w.add("address LIKE '%@' || ?", strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(f.Domain))
	}
	w.text("id < ?", f.Before)
	rows, err := tx.Query(ctx, selectAnySuppressions+w.sql()+" ORDER BY mail_suppressions.id DESC LIMIT "+w.value(f.Limit)+namedSuppressions, w.args...)
	return rowsOf[AnySuppression](rows, err, "list suppressions of all organizations")
}

const deleteAnySuppression = `DELETE FROM mail_suppressions WHERE id = $1 RETURNING ` + suppressionColumns

// UnsuppressAny takes an entry off the list of whatever organization; ErrNotFound when there is none.
func UnsuppressAny(ctx context.Context, tx pgx.Tx, id string) (Suppression, error) {
	rows, err := tx.Query(ctx, deleteAnySuppression, id)
	var s Suppression
	if err == nil {
		s, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Suppression])
	}
	if err != nil {
		return s, fmt.Errorf("take suppression %s off the list: %w", id, notFound(err))
	}
	return s, nil
}
