package sampledata

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/gst"
)

// TestFill: the rows are as many as were asked for, and fit together in all that the database doesn't check.
func TestFill(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t)
	sum := mustFill(t, conn, Options{Organizations: 3, Contacts: 400, Deals: 900, Invoices: 700, Seed: 7, Today: testDay})
	if len(sum.Organizations) != 3 || sum.Contacts != 1200 || sum.Deals != 2700 || sum.Invoices != 2100 || sum.Items < 2100 || sum.Payments < 1000 {
		t.Errorf("made %+v", sum)
	}
	for table, want := range map[string]int64{"contacts": sum.Contacts, "deals": sum.Deals, "invoices": sum.Invoices,
		"invoice_items": sum.Items, "payments": sum.Payments} {
		if got := number(t, conn, `SELECT count(*) FROM `+table); got != want {
			t.Errorf("%s has %d rows, the summary says %d", table, got, want)
		}
	}
	none(t, conn, "statistics are missing", `SELECT FROM pg_class WHERE relname IN ('contacts', 'deals', 'invoices') AND reltuples <= 0`)
	none(t, conn, "outbox", `SELECT FROM outbox`)
	t.Run("sums", func(t *testing.T) { checkSums(t, conn) })
	t.Run("numbers", func(t *testing.T) { checkNumbers(t, conn) })
	t.Run("times", func(t *testing.T) { checkTimes(t, conn) })
	t.Run("shares", func(t *testing.T) { checkShares(t, conn) })
	t.Run("taxpayers", func(t *testing.T) { checkTaxpayers(t, conn) })
	t.Run("lines", func(t *testing.T) { checkLines(t, conn) })
}

func checkSums(t *testing.T, conn *pgx.Conn) {
	none(t, conn, "the sums of an invoice are not those of its items", `
		SELECT FROM invoices v JOIN (SELECT organization_id, invoice_id, sum(amount) AS subtotal, sum(cgst) AS cgst, sum(sgst) AS sgst,
		       sum(igst) AS igst, sum(total) AS total FROM invoice_items GROUP BY 1, 2) i
		ON i.organization_id = v.organization_id AND i.invoice_id = v.id
		WHERE (v.subtotal, v.cgst, v.sgst, v.igst, v.total) IS DISTINCT FROM (i.subtotal, i.cgst, i.sgst, i.igst, i.total)`)
	none(t, conn, "an invoice without items", `SELECT FROM invoices v WHERE NOT EXISTS
		(SELECT FROM invoice_items i WHERE i.organization_id = v.organization_id AND i.invoice_id = v.id)`)
	none(t, conn, "what was paid is not the sum of the payments", `
		SELECT FROM invoices v LEFT JOIN (SELECT organization_id, invoice_id, sum(amount) AS paid, max(paid_at) AS at FROM payments GROUP BY 1, 2) p
		ON p.organization_id = v.organization_id AND p.invoice_id = v.id
		WHERE v.amount_paid <> coalesce(p.paid, 0) OR v.status = 'paid' AND v.paid_at <> p.at`)
	none(t, conn, "a version that is not the number of changes", `
		SELECT FROM invoices v WHERE version < 1 + (sent_at IS NOT NULL)::int + (cancelled_at IS NOT NULL)::int + (status = 'overdue')::int
		+ (SELECT count(*) FROM payments p WHERE p.organization_id = v.organization_id AND p.invoice_id = v.id)`)
}

