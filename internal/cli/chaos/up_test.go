package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// up is a process that runs everything on a folder.
func up(t *testing.T, data, address string, env []string, args ...string) *process {
	t.Helper()
	env = append([]string{"OLLAMA_URL=http://127.0.0.1:1", "RATELIMIT_ENABLED=false"}, env...)
	return newProcess(t, "up", env, append([]string{"up", "--data", data, "--listen", address}, args...)...)
}

// exits waits for the end of a process that ends by itself.
func exits(t *testing.T, p *process, most time.Duration) (status int, output string) {
	t.Helper()
	l, mark := p.current()
	select {
	case <-l.exited:
	case <-within(t, most).Done():
		t.Fatalf("%s %v does not end within %s", p.name, p.args, most)
	}
	return l.cmd.ProcessState.ExitCode(), strings.Join(p.log.since(mark), "\n")
}

// refuses wants a process to end at once with status 1, saying why.
func (p *process) refuses(t *testing.T, why ...string) {
	t.Helper()
	must(t, "start", p.start())
	status, output := exits(t, p, 30*time.Second)
	t.Logf("refused: %s", output)
	if status != 1 || !containsAll(output, why) {
		t.Errorf("it ended with status %d, want 1 and %q in: %s", status, why, output)
	}
}

func TestUpIsKilledAndStartsAgain(t *testing.T) {
	t.Parallel()
	data, address := filepath.Join(passableDir(t), "data"), freeAddress(t)
	p := up(t, data, address, nil)
	began := time.Now()
	must(t, "start", p.start())
	_, err := p.says(within(t, 3*time.Minute), "PayAid is ready")
	must(t, "the first start", err)
	t.Logf("ready for the first time after %s", time.Since(began).Round(time.Millisecond))
	key, err := os.ReadFile(filepath.Join(data, "admin-key"))
	must(t, "read the admin's key", err)
	admin := newClient("http://"+address, strings.TrimSpace(string(key)))
	_, own := admin.organization(t, "Survivor")
	g := newGate(t)
	running := own.submit(t, "chaos.visit", g.input()).ID
	must(t, "the job runs", g.visits(within(t, 20*time.Second), 1))
	if info, err := os.Stat(filepath.Join(data, "backups")); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("the folder of backups isn't there before the first: %v, %v", info, err)
	}

	another := up(t, data, freeAddress(t), nil)
	l, _ := p.current()
	another.refuses(t, "another `payaid up`", strconv.Itoa(l.cmd.Process.Pid), data, "--data")

	accepted := own.submit(t, "bench.noop", `{"effect":true}`).ID
	p.kill()
	began = time.Now()
	must(t, "start again", p.start())
	_, err = p.says(within(t, time.Minute), "PayAid is ready")
	must(t, "the second start", err)
	took(t, "ready again", began, 45*time.Second)
	own.done(t, accepted, 30*time.Second)
	must(t, "the job that ran runs again", g.visits(within(t, time.Minute), 1))
	took(t, "the job that ran was run again", began, 30*time.Second)
	g.open()
	own.done(t, running, 20*time.Second)

	for range 3 {
		p.killAll()
		began = time.Now()
		must(t, "start after all were killed", p.start())
		_, err = p.says(within(t, time.Minute), "PayAid is ready")
		must(t, "the start after all were killed", err)
		took(t, "ready after all were killed", began, 30*time.Second)
	}

	ends(t, p, 10*time.Second)
	if _, err := os.Stat(filepath.Join(data, "running.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("running.json is still there: %v", err)
	}
	began = time.Now()
	must(t, "start for a third time", p.start())
	_, err = p.says(within(t, time.Minute), "PayAid is ready")
	must(t, "the third start", err)
	took(t, "ready after a clean end", began, 30*time.Second)
	own.done(t, own.submit(t, "bench.noop", `{"effect":true}`).ID, 20*time.Second)
	s := &stack{t: t}
	status, output := s.once("doctor", "--data", data)
	if status != 0 || !strings.Contains(output, "ok") {
		t.Errorf("the doctor finds a running up sick: %d\n%s", status, output)
	}
	ends(t, p, 10*time.Second)

	version := filepath.Join(data, "postgres", "data", "PG_VERSION")
	must(t, "pretend to be of another version", os.WriteFile(version, []byte("12\n"), 0o600))
	p.refuses(t, "Postgres 12")
}

