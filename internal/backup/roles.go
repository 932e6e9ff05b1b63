package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const missingRoles = `SELECT name FROM unnest($1::text[]) AS name WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) ORDER BY 1`

// absentRoles are those that a dump names, as owners, in grants and in policies, and that the server lacks.
func absentRoles(ctx context.Context, conn *pgx.Conn, m Manifest) ([]string, error) {
	rows, _ := conn.Query(ctx, missingRoles, m.Roles)
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, serverFault("look for the roles", err)
	}
	return missing, nil
}

// makeRoles makes the roles that a dump names and the server lacks. Nobody can log in as one, and a password is not
// in a backup: who could, has to be allowed to again.
func makeRoles(ctx context.Context, conn *pgx.Conn, m Manifest) ([]string, error) {
	missing, err := absentRoles(ctx, conn, m)
	if err != nil {
		return nil, err
	}
	for i, role := range missing {
		name := pgx.Identifier{role}.Sanitize()
		_, err := conn.Exec(ctx, `CREATE ROLE `+name+` NOLOGIN`)
		var refused *pgconn.PgError
		if errors.As(err, &refused) && (refused.Code == "42710" || refused.Code == "23505") {
			continue // somebody else has made it meanwhile
		}
		if errors.As(err, &refused) && refused.Code == "42501" {
			var sql []string
			for _, role := range missing[i:] {
				sql = append(sql, "CREATE ROLE "+pgx.Identifier{role}.Sanitize()+" NOLOGIN;")
			}
			return nil, &Fault{Code: LoginTooWeak, Err: err,
				Detail: fmt.Sprintf("the dump names the roles %s, which the server lacks, and the login may not make them", strings.Join(missing[i:], ", ")),
				Remedy: "have a superuser do `" + strings.Join(sql, " ") + "`, or give the login CREATEROLE"}
		}
		if err != nil {
			return nil, serverFault("make the role "+role, err)
		}
		// From Postgres 16 on whoever made a role may give it out, and is no member of it before that.
		if _, err := conn.Exec(ctx, `GRANT `+name+` TO CURRENT_USER`); err != nil {
			return nil, serverFault("become a member of the role "+role, err)
		}
	}
	return missing, nil
}
