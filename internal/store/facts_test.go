package store_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// mostDays is the usual patience with a deal.
var mostDays = map[string]int{"lead": 21, "qualified": 10, "proposal": 14, "negotiation": 7}

// morning is Friday, 20 November 2026, 09:00 in India; the day there began at 18:30 UTC of the day before.
var morning = time.Date(2026, 11, 20, 3, 30, 0, 0, time.UTC)

// A desk inserts rows of an organization in India.
type desk struct {
	t            *testing.T
	conn         *pgx.Conn
	organization string
	number       int
}

func newDesk(t *testing.T, conn *pgx.Conn, name string) *desk {
	d := &desk{t: t, conn: conn, organization: uuid.NewString()}
	d.exec(`INSERT INTO organizations (id, name, state, timezone) VALUES ($1, $2, 'MH', 'Asia/Kolkata')`, d.organization, name)
	return d
}

func (d *desk) exec(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.conn.Exec(d.t.Context(), sql, args...); err != nil {
		d.t.Fatal(err)
	}
}

// contact is one made at a time, as its id says.
func (d *desk) contact(name, typ string, made time.Time, followUp *time.Time) string {
	id := uuid.Must(uuid.NewV7())
	for n := range 6 {
		id[n] = byte(made.UnixMilli() >> (40 - 8*n))
	}
	d.exec(`INSERT INTO contacts (organization_id, id, name, type, email, phone, created_at, next_follow_up)
		VALUES ($1, $2, $3, $4, 'a@example.in', '+919845012345', $5, $6)`, d.organization, id, name, typ, made, followUp)
	return id.String()
}

func (d *desk) deal(contact, title, stage string, value int64, changed time.Time) string {
	id := uuid.NewString()
	d.exec(`INSERT INTO deals (organization_id, id, contact_id, title, value, stage, probability, stage_changed_at, closed_at)
		VALUES ($1, $2, $3, $4, $5, $6::text, CASE $6 WHEN 'won' THEN 100 ELSE 0 END, $7::timestamptz, CASE WHEN $6 IN ('won', 'lost') THEN $7::timestamptz END)`,
		d.organization, id, contact, title, value, stage, changed)
	return id
}

// invoice is one of a status (sent, overdue or paid) that is due on a date, over an amount.
func (d *desk) invoice(contact, status, due string, amount int64) string {
	id := uuid.NewString()
	d.number++
	d.exec(`INSERT INTO invoices (organization_id, id, contact_id, status, financial_year, sequence, number, place_of_supply, place_of_supply_code,
		    inter_state, issue_date, due_date, subtotal, cgst, sgst, igst, total, amount_paid, supplier, customer, sent_at, paid_at)
		VALUES ($1, $2, $3, $4::text, 2026, $5, 'N' || $5::int, 'x', '27', true, '2026-01-01', $6, $7::bigint, 0, 0, 0, $7,
		    CASE $4 WHEN 'paid' THEN $7 ELSE 0 END, '{}', '{"name":"Billed"}', '2026-01-02', CASE $4 WHEN 'paid' THEN $8::timestamptz END)`,
		d.organization, id, contact, status, d.number, due, amount, morning.AddDate(0, 0, -2))
	return id
}

func (d *desk) payment(invoice string, amount int64, at time.Time) {
	d.exec(`INSERT INTO payments (organization_id, id, invoice_id, amount, paid_at) VALUES ($1, gen_random_uuid(), $2, $3, $4)`, d.organization, invoice, amount, at)
}

// fill puts rows on both sides of every border of a briefing.
func (d *desk) fill() {
	midnight := morning.Add(-9 * time.Hour) // in India
	just := func(days int, d time.Duration) time.Time { return midnight.AddDate(0, 0, days).Add(d) }
	at := func(days int, d time.Duration) *time.Time { v := just(days, d); return &v }
	old := midnight.AddDate(-1, 0, 0)
	a := d.contact("Asha", "customer", old, at(1, -time.Microsecond)) // today
	b := d.contact("Bela", "lead", just(-1, 0), at(1, 0))             // new; tomorrow
	d.contact("Chitra", "lead", just(-1, -time.Millisecond), at(-3, 0))
	d.contact("Dev", "customer", just(0, 0), nil)
	d.invoice(a, "sent", "2026-11-20", 7_00)
	first := d.invoice(a, "sent", "2026-11-19", 10_00) // overdue, though nobody has marked it yet
	d.invoice(b, "overdue", "2026-09-01", 20_00)
	d.invoice(a, "paid", "2026-09-01", 40_00)
	d.deal(a, "stays", "negotiation", 1, just(-7, 0))
	d.deal(a, "rots", "negotiation", 3, just(-7, -time.Microsecond))
	d.deal(b, "rots too", "lead", 5, just(-21, -time.Microsecond))
	d.deal(b, "won long ago", "won", 100, old)
	d.payment(first, 1, just(-1, 0))
	d.payment(first, 2, morning)
	d.payment(first, 4, just(-1, -time.Microsecond))
	d.payment(first, 8, just(1, 0))
}

