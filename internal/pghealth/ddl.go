package pghealth

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// A written index is one as Postgres writes it down.
type written struct {
	definition string
	tablespace string // "": the database's
	comment    string
}

const selectWritten = `
SELECT c.oid, pg_get_indexdef(c.oid), coalesce(s.spcname::text, ''), coalesce(obj_description(c.oid, 'pg_class'), '')
FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
WHERE c.oid = ANY ($1)`

// split parts a definition into what comes before and after its name and table.
func (w written) split() (create, rest string) {
	create, rest = "CREATE INDEX", w.definition
	if strings.HasPrefix(w.definition, "CREATE UNIQUE") {
		create = "CREATE UNIQUE INDEX"
	}
	// Names that hold this text are quoted, and what is quoted holds no bare quote before it.
	at := 0
	for {
		k := strings.Index(rest[at:], " USING ")
		if k < 0 {
			return create, ""
		}
		if strings.Count(rest[:at+k], `"`)%2 == 0 {
			return create, rest[at+k:]
		}
		at += k + 1
	}
}

// create makes the index again, without keeping writers waiting.
func (w written) create(i *Index) []string {
	create, rest := w.split()
	table := pgx.Identifier{i.Schema, i.Table}.Sanitize()
	name := pgx.Identifier{i.Name}.Sanitize()
	statements := []string{fmt.Sprintf("%s CONCURRENTLY %s ON %s%s", create, name, table, rest)}
	if i.Partitioned {
		statements = []string{fmt.Sprintf("%s %s ON %s%s", create, name, table, rest)}
	}
	if w.tablespace != "" && !i.Partitioned {
		statements = append(statements, fmt.Sprintf("ALTER INDEX %s SET TABLESPACE %s", i.QualifiedName(), pgx.Identifier{w.tablespace}.Sanitize()))
	}
	if w.comment != "" {
		statements = append(statements, fmt.Sprintf("COMMENT ON INDEX %s IS %s", i.QualifiedName(), quoted(w.comment)))
	}
	return statements
}

