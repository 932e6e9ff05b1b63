package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
	"github.com/payaid/payaid/workers"
)

// A vault is a site with a folder for backups. Its programs of Postgres wait at a gate before they do anything, so that
// tests can act in the middle.
type vault struct {
	*site
	dir      string // of the backups
	binaries string // of programs that wait at the gate
	gate     string // the file that opens it
}

// newVault starts everything but a worker. The gate is open.
func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{site: newSite(t), dir: filepath.Join(t.TempDir(), "backups"), binaries: t.TempDir()}
	v.organization = store.OperatorOrganization // whose jobs these are
	v.gate = filepath.Join(v.binaries, "open")
	for _, program := range []string{"pg_dump", "pg_restore"} {
		real, err := exec.LookPath(program)
		v.must(err)
		if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + program); err == nil && len(found) > 0 {
			real = found[len(found)-1] // what is in PATH may be a script that wants more of an environment
		}
		script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = --version ] && exec %[1]s --version\ntouch %[2]s/began\n"+
			"until [ -e %[3]s ]; do sleep 0.02; done\nexec %[1]s \"$@\"\n", real, v.binaries, v.gate)
		v.must(os.WriteFile(filepath.Join(v.binaries, program), []byte(script), 0o755))
	}
	v.open()
	v.deps.Backing.Keeper = v.keeper(v.url, v.dir)
	return v
}

func (v *vault) keeper(url, dir string) *backup.Keeper {
	v.t.Helper()
	k, err := newKeeper(url, dir, v.binaries)
	v.must(err)
	return k
}

func newKeeper(url, dir, binaries string) (*backup.Keeper, error) {
	return backup.New(backup.Config{DatabaseURL: url, Dir: dir, Binaries: binaries, LockID: migrations.LockID, Retention: backup.Retention{Days: 30}})
}

func (v *vault) open() { v.must(os.WriteFile(v.gate, nil, 0o600)) }

// close keeps the programs that start from now on at the gate.
func (v *vault) close() {
	v.must(os.Remove(v.gate))
	_ = os.Remove(filepath.Join(v.binaries, "began"))
}

// begins waits until a program stands at the gate.
func (v *vault) begins() {
	v.t.Helper()
	v.eventually("a program of Postgres has begun", func() error {
		_, err := os.Stat(filepath.Join(v.binaries, "began"))
		return err
	})
}

// ask submits a job of the operator.
func (v *vault) ask(kind, input string, change ...func(*store.Job)) (id string) {
	v.t.Helper()
	attempts := func(j *store.Job) { j.Queue, j.MaxAttempts = "maintenance", 4 }
	return v.submit(kind, input, append([]func(*store.Job){attempts}, change...)...)
}

// keeps starts a worker for backups.
func (v *vault) keeps() (stop func()) {
	v.t.Helper()
	return v.worker(map[string]int{"maintenance": 2})
}

// hurried waits for a job's end, and has it wait for nothing.
func (v *vault) hurried(id, status string) store.Job {
	v.t.Helper()
	v.eventually("the job ends", func() error {
		v.exec(`UPDATE river_job SET scheduled_at = now() WHERE state IN ('scheduled', 'retryable')`)
		if j := v.job(id); !j.Terminal() {
			return fmt.Errorf("it is %s", j.Status)
		}
		return nil
	})
	return v.ends(id, status)
}

// rows are the history, the oldest first, as "state code".
func (v *vault) rows() (list []string) {
	v.t.Helper()
	all, err := v.db.Backups(v.t.Context(), 100)
	v.must(err)
	for i := len(all) - 1; i >= 0; i-- {
		var p struct{ Code, Detail, Remedy string }
		_ = json.Unmarshal(all[i].Error, &p)
		if all[i].State == store.BackupFailed && (p.Detail == "" || p.Remedy == "") {
			v.t.Errorf("the failure of %s says %s", all[i].Name, all[i].Error)
		}
		list = append(list, strings.TrimSpace(all[i].State+" "+p.Code))
	}
	return list
}

// wantRows waits until the history is this, the oldest first.
func (v *vault) wantRows(want ...string) {
	v.t.Helper()
	v.eventually("the history is "+strings.Join(want, ", "), func() error {
		return same(strings.Join(v.rows(), ", "), strings.Join(want, ", "))
	})
}