func TestBriefingFactsKeepToTheCalendar(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	conn := connect(t, url)
	newDesk(t, conn, "others").fill()
	d := newDesk(t, conn, "Rao Textiles")
	d.fill()
	for _, role := range []store.Role{store.App, store.System} {
		got, err := open(t, url, role).BriefingFacts(t.Context(), d.organization, mostDays, morning)
		if err != nil {
			t.Fatal(err)
		}
		got.OverdueJSON, got.RottingJSON, got.FollowUpsJSON = nil, nil, nil
		want := store.BriefingFacts{OrganizationName: "Rao Textiles", Timezone: "Asia/Kolkata",
			Overdue: 2, OverdueTotal: 30_00, Rotting: 2, RottingValue: 8, FollowUps: 2, NewLeads: 1, Payments: 2, PaidTotal: 3, OpenDeals: 3, Pipeline: 9,
			TopOverdue:   []store.OverdueLine{{Number: "N3", Contact: "Bela", AmountDue: 20_00, DueDate: "2026-09-01"}, {Number: "N2", Contact: "Asha", AmountDue: 10_00, DueDate: "2026-11-19"}},
			TopRotting:   []store.RottingLine{{Title: "rots too", Contact: "Bela", Stage: "lead", Value: 5}, {Title: "rots", Contact: "Asha", Stage: "negotiation", Value: 3}},
			TopFollowUps: []store.FollowUpLine{{Contact: "Chitra"}, {Contact: "Asha"}}}
		for i := range got.TopRotting {
			got.TopRotting[i].StageChangedAt = time.Time{}
		}
		for i := range got.TopFollowUps {
			got.TopFollowUps[i].Due = time.Time{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("as %s got\n%+v\nwant\n%+v", role, got, want)
		}
	}
}

func TestBriefingFactsOfNothing(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	d := newDesk(t, connect(t, url), "Rao Textiles")
	got, err := open(t, url, store.App).BriefingFacts(t.Context(), d.organization, mostDays, morning)
	if err != nil || got.Overdue+got.Rotting+got.FollowUps+got.NewLeads+got.Payments+got.OpenDeals != 0 || len(got.TopOverdue) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := open(t, url, store.App).BriefingFacts(t.Context(), uuid.NewString(), mostDays, morning); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of nobody: %v, want ErrNotFound", err)
	}
}

func TestFactsOfDealAndInvoice(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	conn := connect(t, url)
	d, others := newDesk(t, conn, "Rao Textiles"), newDesk(t, conn, "others")
	others.fill()
	contact := d.contact("Asha", "customer", morning.AddDate(-1, 0, 0), nil)
	deal := d.deal(contact, "Looms", "proposal", 500, morning)
	d.deal(contact, "Yarn", "won", 700, morning)
	invoice := d.invoice(contact, "overdue", "2026-09-01", 1180_00)
	d.invoice(contact, "paid", "2026-09-01", 50_00)
	for _, role := range []store.Role{store.App, store.System} {
		db := open(t, url, role)
		f, err := db.DealFacts(t.Context(), d.organization, deal, morning)
		if err != nil || f.Title != "Looms" || f.DealStage != "proposal" || f.Value != 500 || f.ID != contact || f.Name != "Asha" ||
			f.WonDeals != 1 || f.WonValue != 700 || f.OpenDeals != 1 || f.Overdue != 1 || f.PaidLate != 1 || len(f.Deals) != 2 || len(f.Invoices) != 2 {
			t.Errorf("the deal: %+v, %v", f, err)
		}
		i, err := db.InvoiceFacts(t.Context(), d.organization, invoice, morning)
		if err != nil || *i.Number != "N1" || i.InvoiceStatus != "overdue" || i.DueDate != "2026-09-01" || i.Total != 1180_00 || i.AmountDue != 1180_00 ||
			i.Customer == nil || i.Customer.Name != "Billed" || i.OrganizationName != "Rao Textiles" || i.PaidInvoices != 1 {
			t.Errorf("the invoice: %+v, %v", i, err)
		}
		// What is another organization's does not exist.
		_, dealErr := db.DealFacts(t.Context(), others.organization, deal, morning)
		_, invoiceErr := db.InvoiceFacts(t.Context(), others.organization, invoice, morning)
		_, contactErr := db.ContactFacts(t.Context(), others.organization, contact, morning)
		for _, err := range []error{dealErr, invoiceErr, contactErr} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("as %s, of another organization: %v, want ErrNotFound", role, err)
			}
		}
	}
}

