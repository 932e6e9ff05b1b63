package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A SuppressionFilter narrows a list of suppressions. Zero fields don't.
type SuppressionFilter struct {
	Address string // in any capitals
	Stream  string // AllStreams: those for all streams alone
	Reason  string
	Before  string // id: only older ones
	Limit   int
}

// Suppressions lists the suppressions of an organization that are in force, the newest first. One that is renewed
// keeps its place.
func (db *DB) Suppressions(ctx context.Context, organizationID string, f SuppressionFilter) ([]Suppression, error) {
	sql, args := f.query(organizationID)
	var list []Suppression
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[Suppression])
		return err
	}, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("list suppressions of %s: %w", organizationID, err)
	}
	return list, nil
}

const inForce = `(expires_at IS NULL OR expires_at > now())`

// query spells only the conditions that there are, so that each combination is planned with its own index.
func (f SuppressionFilter) query(organizationID string) (sql string, args []any) {
	args = []any{organizationID}
	conditions := []string{"organization_id = $1", inForce}
	where := func(condition, value string) {
		if value != "" {
			args = append(args, value)
			conditions = append(conditions, condition+" $"+strconv.Itoa(len(args)))
		}
	}
	where("address =", strings.ToLower(f.Address))
	where("stream =", f.Stream)
	where("reason =", f.Reason)
	where("id <", f.Before)
	args = append(args, f.Limit)
	return `SELECT ` + suppressionColumns + ` FROM mail_suppressions WHERE ` + strings.Join(conditions, " AND ") +
		` ORDER BY mail_suppressions.id DESC LIMIT $` + strconv.Itoa(len(args)), args
}

const selectSuppression = `
SELECT ` + suppressionColumns + ` FROM mail_suppressions WHERE organization_id = $1 AND address = $2 AND stream = $3`

// SuppressionOf reads what keeps mails of a stream, or of all, from an address; nil: nothing does, or no longer.
// It is locked against changes until the transaction ends.
func SuppressionOf(ctx context.Context, tx pgx.Tx, organizationID, address, stream string) (*Suppression, error) {
	rows, err := tx.Query(ctx, selectSuppression+` AND `+inForce+forChange, organizationID, strings.ToLower(address), stream)
	var s Suppression
	if err == nil {
		s, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Suppression])
	}
	switch {
	case notFound(err) == ErrNotFound:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read a suppression of %s: %w", organizationID, err)
	}
	return &s, nil
}

const deleteSuppression = `
DELETE FROM mail_suppressions WHERE organization_id = $1 AND id = $2 RETURNING ` + suppressionColumns

// Unsuppress takes one entry off the list; ErrNotFound when there is none.
func Unsuppress(ctx context.Context, tx pgx.Tx, organizationID, id string) (Suppression, error) {
	rows, err := tx.Query(ctx, deleteSuppression, organizationID, id)
	var s Suppression
	if err == nil {
		s, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Suppression])
	}
	if err != nil {
		return s, fmt.Errorf("take suppression %s off the list: %w", id, notFound(err))
	}
	return s, nil
}

const deleteSuppressionsOf = `
DELETE FROM mail_suppressions WHERE organization_id = $1 AND address = $2 AND ($3 = '' OR stream = $3)
RETURNING ` + suppressionColumns

// UnsuppressAddress takes an address off the list for one stream, or with "" for all: ErrNotFound when it is not
// on it. Taken off are also the entries that are no longer in force.
func UnsuppressAddress(ctx context.Context, tx pgx.Tx, organizationID, address, stream string) ([]Suppression, error) {
	rows, err := tx.Query(ctx, deleteSuppressionsOf, organizationID, strings.ToLower(address), stream)
	var list []Suppression
	if err == nil {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[Suppression])
	}
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("take an address of %s off the list: %w", organizationID, err)
	}
	return list, nil
}
