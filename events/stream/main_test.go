package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/localstack"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

const patience = 30 * time.Second

// newServer is an embedded server of the test's own, as there is one stream of events in a server.
func newServer(t *testing.T) string {
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

func open(t *testing.T, url string) (*stream.Stream, *nats.Conn) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s, err := stream.Open(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, nc
}

// entries are made up, from the number from on.
func entries(from, n int) (list []outbox.Entry) {
	for i := from; i < from+n; i++ {
		list = append(list, outbox.Entry{
			Event: events.Envelope{ID: outbox.NewID(), Type: "test.noted", Subject: fmt.Sprint(i),
				Time: time.Now().UTC(), OrganizationID: "o", AggregateVersion: int64(i), Data: json.RawMessage(`{}`)},
			Position: events.Position{Epoch: "e", XID: uint64(i / 3), ID: int64(i)},
		})
	}
	return list
}

func publish(t *testing.T, s *stream.Stream, after uint64, list []outbox.Entry) uint64 {
	t.Helper()
	seq, err := s.Publish(t.Context(), after, list)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}
