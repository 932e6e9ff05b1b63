package migrations

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// concurrentIndex is an index that a migration makes while its table is in use.
type concurrentIndex struct {
	name       string
	definition string // as Postgres writes it down
}

var concurrently = regexp.MustCompile(`(?i)CREATE( UNIQUE)? INDEX CONCURRENTLY IF NOT EXISTS (\w+)\s+ON\s+(\w+)\s*([^;]*);`)

// concurrentIndexOf reads the index out of a migration that makes one concurrently; such a migration does
// nothing else, as it has no transaction.
func concurrentIndexOf(text string) (concurrentIndex, bool) {
	found := concurrently.FindStringSubmatch(text)
	if found == nil {
		return concurrentIndex{}, false
	}
	unique, name, table, rest := found[1], found[2], found[3], strings.Join(strings.Fields(found[4]), " ")
	if !strings.HasPrefix(strings.ToUpper(rest), "USING ") {
		rest = "USING btree " + rest
	}
	return concurrentIndex{name: name, definition: "CREATE" + strings.ToUpper(unique) + " INDEX " + name + " ON public." + table + " " + rest}, true
}

const indexState = `
SELECT i.indisvalid AND i.indisready, pg_get_indexdef(i.indexrelid), c.oid
FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = $1`

// makeWay drops what an earlier try left half built, over which IF NOT EXISTS would report success: the
// index would be maintained and never used. One that somebody is building is waited for.
func (r *run) makeWay(ctx context.Context, s *session, index concurrentIndex) error {
	alone := false // nobody built it before it was looked at: who just ended would have left it valid
	for wait := r.newWait(); ; {
		var valid bool
		var definition string
		var oid uint32
		err := s.pool.QueryRow(ctx, indexState, index.name).Scan(&valid, &definition, &oid)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at index %s: %w", index.name, err)
		}
		if definition != index.definition {
			return fmt.Errorf("index %s is there and is another one (%s), want %s; drop or rename it, then migrate again",
				index.name, definition, index.definition)
		}
		if valid {
			return nil
		}
		builders, err := r.buildersOf(ctx, s, oid)
		if err != nil {
			return err
		}
		if len(builders) == 0 && alone {
			return r.dropLeftover(ctx, s, index.name)
		}
		if alone = len(builders) == 0; alone {
			continue
		}
		if err := wait.next(ctx); errors.Is(err, errPatience) {
			return fmt.Errorf("index %s is still being built after %s, by %s: wait until it is done, then migrate again",
				index.name, r.Patience, names(builders))
		} else if err != nil {
			return err
		}
	}
}

// Only by the lock on the table is everybody who builds an index seen: progress is shown to members of the
// role that builds alone. A vacuum has the lock as well, and is to be waited for too; one that Postgres
// started itself, which has no user, gives way.
const buildersOf = `
SELECT l.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), NULL::float8
FROM pg_index i
JOIN pg_locks l ON l.locktype = 'relation' AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
JOIN pg_stat_activity a ON a.pid = l.pid AND a.usesysid IS NOT NULL
WHERE i.indexrelid = $1 AND l.pid <> ALL ($2::integer[])
ORDER BY 1`

// buildersOf says who may be building the index, and reports it.
func (r *run) buildersOf(ctx context.Context, s *session, oid uint32) ([]other, error) {
	builders, err := sessions(ctx, s.pool, buildersOf, oid, s.backends())
	if err != nil || len(builders) == 0 {
		return nil, err
	}
	var backends []int32
	for _, b := range builders {
		backends = append(backends, b.PID)
	}
	build, err := progress(ctx, s.pool, backends)
	if build != "" {
		build = ": " + build
	}
	r.say("built by "+pids(builders), "waits for an index that is being built by %s%s", names(builders), build)
	return builders, err
}

func (r *run) dropLeftover(ctx context.Context, s *session, name string) error {
	r.say("drop "+name, "drops index %s, which was left half built, to make it anew", name)
	_, err := s.pool.Exec(ctx, `DROP INDEX CONCURRENTLY IF EXISTS `+pgx.Identifier{name}.Sanitize())
	if err != nil {
		return fmt.Errorf("drop the half-built index %s: %w", name, err)
	}
	return nil
}

// One that is being built is not valid yet, and nothing is wrong with it.
const invalidIndexes = `
SELECT c.oid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace AND NOT EXISTS (
    SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.usesysid IS NOT NULL
    WHERE l.locktype = 'relation' AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY 1`

// A REINDEX CONCURRENTLY that was cancelled leaves its unfinished copy, or the original that it replaced.
var reindexLeft = regexp.MustCompile(`_cc(new|old)\d*"?$`)

// An InvalidIndex is one that was left half built: it costs every write and serves no query.
type InvalidIndex struct {
	Name string
	Mend string // the SQL that does
}

// InvalidIndexes lists the half-built indexes, without those that somebody is building.
func (m Migrator) InvalidIndexes(ctx context.Context) ([]InvalidIndex, error) {
	s, err := newRun(m).open(ctx, lockTimeout)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.invalidIndexes(ctx)
}

// invalidIndexes looks twice: a build that ends between the index and its lock looks as if it had been given up.
func (s *session) invalidIndexes(ctx context.Context) ([]InvalidIndex, error) {
	first, err := s.lookForInvalidIndexes(ctx)
	if err != nil || len(first) == 0 {
		return nil, err
	}
	second, err := s.lookForInvalidIndexes(ctx)
	return slices.DeleteFunc(second, func(i InvalidIndex) bool { return !slices.Contains(first, i) }), err
}

func (s *session) lookForInvalidIndexes(ctx context.Context) ([]InvalidIndex, error) {
	rows, err := s.pool.Query(ctx, invalidIndexes)
	if err != nil {
		return nil, fmt.Errorf("look for invalid indexes: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (InvalidIndex, error) {
		name, err := pgx.RowTo[string](row)
		if reindexLeft.MatchString(name) {
			return InvalidIndex{name, "DROP INDEX CONCURRENTLY " + name}, err
		}
		return InvalidIndex{name, "REINDEX INDEX CONCURRENTLY " + name}, err
	})
}

// noInvalidIndex is an error that says how to mend half-built indexes which are no pending migration's to mend.
func noInvalidIndex(ctx context.Context, s *session) error {
	invalid, err := s.invalidIndexes(ctx)
	if err != nil || len(invalid) == 0 {
		return err
	}
	var names, mend []string
	for _, index := range invalid {
		names, mend = append(names, index.Name), append(mend, index.Mend)
	}
	return fmt.Errorf("half-built indexes cost every write and serve no query: %s; mend with: %s",
		strings.Join(names, ", "), strings.Join(mend, "; "))
}
