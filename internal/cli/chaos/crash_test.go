package chaos

import (
	"testing"
	"time"
)

// What a job comes to can't be written while Postgres is away, and River gives up writing its own row
// after some seconds.
func TestAJobEndsWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]time.Duration{"for a moment": time.Second, "for longer than River tries": 25 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			pool := s.pool()
			_, admin := s.api("api")
			organization, own := admin.organization(t, "Interrupted")
			s.relay("relay")
			s.worker("worker")
			g := newGate(t)
			id := own.submit(t, "chaos.visit", g.input()).ID
			must(t, "the job runs", g.visits(within(t, 20*time.Second), 1))
			s.stop(s.postgres)
			g.open()
			must(t, "pause", pause(t.Context(), away))
			s.startPostgres()
			back := time.Now()
			own.done(t, id, 2*time.Minute)
			took(t, "the job was done", back, 45*time.Second)
			must(t, "audit", audit(t.Context(), pool, organization, []string{id}))
		})
	}
}
