package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
)

// A patient is an `up` whose parts the test breaks one by one.
type patient struct {
	t        *testing.T
	data     string
	database string
}

// complain looks by the doctor, and wants one line about a check: its state and words of what is wrong and what to do.
func (p *patient) complain(check, state string, words []string, env []string, args ...string) {
	p.t.Helper()
	s := &stack{t: p.t, env: env}
	status, output := s.once(append([]string{"doctor", "--json", "--data", p.data}, args...)...)
	var report struct{ Findings []finding }
	if err := json.NewDecoder(strings.NewReader(output)).Decode(&report); err != nil {
		p.t.Fatalf("%s: status %d, %v: %s", check, status, err, output)
	}
	want := 0
	for _, f := range report.Findings {
		if f.State == "broken" {
			want = 1
		}
	}
	if status != want {
		p.t.Errorf("%s: status %d, want %d: %s", check, status, want, output)
	}
	for _, f := range report.Findings {
		if f.Check != check {
			continue
		}
		if f.State != state || !containsAll(f.Detail+" → "+f.Remedy, words) || (state != "ok") != (f.Remedy != "") {
			p.t.Errorf("got %+v, want %s and %q", f, state, words)
		}
		p.t.Logf("%-8s %-22s %s → %s", f.State, f.Check, f.Detail, f.Remedy)
		return
	}
	p.t.Errorf("the doctor says nothing of %s: %s", check, output)
}

// sql changes the database behind everybody's back, as the login that owns the tables.
func (p *patient) sql(statement string) {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.database)
	if err == nil {
		_, err = conn.Exec(p.t.Context(), statement)
	}
	must(p.t, statement, err)
	must(p.t, "close", conn.Close(context.Background()))
}

// A healthy `up` is found healthy, and of each thing that is broken in it the doctor names what it is and what to do.
func TestTheDoctorOfUp(t *testing.T) {
	t.Parallel()
	data := filepath.Join(passableDir(t), "data")
	u := up(t, data, freeAddress(t), []string{"RATELIMIT_ENABLED=true", "RATELIMIT_REQUESTS=20"})
	must(t, "start", u.start())
	_, err := u.says(within(t, 3*time.Minute), "PayAid is ready")
	must(t, "ready", err)
	text, err := os.ReadFile(filepath.Join(data, "running.json"))
	must(t, "find the services", err)
	var where struct {
		DatabaseURL string `json:"database_url"`
		NATSURL     string `json:"nats_url"`
	}
	must(t, "read where they are", json.Unmarshal(text, &where))
	p := &patient{t: t, data: data, database: where.DatabaseURL}
	must(t, "the worker is known", eventually(within(t, 30*time.Second), func(context.Context) error {
		s := &stack{t: t}
		if status, output := s.once("doctor", "--data", data); status != 0 {
			return fmt.Errorf("the doctor finds a running up sick: %s", output)
		}
		return nil
	}))
	p.complain("nats sync", "ok", []string{"syncs every write"}, nil)
	p.complain("rate limit", "ok", []string{"request 21 was refused"}, nil, "--probe-limits")
	p.complain("security headers", "ok", nil, nil)
	p.complain("backups", "warning", []string{"none yet", "payaid backup now"}, nil)

	p.away()
	p.inTheDatabase()
	p.inTheFolder()
	p.model()
	ends(t, u, 15*time.Second)
}

