package store_test

import (
	"context"
	"errors"
	neturl "net/url"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/migrations"
)

// A database that answers and can't be used is told from one that is away, with what to mend.
func TestUnusable(t *testing.T) {
	t.Parallel()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	migrated, empty := pg.URL(pg.NewDatabase(t, template)), pg.URL(pg.NewDatabase(t, ""))
	as := func(login string) string {
		u, err := neturl.Parse(migrated)
		if err != nil {
			t.Fatal(err)
		}
		u.User = neturl.UserPassword(login, "the-password")
		return u.String()
	}
	const poor = "unusable_login"
	owner := connect(t, migrated)
	if _, err := owner.Exec(t.Context(), `CREATE ROLE `+poor+` LOGIN PASSWORD 'the-password'`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = owner.Exec(context.Background(), `DROP ROLE `+poor) })
	for name, c := range map[string]struct {
		url  string
		role store.Role
		want string
	}{
		"no schema":     {empty, store.System, "the database has no schema, or one that is older than this program: run `payaid migrate`, or `payaid backup restore` where there was data"},
		"no role":       {migrated, "payaid_nobody", "the database lacks the role payaid_nobody: run `payaid migrate`"},
		"may not":       {as(poor), store.App, "the login may not act as payaid_app: grant it that role"},
		"no such login": {as("unusable_stranger"), store.App, "the database refuses the login: check user and password"},
		"no database":   {pg.URL("no_such_database"), store.App, "there is no such database on the server: check DATABASE_URL; a lost one comes back by `payaid backup restore`"},
	} {
		db := open(t, c.url, c.role)
		err := db.Ready(t.Context())
		var u *store.UnusableError
		if !errors.As(err, &u) || !strings.HasPrefix(u.Reason(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
			continue
		}
		if strings.Contains(u.Reason(), poor) || strings.Contains(err.Error(), "the-password") {
			t.Errorf("%s: %v tells too much", name, err)
		}
		if errors.Is(err, store.ErrNoConnection) != (name != "no schema") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open(t, migrated, store.App).Ready(t.Context()); err != nil {
		t.Errorf("a good one: %v", err)
	}
	// What is asked of an empty one says the same.
	_, err := open(t, empty, store.App).Authenticate(t.Context(), [32]byte{})
	if u := (*store.UnusableError)(nil); !errors.As(err, &u) || !strings.Contains(u.Remedy, "payaid backup restore") {
		t.Errorf("a question to an empty database: %v", err)
	}
	err = open(t, "postgres://u:p@127.0.0.1:1/x", store.App).Ready(t.Context())
	if u := (*store.UnusableError)(nil); errors.As(err, &u) || !errors.Is(err, store.ErrNoConnection) {
		t.Errorf("one that is away: %v", err)
	}
}
