package migrations_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const mine, theirs = "0197aaaa-0000-7000-8000-00000000000a", "0197aaaa-0000-7000-8000-00000000000b"

// rowOf makes one row of each tenant's table; $1 is the organization.
var rowOf = map[string]string{
	"organizations":            `INSERT INTO organizations (id, name, state) VALUES ($1, 'x', 'x')`,
	"api_keys":                 `INSERT INTO api_keys (organization_id, id, name, prefix, key_hash, scopes) VALUES ($1, gen_random_uuid(), 'x', 'x', sha256(gen_random_uuid()::text::bytea), '{read}')`,
	"outbox":                   `INSERT INTO outbox (event_id, organization_id, type, subject, aggregate_version, data) VALUES (gen_random_uuid(), $1, 'x', 'x', 1, '{}')`,
	"jobs":                     `INSERT INTO jobs (organization_id, id, kind, queue, max_attempts, input, event_id) VALUES ($1, gen_random_uuid(), 'x', 'x', 1, '{}', gen_random_uuid())`,
	"job_events":               `INSERT INTO job_events (organization_id, job_id, seq, type, data) VALUES ($1, gen_random_uuid(), 1, 'token', '{}')`,
	"job_attempts":             `INSERT INTO job_attempts (organization_id, kind, queue, run, attempt, outcome) VALUES ($1, 'x', 'x', 1, 1, 'succeeded')`,
	"job_effects":              `INSERT INTO job_effects (organization_id, job_id, effect_key, state, attempt) VALUES ($1, gen_random_uuid(), 'x', 'done', 1)`,
	"idempotency_keys":         `INSERT INTO idempotency_keys (organization_id, scope, key, fingerprint) VALUES ($1, 'x', gen_random_uuid()::text, '')`,
	"contacts":                 `INSERT INTO contacts (organization_id, id, name) VALUES ($1, $1, 'x')`,
	"deals":                    `INSERT INTO deals (organization_id, id, contact_id, title, value, probability) VALUES ($1, gen_random_uuid(), $1, 'x', 1, 10)`,
	"invoices":                 `INSERT INTO invoices (organization_id, id, contact_id, place_of_supply, place_of_supply_code, inter_state, issue_date, due_date, subtotal, cgst, sgst, igst, total) VALUES ($1, $1, $1, 'x', '27', false, now(), now(), 0, 0, 0, 0, 0)`,
	"invoice_items":            `INSERT INTO invoice_items (organization_id, invoice_id, position, description, quantity, unit_price, gst_rate, amount, cgst, sgst, igst, total) VALUES ($1, $1, 1, 'x', 1, 0, 0, 0, 0, 0, 0, 0)`,
	"payments":                 `INSERT INTO payments (organization_id, id, invoice_id, amount, paid_at) VALUES ($1, gen_random_uuid(), $1, 1, now())`,
	"invoice_counters":         `INSERT INTO invoice_counters (organization_id, financial_year, last) VALUES ($1, 2026, 1)`,
	"ai_calls_begun":           `INSERT INTO ai_calls_begun (organization_id, id, job_id, attempt, kind, provider, model, started_at) VALUES ($1, gen_random_uuid(), gen_random_uuid(), 1, 'x', 'x', 'x', now())`,
	"ai_usage_hours":           `INSERT INTO ai_usage_hours (organization_id, hour, kind, provider, model, calls, answers, failures, cacheable, cached, prompt_tokens, completion_tokens, latency_ms, cost_nano_usd, shadow_nano_usd, cost_nano_inr, shadow_nano_inr) VALUES ($1, now(), 'x', 'x', 'x', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)`,
	"ai_insights":              `INSERT INTO ai_insights (organization_id, id, kind, contact_id, job_id, output, provider, model, template, facts_at) VALUES ($1, gen_random_uuid(), 'x', $1, gen_random_uuid(), '{}', 'x', 'x', 'x', now())`,
	"ai_budgets":               `INSERT INTO ai_budgets (organization_id, month) VALUES ($1, '2026-04-01')`,
	"ai_reservations":          `INSERT INTO ai_reservations (organization_id, id, month, job_id, nano_inr) VALUES ($1, gen_random_uuid(), '2026-04-01', gen_random_uuid(), 1)`,
	"mail_messages":            `INSERT INTO mail_messages (organization_id, id, stream) VALUES ($1, $1, 'transactional')`,
	"mail_recipients":          `INSERT INTO mail_recipients (organization_id, message_id, position, field, address) VALUES ($1, $1, 1, 'to', 'a@example.com')`,
	"mail_events":              `INSERT INTO mail_events (organization_id, id, message_id, type) VALUES ($1, gen_random_uuid(), $1, 'accepted')`,
	"mail_suppressions":        `INSERT INTO mail_suppressions (organization_id, id, address, stream, reason) VALUES ($1, gen_random_uuid(), 'a@example.com', '*', 'manual')`,
	"mail_templates":           `INSERT INTO mail_templates (organization_id, id, name, subject, text) VALUES ($1, gen_random_uuid(), 'x', 'x', 'x')`,
	"invoice_reminders":        `INSERT INTO invoice_reminders (organization_id, invoice_id, step, text_job_id) VALUES ($1, $1, 3, gen_random_uuid())`,
	"webhook_endpoints":        `INSERT INTO webhook_endpoints (organization_id, id, url, events, secret) VALUES ($1, gen_random_uuid(), 'https://x', '{*}', 'whsec_' || repeat('x', 32))`,
	"webhook_callback_secrets": `INSERT INTO webhook_callback_secrets (organization_id, secret) VALUES ($1, 'whsec_' || repeat('x', 32))`,
	"webhook_lanes":            `INSERT INTO webhook_lanes (organization_id, id) VALUES ($1, gen_random_uuid())`,
	"webhook_events":           `INSERT INTO webhook_events (organization_id, id, type, body) VALUES ($1, gen_random_uuid(), 'x', '{}')`,
	"webhook_deliveries":       `INSERT INTO webhook_deliveries (organization_id, id, lane_id, endpoint_id, event_id, event_type, purpose) VALUES ($1, $1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'x', 'event')`,
	"webhook_attempts":         `INSERT INTO webhook_attempts (organization_id, delivery_id, run, attempt, started_at, latency_ms, request_headers) VALUES ($1, $1, 1, 1, now(), 0, '{}')`,
	"ai_calls":                 `INSERT INTO ai_calls (organization_id, id, job_id, attempt, kind, provider, model, outcome, started_at) VALUES ($1, gen_random_uuid(), gen_random_uuid(), 1, 'x', 'x', 'x', 'ok', now())`,
}

