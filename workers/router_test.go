package workers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// router runs a router alone, over a table or, with nil, that of the site.
func (s *site) router(table []jobs.Job) (stop func()) {
	s.t.Helper()
	if table == nil {
		table = s.table()
	}
	client, err := NewInserter(s.db.Pool(), s.table(), s.logged.log())
	if err != nil {
		s.t.Fatal(err)
	}
	r := &router{pool: s.db.Pool(), stream: s.stream, river: client, table: table, log: s.logged.log()}
	return s.running("router", r.run, context.Canceled)
}

// routed waits until each job has come to River, and wants it there once.
func (s *site) routed(list []store.Job) {
	s.t.Helper()
	counts := func() map[string]int {
		rows, err := s.db.Pool().Query(s.t.Context(), `SELECT args ->> 'job_id', count(*) FROM river_job GROUP BY 1`)
		if err != nil {
			s.t.Fatal(err)
		}
		n := make(map[string]int)
		var id string
		var count int
		if _, err := pgx.ForEachRow(rows, []any{&id, &count}, func() error { n[id] = count; return nil }); err != nil {
			s.t.Fatal(err)
		}
		return n
	}
	eventually(s.t, "all is routed", func() error {
		n := counts()
		for _, j := range list {
			if n[j.ID] == 0 {
				return fmt.Errorf("%d of %d jobs are there", len(n), len(list))
			}
		}
		return nil
	})
	s.settled()
	for id, n := range counts() {
		if n != 1 {
			s.t.Errorf("job %s was started %d times", id, n)
		}
	}
}

// settled waits until the router has come to the end of the stream.
func (s *site) settled() {
	s.t.Helper()
	eventually(s.t, "the router is at the end of the stream", func() error {
		_, last, err := s.stream.State(s.t.Context())
		if err != nil {
			return err
		}
		p, err := store.ReadPosition(s.t.Context(), s.db.Pool(), routerName)
		if err == nil && p.StreamSeq != last {
			err = fmt.Errorf("it is at %d of %d", p.StreamSeq, last)
		}
		return err
	})
}

func (s *site) submitMany(n int) (list []store.Job) {
	s.t.Helper()
	for range n {
		list = append(list, s.submit(nil))
	}
	return list
}

