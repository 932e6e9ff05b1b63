package chaos

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Three servers begin empty: one that was alone can't take its stream along. What it had not handed on
// is published anew, from the outbox; what was done is not done again.
func TestOneNATSServerBecomesThree(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	pool := s.pool()
	api, admin := s.api("api")
	organization, own := admin.organization(t, "Growing")
	relay, worker := s.relay("relay"), s.worker("worker")
	var list []string
	submit := func(n int) {
		for range n {
			list = append(list, own.submit(t, "bench.noop", `{"effect":true}`).ID)
		}
	}
	submit(20)
	for _, id := range list {
		own.done(t, id, 20*time.Second)
	}
	must(t, "all is routed", eventually(within(t, 20*time.Second), routed(pool)))

	// The old server holds what the router has not seen, and the outbox what the server has not.
	ends(t, worker, 20*time.Second)
	submit(10)
	must(t, "the old server has it", eventually(within(t, 20*time.Second), func(ctx context.Context) error {
		stream, err := readStream(ctx, s.nats.URL())
		if err == nil && len(stream) != 50 {
			err = fmt.Errorf("the stream holds %d events", len(stream))
		}
		return err
	}))
	ends(t, relay, 20*time.Second)
	submit(10)
	s.stop(s.nats)
	ends(t, api, 20*time.Second)

	s.startCluster()
	s.use(s.cluster.URL())
	_, grown := s.api("api-again")
	own = grown.as(own.key)
	submit(10)
	s.relay("relay-again")
	s.worker("worker-again")
	submit(10)
	for _, id := range list {
		own.done(t, id, time.Minute)
	}
	must(t, "all is routed", eventually(within(t, 20*time.Second), routed(pool)))
	must(t, "audit", audit(t.Context(), pool, organization, list))
	outbox, err := readOutbox(t.Context(), pool)
	must(t, "read the outbox", err)
	stream, err := readStream(t.Context(), s.cluster.URL())
	must(t, "read the stream", err)
	// 20 jobs were requested and completed before, and all of that routed.
	must(t, "hold the stream against the outbox", sameEvents(stream, outbox[40:]))

	_, f := s.examine("nats")
	if f.State != "ok" || !strings.Contains(f.Detail, "in 3 copies") {
		t.Errorf("the doctor says of NATS %+v", f)
	}
	s.cluster.KillServer(0)
	must(t, "the doctor misses a server", eventually(within(t, 20*time.Second), func(context.Context) error {
		if _, output := s.once("doctor"); !strings.Contains(output, "not up to date: payaid-") {
			return fmt.Errorf("it says:\n%s", output)
		}
		return nil
	}))
}

// routed is nil when every fact has been carried out.
func routed(pool *pgxpool.Pool) func(context.Context) error {
	return func(ctx context.Context) error {
		var left int
		err := pool.QueryRow(ctx, `SELECT count(*) FROM outbox o WHERE NOT EXISTS
			(SELECT FROM consumer_positions p WHERE p.consumer = 'router' AND (o.xid, o.id) <= (p.xid, p.id))`).Scan(&left)
		if err == nil && left > 0 {
			err = fmt.Errorf("%d facts are not routed", left)
		}
		return err
	}
}
