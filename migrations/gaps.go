package migrations

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A Gap is where a database no longer keeps tenants apart, or keeps a process from its work: somebody took away what
// migrations had made.
type Gap struct {
	Problem string
	Mend    string // the SQL that does
}

// Gaps lists what tables lack of row-level security, and roles of the rights that migrations gave them. It is for a
// database that has all migrations that this program knows, and no others.
func (m Migrator) Gaps(ctx context.Context) ([]Gap, error) {
	r := newRun(m)
	s, err := r.open(ctx, lockTimeout)
	if err != nil {
		return nil, err
	}
	defer s.close()
	open, err := s.openTables(ctx)
	if err != nil {
		return nil, err
	}
	given, err := grantsIn(r.files)
	if err != nil {
		return nil, err
	}
	missing, err := s.missing(ctx, given)
	return append(open, missing...), err
}

// A partition is reached through its parent alone.
const openTables = `
SELECT c.oid::regclass::text, CASE c.relname WHEN 'organizations' THEN 'id' ELSE 'organization_id' END, c.relrowsecurity,
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['payaid_app'::regrole::oid]),
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['payaid_system'::regrole::oid])
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
AND (c.relname = 'organizations' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped))
ORDER BY 1`

func (s *session) openTables(ctx context.Context) ([]Gap, error) {
	rows, err := s.pool.Query(ctx, openTables)
	if err != nil {
		return nil, fmt.Errorf("look at row-level security: %w", err)
	}
	var gaps []Gap
	var table, column string
	var on, app, system bool
	_, err = pgx.ForEachRow(rows, []any{&table, &column, &on, &app, &system}, func() error {
		if !on {
			gaps = append(gaps, Gap{"row-level security of " + table + " is off, so a mistake in a query shows one organization what is another's",
				"ALTER TABLE " + table + " ENABLE ROW LEVEL SECURITY"})
		}
		if !app {
			own := column + " = current_organization()"
			gaps = append(gaps, Gap{table + " has no policy for payaid_app, so the API finds nothing in it",
				"CREATE POLICY tenant ON " + table + " TO payaid_app USING (" + own + ") WITH CHECK (" + own + ")"})
		}
		if !system {
			gaps = append(gaps, Gap{table + " has no policy for payaid_system, so relays and workers find nothing in it",
				"CREATE POLICY system ON " + table + " TO payaid_system USING (true) WITH CHECK (true)"})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at row-level security: %w", err)
	}
	return gaps, nil
}

// A grant is one right to one thing for one role.
type grant struct{ kind, object, column, right, role string }

var (
	aGrant   = regexp.MustCompile(`(?s)^(GRANT|REVOKE) (.+?) ON (?:(TABLE|FUNCTION|SCHEMA|SEQUENCE) )?(.+?) (?:TO|FROM) ([a-z_, ]+)$`)
	aRight   = regexp.MustCompile(`([A-Z]+)\s*(?:\(([^)]*)\))?`)
	anObject = regexp.MustCompile(`[a-z_]+(?:\([^)]*\))?`)
)

// grantsIn reads what migrations give to the roles of processes, and don't take back. Rights that they give by other
// statements than plain ones are not among them.
func grantsIn(files fs.FS) ([]grant, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	var given []grant
	for _, name := range names { // sorted
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read the migration %s: %w", name, err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for statement := range strings.SplitSeq(up, ";") {
			given = apply(given, strings.Join(strings.Fields(withoutComments(statement)), " "))
		}
	}
	return given, nil
}

func withoutComments(statement string) string {
	var kept strings.Builder
	for line := range strings.Lines(statement) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// apply has a statement give rights or take them back; others do nothing.
func apply(given []grant, statement string) []grant {
	m := aGrant.FindStringSubmatch(statement)
	if m == nil || strings.HasPrefix(m[4], "ALL ") {
		return given
	}
	for _, object := range anObject.FindAllString(m[4], -1) {
		for role := range strings.SplitSeq(m[5], ", ") {
			if role != "payaid_app" && role != "payaid_system" {
				continue
			}
			for _, right := range aRight.FindAllStringSubmatch(m[2], -1) {
				for column := range strings.SplitSeq(right[2], ", ") {
					g := grant{cmp.Or(m[3], "TABLE"), object, column, right[1], role}
					given = slices.DeleteFunc(given, g.covers)
					if m[1] == "GRANT" {
						given = append(given, g)
					}
				}
			}
		}
	}
	return given
}

// covers reports whether a grant is the same, or one of those that are meant where all are taken back.
func (g grant) covers(other grant) bool {
	if g.right == "ALL" {
		g.right, g.column = other.right, other.column
	}
	return g == other
}

// What is no longer there can't be given, and is for others to miss.
const missingGrants = `
SELECT i - 1 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS g (kind, object, col, priv, role, i)
WHERE NOT CASE
    WHEN kind = 'TABLE' AND col = '' THEN has_table_privilege(role, to_regclass('public.' || object), priv)
    WHEN kind = 'TABLE' THEN (SELECT has_column_privilege(role, a.attrelid, a.attnum, priv) FROM pg_attribute a
                              WHERE a.attrelid = to_regclass('public.' || object) AND a.attname = col AND NOT a.attisdropped)
    WHEN kind = 'FUNCTION' THEN has_function_privilege(role, to_regprocedure('public.' || object), priv)
    WHEN kind = 'SEQUENCE' THEN has_sequence_privilege(role, to_regclass('public.' || object), priv)
    WHEN kind = 'SCHEMA' THEN has_schema_privilege(role, object, priv) END
ORDER BY i`

func (s *session) missing(ctx context.Context, given []grant) ([]Gap, error) {
	var columns [5][]string
	for _, g := range given {
		for i, value := range []string{g.kind, g.object, g.column, g.right, g.role} {
			columns[i] = append(columns[i], value)
		}
	}
	rows, err := s.pool.Query(ctx, missingGrants, columns[0], columns[1], columns[2], columns[3], columns[4])
	if err != nil {
		return nil, fmt.Errorf("look at the rights of roles: %w", err)
	}
	lacking, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, fmt.Errorf("look at the rights of roles: %w", err)
	}
	var gaps []Gap
	for _, i := range lacking {
		gaps = append(gaps, given[i].gap())
	}
	return gaps, nil
}

func (g grant) gap() Gap {
	right, object := g.right, g.object
	if g.column != "" {
		right += " (" + g.column + ")"
	}
	if g.kind != "TABLE" {
		object = g.kind + " " + g.object
	}
	return Gap{g.role + " lacks " + right + " on " + g.object, "GRANT " + right + " ON " + object + " TO " + g.role}
}
