package workers

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/jobs"
)

const elsewhere = "0197aaaa-0000-7000-8000-000000000002"

// telling is the table of the site with the product's own webhooks.
func (s *site) telling() []jobs.Job {
	table := s.table()
	for _, j := range jobs.All(jobs.Deps{DB: s.db, Relaxed: s.relaxed, Log: s.logged.log()}) {
		if j.Kind == jobs.DeliverWebhook || j.Kind == "webhook.replay" {
			table = append(table, j)
		}
	}
	return table
}

// endpoint makes one as the API does.
func (s *site) endpoint(organizationID string, patterns ...string) (id string) {
	s.t.Helper()
	id = outbox.NewID()
	s.exec(`INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
		VALUES ($1, $2, 'https://example.com/', $3, 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=')`, organizationID, id, patterns)
	return id
}

func (s *site) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.db.Pool().Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// heard lists the types that an endpoint is told of, in the order of its deliveries.
func (s *site) heard(endpointID string) []string {
	s.t.Helper()
	rows, err := s.db.Pool().Query(s.t.Context(), `SELECT event_type FROM webhook_deliveries WHERE endpoint_id = $1 ORDER BY id`, endpointID)
	if err != nil {
		s.t.Fatal(err)
	}
	types, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return types
}

func (s *site) count(sql string, args ...any) (n int) {
	s.t.Helper()
	s.scan(&n, sql, args...)
	return n
}

func created() events.Fact { return events.ContactCreated{ContactID: outbox.NewID(), Version: 1} }
func deleted() events.Fact { return events.ContactDeleted{ContactID: outbox.NewID(), Version: 2} }
func won() events.Fact     { return events.DealWon{DealID: outbox.NewID(), Version: 3} }

// drained waits until all that was stated is routed.
func (s *site) drained() {
	s.t.Helper()
	eventually(s.t, "all is published", func() error {
		var events, published int
		s.scan(&events, `SELECT count(*) FROM outbox`)
		first, last, err := s.stream.State(s.t.Context())
		if published = int(last - first + 1); err == nil && (last == 0 || published < events) {
			err = fmt.Errorf("%d of %d are", published, events)
		}
		return err
	})
	s.settled()
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.router(s.telling())
	s.endpoint(elsewhere, "*")
	off := s.endpoint(organization, "*")
	s.exec(`UPDATE webhook_endpoints SET status = 'disabled', disabled_code = 'owner', disabled_at = now() WHERE id = $1`, off)
	gone := s.endpoint(organization, "*")
	s.exec(`UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1`, gone)
	s.endpoint(organization, "invoice.*", "contact.updated")
	for range 50 {
		s.states(organization, created(), won(), deleted())
	}
	s.drained()
	for _, table := range []string{"webhook_deliveries", "webhook_events", "webhook_lanes", "river_job"} {
		if n := s.count(`SELECT count(*) FROM ` + table); n != 0 {
			t.Errorf("%d rows of %s", n, table)
		}
	}
	s.endpoint(organization, "contact.created")
	s.states(organization, created())
	s.drained()
	if n := s.count(`SELECT count(*) FROM river_job WHERE kind = $1`, jobs.DeliverWebhook); n != 1 {
		t.Errorf("%d jobs for who listens, want 1", n)
	}
}

func TestEachListenerIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	all, contacts, deals := s.endpoint(organization, "*"), s.endpoint(organization, "contact.*"), s.endpoint(organization, "deal.won", "deal.lost")
	other := s.endpoint(elsewhere, "*")
	r := rand.New(rand.NewPCG(3, 4))
	stops := []func(){s.router(s.telling()), s.router(s.telling())}
	want := map[string][]string{}
	for range 60 {
		for range 1 + r.IntN(12) {
			f := []func() events.Fact{created, deleted, won}[r.IntN(3)]()
			s.states(organization, f)
			s.states(elsewhere, deleted())
			want[other] = append(want[other], "contact.deleted")
			want[all] = append(want[all], f.EventType())
			if f.EventType() == "deal.won" {
				want[deals] = append(want[deals], f.EventType())
			} else {
				want[contacts] = append(want[contacts], f.EventType())
			}
		}
		switch i := r.IntN(2); r.IntN(3) {
		case 0:
			stops[i]()
			stops[i] = s.router(s.telling())
		case 1:
			s.terminate(RouterLock)
		}
	}
	s.drained()
	check := func(when string) {
		t.Helper()
		for id, types := range want {
			if got := s.heard(id); !slices.Equal(got, types) {
				t.Fatalf("%s: told of %d events, want %d in their order", when, len(got), len(types))
			}
		}
		if n := s.count(`SELECT count(*) FROM webhook_deliveries d WHERE NOT EXISTS (
			SELECT FROM webhook_events e WHERE e.organization_id = d.organization_id AND e.id = d.event_id AND e.type = d.event_type
			AND e.body::jsonb ->> 'organizationid' = d.organization_id::text AND e.body::jsonb ->> 'id' = d.event_id::text)`); n != 0 {
			t.Fatalf("%s: %d deliveries without what is to be sent", when, n)
		}
	}
	check("routed")
	jobs := func() int {
		return s.count(`SELECT count(*) FROM river_job WHERE kind = 'webhook.deliver'`)
	}
	if n := jobs(); n != 8 { // two of each lane
		t.Errorf("%d jobs, want 8", n)
	}
	// Read again from the beginning, by a router that believes its position.
	for _, stop := range stops {
		stop()
	}
	s.exec(`UPDATE consumer_positions SET stream_seq = 1`)
	s.router(s.telling())
	s.drained()
	check("read again")
	if n := jobs(); n != 8 {
		t.Errorf("%d jobs after all was read again, want 8", n)
	}
}

