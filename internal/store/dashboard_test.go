package store_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/store"
)

// business is what an organization has, as far as its dashboard is concerned.
type business struct {
	zone     *time.Location
	now      time.Time
	contacts []string // statuses
	deals    []dealRow
	invoices []invoiceRow
	payments []paymentRow
}

type dealRow struct {
	stage string
	value int64
}

type invoiceRow struct {
	status      string
	total, paid int64
	due         time.Time
}

type paymentRow struct {
	amount int64
	at     time.Time
}

// drawBusiness is dense where it is easy to be wrong: around midnight, around the turn of a month, at the
// greatest amounts.
func drawBusiness(t *rapid.T) business {
	zone, err := time.LoadLocation(rapid.SampledFrom([]string{"Asia/Kolkata", "America/New_York", "Pacific/Kiritimati", "UTC"}).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	near := rapid.SampledFrom([]time.Duration{-48 * time.Hour, -time.Hour, -time.Microsecond, 0, time.Microsecond, time.Hour, 48 * time.Hour})
	b := business{zone: zone}
	month := time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(t, "month")), 1, 0, 0, 0, 0, zone)
	b.now = month.AddDate(0, 0, rapid.SampledFrom([]int{0, 0, 10}).Draw(t, "day")).Add(near.Draw(t, "now"))
	amount := rapid.OneOf(rapid.Int64Range(1, 1000), rapid.Just(int64(1)<<53-1))
	b.contacts = rapid.SliceOfN(rapid.SampledFrom([]string{"active", "inactive", "lost"}), 0, 6).Draw(t, "contacts")
	b.deals = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) dealRow {
		return dealRow{rapid.SampledFrom([]string{"lead", "qualified", "proposal", "negotiation", "won", "lost"}).Draw(t, "stage"), amount.Draw(t, "value") - 1}
	}), 0, 12).Draw(t, "deals")
	b.invoices = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) invoiceRow {
		i := invoiceRow{status: rapid.SampledFrom([]string{"draft", "sent", "sent", "paid", "overdue", "cancelled"}).Draw(t, "status"), total: amount.Draw(t, "total")}
		switch i.status {
		case "paid":
			i.paid = i.total
		case "sent", "overdue":
			i.paid = rapid.Int64Range(0, i.total-1).Draw(t, "paid")
		}
		i.due = civil(b.now.In(zone)).AddDate(0, 0, rapid.IntRange(-2, 2).Draw(t, "due"))
		return i
	}), 0, 12).Draw(t, "invoices")
	b.payments = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) paymentRow {
		return paymentRow{amount.Draw(t, "amount"), month.AddDate(0, rapid.IntRange(-13, 2).Draw(t, "months"), 0).Add(near.Draw(t, "at"))}
	}), 0, 15).Draw(t, "payments")
	return b
}

