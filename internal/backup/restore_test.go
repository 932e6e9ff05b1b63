package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// count reads a number from a database.
func count(t *testing.T, url, sql string, args ...any) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func databases(t *testing.T, pg *localstack.Postgres) (list []string) {
	t.Helper()
	rows, err := connect(t, pg.SuperURL("postgres")).Query(t.Context(), `SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	if list, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatal(err)
	}
	return list
}

// restorable is a server with the product's tables in its database source.
func restorable(t *testing.T) (pg *localstack.Postgres, k *Keeper, m Manifest) {
	t.Helper()
	pg = localstack.NewPostgres(t)
	if err := pg.CreateDatabase(t.Context(), "source", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Up(t.Context(), pg.URL("source")); err != nil {
		t.Fatal(err)
	}
	fill(t, pg.URL("source"), 500)
	k, m = backedUp(t, Config{DatabaseURL: pg.URL("source")})
	return pg, k, m
}

// A folder of backups and a server that knows nothing of us are enough.
func TestRestoreOnAnotherServer(t *testing.T) {
	t.Parallel()
	_, old, m := restorable(t)
	pg := localstack.NewPostgres(t)
	k := newKeeper(t, Config{DatabaseURL: pg.URL("nowhere"), Dir: old.Dir})
	plan, err := k.PlanRestore(t.Context(), RestoreOptions{Database: "payaid"})
	if err != nil || strings.Join(plan.NewRoles, " ") != "payaid_app payaid_system" || plan.Before != "" {
		t.Fatalf("got plan %+v, %v; want to hear of the roles that it makes", plan, err)
	}
	if got := databases(t, pg); len(got) > 0 {
		t.Fatalf("the plan made %q", got)
	}
	revived := ""
	got, err := k.Restore(t.Context(), RestoreOptions{Name: Latest, Database: "payaid", Revive: func(ctx context.Context, url string) error {
		revived = url
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Manifest.Name != m.Name || got.Rows != m.Rows() || got.Tables != len(m.Tables) || got.Lost <= 0 || got.Before != "" {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(revived, "/payaid_restoring_") {
		t.Errorf("it was brought to life as %q, want it before it has its name", revived)
	}
	if list := databases(t, pg); fmt.Sprint(list) != "[payaid]" {
		t.Errorf("got databases %q", list)
	}
	url := pg.URL("payaid")
	if n := count(t, url, `SELECT count(*) FROM items`); n != 500 {
		t.Errorf("got %d items", n)
	}
	// Rights are back: the roles of the processes may do what they could, and nothing else.
	conn := connect(t, url)
	run(t, conn, `SET ROLE payaid_app`)
	if _, err := conn.Exec(t.Context(), `SELECT FROM contacts`); err != nil {
		t.Errorf("payaid_app may not read contacts: %v", err)
	}
	if _, err := conn.Exec(t.Context(), `SELECT FROM items`); err == nil {
		t.Error("payaid_app may read what nobody granted")
	}
	if _, err := migrations.Up(t.Context(), url); err != nil {
		t.Errorf("the restored database can't be migrated: %v", err)
	}
}

func TestRestoreByPath(t *testing.T) {
	t.Parallel()
	_, old, m := restorable(t)
	elsewhere := t.TempDir() // open to others, as a stick may be
	for _, file := range []string{m.File, m.Name + manifestEnding} {
		raw, err := os.ReadFile(filepath.Join(old.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(elsewhere, file), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	k := newKeeper(t, Config{DatabaseURL: old.DatabaseURL})
	for i, file := range []string{m.File, m.Name + manifestEnding} {
		name := fmt.Sprintf("copy_%d", i)
		if _, err := k.Restore(t.Context(), RestoreOptions{Path: filepath.Join(elsewhere, file), Database: name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(elsewhere, m.Name+manifestEnding)); err != nil {
		t.Fatal(err)
	}
	_, err := k.Restore(t.Context(), RestoreOptions{Path: filepath.Join(elsewhere, m.File), Database: "copy_3"})
	wantFault(t, err, ManifestInvalid)
}

func TestRestoreOverwritesNothing(t *testing.T) {
	t.Parallel()
	pg, k, _ := restorable(t)
	_, err := k.Restore(t.Context(), RestoreOptions{Database: "source"})
	wantFault(t, err, DatabaseExists)
	_, err = k.PlanRestore(t.Context(), RestoreOptions{Database: "source"})
	wantFault(t, err, DatabaseExists)
	// It appears while the restore is under way.
	_, err = k.Restore(t.Context(), RestoreOptions{Database: "late", Revive: func(ctx context.Context, _ string) error {
		return pg.CreateDatabase(ctx, "late", "")
	}})
	wantFault(t, err, DatabaseExists)
	if list := databases(t, pg); fmt.Sprint(list) != "[late source]" {
		t.Errorf("got databases %q", list)
	}
	if n := count(t, pg.URL("late"), `SELECT count(*) FROM pg_class WHERE relname = 'items'`); n != 0 {
		t.Error("somebody else's database was filled")
	}
	_, err = k.Restore(t.Context(), RestoreOptions{Database: "template1", Replace: true})
	wantFault(t, err, CannotRestore)
}

// Clients that never let go don't keep a restore from taking the name, never find it missing for longer than they wait,
// and never see half of it.
func TestRestoreInPlaceUnderLoad(t *testing.T) {
	t.Parallel()
	pg, k, m := restorable(t)
	url := pg.URL("source")
	run(t, connect(t, url), `DELETE FROM items WHERE id > 10`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen := make(chan map[int]int)
	for range 4 {
		go func() {
			found := make(map[int]int)
			for ctx.Err() == nil {
				conn, err := pgx.Connect(ctx, url)
				for err == nil {
					var n int
					if err = conn.QueryRow(ctx, `SELECT count(*) FROM items`).Scan(&n); err == nil {
						found[n]++
					}
				}
				if conn != nil {
					conn.Close(context.Background())
				}
			}
			seen <- found
		}()
	}
	inCutover := false
	got, err := k.Restore(t.Context(), RestoreOptions{Database: "source", Replace: true, Cutover: func(ctx context.Context) error {
		inCutover = true
		asking, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if conn, err := pgx.Connect(asking, url); err == nil {
			conn.Close(context.Background())
			t.Error("somebody got in while the name changed hands")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, url, `SELECT count(*) FROM items`); n != 500 || !inCutover {
		t.Errorf("got %d items, cutover %t", n, inCutover)
	}
	stop()
	all := make(map[int]int)
	for range 4 {
		for n, times := range <-seen {
			all[n] += times
		}
	}
	delete(all, 10)
	delete(all, 500)
	if len(all) > 0 {
		t.Errorf("clients saw %v, want the old 10 items or the restored 500", all)
	}
	if !strings.HasPrefix(got.Before, "source_before_") || count(t, pg.URL(got.Before), `SELECT count(*) FROM items`) != 10 {
		t.Errorf("the old database is not as it was in %q", got.Before)
	}
	if got.Rows != m.Rows() {
		t.Errorf("got %d rows, want %d", got.Rows, m.Rows())
	}
}

// What a superuser restores in the place of another belongs to whom it belonged, and is open to whom it was open.
func TestRestoreKeepsOwnersAndRights(t *testing.T) {
	t.Parallel()
	pg := localstack.NewPostgres(t)
	super := connect(t, pg.SuperURL("postgres"))
	run(t, super, `CREATE ROLE holder LOGIN CREATEROLE PASSWORD 'held'`)
	run(t, super, `CREATE ROLE guest LOGIN PASSWORD 'g'`)
	run(t, super, `CREATE DATABASE held OWNER holder`)
	run(t, super, `REVOKE ALL ON DATABASE held FROM PUBLIC`)
	run(t, super, `GRANT CONNECT ON DATABASE held TO guest`)
	run(t, super, `ALTER DATABASE held SET log_min_duration_statement = '7s'`)
	run(t, super, `ALTER DATABASE held SET search_path = public, "$user"`)
	run(t, super, `ALTER ROLE guest IN DATABASE held SET statement_timeout = '3s'`)
	holder := strings.Replace(pg.SuperURL("held"), "postgres://"+strings.SplitN(strings.SplitN(pg.SuperURL("held"), "://", 2)[1], "@", 2)[0], "postgres://holder:held", 1)
	if _, err := migrations.Up(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	state := func(name string) string {
		var facts string
		err := connect(t, pg.SuperURL(name)).QueryRow(t.Context(), `
			SELECT concat_ws(' | ', pg_get_userbyid(d.datdba), (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(d.datacl) AS a),
			       (SELECT string_agg(concat(setrole::regrole, setconfig), ' ' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid),
			       (SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class WHERE relnamespace = 'public'::regnamespace))
			FROM pg_database d WHERE datname = current_database()`).Scan(&facts)
		if err != nil {
			t.Fatal(err)
		}
		return facts
	}
	want := state("held")
	k, _ := backedUp(t, Config{DatabaseURL: pg.SuperURL("held")})
	if _, err := k.Restore(t.Context(), RestoreOptions{Database: "held", Replace: true}); err != nil {
		t.Fatal(err)
	}
	if got := state("held"); got != want || !strings.HasPrefix(got, "holder | ") {
		t.Errorf("restored:\n%s\nwant\n%s", got, want)
	}
	if applied, err := migrations.Up(t.Context(), holder); err != nil || len(applied) > 0 {
		t.Errorf("its owner migrates: %v, %v", applied, err)
	}
	if _, err := k.Restore(t.Context(), RestoreOptions{Database: "beside"}); err != nil {
		t.Fatal(err)
	}
	if got := state("beside"); got != "holder | holder" {
		t.Errorf("beside it: %s", got)
	}
}

var errCutover = errors.New("no")

// What fails at any moment leaves the old database with its name, and nothing else.
func TestRestoreFailsWhole(t *testing.T) {
	t.Parallel()
	pg, k, m := restorable(t)
	for _, tt := range []struct {
		what, code string
		harm       func(*testing.T)
		options    RestoreOptions
	}{
		{what: "the tables can't be brought to life", options: RestoreOptions{Revive: func(context.Context, string) error { return errCutover }}},
		{what: "the caches can't be changed over", options: RestoreOptions{Cutover: func(context.Context) error { return errCutover }}},
		{what: "the dump is cut short", code: Truncated, harm: func(t *testing.T) {
			spoil(t, k, m.File, func(b []byte) []byte { return b[:len(b)-1] })
		}},
		{what: "a count was made up", code: Different, harm: func(t *testing.T) {
			rewrite(t, k, m, func(m *Manifest) { m.Tables = append([]Table{}, m.Tables...); m.Tables[0].Rows += 3 })
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			for _, file := range []string{m.File, m.Name + manifestEnding} {
				raw, err := os.ReadFile(filepath.Join(k.Dir, file))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := os.WriteFile(filepath.Join(k.Dir, file), raw, 0o600); err != nil {
						t.Error(err)
					}
				}()
			}
			if tt.harm != nil {
				tt.harm(t)
			}
			for _, o := range []RestoreOptions{{Database: "source", Replace: true}, {Database: "fresh"}} {
				o.Name, o.Revive, o.Cutover = m.Name, tt.options.Revive, tt.options.Cutover
				_, err := k.Restore(t.Context(), o)
				if tt.code != "" {
					wantFault(t, err, tt.code)
				} else if !errors.Is(err, errCutover) {
					t.Errorf("got %v", err)
				}
				if list := databases(t, pg); fmt.Sprint(list) != "[source]" {
					t.Errorf("got databases %q", list)
				}
			}
			if n := count(t, pg.URL("source"), `SELECT count(*) FROM items`); n != 500 {
				t.Errorf("the old database has %d items", n)
			}
		})
	}
}

func TestRestoreNeedsRights(t *testing.T) {
	t.Parallel()
	pg, old, _ := restorable(t)
	super := connect(t, pg.SuperURL("postgres"))
	run(t, super, `CREATE ROLE weak LOGIN PASSWORD 'weak'`)
	weak := strings.Replace(pg.URL("source"), "://"+strings.SplitN(strings.SplitN(pg.URL("source"), "://", 2)[1], "@", 2)[0], "://weak:weak", 1)
	k := newKeeper(t, Config{DatabaseURL: weak, Dir: old.Dir})
	_, err := k.Restore(t.Context(), RestoreOptions{Database: "fresh"})
	wantFault(t, err, LoginTooWeak)
	_, err = k.Verify(t.Context(), "", nil)
	wantFault(t, err, LoginTooWeak)
	run(t, super, `ALTER ROLE weak CREATEDB`)
	_, err = k.Restore(t.Context(), RestoreOptions{Database: "source", Replace: true})
	wantFault(t, err, LoginTooWeak)
	wrong := strings.Replace(weak, "weak:weak", "weak:wrong", 1)
	_, err = newKeeper(t, Config{DatabaseURL: wrong, Dir: old.Dir}).Restore(t.Context(), RestoreOptions{Database: "fresh"})
	if f := wantFault(t, err, LoginTooWeak); strings.Contains(f.Detail+f.Remedy, "wrong") {
		t.Error("the password is shown")
	}
	// Roles are missing, and the login may not make them.
	other := localstack.NewPostgres(t)
	run(t, connect(t, other.SuperURL("postgres")), `CREATE ROLE weak LOGIN PASSWORD 'weak' CREATEDB`)
	there := strings.Replace(other.URL("nowhere"), "://"+strings.SplitN(strings.SplitN(other.URL("nowhere"), "://", 2)[1], "@", 2)[0], "://weak:weak", 1)
	_, err = newKeeper(t, Config{DatabaseURL: there, Dir: old.Dir}).Restore(t.Context(), RestoreOptions{Database: "fresh"})
	if f := wantFault(t, err, LoginTooWeak); !strings.Contains(f.Remedy, "CREATE ROLE") {
		t.Errorf("got remedy %q", f.Remedy)
	}
}