// What was paid in part was paid, and lately.
func TestContactFactsKnowPaymentsInPart(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	conn := connect(t, url)
	d, others := newDesk(t, conn, "Rao Textiles"), newDesk(t, conn, "others")
	others.fill()
	contact, another := d.contact("Asha", "customer", morning, nil), d.contact("Bela", "customer", morning, nil)
	d.invoice(contact, "paid", "2026-09-01", 50_00)
	part, theirs := d.invoice(contact, "sent", "2026-09-01", 1180_00), d.invoice(another, "sent", "2026-09-01", 1180_00)
	for invoice, at := range map[string]time.Time{part: morning.AddDate(0, 0, -1), theirs: morning} {
		d.payment(invoice, 180_00, at)
		d.exec(`UPDATE invoices SET amount_paid = 18000 WHERE id = $1`, invoice)
	}
	f, err := open(t, url, store.App).ContactFacts(t.Context(), d.organization, contact, morning)
	if err != nil || f.PaidTotal != 230_00 || f.PaidInvoices != 1 || f.DueTotal != 1000_00 || f.LastPaidAt == nil || !f.LastPaidAt.Equal(morning.AddDate(0, 0, -1)) {
		t.Errorf("got %+v, %v; want 230 rupees paid, the last yesterday", f, err)
	}
}

// What a model is told comes by one query, whatever there is.
func TestFactsTakeOneQuery(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	d := newDesk(t, connect(t, url), "Rao Textiles")
	contact := d.contact("Asha", "customer", morning, nil)
	var deal, invoice string
	for range 12 {
		deal, invoice = d.deal(contact, "Looms", "lead", 1, morning), d.invoice(contact, "overdue", "2026-09-01", 1)
	}
	heard := &tape{}
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.System, Name: "traced", Tracer: heard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	for name, call := range map[string]func() error{
		"contact":  func() error { _, err := db.ContactFacts(t.Context(), d.organization, contact, morning); return err },
		"deal":     func() error { _, err := db.DealFacts(t.Context(), d.organization, deal, morning); return err },
		"invoice":  func() error { _, err := db.InvoiceFacts(t.Context(), d.organization, invoice, morning); return err },
		"briefing": func() error { _, err := db.BriefingFacts(t.Context(), d.organization, mostDays, morning); return err },
	} {
		if n := len(heard.heardOf(t, call)); n != 1 {
			t.Errorf("the facts about %s take %d queries", name, n)
		}
	}
}

// An invoice is overdue when its due date has passed where the organization is, whatever its status still says.
func TestContactFactsKnowWhatIsOverdue(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	d := newDesk(t, connect(t, url), "Rao Textiles")
	contact := d.contact("Asha", "customer", morning, nil)
	d.invoice(contact, "sent", "2026-01-30", 100_00)
	d.invoice(contact, "sent", "2026-11-19", 20_00)
	d.invoice(contact, "sent", "2026-11-20", 3_00)
	d.invoice(contact, "paid", "2026-01-01", 1_000_00)
	midnight := morning.Add(-9 * time.Hour) // in India
	for at, want := range map[time.Time]struct {
		count int
		total int64
	}{midnight.Add(-time.Second): {1, 100_00}, midnight: {2, 120_00}, midnight.Add(24 * time.Hour): {3, 123_00}} {
		f, err := open(t, url, store.App).ContactFacts(t.Context(), d.organization, contact, at)
		if err != nil || f.Overdue != want.count || f.OverdueTotal != want.total || f.OverdueSince == nil || *f.OverdueSince != "2026-01-30" {
			t.Errorf("at %s: %d invoices, %d, since %v, %v; want %+v since January", at, f.Overdue, f.OverdueTotal, f.OverdueSince, err, want)
		}
	}
}