// Endpoints come while events do, and each hears of all that was stated after it was there.
func TestListenersAreNeverStale(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.router(s.telling())
	const writers, rounds = 4, 250
	made := make(chan [2]string, writers*rounds)
	failed := make(chan error, writers)
	for range writers {
		go func() {
			failed <- func() error {
				for range rounds {
					id, org := outbox.NewID(), outbox.NewID()
					_, err := s.db.Pool().Exec(t.Context(), `INSERT INTO webhook_endpoints (organization_id, id, url, events, secret)
						VALUES ($1, $2, 'https://example.com/', '{contact.*}', 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=')`, org, id)
					if err != nil {
						return err
					}
					err = s.db.Tx(t.Context(), func(tx pgx.Tx) error {
						return outbox.Append(t.Context(), tx, outbox.Origin{OrganizationID: org}, created())
					})
					if err != nil {
						return err
					}
					// What is stated after it is off isn't told.
					_, err = s.db.Pool().Exec(t.Context(), `UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1
						AND EXISTS (SELECT FROM webhook_deliveries WHERE endpoint_id = $1)`, id)
					if err != nil {
						return err
					}
					made <- [2]string{org, id}
				}
				return nil
			}()
		}()
	}
	for range writers {
		if err := receive(t, "the end of a writer", failed); err != nil {
			t.Fatal(err)
		}
	}
	close(made)
	s.drained()
	for m := range made {
		if n := len(s.heard(m[1])); n != 1 {
			t.Fatalf("endpoint %s of %s was told of %d events, want 1", m[1], m[0], n)
		}
	}
}

// To look for listeners costs no round trip of its own where nobody listens.
func TestLookingForListenersIsFree(t *testing.T) {
	t.Parallel()
	trips := func(telling bool) int64 {
		s := newSite(t)
		s.relay()
		table := s.table()
		if telling {
			table = s.telling()
		}
		writes, pool := countingPool(t, s.url)
		client, err := NewInserter(pool, table, s.logged.log())
		if err != nil {
			t.Fatal(err)
		}
		s.endpoint(elsewhere, "*")
		r := &router{pool: pool, stream: s.stream, river: client, table: table, log: s.logged.log()}
		stop := s.running("router", r.run, context.Canceled)
		one := func() int64 {
			before := writes.Load()
			s.states(organization, created())
			s.drained()
			return writes.Load() - before
		}
		one() // statements are prepared
		least := one()
		for range 10 {
			least = min(least, one())
		}
		stop()
		return least
	}
	if without, with := trips(false), trips(true); with > without || with < 2 {
		t.Errorf("%d messages to Postgres for an event, want %d as without webhooks", with, without)
	}
}

// countingPool counts what its connections write.
func countingPool(t *testing.T, url string) (*atomic.Int64, *pgxpool.Pool) {
	t.Helper()
	var writes atomic.Int64
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return counted{conn, &writes}, err
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SET ROLE payaid_system")
		return err
	}
	config.MaxConns = 2
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &writes, pool
}

type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// The end of a job whose client wants to be called back is told to it, and to endpoints as well.
func TestCallbacksAreTold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	s.router(s.telling())
	endpoint := s.endpoint(organization, "job.completed")
	urls := []string{"https://a.example/hook?t=1", "https://a.example/other", "https://b.example:8443/"}
	for _, url := range urls {
		j := s.submit(nil, func(j *store.Job) { j.CallbackURL = &url })
		s.states(organization, events.JobCompleted{JobID: j.ID, Kind: j.Kind, Attempt: 1, Version: 2, Callback: true})
	}
	quiet := s.submit(nil)
	s.states(organization, events.JobCompleted{JobID: quiet.ID, Kind: quiet.Kind, Attempt: 1, Version: 2})
	lost := events.JobFailed{JobID: outbox.NewID(), Kind: "test.play", Attempt: 1, Version: 2, Callback: true}
	s.states(organization, lost) // its row is not kept any more
	s.drained()
	if n := len(s.heard(endpoint)); n != 4 {
		t.Errorf("the endpoint was told of %d ends, want 4", n)
	}
	got := make(map[string]string)
	rows, err := s.db.Pool().Query(t.Context(), `SELECT d.url, l.origin || ' ' || d.lane_id FROM webhook_deliveries d
		JOIN webhook_lanes l ON l.organization_id = d.organization_id AND l.id = d.lane_id
		JOIN jobs j ON j.organization_id = d.organization_id AND j.id = d.job_id WHERE purpose = 'callback'`)
	if err != nil {
		t.Fatal(err)
	}
	var url, lane string
	if _, err := pgx.ForEachRow(rows, []any{&url, &lane}, func() error { got[url] = lane; return nil }); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for _, url := range urls {
		origin := webhook.Origin(url)
		want[url] = origin + " " + store.CallbackLane(organization, origin).ID
	}
	if want[urls[0]] != want[urls[1]] || want[urls[0]] == want[urls[2]] {
		t.Errorf("the lanes are %v", want)
	}
	if !maps.Equal(got, want) {
		t.Errorf("callbacks are %v, want %v", got, want)
	}
}