func (s *site) dead() []store.DeadEvent {
	s.t.Helper()
	dead, err := s.db.DeadEvents(s.t.Context(), true, 0, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	return dead
}

// terminate ends the connection that holds a lock, if one does.
func (s *site) terminate(lock int64) {
	s.t.Helper()
	super := connect(s.t, localstack.TestPostgres(s.t).SuperURL("postgres"))
	_, err := super.Exec(s.t.Context(), `
		SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE l.locktype = 'advisory' AND l.granted AND d.datname = $2
		AND (l.classid::bigint << 32 | l.objid::bigint) = $1`, lock, s.db.Pool().Config().ConnConfig.Database)
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestRouterStartsEachJobOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	r := rand.New(rand.NewPCG(1, 2))
	stops := []func(){s.router(nil), s.router(nil)}
	var all []store.Job
	for range 40 {
		all = append(all, s.submitMany(1+r.IntN(25))...)
		switch i := r.IntN(2); r.IntN(3) {
		case 0:
			stops[i]()
			stops[i] = s.router(nil)
		case 1:
			s.terminate(RouterLock)
		}
	}
	s.routed(all)
}

// A foreign message as anybody with access to NATS could write it.
func (s *site) foreign(header nats.Header, body string) {
	s.t.Helper()
	m := &nats.Msg{Subject: events.Subject("job.requested"), Header: header, Data: []byte(body)}
	if _, err := s.nc.RequestMsg(m, patience); err != nil {
		s.t.Fatal(err)
	}
}

func TestRouterBuriesWhatItCannotRoute(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	stop := s.router(nil)
	good := s.submitMany(2)
	bad := 0
	spoil := func(change func(*store.Job)) {
		s.submit(nil, change)
		bad++
		good = append(good, s.submitMany(2)...)
	}
	spoil(func(j *store.Job) { j.Kind = "test.unknown" })
	spoil(func(j *store.Job) { j.Queue = "no queue, surely!" })
	s.routed(good)
	appended := func(fact events.Fact) {
		s.tx(func(tx pgx.Tx) error {
			return outbox.Append(t.Context(), tx, outbox.Origin{OrganizationID: organization}, fact)
		})
		bad++
		good = append(good, s.submitMany(1)...)
	}
	appended(events.JobRequested{JobID: "not an id", Kind: "test.play", Queue: "ai", Run: 2, Priority: 2, MaxAttempts: 1})
	appended(events.JobRequested{JobID: outbox.NewID(), Kind: "test.play", Queue: "ai", Run: 1, Priority: 9, MaxAttempts: 1})
	appended(events.JobCancelled{JobID: "not an id"})
	appended(strange{})
	s.routed(good)
	s.foreign(nil, "hello")
	s.foreign(nats.Header{"ce-id": {"a\x00b\xff"}, "X": nil}, "\x00\xff")
	bad += 2
	good = append(good, s.submitMany(3)...)
	s.routed(good)
	buried := func(when string) {
		t.Helper()
		if dead := s.dead(); len(dead) != bad {
			for _, d := range dead {
				t.Log(d.StreamSeq, d.Reason)
			}
			t.Fatalf("%s: %d dead events, want %d", when, len(dead), bad)
		}
	}
	buried("at first")

	// A restart, and then a position that makes the router read all from the beginning.
	stop()
	s.foreign(nil, "the last message of all")
	bad++
	stop = s.router(nil)
	s.settled()
	buried("after a restart")
	stop()
	if _, err := s.db.Pool().Exec(t.Context(), `UPDATE consumer_positions SET stream_seq = 1`); err != nil {
		t.Fatal(err)
	}
	s.router(nil)
	s.routed(good)
	buried("after reading from the beginning")
	if !strings.Contains(s.logged.String(), "router reads the stream from its beginning") {
		t.Error("it did not read from the beginning")
	}
}

type strange struct{}

func (strange) EventType() string          { return "strange.happened" }
func (strange) Aggregate() (string, int64) { return "x", 1 }

func TestRouterGoesOnInNewEpochAndNewStream(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	stopRelay := s.relay()
	stop := s.router(nil)
	all := s.submitMany(12)
	s.routed(all)
	stopRelay()
	unpublished := s.submitMany(3)
	if again, err := outbox.NewEpoch(t.Context(), s.db.Pool(), "test"); err != nil || again != 3 {
		t.Fatalf("%d events again, %v; want 3", again, err)
	}
	s.relay()
	all = append(append(all, unpublished...), s.submitMany(5)...)
	s.routed(all)

	js, err := s.nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	for _, running := range []bool{true, false} {
		if !running {
			stop()
		}
		if err := js.DeleteStream(stream.Name); err != nil {
			t.Fatal(err)
		}
		all = append(all, s.submitMany(4)...)
		if !running {
			s.router(nil)
		}
		s.routed(all)
	}
}

func TestRouterSkipsWhatComesTwiceAfterLostTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	natsServer := func() (url string, stop func()) {
		n, err := localstack.StartNATSProcess(t.Context(), localstack.NATSOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		stop = func() {
			if err := n.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
		t.Cleanup(stop)
		return n.URL(), stop
	}
	url, stop := natsServer()
	s := siteAt(t, newDatabase(t), url)
	s.relay()
	s.router(nil)
	all := s.submitMany(10)
	s.routed(all)
	stop()
	kept, older := filepath.Join(dir, "jetstream"), filepath.Join(t.TempDir(), "jetstream")
	if err := os.CopyFS(older, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	_, stop = natsServer()
	all = append(all, s.submitMany(15)...)
	s.routed(all)
	stop()
	if err := errors.Join(os.RemoveAll(kept), os.CopyFS(kept, os.DirFS(older))); err != nil {
		t.Fatal(err)
	}
	natsServer()
	all = append(all, s.submitMany(2)...)
	s.routed(all)
}

func TestRedrive(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	stop := s.router(s.table()[1:]) // a version that doesn't know the kind yet
	j := s.submit(nil)
	buried := func(want int) {
		t.Helper()
		eventually(t, "it is buried", func() error {
			if n := len(s.dead()); n != want {
				return fmt.Errorf("%d are", n)
			}
			return nil
		})
	}
	buried(1)
	s.foreign(nil, "hello")
	buried(2)
	stop()
	dead := s.dead()
	known, foreign := dead[0].ID, dead[1].ID

	if done, failed, err := Redrive(t.Context(), s.db, s.table()[1:], []int64{known}); err != nil || done != 0 || failed[known] == nil {
		t.Fatalf("by a version that doesn't know the kind: %d done, %v, %v", done, failed, err)
	}
	if s.dead()[0].RedrivenAt != nil || s.work(j.ID, "") != 0 {
		t.Fatal("what failed was marked all the same")
	}
	done, failed, err := Redrive(t.Context(), s.db, s.table(), nil)
	if err != nil || done != 1 || len(failed) != 1 || !errors.Is(failed[foreign], events.ErrNotAnEvent) {
		t.Fatalf("%d done, %v, %v; want one of two", done, failed, err)
	}
	done, failed, err = Redrive(t.Context(), s.db, s.table(), []int64{known, 999})
	if err != nil || done != 0 || !errors.Is(failed[known], store.ErrConflict) || !errors.Is(failed[999], store.ErrNotFound) {
		t.Fatalf("a second time: %d done, %v, %v", done, failed, err)
	}
	if n := s.work(j.ID, ""); n != 1 {
		t.Fatalf("the job was started %d times", n)
	}
	s.worker()
	s.ends(j.ID, store.Succeeded)
}

func TestReplay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.router(nil)
	begun := time.Now().Add(-time.Minute)
	all := s.submitMany(4)
	s.routed(all)
	plan := func(want int, since time.Time, types ...string) Plan {
		t.Helper()
		p, err := PlanReplay(t.Context(), s.db, s.table(), since, types)
		if err != nil || p.Jobs["test.play"] != want {
			t.Fatalf("planned %v, %v; want %d", p.Jobs, err, want)
		}
		return p
	}
	plan(0, begun) // River has them all
	if _, err := s.db.Pool().Exec(t.Context(), `DELETE FROM river_job WHERE args ->> 'job_id' <> $1`, all[0].ID); err != nil {
		t.Fatal(err)
	}
	plan(3, begun)
	s.cancel(all[1].ID)
	plan(0, time.Now().Add(time.Minute))
	plan(0, begun, "job.cancelled")
	p := plan(2, begun, "job.requested", "job.cancelled")
	if p.Events != 5 {
		t.Errorf("looked at %d events, want 5", p.Events)
	}
	late := s.submitMany(1)
	s.routed(late)
	if _, err := s.db.Pool().Exec(t.Context(), `DELETE FROM river_job WHERE args ->> 'job_id' = $1`, late[0].ID); err != nil {
		t.Fatal(err)
	}
	// Who plans again until then counts what was counted, and nobody plans further than the present.
	for until, want := range map[time.Time]int{p.Until: 2, {}: 3, time.Now().Add(time.Hour): 3} {
		again, err := PlanReplayOf(t.Context(), s.db, s.table(), outbox.Span{Since: begun, Until: until, Types: p.Types})
		if err != nil || again.Jobs["test.play"] != want || again.Until.After(time.Now().Add(time.Minute)) {
			t.Errorf("planned %v until %s for %s, %v; want %d", again.Jobs, again.Until, until, err, want)
		}
	}
	for _, want := range []int{2, 0} {
		if n, err := Replay(t.Context(), s.db, s.table(), p); err != nil || n != want {
			t.Fatalf("started %d, %v; want %d", n, err, want)
		}
	}
	for i, want := range []int{1, 0, 1, 1} {
		if n := s.work(all[i].ID, ""); n != want {
			t.Errorf("job %d has %d rows of River, want %d", i, n, want)
		}
	}
}
