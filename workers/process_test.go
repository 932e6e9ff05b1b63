package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// silent makes a worker that never shows a sign of life after its first, and takes one job at a time.
func silent(c *Config) { c.Beat, c.Queues = time.Hour, map[string]int{"ai": 1} }

// A zombie was taken for dead while it worked, and comes back with a result. Its successor fails at first:
// what the zombie's River client writes then must not keep the job from being tried again.
func TestZombieIsRefused(t *testing.T) {
	t.Parallel()
	for what, comesBack := range map[string]error{"with a result": nil, "with an error": errOurs,
		"with a failure": &jobs.Failure{Code: "zombie"}, "to wait": &jobs.Wait{Reason: "zombie"}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.relay()
			_, stopZombie := s.worker(silent)
			began, zombie, successor := make(chan int, 9), make(chan struct{}), make(chan struct{})
			j := s.submit(func(_ context.Context, t *jobs.Task) (jobs.Result, error) {
				began <- t.Lease
				switch t.Lease {
				case 1:
					<-zombie
					return jobs.Result{Output: "zombie"}, comesBack
				case 2:
					<-successor
					return jobs.Result{}, errOurs
				}
				return jobs.Result{Output: "right"}, nil
			})
			receive(t, "the zombie's start", began)
			s.worker()
			if lease := receive(t, "the successor's start", began); lease != 2 {
				t.Fatalf("the successor has lease %d", lease)
			}
			close(zombie)
			stopZombie() // River has written all that it had to
			if got := s.job(j.ID); got.Status != store.Running || s.work(j.ID, "running") != 1 {
				t.Fatalf("the zombie made the job %s, %d running", got.Status, s.work(j.ID, "running"))
			}
			close(successor)
			if got := s.ends(j.ID, store.Succeeded); string(got.Output) != `"right"` || s.facts(j.ID, "job.completed") != 1 {
				t.Errorf("output %s, %d facts", got.Output, s.facts(j.ID, "job.completed"))
			}
			if got := s.work(j.ID, "completed"); got != 1 {
				t.Errorf("%d rows of River completed", got)
			}
		})
	}
}

// A process that others took for dead must end, and its work with it.
func TestWorkerEndsWhenItsJobsWereGivenAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	w := New(s.config())
	done := make(chan error, 1)
	go func() { done <- w.Run(t.Context()) }()
	began := make(chan struct{}, 9)
	s.submit(func(ctx context.Context, t *jobs.Task) (jobs.Result, error) {
		began <- struct{}{}
		return block(ctx, t)
	})
	receive(t, "the start", began)
	if err := store.UnregisterWorker(t.Context(), s.db.Pool(), w.ID()); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the end", done); !errors.Is(err, ErrGivenAway) {
		t.Fatalf("ended with %v", err)
	}
}

func TestGracefulStopGivesJobsBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	_, stop := s.worker(func(c *Config) { c.SoftStop = 100 * time.Millisecond })
	began := make(chan int, 9)
	stopped := false
	j := s.submit(func(ctx context.Context, t *jobs.Task) (jobs.Result, error) {
		began <- t.Attempt
		if !stopped {
			stopped = true
			return block(ctx, t)
		}
		return jobs.Result{Output: t.Attempt}, nil
	}, func(j *store.Job) { j.MaxAttempts = 1 })
	receive(t, "the start", began)
	stop()
	var workers int
	if s.scan(&workers, `SELECT count(*) FROM worker_processes`); workers != 0 || s.work(j.ID, "available") != 1 {
		t.Fatalf("%d workers left, %d rows available", workers, s.work(j.ID, "available"))
	}
	s.worker()
	if got := s.ends(j.ID, store.Succeeded); got.Attempt != 1 {
		t.Errorf("succeeded in attempt %d, want the first, as none was used up", got.Attempt)
	}
}

func TestGracefulStopLetsShortJobsEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	_, stop := s.worker()
	began, end := make(chan struct{}), make(chan struct{})
	j := s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
		close(began)
		<-end
		return jobs.Result{}, nil
	})
	receive(t, "the start", began)
	time.AfterFunc(50*time.Millisecond, func() { close(end) })
	stop()
	if got := s.job(j.ID); got.Status != store.Succeeded {
		t.Errorf("%s", got.Status)
	}
}

func TestLastAttemptLost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	_, stopZombie := s.worker(silent)
	began, end := make(chan struct{}), make(chan struct{})
	j := s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
		close(began)
		<-end
		return jobs.Result{Output: "late"}, nil
	}, func(j *store.Job) { j.MaxAttempts = 1 }, callsBack)
	receive(t, "the start", began)
	s.worker()
	if got := s.ends(j.ID, store.Failed); s.code(got) != "worker_lost" || s.facts(j.ID, "job.failed") != 1 {
		t.Errorf("%s, %d facts", got.Error, s.facts(j.ID, "job.failed"))
	}
	close(end)
	stopZombie()
	if got := s.job(j.ID); got.Status != store.Failed || s.facts(j.ID, "job.completed") != 0 {
		t.Errorf("the late result changed it to %s", got.Status)
	}
}

