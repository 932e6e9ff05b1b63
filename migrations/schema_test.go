package migrations_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/migrations"
)

// fault is something that a schema must not have.
type fault struct {
	query string // lists what is at fault
	plant string // makes one, for the superuser, so that the query is seen to find it
	finds string
}

// ours are the tables that the migrations make, and of a partitioned one the parent alone.
const ours = ` c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	AND c.relname NOT LIKE 'river\_%' AND c.relname <> 'goose_db_version' `

// tenants are those of ours that belong to an organization.
const tenants = ours + ` AND EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = c.oid AND o.attname = 'organization_id') `

// column joins the columns of a table c as a, with their type as written down.
const column = ` JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	CROSS JOIN LATERAL format_type(a.atttypid, NULL) AS type `

var structure = map[string]fault{
	"a foreign key without an index": {`
		SELECT c.conrelid::regclass || ' ' || c.conname FROM pg_constraint c
		WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace AND NOT EXISTS (
			SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indpred IS NULL AND i.indisvalid
			AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey)`,
		`CREATE TABLE faulty (id uuid PRIMARY KEY, other uuid REFERENCES organizations);
		 CREATE INDEX ON faulty (id, other);
		 CREATE INDEX ON faulty (other) WHERE other IS NOT NULL`,
		"faulty faulty_other_fkey"},
	"a foreign key between tenants": {`
		SELECT c.oid::regclass || ' ' || f.conname FROM pg_class c JOIN pg_constraint f ON f.conrelid = c.oid AND f.contype = 'f'
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
		WHERE ` + tenants + ` AND NOT f.conkey @> ARRAY[a.attnum]`,
		`ALTER TABLE contacts ADD COLUMN referrer uuid REFERENCES organizations`,
		"contacts contacts_referrer_fkey"},
	"an invalid index": {`
		SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relnamespace = 'public'::regnamespace AND NOT (indisvalid AND indisready)`,
		`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_contacts_org_id'::regclass`,
		"idx_contacts_org_id"},
	// Of the operators' guide's six all are prefixes of indexes that lists need, or of a primary key.
	"an index that another one makes superfluous": {`
		SELECT a.indexrelid::regclass || ' beside ' || b.indexrelid::regclass
		FROM pg_index a
		JOIN pg_index b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid
		JOIN pg_class ca ON ca.oid = a.indexrelid
		JOIN pg_class cb ON cb.oid = b.indexrelid AND cb.relam = ca.relam
		JOIN pg_class c ON c.oid = a.indrelid
		WHERE ` + ours + `
		AND (NOT a.indisunique OR b.indisunique AND b.indnkeyatts = a.indnkeyatts AND NOT a.indisprimary)
		AND coalesce(pg_get_expr(a.indpred, a.indrelid), '') = coalesce(pg_get_expr(b.indpred, b.indrelid), '')
		AND a.indexprs IS NULL AND b.indexprs IS NULL
		AND (b.indkey::smallint[])[0:a.indnkeyatts - 1] = (a.indkey::smallint[])[0:a.indnkeyatts - 1]
		AND (b.indclass::oid[])[0:a.indnkeyatts - 1] = (a.indclass::oid[])[0:a.indnkeyatts - 1]
		AND (b.indnkeyatts > a.indnkeyatts OR b.indisunique OR a.indexrelid < b.indexrelid)
		AND ca.relname NOT IN ('idx_contacts_org_id', 'idx_invoices_org_id', 'idx_deals_org_id',
			'idx_contacts_org_status', 'idx_deals_org_stage', 'idx_invoices_org_status')`,
		`CREATE INDEX faulty ON payments (organization_id, invoice_id)`,
		"idx_payments_org_invoice beside faulty"},
	"a table without a primary key": {`
		SELECT c.oid::regclass::text FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
		AND c.relname !~ '^outbox_[0-9]{8}$' -- has the one of its parent
		AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)`,
		`CREATE TABLE faulty (id uuid UNIQUE)`,
		"faulty"},
	"an index of a tenant's table that doesn't begin with the organization": {`
		SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
		WHERE ` + tenants + ` AND i.indkey[0] <> a.attnum
		AND i.indexrelid::regclass::text NOT IN (
			'outbox_pkey',         -- the relay reads all organizations in order
			'idx_api_keys_hash',   -- who asks is not known before
			'idx_invoices_due',    -- the system's sweep over all organizations
			'idx_jobs_deadline',   -- as well
			'idx_jobs_request',    -- who has a request's id, and not whose it was, is the operator
			'idx_jobs_kind', 'idx_jobs_all_failed', 'idx_jobs_all_cancelled', 'idx_jobs_all_unfinished', -- the operator's lists
			'idx_ai_reservations_created', 'idx_ai_calls_begun_started',
			'idx_jobs_finished_kind', 'idx_jobs_ai_finished', 'idx_ai_usage_hours_hour', 'idx_mail_messages_open', 'idx_mail_events_created',
			'idx_webhook_deliveries_finished', 'idx_webhook_attempts_created', -- the operator's figures of all
			'idx_ai_calls_id', 'idx_mail_recipients_backwards', 'idx_mail_recipients_queue', 'idx_mail_messages_rare',
			'idx_webhook_deliveries_id', 'idx_webhook_deliveries_failed', -- the operator's lists of all
			'idx_mail_messages_id', -- what comes back from mail servers names no organization
			'idx_webhook_events_created', 'idx_webhook_deliveries_created',
			'job_attempts_pkey', 'idx_job_attempts_river', 'idx_job_attempts_fingerprint', 'idx_job_attempts_failed',
			'idx_job_attempts_cause', 'idx_job_attempts_cause_internal', 'idx_job_attempts_ended', -- the operator's alone
			'idx_job_effects_started', 'idx_jobs_created', 'idx_job_events_created', 'idx_ai_calls_created', 'idx_idempotency_keys_created') -- cleaned up by age`,
		`CREATE INDEX faulty ON contacts (city, organization_id)`,
		"faulty"},
	"a tenant's table without version or times": {`
		SELECT c.relname || '.' || wanted FROM pg_class c, unnest(ARRAY['created_at', 'updated_at', 'version']) AS wanted
		WHERE ` + tenants + ` AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = wanted AND a.attnotnull)
		AND c.relname || '.' || wanted NOT IN (
			'outbox.updated_at', 'outbox.version', 'ai_calls.updated_at', 'ai_calls.version',   -- written once
			'ai_reservations.updated_at', 'ai_reservations.version', 'ai_calls_begun.updated_at', 'ai_calls_begun.version',
			'ai_usage_hours.updated_at', 'ai_usage_hours.version',
			'ai_budgets.version',                                                                -- counts, under its lock
			'job_events.updated_at', 'job_events.version',
			'job_effects.created_at', 'job_effects.updated_at', 'job_effects.version',           -- started_at and finished_at
			'idempotency_keys.updated_at', 'idempotency_keys.version',                           -- nobody changes an answer
			'mail_recipients.version', 'mail_events.updated_at', 'mail_events.version',            -- go with their mail
			'invoice_reminders.version',
			'webhook_lanes.version', 'webhook_deliveries.version',                               -- counts; run is a delivery's version
			'webhook_events.version', 'webhook_events.updated_at',
			'webhook_attempts.version', 'webhook_attempts.updated_at',
			'job_attempts.created_at', 'job_attempts.updated_at', 'job_attempts.version',        -- started_at and ended_at
			'invoice_items.version')                                                             -- change with their invoice`,
		`ALTER TABLE deals ALTER COLUMN updated_at DROP NOT NULL`,
		"deals.updated_at"},
	"money that is no bigint": {`
		SELECT c.relname || '.' || a.attname || ' ' || type FROM pg_class c` + column + `
		WHERE ` + ours + ` AND type <> 'bigint'
		AND a.attname ~ '^(value|amount.*|subtotal|cgst|sgst|igst|total|unit_price|.*_paise|.*_nano_usd|.*_nano_inr|nano_inr)$'`,
		`ALTER TABLE ai_calls ADD COLUMN cost_paise numeric(12, 2)`,
		"ai_calls.cost_paise numeric"},
	"a time without its zone": {`
		SELECT c.relname || '.' || a.attname || ' ' || type FROM pg_class c` + column + `
		WHERE ` + ours + ` AND (type ~ '^time' AND type <> 'timestamp with time zone' OR type <> 'timestamp with time zone' AND a.attname ~ '_at$')`,
		`ALTER TABLE deals ADD COLUMN seen_at date`,
		"deals.seen_at date"},
	// json keeps what it was given to the letter, which a stored event and a streamed one need; all else is jsonb.
	"a type that loses something": {`
		SELECT c.relname || '.' || a.attname || ' ' || type FROM pg_class c` + column + `
		WHERE ` + ours + ` AND type IN ('real', 'double precision', 'money', 'json', 'character', 'character varying')
		AND c.relname || '.' || a.attname NOT IN ('outbox.data', 'job_events.data')`,
		`ALTER TABLE deals ADD COLUMN weight real`,
		"deals.weight real"},
	// Organizations from before the checksum was asked for keep what they have.
	"a constraint that was never checked": {`
		SELECT conrelid::regclass || ' ' || conname FROM pg_constraint
		WHERE connamespace = 'public'::regnamespace AND NOT convalidated AND conname <> 'organizations_gstin_valid'`,
		`ALTER TABLE deals ADD CONSTRAINT faulty CHECK (value > 0) NOT VALID`,
		"deals faulty"},
}