// facts are those about backups, in their order, without those that are told of it by jobs.
func (v *vault) facts() (list []string) {
	v.t.Helper()
	rows, err := v.db.Pool().Query(v.t.Context(), `SELECT type || coalesce(' ' || (data::jsonb ->> 'stage') || ' ' || (data::jsonb ->> 'code'), '')
		FROM outbox WHERE type LIKE 'backup.%' AND organization_id = $1 ORDER BY event_id`, store.OperatorOrganization)
	v.must(err)
	list, err = pgx.CollectRows(rows, pgx.RowTo[string])
	v.must(err)
	return list
}

// wantFacts wants the facts about backups to be these.
func (v *vault) wantFacts(want ...string) {
	v.t.Helper()
	if got := strings.Join(v.facts(), ", "); got != strings.Join(want, ", ") {
		v.t.Errorf("the facts are %q, want %q", got, strings.Join(want, ", "))
	}
}

// nothingLeft wants neither half a file nor a database of a try nor a program at work.
func (v *vault) nothingLeft() {
	v.t.Helper()
	left, err := filepath.Glob(filepath.Join(v.dir, ".payaid*"))
	v.must(err)
	if len(left) > 0 {
		v.t.Errorf("left in the folder: %q", left)
	}
	v.eventually("no session of a backup is left", func() error {
		var sessions, databases int
		v.scan(&sessions, `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'payaid-backup%' AND datname = current_database()`)
		v.scan(&databases, `SELECT count(*) FROM pg_database WHERE datname LIKE 'payaid_verify_%' AND datname IN (
			SELECT datname FROM pg_stat_activity WHERE application_name LIKE 'payaid-%')`)
		if sessions+databases > 0 {
			return fmt.Errorf("%d sessions, %d databases", sessions, databases)
		}
		return nil
	})
}

// asKeeper makes the test binary a worker that makes backups, for killing it.
const asKeeper = "PAYAID_TEST_KEEPER_OF"

// separate starts a worker for backups in a process of its own, which ends with the test at the latest.
func (v *vault) separate() (kill func()) {
	v.t.Helper()
	where, err := json.Marshal([]string{v.url, v.nc.ConnectedUrl(), v.dir, v.binaries})
	v.must(err)
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), asKeeper+"="+string(where))
	p.Stderr = v.logged
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	v.must(p.Start())
	kill = func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	v.t.Cleanup(kill)
	return kill
}

// beKeeper works the queue of backups.
func beKeeper(where string) {
	var at []string
	exitOn(json.Unmarshal([]byte(where), &at))
	ctx := context.Background()
	open := func(relaxed bool) *store.DB {
		db, err := store.Open(ctx, store.PoolOptions{URL: at[0], Role: store.System, Name: "killed", MaxConns: 8, Relaxed: relaxed})
		exitOn(err)
		return db
	}
	nc, err := nats.Connect(at[1])
	exitOn(err)
	events, err := stream.Open(nc)
	exitOn(err)
	k, err := newKeeper(at[0], at[2], at[3])
	exitOn(err)
	logged := (&record{}).log()
	d := jobs.Deps{DB: open(false), Relaxed: open(true), Hints: hint.New(nc), Backing: jobs.Backing{Keeper: k}, Log: logged}
	exitOn(workers.New(workers.Config{DB: d.DB, Relaxed: d.Relaxed, Stream: events, Table: jobs.All(d), Queues: map[string]int{"maintenance": 2},
		Hints: d.Hints, Version: "test", Log: logged, Beat: 300 * time.Millisecond}).Run(ctx))
}

// made is what is looked at of the output of db.backup.
type made struct {
	Name         string
	Bytes, Rows  int64
	Tables       int
	Seconds      float64
	Places       []string
	Removed      []string
	Verification *struct {
		JobID string `json:"job_id"`
	}
}

// output reads what a job came to.
func output[T any](v *vault, j store.Job) (out T) {
	v.t.Helper()
	v.must(json.Unmarshal(j.Output, &out))
	return out
}

// appears waits for a job that a fact is to make.
func (v *vault) appears(id string) {
	v.t.Helper()
	v.eventually("the job is there", func() error {
		_, err := v.db.Job(v.t.Context(), v.organization, id)
		return err
	})
}

// errNotYet is for what is waited for.
var errNotYet = errors.New("not yet")