const tenantTables = `
SELECT c.relname::text FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
AND (c.relname = 'organizations' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id'))`

// rank has those first that others refer to.
func rank(table string) int {
	if i := slices.Index([]string{"contacts", "invoices", "mail_messages", "webhook_deliveries"}, table); i >= 0 {
		return i
	}
	return math.MaxInt
}

func owner(table string) string {
	if table == "organizations" {
		return "id"
	}
	return "organization_id"
}

// A role tries to do things to a table as an organization; each in a transaction that is taken back.
type intruder struct {
	t    *testing.T
	conn *pgx.Conn
}

// try gives the rows that a statement saw or changed, or -1 when it was refused.
func (i intruder) try(as any, sql string, args ...any) int64 {
	i.t.Helper()
	tx, err := i.conn.Begin(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	defer tx.Rollback(i.t.Context())
	if as != nil {
		if _, err := tx.Exec(i.t.Context(), `SELECT set_config('app.organization_id', $1, true)`, as); err != nil {
			i.t.Fatal(err)
		}
	}
	tag, err := tx.Exec(i.t.Context(), sql, args...)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		return -1
	}
	if err != nil {
		i.t.Fatalf("%s: %v", sql, err)
	}
	return tag.RowsAffected()
}

func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	url, conn := migrated(t)
	for _, org := range []string{mine, theirs} {
		if _, err := conn.Exec(t.Context(), rowOf["organizations"], org); err != nil {
			t.Fatal(err)
		}
	}
	tables := list(t, conn, tenantTables)
	slices.SortFunc(tables, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	for _, table := range tables {
		if rowOf[table] == "" {
			t.Errorf("this test knows no row of %s: add one", table)
			continue
		}
		if table == "organizations" {
			continue
		}
		for _, org := range []string{mine, theirs} {
			if _, err := conn.Exec(t.Context(), rowOf[table], org); err != nil {
				t.Fatalf("%s: %v", table, err)
			}
		}
	}
	app := connect(t, url)
	if _, err := app.Exec(t.Context(), `SET ROLE payaid_app`); err != nil {
		t.Fatal(err)
	}
	i := intruder{t, app}
	for _, table := range tables {
		t.Run(table, func(t *testing.T) {
			i := intruder{t, i.conn}
			i.apart(table)
		})
	}
	system := connect(t, url)
	if _, err := system.Exec(t.Context(), `SET ROLE payaid_system`); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if n := (intruder{t, system}).try(nil, `SELECT FROM `+table); n < 2 {
			t.Errorf("the system sees %d rows of %s", n, table)
		}
	}
	// The system appends to the outbox and moves nothing but places in it.
	if n := (intruder{t, system}).try(nil, `UPDATE outbox SET data = '{}'`); n != -1 {
		t.Error("the system can change what an event says")
	}
}

func (i intruder) apart(table string) {
	t, col := i.t, owner(table)
	visible := int64(1)
	if table == "outbox" || table == "job_attempts" {
		visible = -1 // requests append to the one and never read it; the other is the operator's
	}
	if n := i.try(mine, `SELECT FROM `+table); n != visible {
		t.Errorf("as itself an organization sees %d rows, want %d", n, visible)
	}
	for what, as := range map[string]any{"unset": nil, "empty": ""} {
		if n := i.try(as, `SELECT FROM `+table); n > 0 {
			t.Errorf("%s: %d rows are visible", what, n)
		}
		if n := i.try(as, rowOf[table], mine); n != -1 {
			t.Errorf("%s: a row can be written", what)
		}
	}
	if n := i.try(mine, fmt.Sprintf(`SELECT FROM %s WHERE %s = $1`, table, col), theirs); n > 0 {
		t.Errorf("%d rows of another are visible", n)
	}
	other := theirs
	if table == "organizations" {
		other = strings.Replace(theirs, "b", "c", 1)
	}
	if n := i.try(mine, rowOf[table], other); n != -1 {
		t.Error("a row of another can be written")
	}
	for _, sql := range []string{`DELETE FROM %s WHERE %s = $1`, `UPDATE %s SET created_at = now() WHERE %s = $1`} {
		if !slices.Contains([]string{"job_effects", "job_attempts"}, table) || !strings.HasPrefix(sql, "UPDATE") {
			if n := i.try(mine, fmt.Sprintf(sql, table, col), theirs); n > 0 {
				t.Errorf("%s changes %d rows of another", sql, n)
			}
		}
	}
	if n := i.try(mine, fmt.Sprintf(`UPDATE %s SET %s = $1`, table, col), theirs); n != -1 {
		t.Error("a row can be given to another")
	}
}
