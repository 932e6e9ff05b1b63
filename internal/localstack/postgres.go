package localstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// The owner of the databases, and the role that makes it. The first is what
	// PayAid runs as; it is no superuser, as in production.
	ownerRole = "payaid"
	superRole = "postgres"

	// Crash recovery of a busy database takes its time.
	postgresStartTimeout  = 2 * time.Minute
	defaultMaxConnections = 200
)

// PostgresOptions says where a private Postgres lives and how it is set up.
type PostgresOptions struct {
	Dir string
	// Port 0 is any free one, remembered in Dir.
	Port int
	// Fsync off is for tests alone: a commit then survives a killed Postgres,
	// but not a machine that loses power.
	Fsync bool
	// Settings are added to ours and win over them.
	Settings map[string]string
	// MaxConnections is 200 when it is 0.
	MaxConnections int
	// Binaries is the folder of the server's programs; "" for those installed.
	Binaries string
	Log      *slog.Logger
}

// Postgres is a private cluster with the login role payaid, which owns what
// CreateDatabase makes, and the superuser postgres.
type Postgres struct {
	*Process
	port          int
	password      string
	superPassword string
}

// StartPostgres starts the cluster in o.Dir, and makes it first where there is
// none. A postmaster that is left over from a killed parent is stopped before.
// Run by root, Postgres itself runs as the user postgres or nobody.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	ctx, cancel := context.WithTimeout(ctx, postgresStartTimeout)
	defer cancel()
	dir, err := openWorkdir(o.Dir, o.Log)
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	pg, options, err := preparePostgres(ctx, dir, o)
	if err != nil {
		dir.close()
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	if pg.Process, err = startProcess(ctx, options); err != nil {
		return nil, err
	}
	return pg, nil
}

func preparePostgres(ctx context.Context, dir *workdir, o PostgresOptions) (*Postgres, processOptions, error) {
	fail := func(err error) (*Postgres, processOptions, error) { return nil, processOptions{}, err }
	data := dir.join("data")
	major, err := clusterMajor(data)
	if err != nil {
		return fail(err)
	}
	bin, err := o.server(ctx, major)
	if err != nil {
		return fail(err)
	}
	as, err := unprivileged("postgres", "nobody")
	if err != nil {
		return fail(err)
	}
	if err := reachable(dir.path, as); err != nil {
		return fail(err)
	}
	if err := stopOrphan(ctx, data, dir.log); err != nil {
		return fail(err)
	}
	pg := &Postgres{}
	if err := pg.passwords(dir, major != 0); err != nil {
		return fail(err)
	}
	if major == 0 {
		if err := initCluster(ctx, dir, bin, as, o.Fsync, pg.superPassword); err != nil {
			return fail(err)
		}
	}
	if err := giveTo(data, as); err != nil {
		return fail(err)
	}
	if pg.port, err = dir.port(ctx, o.Port); err != nil {
		return fail(err)
	}
	return pg, processOptions{
		name:       "postgres",
		path:       bin.path("postgres"),
		args:       postgresArgs(data, pg.port, bin, o),
		credential: as,
		stopSignal: syscall.SIGINT, // fast shutdown: sessions are ended, nothing is lost
		ready:      pg.ensureOwner,
		dir:        dir,
		log:        dir.log,
	}, nil
}

func (o PostgresOptions) server(ctx context.Context, major int) (pgBinaries, error) {
	if o.Binaries != "" {
		return inspectPostgres(ctx, o.Binaries)
	}
	return findPostgres(ctx, major)
}

func (p *Postgres) passwords(dir *workdir, existing bool) (err error) {
	for _, secret := range []struct {
		file string
		text *string
	}{{"superuser-password", &p.superPassword}, {"password", &p.password}} {
		if _, err := os.Stat(dir.join(secret.file)); existing && err != nil {
			return fmt.Errorf("the cluster is there but a password of it is not: put %s back, "+
				"or move the folder away to begin anew: %w", dir.join(secret.file), err)
		}
		if *secret.text, err = dir.secret(secret.file); err != nil {
			return err
		}
	}
	return nil
}

// postgresArgs are the settings of a small private server, as arguments: the
// files in the data folder stay as initdb made them.
func postgresArgs(data string, port int, bin pgBinaries, o PostgresOptions) []string {
	if o.MaxConnections == 0 {
		o.MaxConnections = defaultMaxConnections
	}
	settings := map[string]string{
		"port":                                strconv.Itoa(port),
		"listen_addresses":                    "127.0.0.1",
		"unix_socket_directories":             "",
		"max_connections":                     strconv.Itoa(o.MaxConnections),
		"shared_buffers":                      "128MB",
		"password_encryption":                 "scram-sha-256",
		"idle_in_transaction_session_timeout": "60s",
		"wal_compression":                     "on",
		"timezone":                            "UTC",
		"log_timezone":                        "UTC",
		"log_checkpoints":                     "off",
		// Statements hold people's data, and the log is not the place for that.
		"log_min_error_statement": "panic",
		// Compiling costs a short query more than it saves.
		"jit": "off",
	}
	if bin.library("pg_stat_statements") {
		settings["shared_preload_libraries"] = "pg_stat_statements"
	}
	if !o.Fsync {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, o.Settings)
	args := []string{"-D", data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// URL is the address of a database for the role that owns it.
func (p *Postgres) URL(database string) string { return p.url(ownerRole, p.password, database) }

// SuperURL is the address of a database for the superuser.
func (p *Postgres) SuperURL(database string) string {
	return p.url(superRole, p.superPassword, database)
}

func (p *Postgres) url(role, password, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Host: loopback(p.port),
		Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

const (
	ownerExistsSQL = `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`
	databaseSQL    = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`
)

// ensureOwner is nil when the server answers and the login role is there.
func (p *Postgres) ensureOwner(ctx context.Context) error {
	return p.asSuper(ctx, func(conn *pgx.Conn) error {
		var exists bool
		if err := conn.QueryRow(ctx, ownerExistsSQL, ownerRole).Scan(&exists); err != nil || exists {
			return err
		}
		// The password is one of ours, of letters and digits.
		_, err := conn.Exec(ctx, `CREATE ROLE `+ownerRole+` LOGIN CREATEDB CREATEROLE PASSWORD '`+p.password+`'`)
		if err != nil {
			return final{err}
		}
		_, err = conn.Exec(ctx, `GRANT pg_monitor TO `+ownerRole)
		return err
	})
}

// CreateDatabase makes a database that the login role owns, as a copy of
// template, or of template1 when that is empty. One that exists is left alone.
func (p *Postgres) CreateDatabase(ctx context.Context, name, template string) error {
	if template == "" {
		template = "template1"
	}
	err := p.asSuper(ctx, func(conn *pgx.Conn) error {
		var exists bool
		if err := conn.QueryRow(ctx, databaseSQL, name).Scan(&exists); err != nil || exists {
			return err
		}
		_, err := conn.Exec(ctx, fmt.Sprintf(`CREATE DATABASE %s OWNER %s TEMPLATE %s`,
			pgx.Identifier{name}.Sanitize(), ownerRole, pgx.Identifier{template}.Sanitize()))
		if madeMeanwhile(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// madeMeanwhile recognises that someone else was faster: duplicate_database, or
// unique_violation when both were at it at once.
func madeMeanwhile(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == "42P04" || refused.Code == "23505")
}

func (p *Postgres) asSuper(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, p.SuperURL(superRole))
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "28P01" { // invalid_password
		return final{err}
	}
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}

func (p *Postgres) dropDatabase(ctx context.Context, name string) error {
	err := p.asSuper(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}