func civil(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// dashboard counts it all up one by one.
func (b business) dashboard() store.Dashboard {
	d := store.Dashboard{Contacts: map[string]store.Tally{}, Deals: map[string]store.Tally{}, Invoices: map[string]store.Tally{}}
	add := func(to map[string]store.Tally, key string, amount int64) {
		to[key] = store.Tally{Count: to[key].Count + 1, Amount: to[key].Amount + amount}
	}
	for _, status := range b.contacts {
		add(d.Contacts, status, 0)
	}
	for _, deal := range b.deals {
		add(d.Deals, deal.stage, deal.value)
	}
	local := b.now.In(b.zone)
	for _, i := range b.invoices {
		switch {
		case i.status == "overdue" || i.status == "sent" && i.due.Before(civil(local)):
			add(d.Invoices, "overdue", i.total-i.paid)
		case i.status == "sent":
			add(d.Invoices, "sent", i.total-i.paid)
		default:
			add(d.Invoices, i.status, 0)
		}
	}
	paid := map[string]int64{}
	for _, p := range b.payments {
		paid[p.at.In(b.zone).Format("2006-01")] += p.amount
	}
	for n := 11; n >= 0; n-- {
		month := time.Date(local.Year(), local.Month()-time.Month(n), 1, 0, 0, 0, 0, time.UTC).Format("2006-01")
		d.Revenue = append(d.Revenue, store.MonthlyRevenue{Month: month, Paid: paid[month]})
	}
	return d
}

// write makes an organization with this business and gives its id.
func (b business) write(t *rapid.T, conn *pgx.Conn) string {
	org, contact, invoice := uuid.NewString(), uuid.NewString(), uuid.NewString()
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO organizations (id, name, state, timezone) VALUES ($1, 'x', 'x', $2)`, org, b.zone.String())
	for i, status := range append([]string{}, b.contacts...) {
		id := uuid.NewString()
		if i == 0 {
			id = contact
		}
		batch.Queue(`INSERT INTO contacts (organization_id, id, name, status) VALUES ($1, $2, 'x', $3)`, org, id, status)
	}
	for _, d := range b.deals {
		batch.Queue(`INSERT INTO deals (organization_id, id, contact_id, title, value, stage, probability, closed_at)
			VALUES ($1, gen_random_uuid(), $2, 'x', $3, $4, CASE $4 WHEN 'won' THEN 100 ELSE 0 END, CASE WHEN $4 IN ('won', 'lost') THEN now() END)`, org, contact, d.value, d.stage)
	}
	for n, i := range b.invoices {
		id := uuid.NewString()
		if n == 0 {
			id = invoice
		}
		batch.Queue(`
			WITH given AS (SELECT $3::text AS status, CASE WHEN $3 <> 'draft' THEN $4::int END AS number, CASE WHEN $3 <> 'draft' THEN '{}'::jsonb END AS party)
			INSERT INTO invoices (organization_id, id, contact_id, status, place_of_supply, place_of_supply_code, inter_state, issue_date, due_date,
				subtotal, cgst, sgst, igst, total, amount_paid, financial_year, sequence, number, supplier, customer, sent_at, paid_at, cancelled_at)
			SELECT $1, $2, $5, status, 'x', '29', false, '2020-01-01', $6, $7, 0, 0, 0, $7, $8, CASE WHEN number > 0 THEN 2026 END, number, number::text,
				party, party, CASE WHEN number > 0 THEN now() END, CASE status WHEN 'paid' THEN now() END, CASE status WHEN 'cancelled' THEN now() END
			FROM given`, org, id, i.status, n+1, contact, i.due, i.total, i.paid)
	}
	for _, p := range b.payments {
		batch.Queue(`INSERT INTO payments (organization_id, id, invoice_id, amount, paid_at) VALUES ($1, gen_random_uuid(), $2, $3, $4)`, org, invoice, p.amount, p.at)
	}
	if err := conn.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
	return org
}

func TestDashboardIsWhatCountingComesTo(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	conn, db := connect(t, url), open(t, url, store.App)
	rapid.Check(t, func(t *rapid.T) {
		b := drawBusiness(t)
		if len(b.contacts) == 0 {
			b.deals, b.invoices = nil, nil
		}
		if len(b.invoices) == 0 {
			b.payments = nil
		}
		org := b.write(t, conn)
		got, err := db.Dashboard(t.Context(), org, b.now)
		if err != nil {
			t.Fatal(err)
		}
		if want := b.dashboard(); !reflect.DeepEqual(got, want) {
			t.Fatalf("at %s got\n%s\nwant\n%s", b.now.In(b.zone), describe(got), describe(want))
		}
	})
}

func describe(d store.Dashboard) string {
	text := fmt.Sprint(d.Revenue)
	for _, m := range []map[string]store.Tally{d.Contacts, d.Deals, d.Invoices} {
		for _, key := range slices.SortedFunc(maps.Keys(m), cmp.Compare[string]) {
			text += fmt.Sprintf(" %s %+v", key, m[key])
		}
		text += ";"
	}
	return text
}

func TestDashboardOfMoreThanAnInt64(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	conn := connect(t, url)
	_, err := conn.Exec(t.Context(), `
		WITH o AS (INSERT INTO organizations (id, name, state) VALUES ('`+organization+`', 'x', 'x') RETURNING id),
		     c AS (INSERT INTO contacts (organization_id, id, name) SELECT id, id, 'x' FROM o RETURNING id)
		INSERT INTO deals (organization_id, id, contact_id, title, value, probability)
		SELECT id, gen_random_uuid(), id, 'x', 9007199254740991, 10 FROM c, generate_series(1, 1025)`)
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(t, url, store.App).Dashboard(t.Context(), organization, time.Now())
	if want := (store.Tally{Count: 1025, Amount: math.MaxInt64}); err != nil || d.Deals["lead"] != want {
		t.Errorf("got %+v, %v", d.Deals, err)
	}
}
