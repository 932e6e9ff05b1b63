package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestAnotherRelayTakesOver(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	pool := s.pool()
	_, admin := s.api("api")
	_, own := admin.organization(t, "Relayed")
	active := s.relay("relay-1")
	_, err := active.says(within(t, 20*time.Second), "relay publishes")
	must(t, "the first relay", err)
	standby := s.relay("relay-2")
	_, err = standby.says(within(t, 20*time.Second), "relay stands by")
	must(t, "the second relay", err)

	facts := 0
	submit := func(n int) {
		for range n {
			own.submit(t, "bench.noop", `{}`)
		}
		facts += n
	}
	whole := func(ctx context.Context) error {
		stream, err := readStream(ctx, s.nats.URL())
		if err != nil {
			return err
		}
		outbox, err := readOutbox(ctx, pool)
		if err == nil && len(outbox) != facts {
			err = fmt.Errorf("the outbox has %d facts, want %d", len(outbox), facts)
		}
		if err != nil {
			return err
		}
		return sameEvents(stream, outbox)
	}
	for range 3 {
		submit(10)
		killed := time.Now()
		active.kill()
		submit(10)
		must(t, "all is published after the active relay was killed", eventually(within(t, 20*time.Second), whole))
		took(t, "the other relay published", killed, 5*time.Second)
		must(t, "start the relay", active.start())
		_, err := active.says(within(t, 20*time.Second), "relay stands by")
		must(t, "the relay that was killed", err)
		active, standby = standby, active
	}
	must(t, "nothing twice", whole(t.Context()))
}

func TestAKilledWorkersJobsRunAgain(t *testing.T) {
	t.Parallel()
	const running = 4
	s := newStack(t)
	pool := s.pool()
	_, admin := s.api("api")
	organization, own := admin.organization(t, "Rescued")
	s.relay("relay")
	first := s.worker("worker-1")
	g := newGate(t)
	var list []string
	for range running {
		list = append(list, own.submit(t, "chaos.visit", g.input()).ID)
	}
	must(t, "the jobs run", g.visits(within(t, 20*time.Second), running))
	second := s.worker("worker-2")
	_, err := second.says(within(t, 20*time.Second), "worker works")
	must(t, "the second worker", err)

	killed := time.Now()
	first.kill()
	must(t, "the dead worker's visits end", g.leaves(within(t, 5*time.Second), running))
	must(t, "the jobs run again", g.visits(within(t, time.Minute), running))
	took(t, "all jobs of the killed worker ran again", killed, 30*time.Second)
	g.open()
	for _, id := range list {
		if j := own.done(t, id, 20*time.Second); j.Attempt != 2 {
			t.Errorf("job %s took %d attempts, want 2", id, j.Attempt)
		}
	}
	must(t, "audit", audit(t.Context(), pool, organization, list))
	if n := second.log.count(0, "job of a dead worker is given back"); n != running {
		t.Errorf("the log tells of %d jobs that were given back, want %d", n, running)
	}
}

func TestSIGTERMEndsEveryProcess(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	pool := s.pool()
	api, admin := s.api("api")
	organization, own := admin.organization(t, "Drained")
	relay := s.relay("relay")
	busy := s.worker("worker-busy")
	g := newGate(t)
	id := own.submit(t, "chaos.visit", g.input()).ID
	must(t, "the job runs", g.visits(within(t, 20*time.Second), 1))

	idle := s.worker("worker-idle")
	_, err := idle.says(within(t, 20*time.Second), "worker works")
	must(t, "the idle worker", err)
	ends(t, idle, 5*time.Second)

	// The job does not end by itself: its worker waits for it as long as it may, and gives it back.
	ends(t, busy, 25*time.Second)
	must(t, "the visit ends with its worker", g.leaves(within(t, time.Second), 1))
	var state string
	err = pool.QueryRow(t.Context(), `SELECT state::text FROM river_job WHERE args ->> 'job_id' = $1 ORDER BY id DESC LIMIT 1`, id).Scan(&state)
	must(t, "look at the job's row of River", err)
	if state != "available" {
		t.Errorf("the job that ran is %s, want available", state)
	}
	var processes int
	must(t, "count workers", pool.QueryRow(t.Context(), `SELECT count(*) FROM worker_processes`).Scan(&processes))
	if processes != 0 {
		t.Errorf("%d workers are still signed on", processes)
	}

	began := time.Now()
	s.worker("worker-next")
	must(t, "the job runs again", g.visits(within(t, 20*time.Second), 1))
	took(t, "the job that was given back ran again", began, 10*time.Second)
	g.open()
	if j := own.done(t, id, 20*time.Second); j.Attempt != 1 {
		t.Errorf("the interrupted attempt was counted: attempt %d, want 1", j.Attempt)
	}
	must(t, "audit", audit(t.Context(), pool, organization, []string{id}))
	ends(t, relay, 5*time.Second)
	ends(t, api, 5*time.Second)
}

// ends asks a process to end, which it must do with status 0.
func ends(t *testing.T, p *process, most time.Duration) {
	t.Helper()
	status, d, err := p.terminate(within(t, time.Minute))
	must(t, "end", err)
	t.Logf("%s ended after %s", p.name, d.Round(time.Millisecond))
	if status != 0 || d > most {
		t.Errorf("%s ended with status %d after %s, want 0 and %s at most", p.name, status, d, most)
	}
}