func TestUpNeedsItsAddressAndItsPrograms(t *testing.T) {
	t.Parallel()
	data := filepath.Join(passableDir(t), "data")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "take a port", err)
	defer taken.Close()
	up(t, data, taken.Addr().String(), nil).refuses(t, "another program uses that port", taken.Addr().String(), "--listen")
	up(t, data, freeAddress(t), []string{"PATH=" + t.TempDir()}).refuses(t, "redis-server is not installed", "apt-get install redis-server")
}

func TestTheDemo(t *testing.T) {
	t.Parallel()
	data := filepath.Join(passableDir(t), "data")
	demo := func(t *testing.T, most time.Duration, env ...string) (int, string) {
		t.Helper()
		p := up(t, data, freeAddress(t), env, "--demo", "--exit")
		must(t, "start", p.start())
		status, output := exits(t, p, most)
		for _, line := range strings.Split(output, "\n") {
			if !strings.HasPrefix(line, "time=") {
				t.Log(line)
			}
		}
		return status, output
	}
	t.Run("without a model", func(t *testing.T) {
		status, output := demo(t, 5*time.Minute)
		if want := []string{"ollama pull mistral:7b", "GROQ_API_KEY_FALLBACK", "AI jobs wait", "refuses connections",
			"run by themselves when it is there", "made sample data: 300 contacts", "won, ₹1,75,000", "paid by UPI, ₹39,314.26",
			"301 contacts", "contact.*, deal.*, invoice.* to http://127.0.0.1:", "each signature verified: contact.created, deal.created,",
			"job.cancelled", "signature verified", "by rules (lead_score.v1)", "the invoice by mail          accepted: Invoice INV/",
			"reminders, switched on       accepted: ", "asha@rao.example.com               yes  Invoice INV/", "7 kinds, 14 answers by rules, saved ₹0.0000"}; status != 0 || !containsAll(output, want) {
			t.Errorf("status %d, want 0 and %q", status, want)
		}
	})
	t.Run("with a model", func(t *testing.T) {
		ollama := localstack.TestOllama(t)
		status, output := demo(t, 5*time.Minute, "OLLAMA_URL="+ollama.URL())
		if want := []string{"by ollama (mistral:7b)", "accepted in", "streamed in", "all of it worked", "302 contacts",
			"enabled again with a new secret", "each signature verified: contact.created, deal.created,",
			"7 kinds, ", "answers from the cache, saved ₹0."}; status != 0 || !containsAll(output, want) {
			t.Errorf("status %d, want 0 and %q", status, want)
		}
		if strings.Contains(output, "sample data") {
			t.Error("the second demo made sample data again")
		}
		asked, kept := strings.Count(output, " ollama    mistral:7b "), strings.Count(output, " cache     mistral:7b ")
		// A reminder that the first demo began, and left when it ended, may have asked about the same invoice before.
		if asked+kept != 14 || asked < 6 || kept < 7 || strings.Contains(output, "by rules") || strings.Contains(output, "saved ₹0.0000") {
			t.Errorf("the table has %d answers by a model and %d from the cache, want 7 of both, or one more from the cache", asked, kept)
		}
	})
	t.Run("without a mail server", func(t *testing.T) {
		status, output := demo(t, 5*time.Minute, "SMTP_HOST=127.0.0.1", "SMTP_PORT=9", "SMTP_FROM=noreply@example.com")
		if status != 1 || !strings.Contains(output, "the demo did not work: a mail, the invoice by mail") {
			t.Errorf("status %d, want 1", status)
		}
	})
	t.Run("with a model that talks nonsense", func(t *testing.T) {
		status, output := demo(t, 5*time.Minute, "OLLAMA_URL="+nonsense(t, http.StatusOK))
		if status != 1 || !strings.Contains(output, "the demo did not work") {
			t.Errorf("status %d, want 1", status)
		}
	})
	t.Run("with a model that fails", func(t *testing.T) {
		status, output := demo(t, 5*time.Minute, "OLLAMA_URL="+nonsense(t, http.StatusInternalServerError))
		if status != 1 || !strings.Contains(output, "the demo did not work") {
			t.Errorf("status %d, want 1", status)
		}
	})
}

