package store_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

func openNamed(t *testing.T, url, name string, role store.Role) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: role, Name: name, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestConnectionBudget(t *testing.T) {
	t.Parallel()
	pg := localstack.NewPostgres(t)
	if err := pg.CreateDatabase(t.Context(), "one", ""); err != nil {
		t.Fatal(err)
	}
	url := pg.URL("one")
	if b, err := store.ConnectionBudget(t.Context(), url); err != nil || len(b.Processes) != 0 || b.Others != 0 {
		t.Fatalf("an empty cluster: %+v, %v", b, err)
	}
	if _, err := store.ConnectionBudget(t.Context(), pg.URL("none")); err == nil || !strings.Contains(err.Error(), "look at the connections") {
		t.Errorf("no such database: %v", err)
	}
	if _, err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	api := store.Process{Name: "payaid-api", Most: 30, Instance: "aaaa"}
	second := store.Process{Name: "payaid-api", Most: 20, Instance: "bbbb"}
	worker := store.Process{Name: "payaid-worker", Most: 63, Instance: "cccc"}
	// The names are of sessions that have become one of our roles, as a process's all have.
	openNamed(t, url, api.ApplicationName(""), store.App)
	openNamed(t, url, second.ApplicationName(""), store.App)
	openNamed(t, url, worker.ApplicationName(""), store.System)
	openNamed(t, url, worker.ApplicationName("river"), store.System)
	connect(t, url)
	connect(t, pg.SuperURL("postgres"))
	b, err := store.ConnectionBudget(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(b.Processes, func(p, q store.Process) int { return strings.Compare(p.Instance, q.Instance) })
	if want := []store.Process{api, second, worker}; !slices.Equal(b.Processes, want) {
		t.Errorf("got %+v, want %+v", b.Processes, want)
	}
	if b.MaxConnections != 200 || b.Reserved != 3 || b.Available() != 197 || b.Others != 2 || b.Claimed() != 30+20+63+2 {
		t.Errorf("got %+v, claimed %d", b, b.Claimed())
	}
	if got, want := b.String(), "payaid-api 30, payaid-api 20, payaid-worker 63, other sessions 2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestApplicationNamesThatAreNotOurs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "psql", "payaid-doctor", "payaid-api/30", "payaid-api/x/y", "payaid-api/0/y", "payaid-api/-3/y", "payaid-api/3/", "other/3/y", "payaid-api/3/y/z"} {
		if p, ok := store.ParseProcess(name); ok {
			t.Errorf("%q is taken for %+v", name, p)
		}
	}
	p := store.Process{Name: "payaid-api", Most: 30, Instance: "k7x2"}
	if got, ok := store.ParseProcess(p.ApplicationName("")); !ok || got != p {
		t.Errorf("got %+v, %v", got, ok)
	}
}
