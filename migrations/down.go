package migrations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// An Undo is what taking back the newest migration would do.
type Undo struct {
	Name string
	// Script is the SQL that would run.
	Script string
	// Lost is the tables that would be dropped, with how much is in them: "contacts (1204 rows)".
	Lost []string
}

// NextDown says what Down would take back, and changes nothing.
func (m Migrator) NextDown(ctx context.Context) (Undo, error) {
	r := newRun(m)
	s, err := r.open(ctx, r.lockTimeout)
	if err != nil {
		return Undo{}, err
	}
	defer s.close()
	newest, err := s.newest(ctx)
	if err != nil {
		return Undo{}, err
	}
	if newest == nil {
		return Undo{}, errors.New("there is nothing to take back")
	}
	if at, err := s.provider.GetDBVersion(ctx); err != nil || at > newest.Version {
		return Undo{}, cmp.Or(err, fmt.Errorf("the database is at version %d, which this program doesn't know: take that back with the program that made it", at))
	}
	text, err := fs.ReadFile(r.files, newest.Name)
	if err != nil {
		return Undo{}, err
	}
	_, script, _ := strings.Cut(string(text), "-- +goose Down\n")
	undo := Undo{Name: newest.Name, Script: strings.TrimSpace(script)}
	for _, found := range dropTable.FindAllStringSubmatch(script, -1) {
		rows, err := s.rowsOf(ctx, found[1])
		if err != nil {
			return Undo{}, fmt.Errorf("count the rows of %s: %w", found[1], err)
		}
		undo.Lost = append(undo.Lost, fmt.Sprintf("%s (%s)", found[1], rows))
	}
	return undo, nil
}

var dropTable = regexp.MustCompile(`(?im)^DROP TABLE (\w+)`)

// rowsOf counts far enough to tell a toy from a treasure.
func (s *session) rowsOf(ctx context.Context, table string) (string, error) {
	const enough = 100_000
	var n int
	err := s.pool.QueryRow(ctx, fmt.Sprintf(`SELECT count(*) FROM (SELECT FROM %s LIMIT %d) AS counted`,
		pgx.Identifier{table}.Sanitize(), enough)).Scan(&n)
	switch {
	case err != nil:
		return "", err
	case n == enough:
		return fmt.Sprintf("%d rows or more", n), nil
	case n == 1:
		return "1 row", nil
	default:
		return fmt.Sprintf("%d rows", n), nil
	}
}

// Down takes back the migration of that name, which must be the newest, with all that is in its tables.
func (m Migrator) Down(ctx context.Context, name string) error {
	r := newRun(m)
	try := r.try
	if text, err := fs.ReadFile(r.files, name); err != nil {
		return err
	} else if _, concurrent := concurrentIndexOf(string(text)); concurrent {
		try = r.tryConcurrently
	}
	return r.locked(ctx, func(ctx context.Context) error {
		tries := 0
		return try(ctx, "take back "+name, func(ctx context.Context, s *session) error {
			tries++
			newest, err := s.newest(ctx)
			if err != nil {
				return err
			}
			if newest == nil || newest.Name != name {
				if tries > 1 {
					return nil // the connection broke, and the try before came through
				}
				return errors.New("it is not the newest migration any more")
			}
			_, err = s.provider.Down(ctx)
			return err
		})
	})
}