func TestSchemaHasNoFaults(t *testing.T) {
	t.Parallel()
	_, conn := migrated(t)
	for _, faults := range []map[string]fault{structure, rights} {
		for what, f := range faults {
			for _, found := range list(t, conn, f.query) {
				t.Errorf("%s: %s", what, found)
			}
		}
	}
}

// What the queries are for must show in them.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	pg, template := localstack.TestTemplate(t, migrations.Up)
	super := connect(t, pg.SuperURL(pg.NewDatabase(t, template)))
	for _, faults := range []map[string]fault{structure, rights} {
		for what, f := range faults {
			planted(t, super, f.plant, func() {
				if found := list(t, super, f.query); !slices.Equal(found, []string{f.finds}) {
					t.Errorf("%s: found %q, want %q", what, found, f.finds)
				}
			})
		}
	}
}

// planted does something in a transaction that is taken back.
func planted(t *testing.T, conn *pgx.Conn, sql string, do func()) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	defer conn.Exec(context.WithoutCancel(t.Context()), `ROLLBACK`)
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	do()
}

// Each migration that makes an index concurrently makes the one that it says, and nothing else.
func TestConcurrentMigrations(t *testing.T) {
	t.Parallel()
	url, conn := migrated(t)
	steps, err := migrations.Status(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	const definitionOf = `SELECT pg_get_indexdef(to_regclass($1))`
	made := 0
	for _, step := range steps {
		text := migrations.Text(step.Name)
		name, definition, concurrent := migrations.IndexOf(text)
		if !concurrent {
			if containsAll(text, "CONCURRENTLY") {
				t.Errorf("%s: an index that the migrator doesn't see is not mended; write CREATE INDEX CONCURRENTLY IF NOT EXISTS name ON table (columns);", step.Name)
			}
			continue
		}
		made++
		want := "-- +goose NO TRANSACTION\n-- +goose Up\n"
		if text[:len(want)] != want || statements(text) != 2 || !containsAll(text, "DROP INDEX CONCURRENTLY IF EXISTS "+name+";") {
			t.Errorf("%s: want one index made, and dropped on the way down, without a transaction", step.Name)
		}
		if is := list(t, conn, definitionOf, name); is[0] != definition {
			t.Errorf("%s: write it as Postgres does, so that another index of the name is recognised:\n%s\n%s", step.Name, definition, is[0])
		}
	}
	if made < 6 {
		t.Errorf("%d migrations make an index concurrently, want the guide's six", made)
	}
}

var makesIndex = regexp.MustCompile(`(?i)CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?\w+\s+ON (?:ONLY )?(\w+)`)

// An index that is made at once keeps all writers of its table waiting, so the table must be new.
func TestIndexesOfTablesInUse(t *testing.T) {
	t.Parallel()
	url, _ := migrated(t)
	steps, err := migrations.Status(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, step := range steps {
		up, _, _ := strings.Cut(migrations.Text(step.Name), "-- +goose Down")
		for _, found := range makesIndex.FindAllStringSubmatch(up, -1) {
			checked++
			// One release brings 00009 together with the invoices, one 00037 with the mails, and one 00047 with webhooks.
			together := step.Name == "00009_invoice_search.sql" || step.Name == "00037_mail_reading.sql" || step.Name == "00047_webhook_figures.sql"
			if found[1] == "" && !together && !containsAll(up, "CREATE TABLE "+found[2]) {
				t.Errorf("%s: %s keeps writers waiting; make it CONCURRENTLY, in a file of its own", step.Name, found[0])
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d indexes were found", checked)
	}
}

func statements(text string) (n int) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "--") {
			n += strings.Count(line, ";")
		}
	}
	return n
}

// The operators' guide names these.
func TestTheGuidesIndexes(t *testing.T) {
	t.Parallel()
	_, conn := migrated(t)
	got := list(t, conn, `SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname IN (
		'idx_contacts_org_id', 'idx_invoices_org_id', 'idx_deals_org_id',
		'idx_contacts_org_status', 'idx_deals_org_stage', 'idx_invoices_org_status') ORDER BY indexname`)
	want := []string{
		"CREATE INDEX idx_contacts_org_id ON public.contacts USING btree (organization_id)",
		"CREATE INDEX idx_contacts_org_status ON public.contacts USING btree (organization_id, status)",
		"CREATE INDEX idx_deals_org_id ON public.deals USING btree (organization_id)",
		"CREATE INDEX idx_deals_org_stage ON public.deals USING btree (organization_id, stage)",
		"CREATE INDEX idx_invoices_org_id ON public.invoices USING btree (organization_id)",
		"CREATE INDEX idx_invoices_org_status ON public.invoices USING btree (organization_id, status)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
