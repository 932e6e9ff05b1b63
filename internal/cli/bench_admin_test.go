package cli

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// The bench measures each page of what jobs leave behind, and has made what they show.
func TestBenchMeasuresPagesOfEffects(t *testing.T) {
	t.Parallel()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	database := pg.URL(pg.NewDatabase(t, template))
	b := bench{app: &app{stdout: io.Discard}, benchCmd: benchCmd{OldJobs: 6000}}
	if err := b.fillJobs(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, some := range []string{`ai_calls WHERE provider = 'groq'`, `ai_usage_hours`, `mail_messages WHERE state = 'failed'`, `mail_messages WHERE state = 'suppressed'`,
		`mail_messages WHERE state = 'cancelled'`, `mail_events`, `webhook_deliveries WHERE status = 'failed'`, `webhook_attempts`, `bulk_items`} {
		var there bool
		if err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM `+some+`)`).Scan(&there); err != nil || !there {
			t.Errorf("there are no %s, %v", some, err)
		}
	}
	if _, err := conn.Exec(t.Context(), `INSERT INTO outbox (event_id, organization_id, type, subject, aggregate_version, data)
		SELECT id, id, 'contact.created', 's', 1, '{}' FROM organizations LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	paths, err := adminPaths(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"/admin/webhooks/deliveries", "/admin/ai/calls", "/admin/mail?state=failed"} {
		if !slices.Contains(paths, page) {
			t.Errorf("%s is not measured", page)
		}
	}
	for _, one := range []string{"/admin/webhooks/deliveries/", "/admin/webhooks/0", "/admin/mail/0", "/admin/bulk/", "/admin/indexes?index="} {
		if !slices.ContainsFunc(paths, func(path string) bool { return strings.HasPrefix(path, one) }) {
			t.Errorf("no page %s… is measured", one)
		}
	}
}
