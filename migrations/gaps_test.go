package migrations_test

import (
	"testing"

	"github.com/payaid/payaid/migrations"
)

// Migrations leave no gap, and each that somebody makes afterwards is named, with what mends it.
func TestGaps(t *testing.T) {
	t.Parallel()
	url, conn := migrated(t)
	look := func() []migrations.Gap {
		t.Helper()
		gaps, err := migrations.Migrator{DatabaseURL: url}.Gaps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return gaps
	}
	do := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if gaps := look(); len(gaps) > 0 {
		t.Fatalf("as migrated there are %d gaps, the first %+v", len(gaps), gaps[0])
	}
	for breaks, mends := range map[string]string{
		`ALTER TABLE payments DISABLE ROW LEVEL SECURITY`:                                               `ALTER TABLE payments ENABLE ROW LEVEL SECURITY`,
		`ALTER TABLE organizations DISABLE ROW LEVEL SECURITY`:                                          `ALTER TABLE organizations ENABLE ROW LEVEL SECURITY`,
		`DROP POLICY tenant ON deals`:                                                                   `CREATE POLICY tenant ON deals TO payaid_app USING (organization_id = current_organization()) WITH CHECK (organization_id = current_organization())`,
		`DROP POLICY system ON outbox`:                                                                  `CREATE POLICY system ON outbox TO payaid_system USING (true) WITH CHECK (true)`,
		`REVOKE INSERT ON payments FROM payaid_app`:                                                     `GRANT INSERT ON payments TO payaid_app`,
		`REVOKE DELETE ON invoice_items FROM payaid_system`:                                             `GRANT DELETE ON invoice_items TO payaid_system`,
		`REVOKE UPDATE (xid) ON outbox FROM payaid_system`:                                              `GRANT UPDATE (xid) ON outbox TO payaid_system`,
		`REVOKE SELECT (url) ON webhook_endpoints FROM payaid_app`:                                      `GRANT SELECT (url) ON webhook_endpoints TO payaid_app`,
		`REVOKE EXECUTE ON FUNCTION authenticate_key(bytea) FROM payaid_app`:                            `GRANT EXECUTE ON FUNCTION authenticate_key(bytea) TO payaid_app`,
		`REVOKE EXECUTE ON FUNCTION search_invoices(text[], text, uuid, uuid, integer) FROM payaid_app`: `GRANT EXECUTE ON FUNCTION search_invoices(text[], text, uuid, uuid, integer) TO payaid_app`,
		`REVOKE USAGE ON SEQUENCE outbox_id_seq FROM payaid_app`:                                        `GRANT USAGE ON SEQUENCE outbox_id_seq TO payaid_app`,
		`REVOKE SELECT ON river_migration FROM payaid_system`:                                           `GRANT SELECT ON river_migration TO payaid_system`,
	} {
		do(breaks)
		gaps := look()
		if len(gaps) != 1 || gaps[0].Mend != mends || gaps[0].Problem == "" {
			t.Errorf("%s: got %+v, want it mended by %s", breaks, gaps, mends)
		}
		do(mends)
	}
	if gaps := look(); len(gaps) > 0 {
		t.Errorf("mended as it was said there are %d gaps, the first %+v", len(gaps), gaps[0])
	}
}

// What a migration takes back again is no gap.
func TestGapsAfterARevoke(t *testing.T) {
	t.Parallel()
	url, _ := migrated(t)
	m := migrations.Migrator{DatabaseURL: url}.WithFiles(map[string]string{"99999_less.sql": `-- +goose Up
-- Requests have no business there.
REVOKE INSERT, SELECT ON payments FROM payaid_app;
REVOKE ALL ON deals FROM payaid_app, payaid_system;
-- +goose Down
GRANT ALL ON deals TO payaid_app;
`})
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if gaps, err := m.Gaps(t.Context()); err != nil || len(gaps) > 0 {
		t.Errorf("got %+v, %v", gaps, err)
	}
	if gaps, err := (migrations.Migrator{DatabaseURL: url}).Gaps(t.Context()); err != nil || len(gaps) != 2+4+4 {
		t.Errorf("without that migration: %d gaps, %v; want those that it makes", len(gaps), err)
	}
}
