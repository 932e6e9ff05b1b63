package cli

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await polls until the log has all of the parts.
func (l *logLines) await(t *testing.T, parts ...string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, part := range parts {
		for !strings.Contains(l.String(), part) {
			select {
			case <-deadline:
				t.Fatalf("no %q in %s", part, l.String())
			case <-tick.C:
			}
		}
	}
}

// An API whose database nobody has migrated says so at once, and once it is migrated all is well.
func TestAPIWaitsForSchema(t *testing.T) {
	t.Parallel()
	pg, _ := localstack.TestTemplate(t, migrations.Up)
	url := pg.URL(pg.NewDatabase(t, ""))
	listener, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log logLines
	a := &app{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		everybody := limits{proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::/0")}}
		ended <- a.runAPI(ctx, apiSetup{pool: pool{url: url, size: 2, most: 3, timeout: time.Second}, natsURL: "nats://127.0.0.1:1",
			limits: everybody}, listener, slog.New(slog.NewTextHandler(&log, nil)))
	}()
	log.await(t, "everybody is a trusted proxy", "trusted=::/0")
	log.await(t, "database can't be used", "the database has no schema, or one that is older than this program: run `payaid migrate`, or `payaid backup restore` where there was data")
	address := "http://" + listener.Addr().String()
	ready := func() (status int, detail string) {
		r, err := http.Get(address + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var p struct{ Detail string }
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, p.Detail
	}
	if status, detail := ready(); status != http.StatusServiceUnavailable || detail != "the database has no schema, or one that is older than this program: run `payaid migrate`, or `payaid backup restore` where there was data" {
		t.Errorf("readiness is %d, %q", status, detail)
	}
	if _, err := (migrations.Migrator{DatabaseURL: url}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.await(t, "database is there")
	if strings.Contains(log.String(), "10.0.0.0/8") {
		t.Errorf("a network of proxies is warned of: %s", log.String())
	}
	if n := strings.Count(log.String(), "can't be used"); n > 3 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
