package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

// patience bounds every wait of these tests: much longer than anything takes on a busy machine.
const patience = 60 * time.Second

// newDatabase is the URL of a migrated database of the test's own.
func newDatabase(t *testing.T) string {
	t.Helper()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	return pg.URL(pg.NewDatabase(t, template))
}

func open(t *testing.T, url string) *store.DB { return openAs(t, url, "test") }

func openAs(t *testing.T, url, name string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.System, Name: name, MaxConns: 12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// connect is a connection outside every pool.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// newNATS is an embedded server of the test's own, as there is one stream of events in a server.
func newNATS(t *testing.T) string {
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

func openStream(t *testing.T, url string) *stream.Stream {
	t.Helper()
	s, err := stream.Open(dial(t, url))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// A record keeps what was logged.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *record) log() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// startRelay runs a relay until the test, or stop, ends it, and fails the test when it doesn't end.
func startRelay(t *testing.T, db *store.DB, s outbox.Log) (logged *record, stop func()) {
	t.Helper()
	logged = &record{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	relay := outbox.NewRelay(db.Pool(), s, nil, logged.log())
	go func() { done <- relay.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("relay ended with %v, want the end of its context", err)
				}
			case <-time.After(patience):
				t.Error("relay does not end")
			}
			if t.Failed() {
				t.Logf("relay said:\n%s", logged)
			}
		})
	}
	t.Cleanup(stop)
	return logged, stop
}

// A note is a fact of these tests.
type note struct {
	Subject string `json:"subject"`
	N       int    `json:"n"`
}

func (note) EventType() string            { return "test.noted" }
func (n note) Aggregate() (string, int64) { return n.Subject, int64(n.N) }
func (n note) String() string             { return fmt.Sprint(n.Subject, n.N) }
func origin() outbox.Origin               { return outbox.Origin{OrganizationID: store.OperatorOrganization} }
func notes(subject string, n int) (list []events.Fact) {
	for i := range n {
		list = append(list, note{subject, i})
	}
	return list
}

func appendFacts(t *testing.T, db *store.DB, facts ...events.Fact) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx pgx.Tx) error { return outbox.Append(t.Context(), tx, origin(), facts...) })
	if err != nil {
		t.Fatal(err)
	}
}

// A place is an event and where it lies.
type place struct{ ID, Position string }

// outboxHolds is the outbox in its order, from the present epoch on.
func outboxHolds(t *testing.T, db *store.DB) []place {
	t.Helper()
	rows, err := db.Pool().Query(t.Context(), `
		SELECT event_id::text, (SELECT epoch FROM outbox_epochs ORDER BY started_at DESC LIMIT 1) || '/' || xid || '/' || id
		FROM outbox ORDER BY xid, id`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[place])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// streamHolds reads the whole stream.
func streamHolds(t *testing.T, s *stream.Stream) (list []place) {
	t.Helper()
	for _, m := range messages(t, s) {
		e, p, err := m.Event()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, place{e.ID, p.String()})
	}
	return list
}

var errEnough = errors.New("enough")

func messages(t *testing.T, s *stream.Stream) (list []stream.Message) {
	t.Helper()
	first, last, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 || first > last {
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = s.Follow(ctx, 1, 500, func(batch []stream.Message) error {
		list = append(list, batch...)
		if len(list) > 0 && list[len(list)-1].Seq >= last {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	return list
}

// published waits until the stream ends with the last event of the outbox, and wants it to hold what the
// outbox holds: in its order, without a gap, nothing twice.
func published(t *testing.T, db *store.DB, s *stream.Stream) {
	t.Helper()
	want := outboxHolds(t, db)
	eventually(t, "the relay has published all", func() error {
		tail, err := s.Tail(t.Context())
		if err != nil {
			return err
		}
		if got := tail.Position.String(); len(want) > 0 && got != want[len(want)-1].Position {
			return fmt.Errorf("the stream stands at %s, want %s", got, want[len(want)-1].Position)
		}
		return nil
	})
	if diff := cmp.Diff(want, streamHolds(t, s)); diff != "" {
		t.Fatalf("the stream is not what the outbox is (-outbox +stream):\n%s", diff)
	}
}

// eventually asks until the answer is nil.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}

func saying(logged *record, text string) func() error {
	return func() error {
		if !strings.Contains(logged.String(), text) {
			return fmt.Errorf("the log doesn't say %q:\n%s", text, logged)
		}
		return nil
	}
}

func deleteStream(t *testing.T, url string) {
	t.Helper()
	js, err := jetstream.New(dial(t, url))
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), stream.Name); err != nil {
		t.Fatal(err)
	}
}

func ids(list []place) (ids []string) {
	for _, p := range list {
		ids = append(ids, p.ID)
	}
	return ids
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
