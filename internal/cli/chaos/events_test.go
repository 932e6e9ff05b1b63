package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestTheEventsCommands(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	pool := s.pool()
	_, admin := s.api("api")
	_, own := admin.organization(t, "Watched")
	s.relay("relay")
	s.worker("worker")
	wants := func(status int, texts []string, args ...string) {
		t.Helper()
		got, output := s.once(append([]string{"events"}, args...)...)
		if got != status || !containsAll(output, texts) {
			t.Errorf("events %s: status %d, want %d and %q in:\n%s", strings.Join(args, " "), got, status, texts, output)
		}
	}
	id := own.submit(t, "bench.noop", `{"effect":true}`).ID
	own.done(t, id, 20*time.Second)

	all := s.process("tail", nil, "events", "tail", "--from", "1")
	_, err := all.says(within(t, 10*time.Second), "1  ", "job.requested", id)
	must(t, "the first event", err)
	_, err = all.says(within(t, 10*time.Second), "2  ", "job.completed", id)
	must(t, "the second event", err)
	some := s.process("tail-some", nil, "events", "tail", "--from", "1", "--type", "job.completed")
	later := own.submit(t, "bench.noop", `{"effect":true}`).ID
	_, err = some.says(within(t, 10*time.Second), "job.completed", later)
	must(t, "an event of one type", err)
	if some.log.count(0, "job.requested") > 0 {
		t.Error("a tail of one type shows another")
	}
	ends(t, all, 5*time.Second)
	ends(t, some, 5*time.Second)

	// A message that is none of ours does not stop the router; it is listed, and stays what it is.
	nc, err := nats.Connect(s.nats.URL())
	must(t, "connect to NATS", err)
	defer nc.Close()
	must(t, "publish rubbish", nc.Publish("payaid.events.job.requested.v1", []byte("rubbish")))
	own.done(t, own.submit(t, "bench.noop", `{"effect":true}`).ID, 20*time.Second)
	wants(0, []string{"payaid.events.job.requested.v1", "REASON"}, "dead")
	wants(1, []string{"redrove 0", "payaid: dead event 1: "}, "dead", "redrive", "1")
	wants(1, []string{"dead event 77", "not found"}, "dead", "redrive", "77")
	wants(1, []string{"--all"}, "dead", "redrive")

	// Work that is done or under way is not started again; work that was lost is, once.
	wants(0, []string{"0"}, "replay", "--since", "1h", "--yes")
	lost := own.submit(t, "bench.noop", `{"effect":true}`, `,"run_at":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"`).ID
	row := func() (n int) {
		must(t, "count rows of River", pool.QueryRow(t.Context(), `SELECT count(*) FROM river_job WHERE args ->> 'job_id' = $1`, lost).Scan(&n))
		return n
	}
	own.done(t, own.submit(t, "bench.noop", `{"effect":true}`).ID, 20*time.Second) // routed behind it
	_, err = pool.Exec(t.Context(), `DELETE FROM river_job WHERE args ->> 'job_id' = $1`, lost)
	must(t, "lose the work", err)
	wants(1, []string{"bench.noop", "nothing was started"}, "replay", "--since", "1h")
	if row() != 0 {
		t.Error("a replay that was not confirmed started something")
	}
	wants(0, []string{"started 1 jobs"}, "replay", "--since", "1h", "--yes")
	wants(0, []string{"0"}, "replay", "--since", "1h", "--yes")
	if n := row(); n != 1 {
		t.Errorf("after two replays the lost job has %d rows of River, want 1", n)
	}
	wants(1, []string{"--since", "soon"}, "replay", "--since", "soon")
	wants(1, []string{"there is no event", "contact.eaten"}, "replay", "--since", "1h", "--type", "contact.eaten")
}