// A process is killed with four jobs in hands; another, started before, takes over.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	config, err := json.Marshal([]string{s.url, s.natsURL})
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), asWorker+"="+string(config))
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	var all []store.Job
	for range 4 {
		all = append(all, s.submit(nil))
	}
	eventually(t, "the process works on all", func() error {
		for _, j := range all {
			if s.job(j.ID).Lease == 0 {
				return errors.New("not yet")
			}
		}
		return nil
	})
	s.worker()
	killed := time.Now()
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	for _, j := range all {
		got := s.ends(j.ID, store.Succeeded)
		if s.facts(j.ID, "job.completed") != 1 || got.Attempt != 2 || got.Lease != 2 {
			t.Errorf("attempt %d, lease %d, %d facts", got.Attempt, got.Lease, s.facts(j.ID, "job.completed"))
		}
	}
	// Five beats are a second and a half here, and River's own rescue would come after an hour.
	if took := time.Since(killed); took > 15*time.Second {
		t.Errorf("running again took %s", took)
	}
}

// beWorker is a worker process whose jobs never end.
func beWorker(config string) {
	var urls []string
	exitOn(json.Unmarshal([]byte(config), &urls))
	ctx := context.Background()
	open := func(name string) *store.DB {
		db, err := store.Open(ctx, store.PoolOptions{URL: urls[0], Role: store.System, Name: name, MaxConns: 8})
		exitOn(err)
		return db
	}
	nc, err := nats.Connect(urls[1])
	exitOn(err)
	str, err := stream.Open(nc)
	exitOn(err)
	s := &site{db: open("killed"), relaxed: open("killed-relaxed"), nc: nc, stream: str, logged: &record{}}
	table := []jobs.Job{jobs.Requested(jobs.Deps{DB: s.db, Relaxed: s.relaxed, Hints: hint.New(nc), Log: s.logged.log()}, endless{}, playSpec)}
	if len(urls) == 3 { // it carries out bulk actions
		exitOn(New(s.config(s.carriesOut)).Run(ctx))
	}
	exitOn(New(s.config(func(c *Config) { c.Table = table })).Run(ctx))
}

type endless struct{}

// Run implements jobs.Work.
func (endless) Run(ctx context.Context, _ playArgs, t *jobs.Task) (jobs.Result, error) {
	return block(ctx, t)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// While the database is away everybody looks silent. Whoever was silent itself must not judge the others.
func TestRescuerDoesNotJudgeAfterOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	owner := connect(t, s.url)
	lives := make([]*life, 3)
	logged := make([]*record, 3)
	for i := range lives {
		logged[i] = &record{}
		lives[i] = &life{db: s.db, id: fmt.Sprint("w", i), beat: 100 * time.Millisecond, hand: newInHand(), log: logged[i].log()}
		if err := lives[i].begin(t.Context(), nil, nil, ""); err != nil {
			t.Fatal(err)
		}
		s.running("life", lives[i].run, context.Canceled)
	}
	judging := func() {
		t.Helper()
		// Whoever judges finds this one.
		if _, err := owner.Exec(t.Context(), `INSERT INTO worker_processes (id, host, pid, queues, version, heartbeat_at)
			VALUES ('dead', '', 1, '{}', '', now() - interval '1 hour')`); err != nil {
			t.Fatal(err)
		}
		eventually(t, "somebody judges", func() error {
			for _, l := range logged {
				if strings.Contains(l.String(), "worker_id=dead") {
					return nil
				}
			}
			return errors.New("nobody does")
		})
	}
	judging()
	if _, err := owner.Exec(t.Context(), `ALTER TABLE worker_processes RENAME TO away`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all have missed more beats than are enough", func() error {
		for i, l := range logged {
			if n := strings.Count(l.String(), "heartbeat is tried again"); n < 2*missedBeats {
				return fmt.Errorf("worker %d has missed %d", i, n)
			}
		}
		return nil
	})
	for _, l := range logged {
		l.mu.Lock()
		l.text.Reset()
		l.mu.Unlock()
	}
	if _, err := owner.Exec(t.Context(), `ALTER TABLE away RENAME TO worker_processes`); err != nil {
		t.Fatal(err)
	}
	judging()
	var alive int
	if s.scan(&alive, `SELECT count(*) FROM worker_processes WHERE id LIKE 'w%'`); alive != 3 {
		t.Errorf("%d of 3 workers outlived the outage:\n%s%s%s", alive, logged[0], logged[1], logged[2])
	}
}

