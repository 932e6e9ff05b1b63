package jobs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
	"github.com/payaid/payaid/migrations"
)

// webhookPatience bounds every wait of these tests: much longer than anything takes on a busy machine.
const webhookPatience = 60 * time.Second

// A webhookSite is a database of a test's own, with an organization whose facts are delivered to receivers in this
// process by workers of River.
type webhookSite struct {
	t            *testing.T
	deps         Deps
	organization string
	inserter     *river.Client[pgx.Tx]
	executions   atomic.Int64 // of webhook.deliver, by all workers
	logged       *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWebhookSite(t *testing.T, change ...func(*Deps, *webhook.Config)) *webhookSite {
	t.Helper()
	s := &webhookSite{t: t, organization: outbox.NewID(), logged: &lockedBuffer{}}
	pg, template := localstack.TestTemplate(t, migrations.Up)
	url := pg.URL(pg.NewDatabase(t, template))
	open := func(relaxed bool) *store.DB {
		db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.System, Name: "test", MaxConns: 20, Relaxed: relaxed})
		s.must(err)
		t.Cleanup(db.Close)
		return db
	}
	s.deps = Deps{DB: open(false), Relaxed: open(true), Hints: noHints{}, Log: slog.New(slog.NewTextHandler(s.logged, nil))}
	config := webhook.Config{UserAgent: "PayAid-Webhooks/test", Timeout: webhookPatience,
		Policy: webhook.Policy{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
	for _, change := range change {
		change(&s.deps, &config)
	}
	client := webhook.NewClient(config)
	t.Cleanup(client.Close)
	if s.deps.Webhooks.Client == nil {
		s.deps.Webhooks.Client = client
	}
	var err error
	s.inserter, err = river.NewClient(riverpgxv5.New(s.deps.DB.Pool()), &river.Config{SkipUnknownJobCheck: true, Logger: slog.New(slog.DiscardHandler)})
	s.must(err)
	s.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Rao Textiles', 'KA')`, s.organization)
	return s
}

func (s *webhookSite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// work works the webhook queue, so many jobs at a time, until the test or stop ends it.
func (s *webhookSite) work(slots int) (stop func()) {
	s.t.Helper()
	d := s.deps
	d.Webhooks.Slots = slots
	count := func(ctx context.Context, row *rivertype.JobRow, do func(context.Context) error) error {
		if row.Kind == (deliverWebhookArgs{}).Kind() {
			s.executions.Add(1)
		}
		return do(ctx)
	}
	client, err := river.NewClient(riverpgxv5.New(s.deps.Relaxed.Pool()), &river.Config{
		Workers: Register(All(d)), Queues: map[string]river.QueueConfig{Webhook.Name: {MaxWorkers: slots}},
		FetchCooldown: 5 * time.Millisecond, FetchPollInterval: 50 * time.Millisecond, JobTimeout: -1, SoftStopTimeout: 100 * time.Millisecond,
		ReindexerSchedule: river.NeverSchedule(), Middleware: []rivertype.Middleware{river.WorkerMiddlewareFunc(count)},
		Logger: slog.New(slog.NewTextHandler(s.logged, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	s.must(err)
	s.must(client.Start(context.Background()))
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), webhookPatience)
		defer cancel()
		if err := client.Stop(ctx); err != nil {
			s.t.Errorf("the worker does not stop: %v", err)
		}
		if s.t.Failed() {
			s.t.Logf("the log:\n%s", s.logged)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// endpoint makes one that hears everything, with other columns by name.
func (s *webhookSite) endpoint(url string, columns ...any) (id string) {
	s.t.Helper()
	id = outbox.NewID()
	s.exec(`INSERT INTO webhook_endpoints (organization_id, id, url, events, secret) VALUES ($1, $2, $3, '{*}', $4)`,
		s.organization, id, url, webhook.NewSecret())
	for i := 0; i+1 < len(columns); i += 2 {
		s.exec(`UPDATE webhook_endpoints SET `+columns[i].(string)+` = $2 WHERE id = $1`, id, columns[i+1])
	}
	return id
}

// tell has so many events delivered to each of some endpoints, as the router does.
func (s *webhookSite) tell(n int, endpoints ...string) (deliveries []string) {
	s.t.Helper()
	var told []store.WebhookEvent
	var list []store.NewDelivery
	var lanes []store.Lane
	for range n {
		e := store.WebhookEvent{OrganizationID: s.organization, ID: outbox.NewID(), Type: "invoice.paid"}
		e.Body = `{"specversion":"1.0","id":"` + e.ID + `","type":"invoice.paid"}`
		told = append(told, e)
		for _, endpoint := range endpoints {
			lane := store.Lane{OrganizationID: s.organization, ID: endpoint}
			d := store.NewDelivery{Lane: lane, ID: outbox.NewID(), EndpointID: &endpoint, EventID: e.ID, EventType: e.Type, Purpose: purposeEvent}
			list, lanes, deliveries = append(list, d), append(lanes, lane), append(deliveries, d.ID)
		}
	}
	s.put(told, list, lanes)
	return deliveries
}

func (s *webhookSite) put(told []store.WebhookEvent, list []store.NewDelivery, lanes []store.Lane) {
	s.t.Helper()
	s.must(s.deps.DB.Tx(s.t.Context(), func(tx pgx.Tx) error {
		b, turns := &pgx.Batch{}, []store.Turn{}
		store.QueueDeliveries(b, told, list, store.TellOnce, new(int))
		store.QueueAdmission(b, lanes, Webhook.Share, &turns)
		if err := tx.SendBatch(s.t.Context(), b).Close(); err != nil {
			return err
		}
		return s.insert(tx, insertTurns(turns)...)
	}))
}

func (s *webhookSite) insert(tx pgx.Tx, inserts ...river.InsertManyParams) error {
	if len(inserts) == 0 {
		return nil
	}
	_, err := s.inserter.InsertManyFastTx(s.t.Context(), tx, inserts)
	return err
}

// asked has a delivery made now, as a test or a replay is.
func (s *webhookSite) asked(delivery string) {
	s.t.Helper()
	s.must(s.deps.DB.Tx(s.t.Context(), func(tx pgx.Tx) error {
		var run int
		err := tx.QueryRow(s.t.Context(), `UPDATE webhook_deliveries SET admitted = true, next_attempt_at = now() WHERE id = $1 RETURNING run`, delivery).Scan(&run)
		if err != nil {
			return err
		}
		opts := &river.InsertOpts{Queue: Webhook.Name, MaxAttempts: 25}
		return s.insert(tx, river.InsertManyParams{InsertOpts: opts, Args: deliverWebhookArgs{OrganizationID: s.organization, DeliveryID: delivery, Run: run, Now: true}})
	}))
}

// soon has all that waits for its time come at once: what is scheduled, and what a lane's pause holds up.
func (s *webhookSite) soon() {
	s.t.Helper()
	s.exec(`UPDATE webhook_lanes SET paused_until = now() - interval '1 ms' WHERE paused_until IS NOT NULL`)
	s.exec(`UPDATE webhook_deliveries SET next_attempt_at = now() WHERE status = 'pending'`)
	s.exec(`UPDATE river_job SET state = 'available', scheduled_at = now() WHERE state IN ('scheduled', 'available', 'retryable')`)
	s.sweep()
}

// sweep gives the free places of all lanes to what waits there, as the worker's sweep does.
func (s *webhookSite) sweep() {
	s.t.Helper()
	s.must(s.deps.DB.Tx(s.t.Context(), func(tx pgx.Tx) error {
		rows, err := tx.Query(s.t.Context(), `SELECT DISTINCT organization_id::text, lane_id::text FROM webhook_deliveries WHERE status = 'pending' AND NOT admitted`)
		if err != nil {
			return err
		}
		lanes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[store.Lane])
		if err != nil {
			return err
		}
		turns, err := store.AdmitDeliveries(s.t.Context(), tx, lanes, Webhook.Share)
		if err != nil {
			return err
		}
		return s.insert(tx, insertTurns(turns)...)
	}))
}

func (s *webhookSite) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.deps.DB.Pool().Exec(s.t.Context(), sql, args...)
	s.must(err)
}

func (s *webhookSite) count(sql string, args ...any) (n int) {
	s.t.Helper()
	s.must(s.deps.DB.Pool().QueryRow(s.t.Context(), sql, args...).Scan(&n))
	return n
}

func (s *webhookSite) eventually(what string, ask func() error) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > webhookPatience {
			s.t.Fatalf("waiting until %s: %v\nthe log:\n%s", what, err, s.logged)
		}
	}
}

// waits waits until a count is as wanted.
func (s *webhookSite) waits(what string, want int, sql string, args ...any) {
	s.t.Helper()
	s.eventually(what, func() error {
		if got := s.count(sql, args...); got != want {
			return fmt.Errorf("got %d, want %d", got, want)
		}
		return nil
	})
}

// A deliveryRow is what a test looks at of a delivery.
type deliveryRow struct {
	Status        string     `db:"status"`
	Attempts      int        `db:"attempts"`
	Admitted      bool       `db:"admitted"`
	BegunAt       time.Time  `db:"begun_at"`
	NextAttemptAt *time.Time `db:"next_attempt_at"`
	StatusCode    *int       `db:"status_code"`
	ErrorCode     *string    `db:"error_code"`
	Error         *string    `db:"error"`
	UpdatedAt     time.Time  `db:"updated_at"`
}

func (d deliveryRow) code() string {
	if d.ErrorCode == nil {
		return ""
	}
	return *d.ErrorCode
}

func (s *webhookSite) delivery(id string) deliveryRow {
	s.t.Helper()
	rows, err := s.deps.DB.Pool().Query(s.t.Context(), `SELECT status, attempts, admitted, begun_at, next_attempt_at, status_code, error_code, error, updated_at
		FROM webhook_deliveries WHERE id = $1`, id)
	s.must(err)
	d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[deliveryRow])
	s.must(err)
	return d
}

// tried waits until so many attempts were made at a delivery.
func (s *webhookSite) tried(id string, attempts int) deliveryRow {
	s.t.Helper()
	var d deliveryRow
	s.eventually("the delivery was tried", func() error {
		if d = s.delivery(id); d.Attempts != attempts {
			return fmt.Errorf("%d attempts, want %d", d.Attempts, attempts)
		}
		return nil
	})
	return d
}

// ends waits until a delivery has ended.
func (s *webhookSite) ends(id, status string) deliveryRow {
	s.t.Helper()
	var d deliveryRow
	s.eventually("the delivery ends", func() error {
		if d = s.delivery(id); d.Status == store.DeliveryPending {
			return fmt.Errorf("it is pending after %d attempts", d.Attempts)
		}
		return nil
	})
	if d.Status != status {
		s.t.Fatalf("the delivery %s with %s, want %s", d.Status, d.code(), status)
	}
	return d
}

// A laneRow is what a test looks at of a lane.
type laneRow struct {
	Failures     int        `db:"failures"`
	Successes    int        `db:"successes"`
	FailingSince *time.Time `db:"failing_since"`
	Pause        float64    `db:"pause"` // seconds from now
}

func (s *webhookSite) lane(id string) laneRow {
	s.t.Helper()
	rows, err := s.deps.DB.Pool().Query(s.t.Context(), `SELECT failures, successes, failing_since,
		greatest(0, coalesce(extract(epoch FROM paused_until - clock_timestamp()), 0))::float8 AS pause FROM webhook_lanes WHERE id = $1`, id)
	s.must(err)
	l, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[laneRow])
	s.must(err)
	return l
}
