package migrations_test

import (
	"testing"
)

// Each query lists what must not be.
var faults = map[string]string{
	"a foreign key without an index": `
		SELECT c.conrelid::regclass || ' ' || c.conname FROM pg_constraint c
		WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace AND NOT EXISTS (
			SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indpred IS NULL
			AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey)`,
	"an invalid index": `
		SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relnamespace = 'public'::regnamespace AND NOT (indisvalid AND indisready)`,
	"an index that another one makes superfluous": `
		SELECT a.indexrelid::regclass || ' beside ' || b.indexrelid::regclass
		FROM pg_index a
		JOIN pg_index b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid
		JOIN pg_class ca ON ca.oid = a.indexrelid
		JOIN pg_class cb ON cb.oid = b.indexrelid AND cb.relam = ca.relam
		JOIN pg_class t ON t.oid = a.indrelid
		WHERE t.relnamespace = 'public'::regnamespace AND NOT t.relispartition AND t.relname NOT LIKE 'river\_%'
		AND NOT a.indisunique
		AND coalesce(pg_get_expr(a.indpred, a.indrelid), '') = coalesce(pg_get_expr(b.indpred, b.indrelid), '')
		AND a.indexprs IS NULL AND b.indexprs IS NULL
		AND (b.indkey::smallint[])[0:a.indnkeyatts - 1] = (a.indkey::smallint[])[0:a.indnkeyatts - 1]
		AND (b.indnkeyatts > a.indnkeyatts OR b.indisunique OR a.indexrelid < b.indexrelid)
		AND ca.relname NOT IN ('idx_contacts_org_id', 'idx_invoices_org_id', 'idx_deals_org_id',
			'idx_contacts_org_status', 'idx_deals_org_stage', 'idx_invoices_org_status')`,
	"a table without a primary key": `
		SELECT c.oid::regclass::text FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
		AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)`,
	// A partition is reached through its parent alone.
	"a tenant's table without row security": `
		SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND NOT (c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['payaid_app'::regrole::oid])
		         AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['payaid_system'::regrole::oid]))`,
	"a partition that can be reached by itself": `
		SELECT c.oid::regclass::text || ' by ' || r.role FROM pg_class c, (VALUES ('payaid_app'), ('payaid_system')) AS r (role)
		WHERE c.relnamespace = 'public'::regnamespace AND c.relispartition AND c.relkind = 'r'
		AND has_table_privilege(r.role, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')`,
	"something that a process's role owns": `
		SELECT relname::text FROM pg_class WHERE relowner IN ('payaid_app'::regrole, 'payaid_system'::regrole)
		UNION ALL SELECT proname::text FROM pg_proc WHERE proowner IN ('payaid_app'::regrole, 'payaid_system'::regrole)
		UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspowner IN ('payaid_app'::regrole, 'payaid_system'::regrole)
		UNION ALL SELECT datname::text FROM pg_database WHERE datdba IN ('payaid_app'::regrole, 'payaid_system'::regrole)`,
	"a role that may do more than it should": `
		SELECT rolname::text FROM pg_roles WHERE rolname IN ('payaid_app', 'payaid_system')
		AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolbypassrls OR rolreplication)`,
	"a role that can make things": `
		SELECT r.role FROM (VALUES ('payaid_app'), ('payaid_system')) AS r (role)
		WHERE has_schema_privilege(r.role, 'public', 'CREATE')`,
	"a table of the system that requests can reach": `
		SELECT c.oid::regclass::text FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
		AND (c.relname LIKE 'river\_%' OR c.relname IN ('consumer_positions', 'dead_events', 'worker_processes', 'schedules'))
		AND has_table_privilege('payaid_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE')`,
	"a function with the owner's eyes that anyone may call, or that looks names up anywhere": `
		SELECT p.oid::regprocedure::text FROM pg_proc p
		WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
		AND (has_function_privilege('public', p.oid, 'EXECUTE') OR NOT coalesce(p.proconfig::text LIKE '%search_path=%', false))`,
}

func TestSchemaHasNoFaults(t *testing.T) {
	t.Parallel()
	_, conn := migrated(t)
	for what, sql := range faults {
		for _, found := range list(t, conn, sql) {
			t.Errorf("%s: %s", what, found)
		}
	}
}

// What the queries are for must show in them.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	_, conn := migrated(t)
	_, err := conn.Exec(t.Context(), `
		CREATE TABLE faulty (organization_id uuid, id uuid, other uuid REFERENCES organizations);
		CREATE INDEX faulty_a ON faulty (organization_id);
		CREATE INDEX faulty_b ON faulty (organization_id, id);
		CREATE TABLE outbox_19700101 PARTITION OF outbox FOR VALUES FROM ('1970-01-01') TO ('1970-01-02');
		GRANT SELECT ON outbox_19700101, schedules TO payaid_app;
		GRANT CREATE ON SCHEMA public TO payaid_system;
		CREATE FUNCTION faulty() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'`)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{
		"a foreign key without an index", "an index that another one makes superfluous", "a table without a primary key",
		"a tenant's table without row security", "a partition that can be reached by itself", "a role that can make things",
		"a table of the system that requests can reach",
		"a function with the owner's eyes that anyone may call, or that looks names up anywhere",
	} {
		if found := list(t, conn, faults[what]); len(found) != 1 {
			t.Errorf("%s: found %v, want the one that there is", what, found)
		}
	}
}
