package hint_test

import (
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/events/hint"
	"github.com/payaid/payaid/internal/localstack"
)

func TestMain(m *testing.M) { os.Exit(localstack.RunTests(m)) }

func open(t *testing.T) (*hint.Hints, *nats.Conn) {
	t.Helper()
	nc, err := nats.Connect(localstack.TestNATS(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return hint.New(nc), nc
}

func arrives(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		t.Fatalf("the hint of %s does not arrive", what)
	}
}

func TestHintsReachOtherProcesses(t *testing.T) {
	here, nc := open(t)
	there, _ := open(t)
	outbox, err := here.Outbox()
	if err != nil {
		t.Fatal(err)
	}
	a, stopA := here.Job("a")
	a2, stopA2 := here.Job("a")
	b, stopB := here.Job("b")
	defer stopB()
	any, stopAny := here.Jobs()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // whoever is slow gets one for all
		there.OutboxChanged()
		there.JobChanged("a")
	}
	arrives(t, "the outbox", outbox)
	arrives(t, "job a", a)
	arrives(t, "job a to the second", a2)
	arrives(t, "any job", any)
	stopAny()
	stopA()
	there.JobChanged("b")
	arrives(t, "job b", b)
	there.JobChanged("a")
	there.JobChanged("b")
	arrives(t, "job b", b) // and so that of a before it
	arrives(t, "job a to who still listens", a2)
	stopA2()
	there.JobChanged("a")
	there.JobChanged("b")
	arrives(t, "job b", b)
	select {
	case <-a2:
		t.Error("a hint arrives after stop")
	case <-any:
		t.Error("a hint of any job arrives after stop")
	default:
	}
}
