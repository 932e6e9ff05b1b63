package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// A backup is made, listed and proven from the command line, and the database knows of all of it.
func TestBackupCommands(t *testing.T) {
	t.Parallel()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	url, dir := pg.URL(pg.NewDatabase(t, template)), filepath.Join(t.TempDir(), "backups")
	at := []string{"--database-url=" + url, "--backup-dir=" + dir}
	run := func(want int, args ...string) (out string) {
		t.Helper()
		status, out, complaints := commanded(t, append(append([]string{"backup"}, args...), at...)...)
		if status != want || (want == 0 && complaints != "") {
			t.Fatalf("%q ends with %d: %s%s", args, status, out, complaints)
		}
		return out + complaints
	}
	if out := run(0, "list"); !strings.Contains(out, "there is no backup in "+dir) {
		t.Errorf("list of none: %s", out)
	}
	if out := run(1, "verify"); !strings.Contains(out, "payaid backup now") {
		t.Errorf("verify of none: %s", out)
	}
	var made madeNow
	out := run(0, "now", "--json")
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Rows == 0 || made.Bytes == 0 || len(made.Places) != 1 || made.Verification != nil {
		t.Errorf("now: %v: %s", err, out)
	}
	if out := run(0, "list"); !strings.Contains(out, made.Name) || !strings.Contains(out, "not yet") || !strings.Contains(out, "None of them was restored") {
		t.Errorf("list: %s", out)
	}
	if out := run(0, "verify", made.Name); !strings.Contains(out, "verified  "+made.Name+": restored in ") {
		t.Errorf("verify: %s", out)
	}
	if out := run(0, "now", "--verify"); !strings.Contains(out, "places    "+dir+"\n") || !strings.Contains(out, "verified  ") {
		t.Errorf("now --verify: %s", out)
	}
	var list listedBackups
	out = run(0, "list", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Data) != 2 || list.Newest == nil || *list.Newest != *list.NewestVerified ||
		*list.LossSeconds > 600 || *list.ReturnSeconds <= 0 {
		t.Errorf("list: %v: %s", err, out)
	}
	if got := ask(t, url, `SELECT string_agg(state || ' ' || (verified_at IS NOT NULL), ', ') FROM backups`); got != "completed true, completed true" {
		t.Errorf("the database knows of %s", got)
	}
	if got := ask(t, url, `SELECT string_agg(type, ' ' ORDER BY event_id) FROM outbox`); got != "backup.completed backup.verified backup.completed backup.verified" {
		t.Errorf("the facts are %s", got)
	}
	dump := filepath.Join(dir, *list.Newest+".dump.zst")
	text, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(dump, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(1, "verify"); !strings.Contains(out, *list.Newest) {
		t.Errorf("verify of a spoilt one: %s", out)
	}
	spoilt := *list.Newest
	out = run(0, "list", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || list.Newest == nil || *list.Newest != made.Name {
		t.Errorf("the newest that is known to be good is not %s, before %s: %s", made.Name, spoilt, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out := run(1, "now"); !strings.Contains(out, "chmod 700 "+dir) {
		t.Errorf("now in an open folder: %s", out)
	}
	if got := ask(t, url, `SELECT error ->> 'code' FROM backups WHERE state = 'failed'`); got != backup.FolderUnusable {
		t.Errorf("the database knows of %s", got)
	}
}

// A database without tables of ours is backed up as well, and it is said that nothing is written down.
func TestBackupOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	pg := localstack.TestPostgres(t)
	url, dir := pg.URL(pg.NewDatabase(t, "")), filepath.Join(t.TempDir(), "backups")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `CREATE TABLE t AS SELECT 1 AS n FROM generate_series(1, 10)`); err != nil {
		t.Fatal(err)
	}
	status, out, complaints := commanded(t, "backup", "now", "--verify", "--database-url="+url, "--backup-dir="+dir)
	if status != 0 || !strings.Contains(out, "1 tables with 10 rows") || !strings.Contains(complaints, "not written down in the database") {
		t.Errorf("it ends with %d: %s%s", status, out, complaints)
	}
}

func TestBackupCommandsSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"now --database-url=postgres://127.0.0.1:1/payaid":                                      "BACKUP_DIR: name the folder",
		"now --database-url=postgres://127.0.0.1:1/payaid --backup-dir=" + t.TempDir() + "/new": "BACKUP_DATABASE_URL",
		"now --data=/nowhere":                                "payaid up --data /nowhere",
		"verify --data=/nowhere":                             "payaid up --data /nowhere",
		"list --data=/nowhere":                               "",
		"list --backup-dir=/nowhere --backup-verify=perhaps": "BACKUP_VERIFY",
	} {
		status, out, complaints := commanded(t, append([]string{"backup"}, strings.Fields(args)...)...)
		if (status != 0) != (says != "") || !strings.Contains(complaints, says) {
			t.Errorf("%s ends with %d: %s%s", args, status, out, complaints)
		}
	}
}

func TestListedBackups(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	entry := func(name string, age time.Duration, v *backup.Verification, problem *backup.Fault) backup.Entry {
		return backup.Entry{Name: name, Places: []string{"folder"}, Verification: v, Problem: problem,
			Manifest: &backup.Manifest{Name: name, SnapshotAt: now.Add(-age), SHA256: "x", Bytes: 3 << 20}}
	}
	passed := &backup.Verification{State: backup.Passed, SHA256: "x", RestoreSeconds: 12.5, FinishedAt: now.Add(-20 * time.Hour)}
	l := listBackups([]backup.Entry{
		entry("bad", time.Hour, nil, &backup.Fault{Code: backup.Truncated, Detail: "it is short"}),
		entry("good", 2*time.Hour, nil, nil),
		entry("verified", 26*time.Hour, passed, nil),
		{Name: "no manifest", Places: []string{"remote"}, Problem: &backup.Fault{Detail: "it has none"}},
	}, now)
	if *l.Newest != "good" || *l.NewestVerified != "verified" || *l.LossSeconds != 26*3600 || *l.ReturnSeconds != 12.5 || len(l.Data) != 4 {
		t.Errorf("got %+v", l)
	}
	if l := listBackups(nil, now); l.Data == nil || l.Newest != nil || l.LossSeconds != nil {
		t.Errorf("of none: %+v", l)
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 20: "3.0 MiB", 5 << 40: "5.0 TiB", 1 << 62: "4096.0 PiB"} {
		if got := bytesIn(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}
