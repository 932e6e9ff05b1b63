package backup

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A comparison is what a restored database has in common with its manifest, and what not.
type comparison struct {
	tables int
	rows   int64
	wrong  []string // differences; none: it is what was dumped
	notes  []string // what doesn't matter for that
}

func (c *comparison) differs(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// err is a fault that names the first differences.
func (c *comparison) err() error {
	if len(c.wrong) == 0 {
		return nil
	}
	const most = 5
	detail := strings.Join(c.wrong[:min(most, len(c.wrong))], "; ")
	if more := len(c.wrong) - most; more > 0 {
		detail += fmt.Sprintf("; and %d more differences", more)
	}
	return &Fault{Code: Different, Detail: "what was restored is not what was dumped: " + detail,
		Remedy: "don't rely on this backup: make a new one and verify it, and find out who changed this one or its manifest"}
}

// compare looks for everything that a manifest claims. The session sees every row.
func compare(ctx context.Context, conn *pgx.Conn, m Manifest, tell *teller) (*comparison, error) {
	if err := settle(ctx, conn); err != nil {
		return nil, err
	}
	c := &comparison{}
	for _, part := range []func(context.Context, *pgx.Conn, Manifest, *teller) error{
		c.compareTables, c.compareSequences, c.compareExtensions, c.compareVersions, c.lookForUnfinished,
	} {
		if err := part(ctx, conn, m, tell); err != nil {
			return nil, serverFault("compare the restored database", err)
		}
	}
	return c, nil
}

func (c *comparison) compareTables(ctx context.Context, conn *pgx.Conn, m Manifest, tell *teller) error {
	list, err := listRelations(ctx, conn)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(list))
	for _, r := range list {
		there[r.name] = true
	}
	for i, want := range m.Tables {
		tell.say(Comparing, int64(i), int64(len(m.Tables)))
		if !there[want.Name] {
			c.differs("table %s is missing", want.Name)
			continue
		}
		delete(there, want.Name)
		got, err := measure(ctx, conn, want.Name, want.Hash != "")
		if err != nil {
			return err
		}
		c.tables, c.rows = c.tables+1, c.rows+got.Rows
		if got.Rows != want.Rows {
			c.differs("table %s has %d rows, and had %d", want.Name, got.Rows, want.Rows)
		} else if got.Hash != want.Hash {
			c.differs("table %s has other contents in its %d rows", want.Name, got.Rows)
		}
	}
	for _, r := range list {
		if there[r.name] {
			c.differs("table %s is more than there was", r.name)
		}
	}
	return nil
}

// Sequences go on during a dump, so they may stand further than the manifest saw them.
func (c *comparison) compareSequences(ctx context.Context, conn *pgx.Conn, m Manifest, _ *teller) error {
	list, err := listSequences(ctx, conn)
	if err != nil {
		return err
	}
	there := make(map[string]Sequence, len(list))
	for _, s := range list {
		there[s.Name] = s
	}
	for _, want := range m.Sequences {
		got, ok := there[want.Name]
		switch {
		case !ok:
			c.differs("sequence %s is missing", want.Name)
		case want.Called && !got.Called || want.Last > 0 && got.Last < want.Last:
			c.differs("sequence %s is at %d, and was at %d", want.Name, got.Last, want.Last)
		}
	}
	return nil
}

// A dump makes extensions in the server's version, which may be newer.
func (c *comparison) compareExtensions(ctx context.Context, conn *pgx.Conn, m Manifest, _ *teller) error {
	list, err := listExtensions(ctx, conn)
	if err != nil {
		return err
	}
	there := make(map[string]string, len(list))
	for _, e := range list {
		there[e.Name] = e.Version
	}
	for _, want := range m.Extensions {
		got, ok := there[want.Name]
		if !ok {
			c.differs("extension %s is missing", want.Name)
		} else if got != want.Version {
			c.notes = append(c.notes, fmt.Sprintf("extension %s is %s here and was %s", want.Name, got, want.Version))
		}
	}
	return nil
}

func (c *comparison) compareVersions(ctx context.Context, conn *pgx.Conn, m Manifest, _ *teller) error {
	schema, river, err := readVersions(ctx, conn)
	if err != nil {
		return err
	}
	if schema != m.SchemaVersion {
		c.differs("the schema is at migration %d, and was at %d", schema, m.SchemaVersion)
	}
	if river != m.RiverVersion {
		c.differs("River's tables are at version %d, and were at %d", river, m.RiverVersion)
	}
	return nil
}

// What a dump restores is made anew, so nothing of it is half built.
const invalidIndexes = `
SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive)`

// A constraint that was NOT VALID is so again, and that is right.
const unvalidated = `
SELECT format('%s of %s', conname, conrelid::regclass) FROM pg_constraint WHERE NOT convalidated`

func (c *comparison) lookForUnfinished(ctx context.Context, conn *pgx.Conn, _ Manifest, _ *teller) error {
	for _, look := range []struct {
		sql  string
		into func(name string)
	}{
		{invalidIndexes, func(name string) { c.differs("index %s is invalid", name) }},
		{unvalidated, func(name string) { c.notes = append(c.notes, "constraint "+name+" was never validated") }},
	} {
		rows, err := conn.Query(ctx, look.sql)
		if err != nil {
			return fmt.Errorf("look for what is half built: %w", err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("look for what is half built: %w", err)
		}
		for _, name := range names {
			look.into(name)
		}
	}
	return nil
}