// nonsense says that it has the model, and then answers what nobody can use.
func nonsense(t *testing.T, status int) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/tags" {
			fmt.Fprintln(w, `{"models":[{"name":"mistral:7b"},{"name":"llama2:13b"}]}`)
			return
		}
		w.WriteHeader(status)
		fmt.Fprintln(w, `{"error":"the cat is on the keyboard"}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// once runs a command to its end.
func (s *stack) once(args ...string) (status int, output string) {
	s.t.Helper()
	p := newProcess(s.t, args[0], append(append([]string{}, s.env...), "OLLAMA_URL=http://127.0.0.1:1"), args...)
	must(s.t, "start", p.start())
	return exits(s.t, p, time.Minute)
}

// finding is one of the doctor's.
type finding struct{ Check, State, Detail, Remedy string }

// examine asks the doctor, and gives what he says of one thing.
func (s *stack) examine(check string) (status int, f finding) {
	s.t.Helper()
	status, output := s.once("doctor", "--json")
	var report struct {
		Healthy  bool      `json:"healthy"`
		Findings []finding `json:"findings"`
	}
	must(s.t, "read the report", json.NewDecoder(strings.NewReader(output)).Decode(&report))
	if report.Healthy != (status == 0) {
		s.t.Errorf("status %d, but healthy is %t", status, report.Healthy)
	}
	for _, f := range report.Findings {
		if f.Check == check {
			return status, f
		}
	}
	s.t.Fatalf("the doctor says nothing of %s: %s", check, output)
	return status, f
}

func TestTheDoctor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	relay := s.relay("relay")
	worker := s.worker("worker")
	_, err := worker.says(within(t, 20*time.Second), "worker works")
	must(t, "the worker", err)
	must(t, "a healthy system", eventually(within(t, 30*time.Second), func(context.Context) error {
		if status, f := s.examine("nats"); status != 0 || f.State != "ok" {
			return fmt.Errorf("status %d, nats: %+v", status, f)
		}
		return nil
	}))
	sick := func(check, state, detail, remedy string) {
		t.Helper()
		status, f := s.examine(check)
		if f.State != state || !strings.Contains(f.Detail, detail) || !strings.Contains(f.Remedy, remedy) || (status == 1) != (state == "broken") {
			t.Errorf("with status %d he says %+v, want %s, %q and %q", status, f, state, detail, remedy)
		}
	}
	sick("ai", "warning", "does not answer", "ollama pull mistral:7b")

	ends(t, worker, 5*time.Second)
	sick("queue ai", "broken", "no worker", "payaid worker --queue ai")
	s.superuser(`UPDATE schedules SET next_run_at = now() - interval '1 hour'`)
	sick("schedules", "broken", "not started yet", "payaid worker")
	ends(t, relay, 5*time.Second)
	sick("relay", "broken", "none is connected", "payaid relay")
	must(t, "start the relay again", relay.start())
	must(t, "start the worker again", worker.start())
	_, err = worker.says(within(t, 20*time.Second), "worker works")
	must(t, "the worker", err)

	s.stop(s.redis)
	sick("redis", "warning", "refused", "start Redis")
	s.startRedis()
	s.stop(s.nats)
	sick("nats", "broken", "no answer", "nats-server")
	// What was committed is not routed while there is no NATS.
	pool := s.pool()
	_, err = pool.Exec(t.Context(), `INSERT INTO outbox (event_id, organization_id, type, subject, aggregate_version, data, created_at)
		VALUES (gen_random_uuid(), gen_random_uuid(), 'job.cancelled', 'x', 1, '{}', now() - interval '5 minutes')`)
	must(t, "append a fact", err)
	sick("events", "broken", "wait to be routed", "relay")
	s.startNATS()

	s.superuser(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_jobs_org_kind'::regclass`)
	sick("schema", "broken", "idx_jobs_org_kind", "REINDEX")
	s.superuser(`UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'idx_jobs_org_kind'::regclass`)
	ends(t, worker, 25*time.Second)
	// Down to the newest migration that the program can't do without: those after it only make it quick.
	for output := ""; !strings.Contains(output, "reminders"); {
		var status int
		if status, output = s.once("migrate", "down", "--yes"); status != 0 {
			t.Fatalf("migrate down: %s", output)
		}
	}
	sick("postgres", "broken", "older than this program", "payaid migrate")
	s.stop(s.postgres)
	sick("postgres", "broken", "refused", "start Postgres")
}
