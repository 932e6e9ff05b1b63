package cli

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/metrics"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
)

// Without Postgres Prometheus gets what can be had without it, soon, and is told what is missing.
func TestMetricsWithoutPostgres(t *testing.T) {
	t.Parallel()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	database := pg.URL(pg.NewDatabase(t, template))
	for how, leave := range map[string]func(*localstack.Gate){"away": (*localstack.Gate).Shut, "hanging": (*localstack.Gate).Hang} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			gate := localstack.NewGate(t, databaseHost(t, database))
			db, err := store.Open(t.Context(), store.PoolOptions{URL: strings.Replace(database, databaseHost(t, database), gate.Addr(), 1),
				Role: store.System, Name: "test", MaxConns: 2})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(db.Close)
			if err := db.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			w := &watch{metrics: metrics.New(metrics.Config{Version: "test"})}
			s := w.sources()
			t.Cleanup(s.remove)
			s.pool("api", db)
			s.database(db, (&app{}).table(jobs.Deps{}))
			leave(gate)
			began := time.Now()
			answer := httptest.NewRecorder()
			w.metrics.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("the scrape took %s", took)
			}
			body, _ := io.ReadAll(answer.Result().Body)
			for _, want := range []string{`payaid_collector_up{collector="database"} 0`, `payaid_collector_up{collector="pool api"} 1`,
				`payaid_db_pool_size{pool="api"} 2`, `payaid_build_info{version="test"} 1`} {
				if answer.Code != 200 || !strings.Contains(string(body), want+"\n") {
					t.Errorf("%d: %s is missing", answer.Code, want)
				}
			}
			if strings.Contains(string(body), "payaid_queue_") {
				t.Error("figures of a database that is away are told")
			}
		})
	}
}

func databaseHost(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