func quoted(text string) string {
	text = strings.ReplaceAll(text, "'", "''")
	if strings.Contains(text, `\`) {
		return "E'" + strings.ReplaceAll(text, `\`, `\\`) + "'"
	}
	return "'" + text + "'"
}

// write gives a finding about an index its statements.
func (s survey) write(f *Finding, w written) {
	i := f.index
	switch f.Kind {
	case Unused, Duplicate, RedundantStart:
		f.drop(w)
	case Bloat:
		f.rebuild()
	case Invalid:
		switch {
		case i.Partitioned:
			s.complete(f, w)
		case leftBehind(i.Name):
			f.Mend = []string{"DROP INDEX CONCURRENTLY " + i.QualifiedName()}
			f.Caveats = append(f.Caveats, "Nothing used it, so there is nothing to take back.")
		case !i.Ready:
			f.Mend = []string{"DROP INDEX CONCURRENTLY " + i.QualifiedName()}
			f.Caveats = append(f.Caveats, "Nothing used it, so there is nothing to take back. To build it after all: "+strings.Join(w.create(i), "; "))
		default:
			f.rebuild()
		}
	}
}

func (f *Finding) drop(w written) {
	i := f.index
	f.Undo = w.create(i)
	switch {
	case i.Constraint != "":
		table, name := pgx.Identifier{i.Schema, i.Table}.Sanitize(), pgx.Identifier{i.Constraint}.Sanitize()
		f.Mend = []string{fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", table, name)}
		f.Undo = append(f.Undo, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s UNIQUE USING INDEX %s", table, name, pgx.Identifier{i.Name}.Sanitize()))
		f.Caveats = append(f.Caveats, "Dropping a constraint locks its table for a moment.")
	case i.Partitioned:
		f.Mend = []string{"DROP INDEX " + i.QualifiedName()}
		f.Caveats = append(f.Caveats, "An index of a partitioned table can't be dropped or made concurrently: dropping it locks the table for a moment, and making it keeps writers waiting.")
	default:
		f.Mend = []string{"DROP INDEX CONCURRENTLY " + i.QualifiedName()}
	}
}

func (f *Finding) rebuild() {
	f.Mend = []string{"REINDEX INDEX CONCURRENTLY " + f.index.QualifiedName()}
	if f.index.Exclusion {
		f.Mend = []string{"REINDEX INDEX " + f.index.QualifiedName()}
		f.Caveats = append(f.Caveats, "An exclusion constraint's index can't be rebuilt concurrently: writers wait.")
	}
	f.Caveats = append(f.Caveats, "A rebuilt index is the same index, so there is nothing to take back.")
}

// complete makes what an index of a partitioned table lacks.
func (s survey) complete(f *Finding, w written) {
	i, t := f.index, s.Tables[f.index.TableOID]
	create, rest := w.split()
	if t == nil || rest == "" {
		f.NoDDL = "Its table can't be seen."
		return
	}
	has := make(map[uint32]bool)
	for _, o := range s.Indexes {
		if o.ParentOID == i.OID && o.Valid {
			has[o.TableOID] = true
		}
	}
	for _, oid := range t.PartitionOIDs {
		if p := s.Tables[oid]; p != nil && !has[oid] {
			s.attach(f, i, p, create, rest)
		}
	}
	f.Caveats = append(f.Caveats, "An index of a partition that is complete by now is the same index, so there is nothing to take back.")
}

// attach gives one partition an index of its own and makes it part of the parent's.
func (s survey) attach(f *Finding, parent *Index, p *Table, create, rest string) {
	name := s.free(p.OID, p.Name+"_"+strings.TrimPrefix(parent.Name, parent.Table+"_"))
	concurrently := " CONCURRENTLY"
	if p.Partitioned {
		concurrently = ""
		f.Caveats = append(f.Caveats, p.Name+" is partitioned itself: making its index keeps writers waiting.")
	}
	f.Mend = append(f.Mend,
		fmt.Sprintf("%s%s %s ON %s%s", create, concurrently, pgx.Identifier{name}.Sanitize(), p.QualifiedName(), rest),
		fmt.Sprintf("ALTER INDEX %s ATTACH PARTITION %s", parent.QualifiedName(), pgx.Identifier{p.Schema, name}.Sanitize()))
}

// createFor writes the statements that give a foreign key its index.
func (s survey) createFor(f *Finding, t *Table, k ForeignKey) {
	columns := make([]string, len(k.Names))
	for n, name := range k.Names {
		columns[n] = pgx.Identifier{name}.Sanitize()
	}
	rest := " USING btree (" + strings.Join(columns, ", ") + ")"
	name := s.free(t.OID, "idx_"+t.Name+"_"+strings.Join(k.Names, "_"))
	made := &Index{Schema: t.Schema, Table: t.Name, Name: name}
	if !t.Partitioned {
		f.Mend = []string{fmt.Sprintf("CREATE INDEX CONCURRENTLY %s ON %s%s", pgx.Identifier{name}.Sanitize(), t.QualifiedName(), rest)}
		f.Undo = []string{"DROP INDEX CONCURRENTLY " + made.QualifiedName()}
		return
	}
	f.Mend = []string{fmt.Sprintf("CREATE INDEX %s ON ONLY %s%s", pgx.Identifier{name}.Sanitize(), t.QualifiedName(), rest)}
	f.Undo = []string{"DROP INDEX " + made.QualifiedName()}
	for _, oid := range t.PartitionOIDs {
		if p := s.Tables[oid]; p != nil {
			s.attach(f, made, p, "CREATE INDEX", rest)
		}
	}
}

// longestName is what Postgres keeps of a name, in bytes.
const longestName = 63

// free is a name for an index that no other has, nor is given by another finding.
func (s survey) free(table uint32, want string) string {
	for n := 0; ; n++ {
		suffix := ""
		if n > 0 {
			suffix = fmt.Sprintf("_%d", n)
		}
		end := min(len(want), longestName-len(suffix))
		for end < len(want) && !utf8.RuneStart(want[end]) {
			end--
		}
		name := want[:end] + suffix
		if label := s.Tables[table].Schema + "." + name; !s.taken[label] {
			s.taken[label] = true
			return name
		}
	}
}
