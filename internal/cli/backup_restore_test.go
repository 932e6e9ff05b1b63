package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// commanded runs a command line and gives its status and what it printed.
func commanded(t *testing.T, args ...string) (status int, out, complaints string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, lookup: func(string) (string, bool) { return "", false }}
	status = a.run(t.Context(), args)
	return status, stdout.String(), stderr.String()
}

func ask(t *testing.T, url, sql string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var v any
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(v)
}

// The command works without a database of ours, with a key from a file, and leaves nothing of a lost future in the cache.
func TestBackupRestore(t *testing.T) {
	t.Parallel()
	pg := localstack.NewPostgres(t)
	if err := pg.CreateDatabase(t.Context(), "payaid", ""); err != nil {
		t.Fatal(err)
	}
	url := pg.URL("payaid")
	if _, err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "backups")
	k, err := backup.New(backup.Config{DatabaseURL: url, Dir: dir, LockID: migrations.LockID, Recipients: []string{identity.Recipient().String()}})
	if err != nil {
		t.Fatal(err)
	}
	const id = "0197a5b0-0000-7000-8000-000000000001"
	ask(t, url, `INSERT INTO backups (id, name, state, host, started_at) VALUES ('`+id+`', 'begun', 'running', 'x', now()) RETURNING name`)
	m, err := k.Make(t.Context(), backup.MakeOptions{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, url, `UPDATE organizations SET name = 'Later' RETURNING name`)
	redis := localstack.NewRedis(t)
	cache, err := cachetag.Open(cachetag.Options{URL: redis.URL(), ReadTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	entry := cachetag.Entry{Organization: "00000000-0000-0000-0000-000000000000", Name: "organization:config", Tags: []string{"org"}, TTL: cachetag.LongestTTL}
	name := func() (value string, outcome cachetag.Outcome) {
		raw, outcome, err := cache.Read(t.Context(), entry, func(context.Context) ([]byte, error) {
			return []byte(ask(t, url, `SELECT name FROM organizations`)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw), outcome
	}
	name()
	if value, outcome := name(); value != "Later" || outcome != cachetag.Hit {
		t.Fatalf("got %s by a %s", value, outcome)
	}
	args := []string{"backup", "restore", "--to=payaid", "--database-url=" + url, "--redis-url=" + redis.URL(), "--backup-dir=" + dir}
	status, out, complaints := commanded(t, args...)
	if status != 1 || !strings.Contains(complaints, "BACKUP_AGE_IDENTITY") {
		t.Fatalf("without the key: status %d, %s%s", status, out, complaints)
	}
	key := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(key, []byte("# public key: …\n"+identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append(args, "--identity="+key)
	if status, out, complaints = commanded(t, args...); status != 1 || !strings.Contains(complaints, "--force") {
		t.Fatalf("over a database: status %d, %s%s", status, out, complaints)
	}
	args = append(args, "--force")
	if status, out, complaints = commanded(t, append(args, "--dry-run")...); status != 0 || !strings.Contains(out, m.Name) || !strings.Contains(out, "payaid_before_") {
		t.Fatalf("to see what it would do: status %d, %s%s", status, out, complaints)
	}
	if status, out, complaints = commanded(t, args...); status != 1 || !strings.Contains(complaints, "--yes") {
		t.Fatalf("unasked: status %d, %s%s", status, out, complaints)
	}
	if value, _ := name(); value != "Later" {
		t.Fatalf("something was restored: %s", value)
	}
	status, out, complaints = commanded(t, append(args, "--yes")...)
	if status != 0 {
		t.Fatalf("status %d, %s%s", status, out, complaints)
	}
	t.Log(out)
	if value, _ := name(); value != "Operator" {
		t.Errorf("clients are told of %q, from a future that is lost", value)
	}
	for _, want := range []string{"all " + fmt.Sprint(len(m.Tables)) + " tables", "payaid_before_", "Invoice numbers", "payaid doctor"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if epochs := ask(t, url, `SELECT count(*) FROM outbox_epochs`); epochs != "2" {
		t.Errorf("got %s epochs, want a new life of the outbox", epochs)
	}
	if n := ask(t, url, `SELECT count(*) FROM river_job WHERE kind = 'cache.forget'`); n != "1" {
		t.Errorf("got %s jobs that empty the cache", n)
	}
	if got := ask(t, url, `SELECT string_agg(name || ' ' || state, ', ') FROM backups`); got != m.Name+" completed" {
		t.Errorf("the restored database knows of %s, want the backup that it is from", got)
	}
	// One from anywhere isn't among the backups that the database has, nor is it still being made.
	status, out, complaints = commanded(t, "backup", "restore", filepath.Join(dir, m.File), "--to=elsewhere", "--database-url="+url, "--identity="+key)
	if status != 0 || ask(t, pg.URL("elsewhere"), `SELECT count(*) FROM backups`) != "0" {
		t.Errorf("by its path: status %d, %s%s", status, out, complaints)
	}
	// To look at: nothing is changed.
	status, out, complaints = commanded(t, "backup", "restore", filepath.Join(dir, m.File), "--to=copy", "--as-is", "--database-url="+url, "--identity="+key)
	if status != 0 || ask(t, pg.URL("copy"), `SELECT count(*) FROM outbox_epochs`) != "1" {
		t.Errorf("as it is: status %d, %s%s", status, out, complaints)
	}
}

// What was tried and is no good is passed over and named, and restored only by its name, with a warning.
func TestBackupRestorePassesOverWhatIsNoGood(t *testing.T) {
	t.Parallel()
	url := localstack.TestPostgres(t).URL(localstack.TestPostgres(t).NewDatabase(t, ""))
	dir := filepath.Join(t.TempDir(), "backups")
	k, err := backup.New(backup.Config{DatabaseURL: url, Dir: dir, LockID: migrations.LockID})
	if err != nil {
		t.Fatal(err)
	}
	var made []backup.Manifest
	for range 2 {
		m, err := k.Make(t.Context(), backup.MakeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, m)
	}
	older, newer := made[0], made[1]
	disprove := func(m backup.Manifest) {
		t.Helper()
		raw, err := json.Marshal(backup.Verification{Name: m.Name, SHA256: m.SHA256, State: backup.Failed, Detail: "rows are missing", FinishedAt: m.FinishedAt})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, m.Name+".verification.json"), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	plan := func(name string) (status int, out, complaints string) {
		return commanded(t, "backup", "restore", name, "--to=fresh", "--dry-run", "--database-url="+url, "--backup-dir="+dir)
	}
	disprove(newer)
	status, out, complaints := plan("latest")
	if status != 0 || !strings.Contains(out, "backup    "+older.Name) || !strings.Contains(out, "passed    "+newer.Name) || !strings.Contains(out, "rows are missing") {
		t.Errorf("the newest: status %d, %s%s", status, out, complaints)
	}
	if status, out, complaints = plan(newer.Name); status != 0 || !strings.Contains(out, "WARNING") || !strings.Contains(out, "rows are missing") {
		t.Errorf("by its name: status %d, %s%s", status, out, complaints)
	}
	if status, out, complaints = plan(older.Name); status != 0 || strings.Contains(out, "WARNING") || strings.Contains(out, "passed") {
		t.Errorf("one that nobody tried: status %d, %s%s", status, out, complaints)
	}
	disprove(older)
	if status, out, complaints = plan("latest"); status != 1 || !strings.Contains(complaints, newer.Name) || !strings.Contains(complaints, "name it") {
		t.Errorf("with none left: status %d, %s%s", status, out, complaints)
	}
}

func TestBackupRestoreSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for what, tt := range map[string]struct {
		args []string
		want string
	}{
		"no server":   {[]string{"--database-url=postgres://payaid@127.0.0.1:1/payaid", "--backup-dir=" + filepath.Join(dir, "b")}, "payaid backup"},
		"no file":     {[]string{filepath.Join(dir, "payaid_20260101_020000.dump.zst"), "--database-url=postgres://payaid@127.0.0.1:1/payaid"}, "manifest"},
		"a bad key":   {[]string{"--identity=" + filepath.Join(dir, "none"), "--database-url=postgres://payaid@127.0.0.1:1/payaid"}, "--identity"},
		"no settings": {[]string{"--data=" + dir}, "DATABASE_URL"},
	} {
		status, out, complaints := commanded(t, append([]string{"backup", "restore", "--to=payaid"}, tt.args...)...)
		if status != 1 || !strings.Contains(complaints, tt.want) {
			t.Errorf("%s: status %d, %s%s; want %q in it", what, status, out, complaints, tt.want)
		}
	}
}
