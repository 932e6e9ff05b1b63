package api

import (
	"context"
	"strings"
)

// schemaDetails are whether the database has the schema of this program, and indexes that were left half built.
func (s *Server) schemaDetails(ctx context.Context) []healthDetail {
	const schema, indexes = "schema", "indexes"
	f, err := s.DB.SchemaFigures(ctx)
	if err != nil {
		s.tellSparsely("the schema can't be looked at", err)
		return []healthDetail{{schema, stateUnknown, "the login of this process may not look at it; payaid migrate status tells"}}
	}
	list := make([]healthDetail, 0, 2)
	switch {
	case s.Figures.Schema == 0:
		list = append(list, healthDetail{schema, stateUnknown, "this process doesn't know which one it needs"})
	case f.Version < s.Figures.Schema:
		list = append(list, judged(schema, stateDegraded, "migrations are pending: the database is at %05d, this program at %05d; run payaid migrate", f.Version, s.Figures.Schema))
	case f.Version > s.Figures.Schema:
		list = append(list, judged(schema, stateOK, "a newer program has migrated the database to %05d; this one is at %05d", f.Version, s.Figures.Schema))
	default:
		list = append(list, judged(schema, stateOK, "all migrations are applied, up to %05d", f.Version))
	}
	if len(f.Invalid) > 0 {
		return append(list, judged(indexes, stateDegraded, "left half built, so they cost every write and serve no query: %s; payaid doctor says how to mend them", strings.Join(f.Invalid, ", ")))
	}
	return append(list, judged(indexes, stateOK, "none is left half built"))
}
