package workers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
)

// asWorker makes the test binary a worker process that a test can kill the hard way.
const asWorker = "PAYAID_TEST_WORKER_OF"

func TestMain(m *testing.M) {
	if config, ok := os.LookupEnv(asWorker); ok {
		beWorker(config)
		return
	}
	os.Exit(localstack.RunTests(m))
}

// patience bounds every wait of these tests: much longer than anything takes on a busy machine.
const patience = 60 * time.Second

// testBeat makes five missed beats a second and a half.
const testBeat = 300 * time.Millisecond

func newDatabase(t *testing.T) string {
	t.Helper()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	return pg.URL(pg.NewDatabase(t, template))
}

// A play is what a test has a job do.
type play func(context.Context, *jobs.Task) (jobs.Result, error)

// A site is an installation of the test's own: database, NATS, relay, and the kinds of the test.
type site struct {
	t       *testing.T
	url     string
	natsURL string
	db      *store.DB
	relaxed *store.DB
	stream  *stream.Stream
	nc      *nats.Conn
	logged  *record
	chore   func(context.Context) error // what the test's chore does; nil: nothing

	mu    sync.Mutex
	plays map[string]play
}

func newSite(t *testing.T) *site {
	t.Helper()
	n, err := localstack.StartNATS(t.Context(), localstack.NATSOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return siteAt(t, newDatabase(t), n.URL())
}

func siteAt(t *testing.T, url, natsURL string) *site {
	t.Helper()
	s := &site{t: t, url: url, natsURL: natsURL, plays: make(map[string]play), logged: &record{}}
	s.db, s.relaxed = s.open("test"), s.open("test-relaxed")
	var err error
	if s.nc, err = nats.Connect(natsURL, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.nc.Close)
	if s.stream, err = stream.Open(s.nc); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) open(name string) *store.DB {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), store.PoolOptions{URL: s.url, Role: store.System, Name: name, MaxConns: 12})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(db.Close)
	return db
}

// running runs something until the test, or stop, ends it; want says how it may end.
func (s *site) running(what string, run func(context.Context) error, want error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil && !errors.Is(err, want) {
					s.t.Errorf("%s ended with %v", what, err)
				}
			case <-time.After(patience):
				s.t.Errorf("%s does not end", what)
			}
			if s.t.Failed() {
				s.t.Logf("the log:\n%s", s.logged)
			}
		})
	}
	s.t.Cleanup(stop)
	return stop
}

func (s *site) relay() (stop func()) {
	relay := outbox.NewRelay(s.db.Pool(), s.stream, nil, s.logged.log())
	return s.running("relay", relay.Run, context.Canceled)
}

func (s *site) config(change ...func(*Config)) Config {
	c := Config{DB: s.db, Relaxed: s.relaxed, Stream: s.stream, Table: s.table(), Queues: map[string]int{"ai": 4},
		Hints: hint.New(s.nc), Version: "test", Log: s.logged.log(), SoftStop: 10 * time.Second, Beat: testBeat}
	for _, change := range change {
		change(&c)
	}
	return c
}

func (s *site) worker(change ...func(*Config)) (w *Worker, stop func()) {
	w = New(s.config(change...))
	return w, s.running("worker", w.Run, nil)
}

type playArgs struct{ jobs.Request }

func (playArgs) Kind() string { return "test.play" }

type player struct{ s *site }

// Run implements jobs.Work.
func (p player) Run(ctx context.Context, _ playArgs, t *jobs.Task) (jobs.Result, error) {
	p.s.mu.Lock()
	play := p.s.plays[t.ID]
	p.s.mu.Unlock()
	if play == nil {
		return jobs.Result{Output: t.Attempt}, nil
	}
	return play(ctx, t)
}

type choreArgs struct{}

func (choreArgs) Kind() string { return "test.chore" }

type chore struct{ s *site }

// Run implements jobs.Chore.
func (c chore) Run(ctx context.Context, _ choreArgs) error {
	if c.s.chore == nil {
		return nil
	}
	return c.s.chore(ctx)
}

var playSpec = jobs.Spec{
	Queue: jobs.AI, Timeout: 20 * time.Second, MaxAttempts: 3,
	Backoff: func(int) time.Duration { return 50 * time.Millisecond },
}

func (s *site) table(spec ...func(*jobs.Spec)) []jobs.Job {
	d := jobs.Deps{DB: s.db, Relaxed: s.relaxed, Hints: hint.New(s.nc), Log: s.logged.log()}
	sp := playSpec
	for _, change := range spec {
		change(&sp)
	}
	choreSpec := jobs.Spec{Queue: jobs.Maintenance, Timeout: time.Minute, MaxAttempts: 3, Backoff: sp.Backoff, Cron: "0 2 * * *"}
	return []jobs.Job{jobs.Requested(d, player{s}, sp), jobs.Scheduled(chore{s}, choreSpec)}
}

