package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
	"github.com/payaid/payaid/workers"
)

// patience bounds every wait of these tests: much longer than anything takes on a busy machine.
const patience = 60 * time.Second

// india is where the organizations of these tests are.
var india = time.FixedZone("Asia/Kolkata", 5*3600+1800)

// A site is an installation of a test's own, whose worker works the product's table of jobs: a database, NATS,
// a relay, a cache, and in front of a real Ollama two proxies that inject faults, one of which stands for Groq.
type site struct {
	t            *testing.T
	organization string
	url          string
	db, relaxed  *store.DB
	nc           *nats.Conn
	stream       *stream.Stream
	ollama, groq *faults.Proxy
	config       inference.Config // of the chain
	chain        *inference.Chain
	logged       *record
	deps         jobs.Deps
	receivers    webhook.Policy // of callbacks, as the API has it
	invoices     atomic.Int32   // so many were inserted
}

// newSite starts everything but the worker, with an organization. Budgets of time are long, because the
// machine may be busy; tests that are about time change the chain's configuration.
func newSite(t *testing.T, change ...func(*inference.Config, *jobs.Deps)) *site {
	t.Helper()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	model := localstack.TestOllama(t).URL()
	s := &site{t: t, organization: outbox.NewID(), url: pg.URL(pg.NewDatabase(t, template)), logged: &record{},
		ollama: faults.New(t, model), groq: faults.New(t, model)}
	s.db, s.relaxed = s.open(false), s.open(true)
	n, err := localstack.StartNATS(t.Context(), localstack.NATSOptions{Dir: t.TempDir()})
	s.must(err)
	t.Cleanup(func() { _ = n.Stop(context.Background()) })
	s.nc, err = nats.Connect(n.URL())
	s.must(err)
	t.Cleanup(s.nc.Close)
	s.stream, err = stream.Open(s.nc)
	s.must(err)
	cache, err := cachetag.Open(cachetag.Options{URL: localstack.TestRedis(t).URL(), ReadTimeout: patience, WriteTimeout: patience})
	s.must(err)
	t.Cleanup(func() { cache.Close() })
	config := inference.Config{OllamaEnabled: true, OllamaURL: s.ollama.URL, GroqKey: "gsk_secret", GroqBaseURL: s.groq.URL + "/v1",
		FastBudget: 5 * patience, LargeBudget: 5 * patience, Patience: patience, GroqTimeout: patience, Log: s.logged.log()}
	s.deps = jobs.Deps{DB: s.db, Relaxed: s.relaxed, Hints: hint.New(s.nc), Cache: cache, RupeesPerDollar: 90, Log: s.logged.log()}
	for _, change := range change {
		change(&config, &s.deps)
	}
	s.config = config
	s.chain, err = inference.New(config)
	s.must(err)
	s.deps.Model, s.deps.Puller = s.chain, s.chain
	s.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Rao Textiles', 'KA')`, s.organization)
	s.running("relay", outbox.NewRelay(s.db.Pool(), s.stream, nil, s.logged.log()).Run)
	return s
}

// worker starts a worker of the queues, so many jobs at a time.
func (s *site) worker(queues map[string]int) (stop func()) {
	s.t.Helper()
	w := workers.New(workers.Config{DB: s.db, Relaxed: s.relaxed, Stream: s.stream, Table: jobs.All(s.deps), Queues: queues,
		Hints: hint.New(s.nc), Version: "test", Log: s.logged.log(), SoftStop: 10 * time.Second, Beat: 300 * time.Millisecond})
	return s.running("worker", w.Run)
}

// working is a site with a worker for the AI queue.
func working(t *testing.T, change ...func(*inference.Config, *jobs.Deps)) *site {
	t.Helper()
	s := newSite(t, change...)
	s.worker(map[string]int{"ai": 4, "cache": 4})
	return s
}

func (s *site) open(relaxed bool) *store.DB {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), store.PoolOptions{URL: s.url, Role: store.System, Name: "test", MaxConns: 12, Relaxed: relaxed})
	s.must(err)
	s.t.Cleanup(db.Close)
	return db
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// running runs something until the test, or stop, ends it.
func (s *site) running(what string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.Canceled) {
				s.t.Errorf("%s ended with %v", what, err)
			}
		case <-time.After(patience):
			s.t.Errorf("%s does not end", what)
		}
		if s.t.Failed() {
			s.t.Logf("the log:\n%s", s.logged)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

func (s *site) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.db.Pool().Exec(s.t.Context(), sql, args...)
	s.must(err)
}

func (s *site) scan(into any, sql string, args ...any) {
	s.t.Helper()
	s.must(s.db.Pool().QueryRow(s.t.Context(), sql, args...).Scan(into))
}

// contact inserts one, with more columns by name.
func (s *site) contact(name string, columns map[string]any) (id string) {
	s.t.Helper()
	return s.insert("contacts", map[string]any{"name": name}, columns)
}

// deal inserts one in the stage of a lead, worth one lakh, with other columns by name.
func (s *site) deal(contact, title string, columns map[string]any) (id string) {
	s.t.Helper()
	return s.insert("deals", map[string]any{"contact_id": contact, "title": title, "value": 1_00_000_00, "probability": 10}, columns)
}

