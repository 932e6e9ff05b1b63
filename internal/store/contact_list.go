package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A ContactFilter narrows a list of contacts. Zero fields don't.
type ContactFilter struct {
	Status string
	Type   string
	Stage  string
	Search ContactSearch
	Before string // id: only older contacts
	Limit  int
}

// Contacts lists an organization's contacts, newest first.
func (db *DB) Contacts(ctx context.Context, organizationID string, f ContactFilter) ([]Contact, error) {
	b := BatchAs(organizationID)
	var page *pgx.QueuedQuery
	if f.Search.Words() > 0 {
		page = f.queueSearch(b, organizationID)
	} else {
		sql, args := f.query(organizationID)
		page = b.Queue(sql, args...)
	}
	var contacts []Contact
	page.Query(func(rows pgx.Rows) (err error) {
		contacts, err = pgx.CollectRows(rows, pgx.RowToStructByName[Contact])
		return err
	})
	if err := db.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("list contacts of %s: %w", organizationID, tooSlow(err))
	}
	return contacts, nil
}

// query spells only the conditions that there are: a condition that may be absent keeps Postgres from
// planning with the index made for it. The order names the table: the list has an id too, a text, which no
// index is sorted by.
func (f ContactFilter) query(organizationID string) (sql string, args []any) {
	var conditions []string
	where := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, condition+" $"+strconv.Itoa(len(args)))
	}
	where("organization_id =", organizationID)
	if f.Status != "" {
		where("status =", f.Status)
	}
	if f.Type != "" {
		where("type =", f.Type)
	}
	if f.Stage != "" {
		where("stage =", f.Stage)
	}
	if f.Before != "" {
		where("id <", f.Before)
	}
	args = append(args, f.Limit)
	return `SELECT ` + contactColumns + ` FROM contacts WHERE ` + strings.Join(conditions, " AND ") +
		` ORDER BY contacts.id DESC LIMIT $` + strconv.Itoa(len(args)), args
}