func checkNumbers(t *testing.T, conn *pgx.Conn) {
	if n := number(t, conn, `SELECT count(DISTINCT financial_year) FROM invoices`); n != 2 {
		t.Errorf("invoices of %d financial years, want 2", n)
	}
	none(t, conn, "gaps, or a counter that doesn't go on", `
		SELECT FROM (SELECT organization_id, financial_year, min(sequence) AS first, max(sequence) AS last, count(*) AS n
		             FROM invoices WHERE number IS NOT NULL GROUP BY 1, 2) v
		FULL JOIN invoice_counters c USING (organization_id, financial_year)
		WHERE first IS DISTINCT FROM 1 OR v.last IS DISTINCT FROM n OR c.last IS DISTINCT FROM n`)
	none(t, conn, "a number of another year than the date's", `
		SELECT FROM invoices WHERE financial_year <> extract(year FROM issue_date - interval '3 months')`)
	none(t, conn, "numbers that were given in another order", `
		SELECT FROM (SELECT sent_at, lag(sent_at) OVER (PARTITION BY organization_id, financial_year ORDER BY sequence) AS before
		             FROM invoices WHERE number IS NOT NULL) v WHERE sent_at < before`)
	rows, err := conn.Query(t.Context(), `SELECT number, financial_year, sequence FROM invoices WHERE number IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	var year, sequence int
	_, err = pgx.ForEachRow(rows, []any{&text, &year, &sequence}, func() error {
		if want := gst.InvoiceNumber(year, sequence); text != want {
			t.Errorf("number %s, want %s", text, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkTimes(t *testing.T, conn *pgx.Conn) {
	today := midnight(testDay)
	for table, columns := range map[string]string{
		"contacts": "created_at, updated_at, last_contacted_at", "deals": "created_at, updated_at, stage_changed_at, closed_at",
		"invoices": "created_at, updated_at, sent_at, paid_at, cancelled_at", "payments": "paid_at, created_at",
	} {
		none(t, conn, table+" of today or later", `SELECT FROM `+table+` WHERE greatest(`+columns+`) > $1`, today)
		none(t, conn, table+" before their making", `SELECT FROM `+table+` WHERE least(`+columns+`) < created_at`)
		none(t, conn, table+" of long ago", `SELECT FROM `+table+` WHERE created_at < $1`, today.AddDate(0, -months, -1))
		none(t, conn, table+" with an id of another time", `SELECT FROM `+table+` WHERE
			(('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint) <> floor(extract(epoch FROM created_at) * 1000) OR id::text !~ '^.{14}7.{4}[89ab]'`)
		if table != "payments" {
			none(t, conn, table+" whose ids are in another order than their times", `
				SELECT FROM (SELECT created_at, lag(created_at) OVER (PARTITION BY organization_id ORDER BY id) AS before FROM `+table+`) x WHERE created_at < before`)
		}
	}
	for _, table := range []string{"deals", "invoices"} {
		none(t, conn, table+" older than their contact", `SELECT FROM `+table+` x JOIN contacts c
			ON c.organization_id = x.organization_id AND c.id = x.contact_id WHERE x.created_at < c.created_at`)
	}
	none(t, conn, "a status that the day contradicts", `
		SELECT FROM invoices WHERE status = 'sent' AND due_date < $1::date OR status = 'overdue' AND due_date >= $1::date
		OR status <> 'draft' AND sent_at IS NOT NULL AND (sent_at AT TIME ZONE 'Asia/Kolkata')::date <> issue_date`, date(testDay))
}

// checkShares: everything occurs, and nothing prevails where it should not.
func checkShares(t *testing.T, conn *pgx.Conn) {
	for sql, percent := range map[string][2]int64{
		`FROM contacts WHERE type = 'customer'`:                       {30, 55},
		`FROM contacts WHERE gstin IS NOT NULL`:                       {15, 50},
		`FROM contacts WHERE status = 'active'`:                       {70, 92},
		`FROM deals WHERE stage = 'won'`:                              {30, 50},
		`FROM deals WHERE stage = 'lost'`:                             {18, 35},
		`FROM deals WHERE stage = 'negotiation'`:                      {1, 12},
		`FROM deals WHERE stage = 'proposal'`:                         {2, 15},
		`FROM invoices WHERE status = 'draft'`:                        {1, 6},
		`FROM invoices WHERE status = 'sent'`:                         {2, 20},
		`FROM invoices WHERE status = 'overdue'`:                      {4, 20},
		`FROM invoices WHERE status = 'paid'`:                         {55, 85},
		`FROM invoices WHERE status = 'cancelled'`:                    {1, 8},
		`FROM invoices WHERE status = 'cancelled' AND number IS NULL`: {0, 3},
		`FROM invoices WHERE inter_state`:                             {25, 50},
		`FROM invoices WHERE amount_paid > 0 AND amount_due > 0`:      {1, 8},
	} {
		table := strings.Fields(sql)[1]
		n := number(t, conn, `SELECT count(*) `+sql)
		if share := 100 * n / number(t, conn, `SELECT count(*) FROM `+table); n == 0 || share < percent[0] || share > percent[1] {
			t.Errorf("%d %%, %d rows %s", share, n, sql)
		}
	}
	none(t, conn, "an address that may belong to somebody", `SELECT FROM contacts WHERE email !~ '^[a-z0-9.]+@([a-z0-9]+\.)?example\.com$'`)
	if n, all := number(t, conn, `SELECT count(DISTINCT (organization_id, email)) FROM contacts`), number(t, conn, `SELECT count(*) FROM contacts`); n < all*98/100 {
		t.Errorf("%d addresses of %d contacts", n, all)
	}
	if paise := number(t, conn, `SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total)::bigint FROM invoices`); paise < 5_000_00 || paise > 1_00_000_00 {
		t.Errorf("the invoice in the middle is of %d paise", paise)
	}
}

func checkTaxpayers(t *testing.T, conn *pgx.Conn) {
	rows, err := conn.Query(t.Context(), `SELECT gstin, state FROM contacts WHERE gstin IS NOT NULL UNION ALL SELECT gstin, state FROM organizations WHERE gstin IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	var number, state string
	n, err := pgx.ForEachRow(rows, []any{&number, &state}, func() error {
		of, err := gst.CheckGSTIN(number)
		if home, unknown := gst.ParseState(state); err != nil || unknown != nil || home != of {
			t.Errorf("GSTIN %s of %s: %v", number, state, err)
		}
		return nil
	})
	if err != nil || n.RowsAffected() < 100 {
		t.Errorf("%d taxpayers: %v", n.RowsAffected(), err)
	}
	none(t, conn, "a place of supply that is not the customer's state", `SELECT FROM invoices v JOIN contacts c
		ON c.organization_id = v.organization_id AND c.id = v.contact_id WHERE v.place_of_supply <> c.state OR v.customer ->> 'name' <> c.name`)
	var supplier, customer map[string]any
	var by, to []byte
	if err := conn.QueryRow(t.Context(), `SELECT supplier, customer FROM invoices WHERE supplier IS NOT NULL LIMIT 1`).Scan(&by, &to); err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(by, &supplier) != nil || json.Unmarshal(to, &customer) != nil || supplier["state_code"] == nil || customer["state_code"] == nil || customer["city"] == nil {
		t.Errorf("from %s to %s", by, to)
	}
}

// checkLines holds every line to the rules of the tax.
func checkLines(t *testing.T, conn *pgx.Conn) {
	rows, err := conn.Query(t.Context(), `SELECT (i.quantity * 1000)::bigint, unit_price, gst_rate, amount, i.cgst, i.sgst, i.igst, i.total, inter_state, hsn_sac, issue_date::text
		FROM invoice_items i JOIN invoices v ON v.organization_id = i.organization_id AND v.id = i.invoice_id`)
	if err != nil {
		t.Fatal(err)
	}
	var l gst.Line
	var tax gst.Tax
	var across bool
	var code, day string
	known := gst.DefaultRates()
	_, err = pgx.ForEachRow(rows, []any{&l.Quantity, &l.UnitPrice, &l.Rate, &tax.Amount, &tax.CGST, &tax.SGST, &tax.IGST, &tax.Total, &across, &code, &day}, func() error {
		supply := gst.IntraState
		if across {
			supply = gst.InterState
		}
		if want, err := l.Tax(supply); want != tax || err != nil || !known.Allows(l.Rate) {
			t.Errorf("%+v costs %+v, want %+v, %v", l, tax, want, err)
		}
		if code == "2523" && (l.Rate == 28_00) != (day < "2025-09-22") {
			t.Errorf("cement of %s at %s %%", day, l.Rate)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const everything = `
SELECT md5(string_agg(row, E'\n' ORDER BY row)) FROM (
    SELECT o::text AS row FROM organizations o WHERE id <> '00000000-0000-0000-0000-000000000000'
    UNION ALL SELECT c::text FROM contacts c UNION ALL SELECT d::text FROM deals d UNION ALL SELECT v::text FROM invoices v
    UNION ALL SELECT p::text FROM payments p
    UNION ALL SELECT (organization_id, invoice_id, position, description, quantity, unit_price, total)::text FROM invoice_items
    UNION ALL SELECT (organization_id, financial_year, last)::text FROM invoice_counters) AS rows`

// TestSameSeedSameData: ids and all.
func TestSameSeedSameData(t *testing.T) {
	t.Parallel()
	o := Options{Organizations: 2, Contacts: 60, Deals: 100, Invoices: 80, Seed: 42, Today: testDay}
	print := func(o Options) (sum string) {
		conn := newDatabase(t)
		mustFill(t, conn, o)
		if err := conn.QueryRow(t.Context(), everything).Scan(&sum); err != nil {
			t.Fatal(err)
		}
		return sum
	}
	first := print(o)
	if again := print(o); again != first {
		t.Error("the same seed made other data")
	}
	o.Today = midnight(testDay) // another hour of the day
	if again := print(o); again != first {
		t.Error("the hour of the day made other data")
	}
	o.Seed++
	if other := print(o); other == first {
		t.Error("another seed made the same data")
	}
}

// TestFillAgain: what is there already is refused as a whole, and said.
func TestFillAgain(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t)
	o := Options{Organizations: 1, Contacts: 10, Deals: 10, Invoices: 10, Seed: 1, Today: testDay}
	sum := mustFill(t, conn, o)
	if !sum.Today.Equal(time.Date(testDay.Year(), testDay.Month(), testDay.Day(), 0, 0, 0, 0, india)) {
		t.Errorf("today is %s", sum.Today)
	}
	if _, err := Fill(t.Context(), conn, o); !errors.Is(err, ErrAgain) || strings.Contains(err.Error(), "SQLSTATE") {
		t.Errorf("filled twice: %v", err)
	}
	o.Into = sum.Organizations[0].ID
	mustFill(t, conn, o)
	if _, err := Fill(t.Context(), conn, o); !errors.Is(err, ErrAgain) {
		t.Errorf("filled an organization twice: %v", err)
	}
	o.Seed = 2
	mustFill(t, conn, o)
	if n := number(t, conn, `SELECT count(*) FROM contacts WHERE organization_id = $1`, o.Into); n != 30 {
		t.Errorf("%d contacts, want 30", n)
	}
	if n := number(t, conn, `SELECT count(*) FROM organizations`); n != 2 {
		t.Errorf("%d organizations, want the operator's and one", n)
	}
}

// TestFillInto: an organization that is there keeps its state and goes on with its numbers.
func TestFillInto(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t)
	const id = "0190b0a8-0000-7000-8000-000000000001"
	for _, sql := range []string{
		`INSERT INTO organizations (id, name, state) VALUES ('` + id + `', 'Acme', ' kerala')`,
		`INSERT INTO invoice_counters (organization_id, financial_year, last) VALUES ('` + id + `', 2026, 41)`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	sum := mustFill(t, conn, Options{Into: id, Contacts: 50, Invoices: 60, Seed: 3, Today: testDay})
	if want := (Organization{ID: id, Name: "Acme", State: " kerala"}); len(sum.Organizations) != 1 || sum.Organizations[0] != want {
		t.Errorf("filled %+v", sum.Organizations)
	}
	if n := number(t, conn, `SELECT min(sequence) FROM invoices WHERE financial_year = 2026`); n != 42 {
		t.Errorf("went on with %d, want 42", n)
	}
	none(t, conn, "another side of the border", `SELECT FROM invoices WHERE inter_state = (place_of_supply_code = '32')`)
	if _, err := Fill(t.Context(), conn, Options{Into: "0190b0a8-0000-7000-8000-00000000dead", Today: testDay}); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("filled nobody: %v", err)
	}
}

// TestAllOrNothing: an organization that can't be finished leaves nothing, and those before it stay.
func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t)
	full := errors.New("no more")
	o := Options{Organizations: 3, Contacts: 20, Deals: 20, Invoices: 20, Seed: 1, Today: testDay}
	o.Made = func(ctx context.Context, tx pgx.Tx, made Organization) error {
		var visible int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM organizations WHERE id = $1`, made.ID).Scan(&visible); err != nil || visible != 1 {
			t.Errorf("%d organizations in the transaction: %v", visible, err)
		}
		if o.Organizations--; o.Organizations == 1 {
			return full
		}
		return nil
	}
	sum, err := Fill(t.Context(), conn, o)
	if !errors.Is(err, full) || len(sum.Organizations) != 1 || sum.Contacts != 20 {
		t.Errorf("made %+v: %v", sum, err)
	}
	if n := number(t, conn, `SELECT count(DISTINCT organization_id) FROM contacts`); n != 1 {
		t.Errorf("%d organizations have contacts, want 1", n)
	}
}

func TestFillRefusals(t *testing.T) {
	t.Parallel()
	conn := newDatabase(t)
	for _, o := range []Options{{}, {Organizations: -1}, {Organizations: 1, Contacts: Most + 1}, {Organizations: 1, Deals: 1}, {Organizations: 1, Invoices: 1},
		{Organizations: 1, Contacts: -1}, {Into: "nobody"}} {
		if sum, err := Fill(t.Context(), conn, o); err == nil || len(sum.Organizations) != 0 {
			t.Errorf("Fill(%+v) made %+v", o, sum)
		}
	}
	for _, role := range []string{"payaid_app", "payaid_system"} {
		if _, err := conn.Exec(t.Context(), `SET ROLE `+role); err != nil {
			t.Fatal(err)
		}
		if _, err := Fill(t.Context(), conn, Options{Organizations: 1, Contacts: 1}); !errors.Is(err, ErrNotOwner) {
			t.Errorf("as %s: %v", role, err)
		}
	}
}
