package backup

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const bTrees = `
SELECT c.oid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisvalid`

// checkIndexes has amcheck walk every B-tree, and gives how many there were; why says why there were none. It needs
// a superuser, or a server on which one has let others install amcheck.
func checkIndexes(ctx context.Context, conn *pgx.Conn) (checked int, why string, err error) {
	_, err = conn.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS amcheck WITH SCHEMA pg_catalog`)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == "42501": // insufficient_privilege
		return 0, "the inside of indexes was not checked: only a superuser may install amcheck", nil
	case errors.As(err, &refused) && refused.Code != "57P01": // admin_shutdown
		return 0, "the inside of indexes was not checked: the server has no amcheck (Debian's postgresql-contrib)", nil
	case err != nil:
		return 0, "", serverFault("install amcheck", err)
	}
	rows, err := conn.Query(ctx, bTrees)
	if err != nil {
		return 0, "", serverFault("list the indexes", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return 0, "", serverFault("list the indexes", err)
	}
	for _, index := range list {
		if _, err := conn.Exec(ctx, `SELECT bt_index_check($1::oid::regclass)`, index); err != nil {
			return checked, "", indexFault(err)
		}
		checked++
	}
	return checked, "", nil
}

func indexFault(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == "XX001" || refused.Code == "XX002") { // data_corrupted, index_corrupted
		return &Fault{Code: Different, Err: err, Detail: fmt.Sprintf("an index of the restored database is corrupt: %s", refused.Message),
			Remedy: "have the disk and the memory of the database's machine looked at"}
	}
	return serverFault("check an index", err)
}
