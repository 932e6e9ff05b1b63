package api

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/store"
)

// withDB gives the API another database, and a place for its log.
func withDB(t *testing.T, url string, role store.Role, log *lockedBuffer) func(*Config) {
	return func(c *Config) {
		db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: role, MaxConns: 3})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		c.DB, c.Log = db, slog.New(slog.NewTextHandler(log, nil))
		c.Checks = []Check{{Name: "postgres", Required: true, Probe: func(ctx context.Context) (string, error) { return "", db.Ready(ctx) }}}
	}
}

// While the operator has yet to mend the database, clients are told to come again, and readiness says what is wrong.
func TestDatabaseIsUnusable(t *testing.T) {
	t.Parallel()
	pg, template := migrated(t)
	for name, c := range map[string]struct {
		url  string
		role store.Role
		want string
	}{
		"no schema": {pg.URL(pg.NewDatabase(t, "")), store.App, "the database has no schema, or one that is older than this program: run `payaid migrate`, or `payaid backup restore` where there was data"},
		"no role":   {pg.URL(pg.NewDatabase(t, template)), "payaid_nobody", "the database lacks the role payaid_nobody: run `payaid migrate`"},
		"no such":   {pg.URL("no_such_database"), store.App, "there is no such database on the server: check DATABASE_URL; a lost one comes back by `payaid backup restore`, a new one is created empty and migrated"},
		"away":      {"postgres://u:p@127.0.0.1:1/x", store.App, "postgres can't be used now"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log lockedBuffer
			g := newRig(t, withDB(t, c.url, c.role, &log))
			stranger, _, _ := NewKey()
			for range 5 {
				for _, key := range []string{stranger, testAdminKey} {
					r := g.call(t, key, "GET", "/api/contacts", "")
					r.problem(503, "unavailable")
					if r.header.Get("Retry-After") == "" {
						t.Error("no Retry-After")
					}
				}
			}
			if p := g.call(t, "", "GET", "/readyz", "").problem(503, "not_ready"); p.Detail != c.want {
				t.Errorf("readiness says %q, want %q", p.Detail, c.want)
			}
			// Each of a flood of refused requests is not worth a line.
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Errorf("%d lines: %s", n, log.String())
			}
			for _, part := range []string{"level=WARN", "request refused for want of the database", "route=/api/contacts"} {
				if !strings.Contains(log.String(), part) {
					t.Errorf("%s lacks %s", log.String(), part)
				}
			}
		})
	}
}
