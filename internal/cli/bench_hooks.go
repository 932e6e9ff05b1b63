package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/jobs"
)

const (
	hookTurns = 4
	// hookRounds is how many single events the idle latency is of.
	hookRounds = 300
	// hooksAtOnce is how many deliveries a receiver has at a time at most.
	hooksAtOnce = 10
)

// hooks measures what the product costs over a bare loop of http.Client to the same receiver.
func (b *bench) hooks(ctx context.Context) error {
	receiver, err := newBenchReceiver()
	if err != nil {
		return err
	}
	defer receiver.close()
	for _, endpoints := range []int{1, 10} {
		m := hookBench{bench: b, receiver: receiver, endpoints: endpoints}
		if err := m.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// hookBench is a measurement with a number of endpoints.
type hookBench struct {
	*bench
	receiver     *benchReceiver
	endpoints    int
	organization string
	secret       string // of an endpoint
	db           *store.DB
	delivered    int // all deliveries that there are to be
}

func (m *hookBench) run(ctx context.Context) error {
	s, err := m.start(ctx, fmt.Sprintf("bench_hooks_%d", m.endpoints), everything, func(s *stackSetup) {
		s.worker.queues[jobs.Webhook.Name] = jobs.Webhook.Workers
		s.worker.queues[jobs.Maintenance.Name] = jobs.Maintenance.Workers
		policy := webhook.Policy{Own: []netip.AddrPort{m.receiver.address}}
		s.api.webhooks, s.worker.webhooks.policy = policy, policy
	})
	if err != nil {
		return err
	}
	return errors.Join(m.measure(ctx, s), s.stop())
}

func (m *hookBench) measure(ctx context.Context, s *stack) error {
	if err := m.subscribe(ctx, s); err != nil {
		return err
	}
	var err error
	m.db, err = store.Open(ctx, store.PoolOptions{URL: s.url, Role: store.System, Name: "bench", MaxConns: 2})
	if err != nil {
		return err
	}
	defer m.db.Close()
	if m.endpoints == 1 {
		if err := m.idle(ctx); err != nil {
			return err
		}
	}
	return m.throughput(ctx, s)
}

// subscribe makes the endpoints.
func (m *hookBench) subscribe(ctx context.Context, s *stack) error {
	var organization struct {
		ID string `json:"id"`
	}
	if err := s.client.do(ctx, http.MethodGet, "/api/organization", nil, &organization); err != nil {
		return err
	}
	m.organization = organization.ID
	for i := range m.endpoints {
		var made struct {
			Secret string `json:"secret"`
		}
		err := s.client.do(ctx, http.MethodPost, "/api/webhooks",
			map[string]any{"url": fmt.Sprintf("http://%s/%d", m.receiver.address, i), "events": []string{"contact.*"}}, &made)
		if err != nil {
			return err
		}
		m.secret = made.Secret
	}
	return nil
}

// happen commits n facts, and tells nobody.
func (m *hookBench) happen(ctx context.Context, n int) ([]string, error) {
	batch, list := &pgx.Batch{}, make([]string, n)
	for i := range list {
		fact := events.ContactCreated{ContactID: outbox.NewID(), Type: "lead", Stage: "prospect", Status: "active", Version: 1}
		var err error
		if list[i], err = outbox.Queue(batch, outbox.Origin{OrganizationID: m.organization}, fact); err != nil {
			return nil, err
		}
	}
	m.delivered += n * m.endpoints
	return list, m.db.Tx(ctx, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
}

// idle measures one event at a time, from before its transaction until its receiver has it.
func (m *hookBench) idle(ctx context.Context) error {
	nc, err := nats.Connect(m.natsURL)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer nc.Close()
	hints := hint.New(nc)
	var ours latencies
	for range hookRounds {
		began := time.Now()
		list, err := m.happen(ctx, 1)
		if err != nil {
			return err
		}
		hints.OutboxChanged()
		at, err := m.receiver.await(ctx, list[0])
		if err != nil {
			return err
		}
		ours.add(at.Sub(began))
	}
	m.add(row{what: "event to its receiver, idle, one at a time", value: ours.String(), target: "p50 <= 10 ms, p99 <= 30 ms",
		verdict: met(ours.at(0.5) <= 10*time.Millisecond && ours.at(0.99) <= 30*time.Millisecond)})
	return m.recorded(ctx)
}

// throughput compares the product with bare loops, in turns, as other programs slow the machine for some of the time.
func (m *hookBench) throughput(ctx context.Context, s *stack) error {
	bare, closeAll, err := m.bareLoops()
	if err != nil {
		return err
	}
	defer closeAll()
	if _, err := rate(ctx, 500*time.Millisecond, bare); err != nil {
		return err
	}
	n := 50 * hooksAtOnce
	if err := m.warm(ctx, s, n); err != nil {
		return err
	}
	var ours, theirs hookRate
	for range hookTurns {
		r, err := m.measured(func() (int, error) {
			r, err := rate(ctx, m.Duration/hookTurns, bare)
			return int(r * (m.Duration / hookTurns).Seconds()), err
		})
		if err != nil {
			return err
		}
		theirs.add(r)
		if r, err = m.measured(func() (int, error) { return m.work(ctx, n) }); err != nil {
			return err
		}
		ours.add(r)
		n = max(n, int(ours.perSecond()*m.Duration.Seconds()/hookTurns))
	}
	m.add(row{what: fmt.Sprintf("webhooks, from event to recorded, %s", m.many()), value: ours.String(),
		against: fmt.Sprintf("http.Client alone, %d at a time, %s", len(bare), theirs), ratio: ours.perSecond() / theirs.perSecond()})
	return nil
}

// warm has lanes widen, and Postgres look at what its tables hold, as it does by itself within a minute or two; until then
// its plans are those of empty tables.
func (m *hookBench) warm(ctx context.Context, s *stack, n int) error {
	if _, err := m.work(ctx, n); err != nil {
		return err
	}
	owner, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	_, err = owner.Exec(ctx, `ANALYZE`)
	return errors.Join(err, owner.Close(ctx))
}

func (m *hookBench) many() string {
	if m.endpoints == 1 {
		return "1 endpoint"
	}
	return fmt.Sprintf("%d endpoints", m.endpoints)
}

// work makes so many deliveries due at once, and returns when all are recorded.
func (m *hookBench) work(ctx context.Context, n int) (int, error) {
	if _, err := m.happen(ctx, n/m.endpoints); err != nil {
		return 0, err
	}
	return n / m.endpoints * m.endpoints, m.recorded(ctx)
}

// recorded waits until every delivery is written down as made.
func (m *hookBench) recorded(ctx context.Context) error {
	// Counting is work for the database, which is to be left for what is measured.
	return until(ctx, 5*soon, func() (bool, error) {
		var made, failed int
		err := m.db.Pool().QueryRow(ctx, `SELECT count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed' OR attempts > 1)
			FROM webhook_deliveries`).Scan(&made, &failed)
		if err == nil && failed > 0 {
			err = fmt.Errorf("%d deliveries did not succeed at once", failed)
		}
		return made >= m.delivered, err
	})
}

// hookRate is what was done in how much time, and processor time.
type hookRate struct {
	n         int
	took, cpu time.Duration
}

func (r *hookRate) add(more hookRate) {
	*r = hookRate{r.n + more.n, r.took + more.took, r.cpu + more.cpu}
}

func (r hookRate) perSecond() float64 { return float64(r.n) / r.took.Seconds() }

// String implements fmt.Stringer.
func (r hookRate) String() string {
	return fmt.Sprintf("%.0f /s (%.2f ms cpu)", r.perSecond(), millis(r.cpu)/float64(max(1, r.n)))
}

func (m *hookBench) measured(work func() (int, error)) (r hookRate, err error) {
	before, err := cpu(m.postgres.Pid())
	if err != nil {
		return r, err
	}
	began := time.Now()
	if r.n, err = work(); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	after, err := cpu(m.postgres.Pid())
	r.cpu = after - before
	return r, err
}

// bareLoops are as many loops as the product has deliveries under way, each with nothing but a signature and http.Client.
func (m *hookBench) bareLoops() (loops []func(context.Context) error, closeAll func(), err error) {
	body, err := events.Structured(benchEnvelope(m.organization))
	if err != nil {
		return nil, nil, err
	}
	atOnce := min(jobs.Webhook.Workers, hooksAtOnce*m.endpoints)
	transport := &http.Transport{MaxIdleConnsPerHost: atOnce}
	c := &http.Client{Transport: transport}
	one := func(ctx context.Context) error {
		id, at := outbox.NewID(), time.Now()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/bare", m.receiver.address), bytes.NewReader(body))
		if err != nil {
			return err
		}
		signature, err := webhook.Sign([]string{m.secret}, id, at, body)
		if err != nil {
			return err
		}
		request.Header.Set("webhook-id", id)
		request.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		request.Header.Set("webhook-signature", signature)
		request.Header.Set("X-Webhook-Signature", webhook.SignBody(m.secret, body))
		request.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
		response, err := c.Do(request)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return errors.Join(err, response.Body.Close())
	}
	return slices.Repeat([]func(context.Context) error{one}, atOnce), transport.CloseIdleConnections, nil
}

func benchEnvelope(organization string) events.Envelope {
	id := outbox.NewID()
	return events.Envelope{ID: outbox.NewID(), Type: events.ContactCreated{}.EventType(), Subject: id, Time: time.Now(), OrganizationID: organization,
		AggregateVersion: 1, Data: []byte(`{"contact_id":"` + id + `","type":"lead","stage":"prospect","status":"active","version":1}`)}
}