// away are services that aren't there, or don't answer as they should.
func (p *patient) away() {
	p.complain("redis", "warning", []string{"refused", "start Redis"}, []string{"REDIS_URL=redis://127.0.0.1:1"})
	p.complain("mail", "broken", []string{"refused", "SMTP_HOST"}, []string{"SMTP_HOST=127.0.0.1", "SMTP_PORT=1", "SMTP_FROM=a@example.com", "SMTP_ALLOW_PLAINTEXT=true"})
	p.complain("ai", "warning", []string{"does not answer", "ollama pull"}, nil)
	p.complain("groq", "warning", []string{"can't be reached", "GROQ_BASE_URL"}, []string{"GROQ_API_KEY_FALLBACK=gsk_x", "GROQ_BASE_URL=http://127.0.0.1:1/v1"})
	p.complain("api", "broken", []string{"refused", "payaid api"}, nil, "--url", "http://127.0.0.1:1")
	p.complain("metrics", "broken", []string{"refused", "METRICS_LISTEN"}, []string{"METRICS_LISTEN=127.0.0.1:1"})
	p.complain("traces", "warning", []string{"refused", "collector"}, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"})
	p.complain("nats sync", "warning", []string{"refused", "NATS_MONITOR"}, []string{"NATS_MONITOR=http://127.0.0.1:1"})
	p.complain("variable SMTP_PASSWORD", "warning", []string{"SMTP_PASS"}, []string{"SMTP_PASSWORD=hunter2"})
	p.complain("backup second place", "broken", []string{"refused"}, []string{"BACKUP_S3_ENDPOINT=http://127.0.0.1:1", "BACKUP_S3_BUCKET=backups",
		"BACKUP_S3_ACCESS_KEY=a", "BACKUP_S3_SECRET_KEY=s"})
}

// inTheDatabase are things that went wrong in Postgres.
func (p *patient) inTheDatabase() {
	p.sql(`DROP INDEX idx_deals_org_stage`)
	p.complain("index idx_deals_org_stage", "broken", []string{"not there", "CREATE INDEX CONCURRENTLY idx_deals_org_stage ON deals (organization_id, stage)"}, nil)
	p.sql(`CREATE INDEX idx_deals_org_stage ON deals (organization_id, stage)`)
	p.complain("indexes", "ok", nil, nil)

	p.inTheRights()

	p.sql(`INSERT INTO backups (id, name, state, host, started_at, snapshot_at, finished_at, bytes, manifest, places) VALUES
		(gen_random_uuid(), 'payaid_20200101_020000', 'completed', 'elsewhere', now() - interval '3 days', now() - interval '3 days', now() - interval '3 days', 1000, '{}', '{folder}')`)
	p.complain("backups", "broken", []string{"72 hours ago", "payaid backup now"}, nil)
	p.complain("backup verification", "broken", []string{"nobody knows", "payaid backup verify"}, nil)
	p.sql(`DELETE FROM backups`)

	p.sql(`INSERT INTO worker_processes (id, host, pid, queues, version, providers) VALUES ('w-old', 'old', 1, '{}', 'v0-old',
		'[{"provider":"groq","model":"big","state":"open","last_class":"auth"}]')`)
	p.complain("versions", "warning", []string{"v0-old", "restart"}, nil)
	p.sql(`DELETE FROM worker_processes WHERE id = 'w-old'`)

	// Somebody who may open more connections than there are.
	config, err := pgx.ParseConfig(p.database)
	must(p.t, "read the database's address", err)
	config.RuntimeParams["application_name"] = "payaid-worker/9999/glutton"
	glutton, err := pgx.ConnectConfig(p.t.Context(), config)
	must(p.t, "connect", err)
	p.complain("connection budget", "warning", []string{"payaid-worker 9999", "DB_POOL_SIZE"}, nil)
	must(p.t, "close", glutton.Close(context.Background()))

	// The address of a database without any table.
	p.sql(`CREATE DATABASE empty`)
	address, err := url.Parse(p.database)
	must(p.t, "read the database's address", err)
	address.Path = "/empty"
	empty := address.String()
	p.complain("postgres", "broken", []string{"no schema", "payaid migrate"}, []string{"DATABASE_URL=" + empty})
}

// inTheRights are walls between tenants that somebody took down, rights that somebody took away, and a newer program.
func (p *patient) inTheRights() {
	p.complain("rights", "ok", nil, nil)
	p.sql(`ALTER TABLE invoices DISABLE ROW LEVEL SECURITY`)
	p.complain("rights", "broken", []string{"row-level security of invoices is off", "ALTER TABLE invoices ENABLE ROW LEVEL SECURITY", "1 gap"}, nil)
	p.sql(`ALTER TABLE invoices ENABLE ROW LEVEL SECURITY`)
	p.sql(`REVOKE SELECT, INSERT ON payments FROM payaid_app`)
	p.complain("rights", "broken", []string{"payaid_app lacks SELECT on payments", "GRANT SELECT ON payments TO payaid_app", "2 gaps"}, nil)
	p.sql(`GRANT SELECT, INSERT ON payments TO payaid_app`)

	p.sql(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	p.complain("schema", "warning", []string{"step 99999", "newer program"}, nil)
	p.sql(`DELETE FROM goose_db_version WHERE version_id = 99999`)
	p.complain("schema", "ok", nil, nil)
}

// inTheFolder are things that are wrong with the folder of backups.
func (p *patient) inTheFolder() {
	dir := filepath.Join(p.data, "backups")
	must(p.t, "make the folder", os.MkdirAll(dir, 0o700))
	must(p.t, "open it to others", os.Chmod(dir, 0o755))
	p.complain("backup folder", "broken", []string{"open to others", "chmod 700"}, nil)
	must(p.t, "close it", os.Chmod(dir, 0o700))
	p.complain("backup folder", "broken", []string{"no pg_dump", "apt-get install"}, []string{"BACKUP_BINARIES=" + p.t.TempDir()})
	s := &stack{t: p.t, env: []string{"BACKUP_DIR=" + dir}}
	status, output := s.once("backup", "now", "--data", p.data)
	if status != 0 {
		p.t.Fatalf("make a backup: %s", output)
	}
	p.complain("backup files", "ok", []string{"1 backup"}, nil)
	dumps, err := filepath.Glob(filepath.Join(dir, "*.dump.zst"))
	if err != nil || len(dumps) != 1 {
		p.t.Fatalf("%v, %v", dumps, err)
	}
	must(p.t, "cut it", os.Truncate(dumps[0], 100))
	p.complain("backup files", "warning", []string{filepath.Base(dumps[0])[:22]}, nil)
}

// model has a model say a word, and misses another.
func (p *patient) model() {
	ollama := localstack.NewOllama(p.t)
	at := "--ollama-url=" + ollama.URL()
	p.complain("model mistral:7b", "warning", []string{"not loaded", "worker's log"}, nil, at)
	p.complain("ai", "warning", []string{"no model nobody:1b", "ollama pull nobody:1b"}, nil, at, "--ollama-model=nobody:1b")
	must(p.t, "load it", postTo(p.t, ollama.URL()+"/api/generate", `{"model":"mistral:7b","keep_alive":"10m"}`))
	p.complain("model mistral:7b", "ok", []string{"said a word"}, nil, at)
	p.complain("model llama2:13b", "ok", []string{"not loaded now"}, nil, at)
}

func postTo(t *testing.T, address, body string) error {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close())
}