// invoice inserts one over 1180 rupees that was sent and is due so many days from today, with other columns by
// name.
func (s *site) invoice(contact string, dueInDays int, columns map[string]any) (id string) {
	s.t.Helper()
	due := time.Now().In(india).AddDate(0, 0, dueInDays)
	n := int(s.invoices.Add(1))
	return s.insert("invoices", map[string]any{"contact_id": contact, "status": "sent", "financial_year": 2026, "sequence": n,
		"number": fmt.Sprintf("INV/26-27/%04d", n), "place_of_supply": "MH", "place_of_supply_code": "27", "inter_state": true,
		"issue_date": due.AddDate(0, 0, -30).Format(time.DateOnly), "due_date": due.Format(time.DateOnly),
		"subtotal": 1000_00, "cgst": 0, "sgst": 0, "igst": 180_00, "total": 1180_00, "supplier": "{}", "sent_at": time.Now(),
		"customer": `{"name":"Asha Rao"}`}, columns)
}

// insert gives a table a row of the site's organization.
func (s *site) insert(table string, columns ...map[string]any) (id string) {
	s.t.Helper()
	id = outbox.NewID()
	all := map[string]any{"organization_id": s.organization, "id": id}
	for _, c := range columns {
		maps.Copy(all, c)
	}
	var names, marks []string
	var args []any
	for column, value := range all {
		names, marks, args = append(names, column), append(marks, fmt.Sprintf("$%d", len(args)+1)), append(args, value)
	}
	s.exec(`INSERT INTO `+table+` (`+strings.Join(names, ", ")+`) VALUES (`+strings.Join(marks, ", ")+`)`, args...)
	return id
}

// submit hands over a job as the API does: its row and its event in one transaction.
func (s *site) submit(kind, input string, change ...func(*store.Job)) (id string) {
	s.t.Helper()
	return s.submitMany(1, kind, input, change...)[0]
}

// submitMany hands over so many jobs that are all the same.
func (s *site) submitMany(n int, kind, input string, change ...func(*store.Job)) (ids []string) {
	s.t.Helper()
	b := &pgx.Batch{}
	for range n {
		now := time.Now().UTC()
		j := store.Job{OrganizationID: s.organization, ID: outbox.NewID(), Kind: kind, Queue: "ai", Priority: 2, Run: 1,
			MaxAttempts: 4, Input: json.RawMessage(input), Metadata: json.RawMessage(`{}`), RunAt: now, EventID: outbox.NewID(), CreatedAt: now}
		for _, change := range change {
			change(&j)
		}
		store.QueueJob(b, j)
		s.must(outbox.QueueAs(b, j.EventID, outbox.Origin{OrganizationID: j.OrganizationID}, events.JobRequested{JobID: j.ID,
			Kind: j.Kind, Queue: j.Queue, Run: j.Run, Priority: j.Priority, MaxAttempts: j.MaxAttempts, RunAt: j.RunAt, Version: 1}))
		ids = append(ids, j.ID)
	}
	s.must(s.db.Tx(s.t.Context(), func(tx pgx.Tx) error { return tx.SendBatch(s.t.Context(), b).Close() }))
	return ids
}

func (s *site) job(id string) store.Job {
	s.t.Helper()
	j, err := s.db.Job(s.t.Context(), s.organization, id)
	s.must(err)
	return j
}

// ends waits for a job's end and wants the status.
func (s *site) ends(id, status string) store.Job {
	s.t.Helper()
	var j store.Job
	s.eventually("the job ends", func() error {
		if j = s.job(id); !j.Terminal() {
			return fmt.Errorf("it is %s (attempt %d)", j.Status, j.Attempt)
		}
		return nil
	})
	if j.Status != status {
		s.t.Fatalf("the job %s with %s, want %s", j.Status, j.Error, status)
	}
	checkEnd(s.t, j)
	return j
}

// answer waits for the answer of a job.
func (s *site) answer(id string) (a jobs.Answer) {
	s.t.Helper()
	s.must(json.Unmarshal(s.ends(id, store.Succeeded).Output, &a))
	return a
}

// waits waits until a job waits for something, and gives the reason.
func (s *site) waits(id string) (reason string) {
	s.t.Helper()
	s.eventually("the job waits", func() error {
		j := s.job(id)
		if j.WaitingReason == nil {
			return fmt.Errorf("it is %s with %s", j.Status, j.Error)
		}
		reason = *j.WaitingReason
		return nil
	})
	return reason
}

// calls are the attempts at providers that a job has made, as provider:outcome.
func (s *site) calls(id string) (list []string) {
	s.t.Helper()
	rows, err := s.db.Pool().Query(s.t.Context(),
		`SELECT provider || ':' || outcome FROM ai_calls WHERE job_id = $1 ORDER BY started_at, id`, id)
	s.must(err)
	list, err = pgx.CollectRows(rows, pgx.RowTo[string])
	s.must(err)
	return list
}

func (s *site) eventually(what string, ask func() error) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			s.t.Fatalf("waiting until %s: %v\nthe log:\n%s", what, err, s.logged)
		}
	}
}

// unreachable has a provider refuse everybody.
func unreachable(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
	faults.Reset(w, r, pass)
}

// A record keeps what was logged.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *record) log() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }
