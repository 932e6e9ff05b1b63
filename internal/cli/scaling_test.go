package cli

import (
	"bytes"
	"context"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
)

const scalingFolder = "../../deploy/kubernetes/components/scaling/"

// scalingQueries are what KEDA asks, by queue and by the name of the trigger.
func scalingQueries(t *testing.T) map[string]map[string]string {
	t.Helper()
	content, err := os.ReadFile(scalingFolder + "workers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	queries := make(map[string]map[string]string)
	for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
		var object struct {
			Kind     string
			Metadata struct{ Name string }
			Spec     struct {
				Triggers []struct {
					Name     string
					Metadata struct{ Query string }
				}
			}
		}
		if err := yaml.Unmarshal(document, &object); err != nil {
			t.Fatal(err)
		}
		if object.Kind != "ScaledObject" {
			continue
		}
		of := make(map[string]string)
		for _, trigger := range object.Spec.Triggers {
			of[trigger.Name] = trigger.Metadata.Query
		}
		queries[strings.TrimPrefix(object.Metadata.Name, "payaid-worker-")] = of
	}
	return queries
}

// scalerLogin makes KEDA's login in a database, with the rights that its script gives, run twice.
func scalerLogin(t *testing.T, pg *localstack.Postgres, name string) (owner, scaler *pgx.Conn) {
	t.Helper()
	ctx := t.Context()
	owner, err := pgx.Connect(ctx, pg.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close(context.WithoutCancel(ctx)) })
	script, err := os.ReadFile(scalingFolder + "scaler.sql")
	if err != nil {
		t.Fatal(err)
	}
	login := "scaler_" + name
	if _, err := owner.Exec(ctx, `CREATE ROLE `+pgx.Identifier{login}.Sanitize()+` LOGIN PASSWORD 'scaler'`); err != nil {
		t.Fatal(err)
	}
	here := strings.ReplaceAll(strings.ReplaceAll(string(script), "payaid_scaler", login), "DATABASE payaid", "DATABASE "+name)
	for range 2 {
		if _, err := owner.Exec(ctx, here); err != nil {
			t.Fatal(err)
		}
	}
	address, err := url.Parse(pg.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(login, "scaler")
	if scaler, err = pgx.Connect(ctx, address.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = scaler.Close(context.WithoutCancel(ctx))
		_, _ = owner.Exec(context.WithoutCancel(ctx), `DROP OWNED BY `+login+`; DROP ROLE `+login)
	})
	return owner, scaler
}

// Each queue that is scaled is asked for its depth and its age, in the schema as it is, by a login that can read no more
// than that; what is finished, not due, of another queue or paused does not count.
func TestScalingQueries(t *testing.T) {
	t.Parallel()
	var want []string
	for _, q := range jobs.Queues() {
		if q.Name != jobs.Maintenance.Name {
			want = append(want, q.Name)
		}
	}
	queries := scalingQueries(t)
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(queries)); !slices.Equal(got, want) {
		t.Fatalf("%q are scaled, want %q", got, want)
	}
	pg, template := localstack.TestTemplate(t, migrations.Up)
	owner, scaler := scalerLogin(t, pg, pg.NewDatabase(t, template))
	ask := func(queue, trigger string) (value float64) {
		t.Helper()
		if err := scaler.QueryRow(t.Context(), queries[queue][trigger]).Scan(&value); err != nil {
			t.Fatalf("%s of %s: %v", trigger, queue, err)
		}
		return value
	}
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := owner.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	const insert = `INSERT INTO river_job (kind, args, max_attempts, queue, state, priority, scheduled_at, finalized_at, attempted_at, attempt)
		VALUES ('x', '{}', 3, $1, $2::river_job_state, $3, now() + $4::interval,
			CASE WHEN $2 IN ('completed', 'discarded', 'cancelled') THEN now() END, CASE WHEN $2 = 'running' THEN now() END, 1)`
	for _, queue := range want {
		if depth, age := ask(queue, "depth"), ask(queue, "age"); depth != 0 || age != 0 {
			t.Errorf("an idle queue %s: %v jobs, %v s", queue, depth, age)
		}
		for _, row := range []struct {
			state    string
			priority int
			due      string
		}{
			{"available", 1, "-10s"}, {"available", 4, "-90s"}, {"running", 2, "-500s"}, {"retryable", 2, "-20s"}, {"scheduled", 3, "-30s"},
			// None of these counts.
			{"available", 2, "1h"}, {"retryable", 1, "10m"}, {"scheduled", 1, "2h"},
			{"completed", 1, "-1000s"}, {"discarded", 1, "-1000s"}, {"cancelled", 1, "-1000s"}, {"pending", 1, "-1000s"},
		} {
			exec(insert, queue, row.state, row.priority, row.due)
		}
	}
	for _, queue := range want {
		if depth := ask(queue, "depth"); depth != 5 {
			t.Errorf("%s: %v jobs are due or run, want 5", queue, depth)
		}
		if age := ask(queue, "age"); age < 90 || age > 90+time.Minute.Seconds() {
			t.Errorf("%s: the oldest has waited %v s, want 90", queue, age)
		}
	}
	exec(`INSERT INTO river_queue (name, paused_at, updated_at) VALUES ('mail', now(), now())
		ON CONFLICT (name) DO UPDATE SET paused_at = now()`)
	if depth, age := ask("mail", "depth"), ask("mail", "age"); depth != 0 || age != 0 {
		t.Errorf("a queue that is paused: %v jobs, %v s", depth, age)
	}
	if depth := ask("ai", "depth"); depth != 5 {
		t.Errorf("the others: %v", depth)
	}
	for _, forbidden := range []string{
		`SELECT args FROM river_job`, `SELECT * FROM river_job`, `SELECT id FROM jobs`, `SELECT FROM contacts`, `SELECT metadata FROM river_queue`,
		`UPDATE river_queue SET paused_at = NULL`, `DELETE FROM river_job`, `CREATE TABLE mine ()`,
	} {
		if _, err := scaler.Exec(t.Context(), forbidden); err == nil || !strings.Contains(err.Error(), "denied") {
			t.Errorf("KEDA's login may %s: %v", forbidden, err)
		}
	}
}