const organization = "0197aaaa-0000-7000-8000-000000000001"

// submit hands over a job as the API does: its row and its event in one transaction.
func (s *site) submit(p play, change ...func(*store.Job)) store.Job {
	s.t.Helper()
	now := time.Now().UTC()
	j := store.Job{OrganizationID: organization, ID: outbox.NewID(), Kind: "test.play", Queue: "ai", Priority: 2, Run: 1,
		MaxAttempts: playSpec.MaxAttempts, Input: json.RawMessage(`{}`), Metadata: json.RawMessage(`{}`), RunAt: now,
		EventID: outbox.NewID(), CreatedAt: now}
	for _, change := range change {
		change(&j)
	}
	if p != nil {
		s.mu.Lock()
		s.plays[j.ID] = p
		s.mu.Unlock()
	}
	s.tx(func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		store.QueueJob(b, j)
		if err := outbox.QueueAs(b, j.EventID, outbox.Origin{OrganizationID: j.OrganizationID}, requested(j)); err != nil {
			return err
		}
		return tx.SendBatch(s.t.Context(), b).Close()
	})
	return j
}

func requested(j store.Job) events.JobRequested {
	return events.JobRequested{JobID: j.ID, Kind: j.Kind, Queue: j.Queue, Run: j.Run, Priority: j.Priority,
		MaxAttempts: j.MaxAttempts, RunAt: j.RunAt, Overflow: j.Overflow, Version: 1}
}

func (s *site) tx(do func(pgx.Tx) error) {
	s.t.Helper()
	if err := s.db.Tx(s.t.Context(), do); err != nil {
		s.t.Fatal(err)
	}
}

// cancel gives a job up as the API does.
func (s *site) cancel(id string) {
	s.t.Helper()
	s.tx(func(tx pgx.Tx) error {
		j, err := store.CancelJob(s.t.Context(), tx, organization, id)
		if err != nil {
			return err
		}
		return outbox.Append(s.t.Context(), tx, outbox.Origin{OrganizationID: organization},
			events.JobCancelled{JobID: id, Kind: j.Kind, Version: j.Version, Callback: j.CallsBack()})
	})
}

// retry asks for a job again as the API does.
func (s *site) retry(id string) {
	s.t.Helper()
	event := outbox.NewID()
	s.tx(func(tx pgx.Tx) error {
		j, err := store.RequeueJob(s.t.Context(), tx, organization, id, event, store.Fair)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		if err := outbox.QueueAs(b, event, outbox.Origin{OrganizationID: organization}, requested(j)); err != nil {
			return err
		}
		return tx.SendBatch(s.t.Context(), b).Close()
	})
}

func (s *site) job(id string) store.Job {
	s.t.Helper()
	j, err := s.db.Job(s.t.Context(), organization, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return j
}

// ends waits for a job's end and wants the status.
func (s *site) ends(id, status string) store.Job {
	s.t.Helper()
	var j store.Job
	eventually(s.t, "the job ends", func() error {
		if j = s.job(id); !j.Terminal() {
			return fmt.Errorf("it is %s (attempt %d, lease %d)", j.Status, j.Attempt, j.Lease)
		}
		return nil
	})
	if j.Status != status {
		s.t.Fatalf("the job %s with %s, want %s", j.Status, j.Error, status)
	}
	s.told(j)
	return j
}

func (s *site) code(j store.Job) string {
	s.t.Helper()
	var p struct{ Code string }
	if err := json.Unmarshal(j.Error, &p); err != nil {
		s.t.Fatal(err)
	}
	return p.Code
}

// facts counts the events of a type about a job.
func (s *site) facts(id, eventType string) (n int) {
	s.t.Helper()
	s.scan(&n, `SELECT count(*) FROM outbox WHERE subject = $1 AND type = $2`, id, eventType)
	return n
}

// work counts River's rows of a job, in a state or, with "", in any.
func (s *site) work(id, state string) (n int) {
	s.t.Helper()
	s.scan(&n, `SELECT count(*) FROM river_job WHERE args ->> 'job_id' = $1 AND ($2 = '' OR state::text = $2)`, id, state)
	return n
}

func (s *site) scan(into any, sql string, args ...any) {
	s.t.Helper()
	if err := s.db.Pool().QueryRow(s.t.Context(), sql, args...).Scan(into); err != nil {
		s.t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}

// receive takes from a channel, but not for ever.
func receive[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s doesn't come", what)
	}
	return v
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