// The answer to a fetch is lost after its commit: the row says that a living process works it, and that
// process knows nothing of it. It must not stay so.
func TestStrayWorkIsGivenBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	w, _ := s.worker(func(c *Config) { c.Beat = 100 * time.Millisecond })
	j := s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) { return jobs.Result{Output: 1}, nil },
		func(j *store.Job) { j.RunAt = time.Now().Add(time.Hour) })
	eventually(t, "River has the job", func() error {
		if s.work(j.ID, "scheduled") != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	s.tx(func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE river_job SET state = 'running', attempt = 1,
			attempted_at = now() - interval '1 minute', attempted_by = ARRAY[$1::text] WHERE args ->> 'job_id' = $2`, w.ID(), j.ID)
		return err
	})
	if got := s.ends(j.ID, store.Succeeded); string(got.Output) != "1" {
		t.Errorf("output %s", got.Output)
	}
}

// A process dies with more in hands than can be given back in one turn, as the database is slow: each turn does a part.
func TestADeadProcessHadMuchInHands(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	_, stop := s.worker()
	var all []store.Job
	for range 60 {
		all = append(all, s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) { return jobs.Result{Output: 1}, nil },
			func(j *store.Job) { j.RunAt = time.Now().Add(time.Hour) }))
	}
	owner := connect(t, s.url)
	// A turn has three quarters of a second in these tests; all of the notes would take twice as long.
	for _, sql := range []string{
		`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.025); RETURN NEW; END'`,
		`CREATE TRIGGER slow BEFORE INSERT ON job_attempts FOR EACH ROW EXECUTE FUNCTION slow()`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "River has the jobs", func() error {
		var n int
		if s.scan(&n, `SELECT count(*) FROM river_job WHERE state = 'scheduled' AND args ? 'job_id'`); n != len(all) {
			return fmt.Errorf("it has %d", n)
		}
		return nil
	})
	stop()
	for _, sql := range []string{
		`INSERT INTO worker_processes (id, host, pid, queues, version, heartbeat_at) VALUES ('dead', '', 1, '{}', '', now() - interval '1 minute')`,
		`UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now() - interval '1 minute', attempted_by = '{dead}' WHERE args ? 'job_id'`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	s.worker()
	for _, j := range all {
		if got := s.ends(j.ID, store.Succeeded); got.Attempt != 2 {
			t.Errorf("attempt %d, want the one after the lost one", got.Attempt)
		}
	}
	eventually(t, "it is no more", func() error {
		var n int
		if s.scan(&n, `SELECT count(*) FROM worker_processes WHERE id = 'dead'`); n != 0 {
			return errors.New("it is there")
		}
		return nil
	})
}

// Work that an operator cancels or deletes by River's own means leaves no job behind that waits for ever.
func TestJobsAdriftComeToAnEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.worker(func(c *Config) { c.Beat = 100 * time.Millisecond })
	later := func(j *store.Job) { j.RunAt = time.Now().Add(time.Hour) }
	one := func(context.Context, *jobs.Task) (jobs.Result, error) { return jobs.Result{Output: 1}, nil }
	cancelled, discarded, gone := s.submit(one, later), s.submit(one, later), s.submit(one, later)
	for _, j := range []store.Job{cancelled, discarded, gone} {
		eventually(t, "River has the job", func() error {
			if s.work(j.ID, "scheduled") != 1 {
				return errors.New("not yet")
			}
			return nil
		})
	}
	s.tx(func(tx pgx.Tx) error {
		for _, sql := range []string{
			`UPDATE river_job SET state = 'cancelled', finalized_at = now() - interval '1 minute' WHERE args ->> 'job_id' = $1`,
			`UPDATE river_job SET state = 'discarded', finalized_at = now() - interval '1 minute' WHERE args ->> 'job_id' = $2`,
			`UPDATE jobs SET run_at = now(), updated_at = now() - interval '1 minute',
			 river_job_id = (SELECT id FROM river_job WHERE args ->> 'job_id' = $3) WHERE id = $3::text::uuid`,
			`DELETE FROM river_job WHERE args ->> 'job_id' = $3`,
		} {
			if _, err := tx.Exec(t.Context(), sql+` AND $1::text <> '' AND $2::text <> '' AND $3::text <> ''`,
				cancelled.ID, discarded.ID, gone.ID); err != nil {
				return err
			}
		}
		return nil
	})
	s.ends(cancelled.ID, store.Cancelled)
	if got := s.ends(discarded.ID, store.Failed); s.code(got) != "work_discarded" {
		t.Errorf("it failed with %s", got.Error)
	}
	if got := s.ends(gone.ID, store.Succeeded); string(got.Output) != "1" {
		t.Errorf("output %s", got.Output)
	}
	if n := s.facts(cancelled.ID, "job.cancelled"); n != 1 {
		t.Errorf("%d facts say that it was cancelled", n)
	}
}
