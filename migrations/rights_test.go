package migrations_test

// rights are faults in who may do what.
var rights = map[string]fault{
	// A partition is reached through its parent alone.
	"a tenant's table without row security": {`
		SELECT c.oid::regclass::text FROM pg_class c
		WHERE ` + tenants + `
		AND NOT (c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['payaid_app'::regrole::oid])
		         AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY['payaid_system'::regrole::oid]))`,
		`DROP POLICY tenant ON payments`,
		"payments"},
	"a partition that can be reached by itself": {`
		SELECT c.oid::regclass::text || ' by ' || r.role FROM pg_class c, (VALUES ('payaid_app'), ('payaid_system')) AS r (role)
		WHERE c.relnamespace = 'public'::regnamespace AND c.relispartition AND c.relkind = 'r'
		AND has_table_privilege(r.role, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')`,
		`GRANT SELECT ON outbox_default TO payaid_app`,
		"outbox_default by payaid_app"},
	"something that a process's role owns": {`
		SELECT relname::text FROM pg_class WHERE relowner IN ('payaid_app'::regrole, 'payaid_system'::regrole) AND relkind IN ('r', 'p', 'v', 'm')
		UNION ALL SELECT proname::text FROM pg_proc WHERE proowner IN ('payaid_app'::regrole, 'payaid_system'::regrole)
		UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspowner IN ('payaid_app'::regrole, 'payaid_system'::regrole)
		UNION ALL SELECT datname::text FROM pg_database WHERE datdba IN ('payaid_app'::regrole, 'payaid_system'::regrole)`,
		`ALTER TABLE payments OWNER TO payaid_system`,
		"payments"},
	"a role that may do more than it should": {`
		SELECT rolname::text FROM pg_roles WHERE rolname IN ('payaid_app', 'payaid_system')
		AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolbypassrls OR rolreplication)`,
		`ALTER ROLE payaid_app BYPASSRLS`,
		"payaid_app"},
	"a role that can make things": {`
		SELECT r.role FROM (VALUES ('payaid_app'), ('payaid_system')) AS r (role)
		WHERE has_schema_privilege(r.role, 'public', 'CREATE')`,
		`GRANT CREATE ON SCHEMA public TO payaid_system`,
		"payaid_system"},
	"a table of the system that requests can reach": {`
		SELECT c.oid::regclass::text FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
		AND (c.relname LIKE 'river\_%' OR c.relname IN ('consumer_positions', 'dead_events', 'worker_processes', 'schedules',
			'index_sample_runs', 'index_samples', 'table_samples', 'index_sample_days', 'backups', 'admin_sessions', 'audit_log',
			'job_attempts', 'failure_groups', 'bulk_actions', 'bulk_items', 'admin_views', 'samplers', 'queue_states', 'queue_minutes', 'queue_hours', 'kind_minutes', 'kind_hours', 'job_counts'))
		AND has_table_privilege('payaid_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE')`,
		`GRANT SELECT ON schedules TO payaid_app`,
		"schedules"},
	"a function with the owner's eyes that anyone may call, or that looks names up anywhere": {`
		SELECT p.oid::regprocedure::text FROM pg_proc p
		WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
		AND (has_function_privilege('public', p.oid, 'EXECUTE') OR NOT coalesce(p.proconfig::text LIKE '%search_path=%', false))`,
		`CREATE FUNCTION faulty() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'`,
		"faulty()"},
}
