package backup

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A dump of one database says nothing of the database itself: whose it is, who may connect, and what is set for it. These
// are the statements that give another database what one has. Settings that are lists are kept as they are written.
const selectInheritance = `
WITH old AS (SELECT oid, datdba, datacl FROM pg_database WHERE datname = $1),
     setting AS (
        SELECT s.setrole, split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value
        FROM old JOIN pg_db_role_setting s ON s.setdatabase = old.oid, unnest(s.setconfig) AS c)
SELECT format('ALTER DATABASE %I OWNER TO %I', $2::text, pg_get_userbyid(datdba)) FROM old
UNION ALL
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', $2::text) FROM old WHERE datacl IS NOT NULL
UNION ALL
SELECT format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, $2::text,
              CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
              CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM old, aclexplode(old.datacl) AS a
UNION ALL
SELECT CASE setrole WHEN 0 THEN format('ALTER DATABASE %I SET %I TO ', $2::text, name)
                    ELSE format('ALTER ROLE %I IN DATABASE %I SET %I TO ', pg_get_userbyid(setrole), $2::text, name) END ||
       CASE WHEN name IN ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries') THEN value
            ELSE quote_literal(value) END
FROM setting`

// inherit gives a restored database what the one had whose place it takes. What the login may not say is given back, for
// somebody who may.
func inherit(ctx context.Context, tx pgx.Tx, from, to string) (refused []string, err error) {
	rows, _ := tx.Query(ctx, selectInheritance, from, to)
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, sql := range statements {
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, sql)
			return err
		})
		var answer *pgconn.PgError
		if errors.As(err, &answer) && answer.Code == "42501" { // insufficient_privilege
			refused = append(refused, sql)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return refused, nil
}

const selectTablesOwner = `
SELECT coalesce((SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
                 GROUP BY relowner ORDER BY count(*) DESC, relowner LIMIT 1), current_user)`

// ownTables makes a database that takes nobody's place belong to who owns most of its tables, as they make the next ones.
func ownTables(ctx context.Context, url, name string) error {
	conn, err := openOn(ctx, url, "")
	if err != nil {
		return serverFault("connect to the restored database", err)
	}
	defer closeConn(ctx, conn)
	var owner string
	if err := conn.QueryRow(ctx, selectTablesOwner).Scan(&owner); err != nil {
		return serverFault("look whose the tables are", err)
	}
	_, err = conn.Exec(ctx, `ALTER DATABASE `+pgx.Identifier{name}.Sanitize()+` OWNER TO `+pgx.Identifier{owner}.Sanitize())
	return serverFault("give the database to "+owner, err)
}
