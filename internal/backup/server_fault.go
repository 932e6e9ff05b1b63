package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// serverFault sorts what a database answered, or did not answer, while we were doing something. nil stays nil.
func serverFault(doing string, err error) error {
	var fault *Fault
	var refused *pgconn.PgError
	switch {
	case err == nil, errors.As(err, &fault), errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &refused):
		return &Fault{Code: DatabaseAway, Detail: doing + ": Postgres does not answer", Err: err,
			Remedy: "see whether Postgres runs and can be reached from here, then try again"}
	}
	f := &Fault{Detail: doing + ": " + refused.Message, Err: err}
	switch {
	case refused.Code == "53100": // disk_full
		f.Code, f.Remedy = DiskFull, "make room where Postgres keeps its data, then try again"
	case refused.Code == "42501": // insufficient_privilege
		f.Code, f.Remedy = LoginTooWeak, "give the login the right (CREATEDB to make databases, CREATEROLE to make roles), "+
			"or name another login by BACKUP_DATABASE_URL"
	case strings.HasPrefix(refused.Code, "28"): // invalid_authorization_specification
		f.Code, f.Remedy = LoginTooWeak, "correct the user and the password in the database's address"
	case strings.HasPrefix(refused.Code, "57P"), strings.HasPrefix(refused.Code, "08"), strings.HasPrefix(refused.Code, "53"):
		f.Code, f.Remedy = DatabaseAway, "wait until Postgres runs and has a connection free, then try again"
	case refused.Code == "3D000": // invalid_catalog_name
		f.Code, f.Remedy = DatabaseAway, "name a database that exists in the address"
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
	return f
}
