package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// An UnusableError means that a database answers, and what keeps the program from using it: something that
// its operator has to mend, and that may be mended while the program runs.
type UnusableError struct {
	Problem string // in words, with no name and no secret: strangers read it at /readyz
	Remedy  string
	cause   error
}

// Reason is the problem and what to do about it.
func (e *UnusableError) Reason() string { return e.Problem + ": " + e.Remedy }

// Error implements error.
func (e *UnusableError) Error() string {
	if e.cause == nil {
		return e.Reason()
	}
	return e.Reason() + " (" + e.cause.Error() + ")"
}

// Unwrap gives what Postgres said.
func (e *UnusableError) Unwrap() error { return e.cause }

// migrating is what mends a schema that is not there. A database that lost its own is as empty as a new one, and whoever
// migrates it has an empty product.
const migrating = "run `payaid migrate`, or `payaid backup restore` where there was data"

const noSchema = "the database has no schema, or one that is older than this program"

// ErrNoSchema means that the database answers, and nobody has migrated it for this program.
var ErrNoSchema error = &UnusableError{Problem: noSchema, Remedy: migrating}

// Explain makes an UnusableError of what Postgres says where a login, a role or the schema is wrong. Other
// errors stay as they are.
func Explain(err error) error {
	var known *UnusableError
	var pg *pgconn.PgError
	if errors.As(err, &known) || !errors.As(err, &pg) {
		return err
	}
	// Codes of Postgres (appendix A of its manual).
	switch pg.Code {
	case "28P01", "28000":
		return &UnusableError{"the database refuses the login", "check user and password in DATABASE_URL, and pg_hba.conf", err}
	case "3D000":
		return &UnusableError{"there is no such database on the server", "check DATABASE_URL; a lost one comes back by `payaid backup restore`, a new one is created empty and migrated", err}
	case "42P01", "42703", "42883", "3F000": // no such table, column, function, schema
		return &UnusableError{noSchema, migrating, err}
	}
	return err
}

// becoming says what is wrong with a connection that can't take our role.
func becoming(role Role, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "22023", "42704":
		return &UnusableError{"the database lacks the role " + string(role), "run `payaid migrate`", err}
	case "42501":
		return &UnusableError{"the login may not act as " + string(role), "grant it that role", err}
	}
	return err
}

// What the last migration made that requests can't do without; indexes only make them faster.
const selectSchema = `
SELECT to_regclass('public.schedules') IS NOT NULL
   AND to_regprocedure('public.search_invoices(text[],text,uuid,uuid,integer)') IS NOT NULL
   AND to_regclass('public.installation_secrets') IS NOT NULL
   AND to_regclass('public.admin_views') IS NOT NULL`

// Ready asks whether the database answers and has the schema that we need. Where it answers and can't be
// used, the error is an UnusableError.
func (db *DB) Ready(ctx context.Context) error {
	return db.with(ctx, func(conn *pgxpool.Conn) error {
		var there bool
		err := conn.QueryRow(ctx, selectSchema).Scan(&there)
		if err == nil && !there {
			err = ErrNoSchema
		}
		return err
	})
}
