package api

import (
	"log/slog"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/payaid/payaid/internal/store"
)

func TestCloseLeavesNothingBehind(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	db, err := store.Open(t.Context(), store.PoolOptions{URL: "postgres://nobody@127.0.0.1:1/x", Role: store.App})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{DB: db, Hints: newLocalHints(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.touches.touch("o", "k")
	s.Close()
	s.touches.touch("o", "k2") // by a request that is late
	s.Drain()
	db.Close()
	goleak.VerifyNone(t, ignore)
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("a server without a database was made")
	}
}

// The API states facts: what carries work out is not even linked. Of River it has what pauses queues, and what retries,
// cancels and deletes jobs that only River knows.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, forbidden := range []string{"payaid/jobs", "payaid/workers", "internal/inference", "internal/localstack", "ollama", "go-smtp", "nats.go"} {
			if strings.Contains(dep, forbidden) {
				t.Errorf("api depends on %s", dep)
			}
		}
	}
}
