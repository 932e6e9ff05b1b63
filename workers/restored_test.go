package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/backup"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
)

// forgetting is the kind that a restore leaves behind; what it is told counts.
type forgetting struct{ times chan struct{} }

// Forget implements jobs.Forgetter.
func (f forgetting) Forget(context.Context) error { f.times <- struct{}{}; return nil }

// reviving is the table of the site with the product's own cache.forget.
func (s *site) reviving(f forgetting) []jobs.Job {
	table := s.table()
	for _, j := range jobs.All(jobs.Deps{DB: s.db, Forgetter: f, Log: s.logged.log()}) {
		if j.Kind == jobs.ForgetCache {
			table = append(table, j)
		}
	}
	return table
}

// A past is an installation of which a backup was taken at a moment when everything was under way.
type past struct {
	*site
	pg     *localstack.Postgres
	keeper *backup.Keeper

	done, unpublished, unrouted, running, waiting store.Job // at that moment
	lost                                          []store.Job
}

func newServerSite(t *testing.T) (*site, *localstack.Postgres) {
	t.Helper()
	pg := localstack.NewPostgres(t)
	if err := pg.CreateDatabase(t.Context(), "payaid", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Up(t.Context(), pg.URL("payaid")); err != nil {
		t.Fatal(err)
	}
	return siteAt(t, pg.URL("payaid"), newNATSURL(t)), pg
}

func newNATSURL(t *testing.T) string {
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
	return n.URL()
}

// newPast lives on after its backup, until everything of it has been done, and more.
func newPast(t *testing.T) *past {
	t.Helper()
	s, pg := newServerSite(t)
	p := &past{site: s, pg: pg}
	// A server that is made anew has given fewer transaction numbers, though a restore takes some.
	_, err := connect(t, s.url).Exec(t.Context(), `DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`)
	if err != nil {
		t.Fatal(err)
	}
	p.keeper, err = backup.New(backup.Config{DatabaseURL: s.url, Dir: filepath.Join(t.TempDir(), "backups"), LockID: migrations.LockID})
	if err != nil {
		t.Fatal(err)
	}
	stopRelay := s.relay()
	_, stopWorker := s.worker(func(c *Config) { c.SoftStop = time.Millisecond })
	p.done = s.submit(nil)
	s.ends(p.done.ID, store.Succeeded)
	began, end := make(chan struct{}, 9), make(chan struct{})
	p.running = s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
		began <- struct{}{}
		<-end
		return jobs.Result{}, nil
	})
	receive(t, "the start", began)
	p.waiting = s.submit(nil, func(j *store.Job) { j.RunAt = time.Now().Add(2 * time.Second) })
	eventually(t, "the waiting job is routed", func() error {
		if s.work(p.waiting.ID, "scheduled") != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	// A router that is away, and then a relay that is.
	p.freezeRouter(func() {
		p.unrouted = s.submit(nil)
		eventually(t, "it is published", p.published)
		stopRelay()
		p.unpublished = s.submit(nil)
		s.tx(func(tx pgx.Tx) error {
			// Of a kind that only other processes know, so that this one's worker doesn't keep it.
			_, err := tx.Exec(t.Context(), `INSERT INTO schedules (name, kind, cron, next_run_at)
				VALUES ('test.others', 'test.others', '0 2 * * *', now() - interval '3 hours')`)
			return err
		})
		if _, err := p.keeper.Make(t.Context(), backup.MakeOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	close(end)
	s.relay()
	p.lost = append(p.lost, s.submit(nil), s.submit(nil))
	for _, j := range append([]store.Job{p.unrouted, p.unpublished, p.running, p.waiting}, p.lost...) {
		s.ends(j.ID, store.Succeeded)
	}
	stopWorker()
	return p
}

// freezeRouter keeps the router's position from being moved while do runs. The lock takes no transaction number, for
// which the relay would wait.
func (p *past) freezeRouter(do func()) {
	p.t.Helper()
	tx, err := connect(p.t, p.url).Begin(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := tx.Exec(p.t.Context(), `LOCK TABLE consumer_positions IN SHARE MODE`); err != nil {
		p.t.Fatal(err)
	}
	do()
	if err := tx.Rollback(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// published reports whether the stream holds all of the outbox.
func (p *past) published() error {
	var n int
	p.scan(&n, `SELECT count(*) FROM outbox`)
	_, last, err := p.stream.State(p.t.Context())
	if err == nil && last != uint64(n) {
		err = fmt.Errorf("the stream is at %d of %d", last, n)
	}
	return err
}

// restored restores the past's backup by a server and brings it to life.
func (p *past) restored(pg *localstack.Postgres, o backup.RestoreOptions) Revived {
	t := p.t
	t.Helper()
	k, err := backup.New(backup.Config{DatabaseURL: pg.URL("payaid"), Dir: p.keeper.Dir})
	if err != nil {
		t.Fatal(err)
	}
	var revived Revived
	o.Database = "payaid"
	o.Revive = func(ctx context.Context, url string) error {
		db, err := store.Open(ctx, store.PoolOptions{URL: url, Role: store.System, Name: "revive", MaxConns: 2})
		if err != nil {
			return err
		}
		defer db.Close()
		revived, err = Revive(ctx, db, p.reviving(forgetting{}), slog.New(slog.DiscardHandler))
		return err
	}
	if _, err := k.Restore(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return revived
}

// streamed counts the messages of each event in the stream.
func (s *site) streamed() map[string]int {
	s.t.Helper()
	n := make(map[string]int)
	if err := s.stream.EventIDs(s.t.Context(), func(id string) { n[id]++ }); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// A relay and workers go on from a restored copy: what was under way or waited when it was taken is done once, and what
// came after it, which the copy doesn't know, starts nothing, though the stream still has it.
func TestRestoredSiteGoesOn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what    string
		younger bool // a server that has given fewer transaction numbers
		empty   bool // the stream is lost as well
	}{
		{what: "in the place of the old database"},
		{what: "on a younger server", younger: true},
		{what: "on a younger server with a new stream", younger: true, empty: true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			p := newPast(t)
			pg, natsURL := p.pg, p.natsURL
			if tt.younger {
				pg = localstack.NewPostgres(t)
			}
			if tt.empty {
				natsURL = newNATSURL(t)
			}
			revived := p.restored(pg, backup.RestoreOptions{Replace: !tt.younger})
			if revived.Events < 2 || revived.GivenBack != 1 || revived.Ended != 0 || revived.Schedules != 1 {
				t.Errorf("got %+v, want the job under way given back, two events or more again and the schedule's tick left out", revived)
			}
			s := siteAt(t, pg.URL("payaid"), natsURL)
			p.check(s)
		})
	}
}

// check has the restored site work, and wants everything done once.
func (p *past) check(s *site) {
	t := p.t
	s.plays = map[string]play{} // each is done at once
	var skipped bool
	s.scan(&skipped, `SELECT bool_and(next_run_at > now()) FROM schedules`)
	if !skipped {
		t.Error("a schedule's old tick would be kept again")
	}
	forgotten := forgetting{make(chan struct{}, 9)}
	s.relay()
	s.worker(func(c *Config) { c.Table, c.Queues = s.reviving(forgotten), map[string]int{"ai": 4, "cache": 1} })
	fresh := s.submitMany(3)
	for _, j := range append([]store.Job{p.unrouted, p.unpublished, p.running, p.waiting}, fresh...) {
		s.ends(j.ID, store.Succeeded)
		if n := s.facts(j.ID, "job.completed"); n != 1 {
			t.Errorf("job %s has %d completions", j.ID, n)
		}
	}
	receive(t, "the cache is forgotten", forgotten.times)
	s.settled()
	for what, j := range map[string]store.Job{"unrouted": p.unrouted, "unpublished": p.unpublished, "waiting": p.waiting, "new": fresh[0]} {
		if n := s.work(j.ID, ""); n != 1 {
			t.Errorf("the %s job was started %d times", what, n)
		}
	}
	if n := s.work(p.running.ID, ""); n != 2 || s.work(p.running.ID, "completed") != 1 {
		t.Errorf("the job that was under way has %d rows, want what died and what went on", n)
	}
	if n := s.work(p.done.ID, ""); n > 1 || s.job(p.done.ID).Lease != 1 {
		t.Errorf("what was done was done again: %d rows, lease %d", n, s.job(p.done.ID).Lease)
	}
	for _, j := range p.lost {
		if _, err := s.db.Job(t.Context(), organization, j.ID); !errors.Is(err, store.ErrNotFound) || s.work(j.ID, "") != 0 {
			t.Errorf("a job of the lost future came back: %v, %d rows", err, s.work(j.ID, ""))
		}
	}
	if dead := s.dead(); len(dead) > 0 {
		t.Errorf("dead events: %+v", dead)
	}
	var processes int
	if s.scan(&processes, `SELECT count(*) FROM worker_processes`); processes != 1 {
		t.Errorf("%d worker processes, want the new one", processes)
	}
	for id, n := range s.streamed() {
		if n > 2 {
			t.Errorf("event %s was published %d times", id, n)
		}
	}
}

// Processes that nobody stopped come back to the restored database: relay and router go on by themselves, and a
// worker, whose jobs were given away, ends.
func TestRestoreUnderRunningProcesses(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	s := p.site
	w := New(s.config())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(t.Context()) }()
	eventually(t, "the worker is there", func() error {
		var n int
		if s.scan(&n, `SELECT count(*) FROM worker_processes`); n != 1 {
			return fmt.Errorf("%d workers", n)
		}
		return nil
	})
	p.restored(p.pg, backup.RestoreOptions{Replace: true})
	if err := receive(t, "the worker's end", ended); !errors.Is(err, ErrGivenAway) {
		t.Errorf("the worker ended with %v", err)
	}
	s.worker() // its supervisor starts it again
	j := s.submit(nil)
	for _, j := range []store.Job{j, p.unrouted, p.unpublished, p.running, p.waiting} {
		s.ends(j.ID, store.Succeeded)
		if n := s.facts(j.ID, events.JobCompleted{}.EventType()); n != 1 {
			t.Errorf("job %s has %d completions", j.ID, n)
		}
	}
	if strings.Contains(s.logged.String(), "new-epoch") {
		t.Errorf("the relay was stuck:\n%s", s.logged)
	}
}

// Restored by tools that know nothing of us, a copy begins nothing of the future that was lost, though the router goes on
// where it stood and the stream has it all; after a new epoch what was under way is done, and what came since as well.
func TestSiteRestoredByOtherTools(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	pg := localstack.NewPostgres(t)
	k, err := backup.New(backup.Config{DatabaseURL: pg.URL("payaid"), Dir: p.keeper.Dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Restore(t.Context(), backup.RestoreOptions{Database: "payaid"}); err != nil {
		t.Fatal(err)
	}
	s := siteAt(t, pg.URL("payaid"), p.natsURL)
	s.plays = map[string]play{} // each is done at once
	s.relay()
	s.worker()
	early := s.submit(nil)
	eventually(t, "relay and router say what to do", func() error {
		for _, who := range []string{"relay", "router"} {
			if !regexp.MustCompile(`msg="` + who + ` starts again" .*payaid events new-epoch`).MatchString(s.logged.String()) {
				return errors.New(who + " does not")
			}
		}
		return nil
	})
	if again, err := outbox.NewEpoch(t.Context(), s.db.Pool(), "test"); err != nil || again < 3 {
		t.Fatalf("got %d events again, %v; want those that were unrouted, unpublished and new", again, err)
	}
	for _, j := range []store.Job{early, p.unrouted, p.unpublished, p.waiting, s.submit(nil)} {
		s.ends(j.ID, store.Succeeded)
		if n, m := s.work(j.ID, ""), s.facts(j.ID, "job.completed"); n != 1 || m != 1 {
			t.Errorf("job %s was started %d times, and has %d completions", j.ID, n, m)
		}
	}
	s.settled()
	for _, j := range append(p.lost, p.done) {
		if n := s.work(j.ID, ""); n > 0 && j.ID != p.done.ID || n > 1 {
			t.Errorf("job %s has %d rows: it was lost, or done before", j.ID, n)
		}
	}
	if dead := s.dead(); len(dead) > 0 {
		t.Errorf("dead events: %+v", dead)
	}
}
