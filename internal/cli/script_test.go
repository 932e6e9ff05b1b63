package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// The scripts run the program as its users do: `exec payaid …`. `exec query …` asks the script's
// database.
func TestMain(m *testing.M) {
	testscript.Main(withServices{m}, map[string]func(){
		"payaid": func() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr, WithNoop())) },
		"query":  func() { os.Exit(query(os.Args[1])) },
	})
}

type withServices struct{ m *testing.M }

func (s withServices) Run() int { return localstack.RunTests(s.m) }

func query(sql string) int {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(values...)
	}
	if rows.Err() != nil {
		fmt.Fprintln(os.Stderr, rows.Err())
		return 1
	}
	return 0
}

func TestScript(t *testing.T) {
	t.Parallel()
	s := &scripts{}
	s.postgres, s.template = localstack.TestTemplate(t, migrations.Up)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // it would wait for a second at each end
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"database": s.database, "status": status, "capture": capture,
		},
	})
}

// scripts are what the scripts' own commands share.
type scripts struct {
	postgres *localstack.Postgres
	template string
	made     atomic.Int64
}

// database [empty] gives the script a database of its own, migrated unless it is to be empty.
func (s *scripts) database(ts *testscript.TestScript, _ bool, args []string) {
	template := s.template
	if len(args) > 0 {
		template = ""
	}
	name := fmt.Sprintf("script_%d", s.made.Add(1))
	ts.Check(s.postgres.CreateDatabase(context.Background(), name, template))
	ts.Setenv("DATABASE_URL", s.postgres.URL(name))
}

// status N PROGRAM ARGS… wants an exit status.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// capture NAME REGEXP sets a variable to the first group that matches in the last output.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("no match for %s in %s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], found[1])
}
