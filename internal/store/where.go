package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A whereClause is the conditions of a list that are really there, so that each combination is planned with its own index.
type whereClause struct {
	conditions []string
	args       []any
}

func (w *whereClause) value(v any) string {
	w.args = append(w.args, v)
	return "$" + strconv.Itoa(len(w.args))
}

func (w *whereClause) add(condition string, v any) {
	w.conditions = append(w.conditions, strings.ReplaceAll(condition, "?", w.value(v)))
}

func (w *whereClause) text(condition, v string) {
	if v != "" {
		w.add(condition, v)
	}
}

// span narrows by the time at which something happened to a row, as its id tells it too, which its index is sorted by.
func (w *whereClause) span(column string, from, before time.Time) {
	if !from.IsZero() {
		w.add(column+" >= ?", from)
		w.add("id >= ?", idAt(from.Add(-idSlack)))
	}
	if !before.IsZero() {
		w.add(column+" < ?", before)
		w.add("id < ?", idAt(before.Add(idSlack)))
	}
}

func (w *whereClause) sql() string {
	if len(w.conditions) == 0 {
		return "true"
	}
	return strings.Join(w.conditions, " AND ")
}

// rowsOf reads all rows of a question into structs.
func rowsOf[T any](rows pgx.Rows, err error, doing string) ([]T, error) {
	var list []T
	if err == nil {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[T])
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return list, nil
}
