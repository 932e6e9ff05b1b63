package migrations

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/jackc/pgx/v5"
)

const login = `
SELECT current_user::text, current_database()::text, current_setting('server_version_num')::integer / 10000,
       rolsuper, rolsuper OR rolcreaterole, has_schema_privilege('public', 'CREATE'),
       has_database_privilege(current_database(), 'CREATE')
FROM pg_roles WHERE rolname = current_user`

// rights are what the login may do.
type rights struct {
	Login, Database string
	Major           int
	Super           bool
	CreateRoles     bool
	CreateTables    bool
	CreateInside    bool // schemas and trusted extensions
}

// preflight finds what would stop the migrations half way, and says what to do about it.
func (r *run) preflight(ctx context.Context, s *session) error {
	steps, err := s.status(ctx)
	if err != nil {
		return s.mayCreate(ctx, err)
	}
	var extensions []string
	first := false
	for _, step := range steps {
		if !step.AppliedAt.IsZero() {
			continue
		}
		text, err := fs.ReadFile(r.files, step.Name)
		if err != nil {
			return err
		}
		first = first || step.Version == 1
		for _, found := range createExtension.FindAllStringSubmatch(string(text), -1) {
			extensions = append(extensions, found[1])
		}
	}
	if !first && len(extensions) == 0 {
		return nil
	}
	may, err := s.rights(ctx)
	if err != nil {
		return err
	}
	if first && !may.CreateRoles {
		return fmt.Errorf("the login %s may not create the roles that PayAid's processes take on; have a superuser run ALTER ROLE %s CREATEROLE, then migrate again",
			may.Login, pgx.Identifier{may.Login}.Sanitize())
	}
	return s.extensions(ctx, may, extensions)
}

func (s *session) rights(ctx context.Context) (rights, error) {
	rows, err := s.pool.Query(ctx, login)
	if err != nil {
		return rights{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[rights])
}

// mayCreate explains why not even the list of migrations could be made.
func (s *session) mayCreate(ctx context.Context, cause error) error {
	may, err := s.rights(ctx)
	if err != nil || may.CreateTables {
		return cause
	}
	user, database := pgx.Identifier{may.Login}.Sanitize(), pgx.Identifier{may.Database}.Sanitize()
	return fmt.Errorf("the login %s may not create tables in the database %s; have its owner or a superuser run ALTER DATABASE %s OWNER TO %s, then migrate again",
		may.Login, may.Database, database, user)
}

var createExtension = regexp.MustCompile(`(?i)CREATE EXTENSION IF NOT EXISTS (\w+)`)

const extensionState = `
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = $1),
       EXISTS (SELECT FROM pg_available_extensions WHERE name = $1),
       coalesce((SELECT v.trusted FROM pg_available_extensions a
                 JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
                 WHERE a.name = $1), false)`

// extensions finds those that can't be made.
func (s *session) extensions(ctx context.Context, may rights, wanted []string) error {
	for _, name := range wanted {
		var installed, available, trusted bool
		if err := s.pool.QueryRow(ctx, extensionState, name).Scan(&installed, &available, &trusted); err != nil {
			return fmt.Errorf("look for the extension %s: %w", name, err)
		}
		switch {
		case installed || may.Super && available:
		case !available:
			return fmt.Errorf("the Postgres server lacks the extension %s; install its contrib modules "+
				"(Debian and Ubuntu: part of postgresql-%d; others: postgresql-contrib; a managed database: enable the extension), then migrate again",
				name, may.Major)
		case !trusted:
			return fmt.Errorf("only a superuser can make the extension %s; have one run CREATE EXTENSION %s in the database %s, then migrate again",
				name, name, may.Database)
		case !may.CreateInside:
			return fmt.Errorf("the login %s may not make the extension %s; have the owner of the database or a superuser run "+
				"GRANT CREATE ON DATABASE %s TO %s, then migrate again",
				may.Login, name, pgx.Identifier{may.Database}.Sanitize(), pgx.Identifier{may.Login}.Sanitize())
		}
	}
	return nil
}
