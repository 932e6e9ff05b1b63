package store_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// crowded is the organization that has most; deals, invoices and payments of one of its contacts are many.
const (
	crowded        = "0197aaaa-0000-7000-8000-00000000000a"
	busyContact    = "0197aaaa-0000-7000-8000-0000000000c8"
	middleOfAll    = "0197aaaa-0000-7000-8000-0000000061a8"
	pageOfTheLists = 51
)

// What is rare is old, so that a list that goes through the newest first finds it last.
const fill = `
INSERT INTO organizations (id, name, state)
SELECT ('0197aaaa-0000-7000-8000-00000000000' || letter)::uuid, 'x', 'x' FROM unnest('{a,b,c,d,e}'::text[]) letter;

CREATE TEMP TABLE many AS
SELECT o.id AS organization_id, n, ('0197aaaa-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id, n <= 50 AS rare,
       ('0197aaaa-0000-7000-8000-' || lpad(to_hex(CASE WHEN n % 100 = 0 THEN 200 ELSE n END), 12, '0'))::uuid AS contact_id
FROM organizations o, generate_series(1, 50000) n
WHERE o.name = 'x' AND (o.id = '0197aaaa-0000-7000-8000-00000000000a' OR n <= 1000);

INSERT INTO contacts (organization_id, id, name, email, type, stage, status, next_follow_up)
SELECT organization_id, id, 'Contact ' || n % 997, 'c' || n || '@example.in',
       CASE WHEN rare THEN 'vendor' ELSE 'lead' END, CASE WHEN rare THEN 'customer' ELSE 'prospect' END, CASE WHEN rare THEN 'lost' ELSE 'active' END,
       now() + (n - 50) * interval '1 hour'
FROM many;

INSERT INTO deals (organization_id, id, contact_id, title, value, stage, probability, stage_changed_at, closed_at)
SELECT organization_id, id, contact_id, 'Deal', n, CASE WHEN rare THEN 'won' ELSE 'proposal' END, CASE WHEN rare THEN 100 ELSE 60 END,
       now() + (n - 500) * interval '1 hour', CASE WHEN rare THEN now() END
FROM many WHERE n <= 20000;

INSERT INTO invoices (organization_id, id, contact_id, status, financial_year, sequence, number, place_of_supply, place_of_supply_code,
    inter_state, issue_date, due_date, subtotal, cgst, sgst, igst, total, amount_paid, supplier, customer, sent_at, paid_at)
SELECT organization_id, id, contact_id, CASE WHEN rare THEN 'overdue' ELSE 'paid' END, 2026, n, 'N' || n, 'x', '27',
    true, '2026-04-01', '2026-05-01', 100, 0, 0, 18, 118, CASE WHEN rare THEN 0 ELSE 118 END, '{}', '{}', now(), CASE WHEN NOT rare THEN now() END
FROM many WHERE n <= 20000;

INSERT INTO ai_insights (organization_id, id, kind, contact_id, job_id, output, provider, model, template, facts_at)
SELECT organization_id, id, CASE WHEN rare THEN 'ai.rare' ELSE 'ai.lead_score' END, id, id, '{}', 'x', 'x', 'x', now() FROM many;

INSERT INTO ai_insights (organization_id, id, kind, deal_id, job_id, output, provider, model, template, facts_at)
SELECT organization_id, gen_random_uuid(), 'ai.deal_insight', id, id, '{}', 'x', 'x', 'x', now() FROM many WHERE n <= 20000;

INSERT INTO ai_insights (organization_id, id, kind, invoice_id, job_id, output, provider, model, template, facts_at)
SELECT organization_id, gen_random_uuid(), 'ai.invoice_reminder', id, id, '{}', 'x', 'x', 'x', now() FROM many WHERE n <= 20000;

INSERT INTO payments (organization_id, id, invoice_id, amount, paid_at)
SELECT organization_id, id, id, 118, now() FROM many WHERE n <= 20000 AND NOT rare;

INSERT INTO invoice_items (organization_id, invoice_id, position, description, quantity, unit_price, gst_rate, amount, cgst, sgst, igst, total)
SELECT organization_id, id, 1, 'x', 1, 100, 1800, 100, 0, 0, 18, 118 FROM many WHERE n <= 20000;

INSERT INTO mail_messages (organization_id, id, state, stream, template, contact_id, invoice_id)
SELECT organization_id, id, CASE WHEN rare THEN 'failed' ELSE 'accepted' END, CASE WHEN rare THEN 'news' ELSE 'transactional' END,
       CASE WHEN rare THEN 'report_ready' ELSE 'invoice' END, contact_id, id
FROM many WHERE n <= 20000;

INSERT INTO mail_recipients (organization_id, message_id, position, field, address, state)
SELECT organization_id, id, 1, 'to', CASE WHEN n % 100 = 0 THEN 'Busy' ELSE 'c' || n END || '@example.in', 'accepted' FROM many WHERE n <= 20000;

INSERT INTO mail_events (organization_id, id, message_id, position, type)
SELECT organization_id, id, id, 1, 'accepted' FROM many WHERE n <= 20000;

INSERT INTO mail_suppressions (organization_id, id, address, stream, reason)
SELECT organization_id, id, 'c' || n || '@example.in', '*', 'hard_bounce' FROM many WHERE n <= 2000`

// A tape records the statements that go through a pool.
type tape struct {
	mu    sync.Mutex
	heard []statement
}

type statement struct {
	sql  string
	args []any
}

func (p *tape) record(sql string, args []any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(args) > 0 {
		if _, mode := args[0].(pgx.QueryExecMode); mode {
			args = args[1:]
		}
	}
	if strings.Contains(sql, "FROM") {
		p.heard = append(p.heard, statement{sql, args})
	}
}

func (p *tape) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	p.record(d.SQL, d.Args)
	return ctx
}
func (p *tape) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (p *tape) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (p *tape) TraceBatchQuery(_ context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	p.record(d.SQL, d.Args)
}
func (p *tape) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// heardOf gives what a call sent.
func (p *tape) heardOf(t *testing.T, call func() error) []statement {
	t.Helper()
	p.heard = nil
	if err := call(); err != nil {
		t.Fatal(err)
	}
	if len(p.heard) == 0 {
		t.Fatal("nothing was asked")
	}
	return p.heard
}

// lists are the reads whose cost must not grow with what an organization has, by what they look for.
func lists(ctx context.Context, db *store.DB) map[string]func() error {
	all := make(map[string]func() error)
	contacts := func(name string, f store.ContactFilter) {
		f.Limit = pageOfTheLists
		all["contacts "+name] = func() error { _, err := db.Contacts(ctx, crowded, f); return err }
	}
	contacts("", store.ContactFilter{})
	contacts("page", store.ContactFilter{Before: middleOfAll})
	contacts("of a status", store.ContactFilter{Status: "active"})
	contacts("of a rare status", store.ContactFilter{Status: "lost"})
	contacts("of a status, page", store.ContactFilter{Status: "active", Before: middleOfAll})
	contacts("of a type", store.ContactFilter{Type: "lead"})
	contacts("of a rare type", store.ContactFilter{Type: "vendor"})
	contacts("of a rare type, page", store.ContactFilter{Type: "vendor", Before: middleOfAll})
	contacts("of a rare stage", store.ContactFilter{Stage: "customer"})
	contacts("of a rare stage and a status", store.ContactFilter{Stage: "customer", Status: "active"})
	all["contact"] = func() error { _, err := db.Contact(ctx, crowded, busyContact, store.Include{}); return err }
	related := func(name string, want store.Include) {
		all[name] = func() error { _, err := db.Related(ctx, crowded, []string{busyContact}, want); return err }
	}
	related("included deals", store.Include{Deals: 5})
	related("included invoices", store.Include{Invoices: 5})
	related("included unpaid invoices", store.Include{UnpaidInvoices: 3})

	deals := func(name string, f store.DealFilter) {
		f.Limit = pageOfTheLists
		all["deals "+name] = func() error { _, err := db.Deals(ctx, crowded, f); return err }
	}
	deals("", store.DealFilter{})
	deals("page", store.DealFilter{Before: middleOfAll})
	deals("of a stage", store.DealFilter{Stage: "proposal"})
	deals("of a rare stage", store.DealFilter{Stage: "won"})
	deals("of a stage, page", store.DealFilter{Stage: "proposal", Before: middleOfAll})
	deals("of a status", store.DealFilter{Status: "open"})
	deals("of a rare status", store.DealFilter{Status: "won"})
	deals("of a contact", store.DealFilter{ContactID: busyContact})
	deals("of a contact, page", store.DealFilter{ContactID: busyContact, Before: middleOfAll})
	deals("of a contact and a stage", store.DealFilter{ContactID: busyContact, Stage: "proposal"})

	invoices := func(name string, f store.InvoiceFilter) {
		f.Limit = pageOfTheLists
		all["invoices "+name] = func() error { _, err := db.Invoices(ctx, crowded, f); return err }
	}
	invoices("", store.InvoiceFilter{})
	invoices("page", store.InvoiceFilter{Before: middleOfAll})
	invoices("of a status", store.InvoiceFilter{Status: "paid"})
	invoices("of a rare status", store.InvoiceFilter{Status: "overdue"})
	invoices("of a status, page", store.InvoiceFilter{Status: "paid", Before: middleOfAll})
	invoices("of a contact", store.InvoiceFilter{ContactID: busyContact})
	invoices("of a contact, page", store.InvoiceFilter{ContactID: busyContact, Before: middleOfAll})
	invoices("of a contact and a status", store.InvoiceFilter{ContactID: busyContact, Status: "paid"})
	all["invoice"] = func() error { _, err := db.Invoice(ctx, crowded, middleInvoice); return err }
	all["deal"] = func() error { _, err := db.Deal(ctx, crowded, middleInvoice); return err }

	insights := func(name string, f store.InsightFilter) {
		f.Limit = pageOfTheLists
		all["insights "+name] = func() error { _, err := db.Insights(ctx, crowded, f); return err }
	}
	ofContact := store.Subject{Type: store.SubjectContact, ID: busyContact}
	insights("", store.InsightFilter{})
	insights("page", store.InsightFilter{Before: middleOfAll})
	insights("of a kind", store.InsightFilter{Kind: "ai.lead_score"})
	insights("of a rare kind", store.InsightFilter{Kind: "ai.rare"})
	insights("of a rare kind, page", store.InsightFilter{Kind: "ai.rare", Before: middleOfAll})
	insights("of a contact", store.InsightFilter{Subject: ofContact})
	insights("of a contact and a kind", store.InsightFilter{Kind: "ai.lead_score", Subject: ofContact})
	insights("of a deal", store.InsightFilter{Subject: store.Subject{Type: store.SubjectDeal, ID: middleInvoice}})
	insights("of an invoice", store.InsightFilter{Subject: store.Subject{Type: store.SubjectInvoice, ID: middleInvoice}})
	mails := func(name string, f store.MailFilter) {
		f.Limit = pageOfTheLists
		all["mails "+name] = func() error { _, err := db.Mails(ctx, crowded, f); return err }
	}
	mails("", store.MailFilter{})
	mails("page", store.MailFilter{Before: middleInvoice})
	mails("of a state", store.MailFilter{State: "accepted"})
	mails("of a rare state", store.MailFilter{State: "failed"})
	mails("of a state, page", store.MailFilter{State: "accepted", Before: middleInvoice})
	mails("of a stream", store.MailFilter{Stream: "transactional"})
	mails("of a rare stream", store.MailFilter{Stream: "news"})
	mails("of a template", store.MailFilter{Template: "invoice"})
	mails("of a rare template", store.MailFilter{Template: "report_ready"})
	mails("of a contact", store.MailFilter{ContactID: busyContact})
	mails("of a contact and a state", store.MailFilter{ContactID: busyContact, State: "accepted"})
	mails("of an invoice", store.MailFilter{InvoiceID: middleInvoice})
	mails("to an address", store.MailFilter{Address: "c77@example.in"})
	mails("to a busy address", store.MailFilter{Address: "BUSY@example.in"})
	mails("to a busy address, page", store.MailFilter{Address: "busy@example.in", Before: middleInvoice})
	mails("to a busy address, of a state", store.MailFilter{Address: "busy@example.in", State: "accepted"})
	all["mail"] = func() error { _, err := db.Mail(ctx, crowded, middleInvoice); return err }

	suppressions := func(name string, f store.SuppressionFilter) {
		f.Limit = pageOfTheLists
		all["suppressions "+name] = func() error { _, err := db.Suppressions(ctx, crowded, f); return err }
	}
	suppressions("", store.SuppressionFilter{})
	suppressions("page", store.SuppressionFilter{Before: middleOfAll})
	suppressions("of an address", store.SuppressionFilter{Address: "c77@example.in"})
	return all
}

const middleInvoice = "0197aaaa-0000-7000-8000-000000003a98"

// TestPlans: on an organization with 50,000 contacts among others each list reads through an index, about as
// many rows as it shows, and sorts few, also once Postgres has settled on a plan for the prepared statement.
func TestPlans(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	owner := connect(t, url)
	// In one transaction, as a sent invoice takes no items afterwards.
	whole := append([]string{`BEGIN`}, strings.Split(fill, ";\n")...)
	for _, sql := range append(whole, `COMMIT`, `VACUUM ANALYZE`) {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	tape := &tape{}
	db, err := store.Open(t.Context(), store.PoolOptions{URL: url, Role: store.App, Name: "test", MaxConns: 2, Tracer: tape})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	app := connect(t, url)
	for _, sql := range []string{`SET ROLE payaid_app`, `SET app.organization_id = '` + crowded + `'`} {
		if _, err := app.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for name, call := range lists(t.Context(), db) {
		for _, s := range tape.heardOf(t, call) {
			for _, fault := range faultsOf(explain(t, app, s)) {
				t.Errorf("%s: %s\n%s", name, fault, s.sql)
			}
		}
	}
	brief := func() error {
		_, err := db.BriefingFacts(t.Context(), crowded, map[string]int{"lead": 21, "proposal": 14}, time.Now())
		return err
	}
	used := make(map[string]bool)
	explain(t, app, tape.heardOf(t, brief)[0]).mark(used)
	for _, index := range []string{"idx_contacts_org_follow_up", "idx_deals_org_stage_changed"} {
		if !used[index] {
			t.Errorf("the briefing goes by %v, not by %s", slices.Sorted(maps.Keys(used)), index)
		}
	}
}

// mark notes what a plan reads: an index, or a whole table.
func (p plan) mark(used map[string]bool) {
	used[cmp.Or(p.Index, p.Relation)] = true
	for _, below := range p.Plans {
		below.mark(used)
	}
}

// plan is a node of what EXPLAIN (ANALYZE, FORMAT JSON) says.
type plan struct {
	Node      string  `json:"Node Type"`
	Relation  string  `json:"Relation Name"`
	Index     string  `json:"Index Name"`
	Rows      float64 `json:"Actual Rows"`
	Loops     float64 `json:"Actual Loops"`
	Filtered  float64 `json:"Rows Removed by Filter"`
	Rechecked float64 `json:"Rows Removed by Index Recheck"`
	Plans     []plan
}

// explain prepares a statement, uses it until Postgres has chosen between a plan for these values and one for
// any, and gives the plan that it uses then.
func explain(t *testing.T, conn *pgx.Conn, s statement) plan {
	t.Helper()
	execute := `EXECUTE asked`
	if len(s.args) > 0 {
		execute += `(` + literals(s.args) + `)`
	}
	for _, sql := range append([]string{`DEALLOCATE ALL`, `PREPARE asked AS ` + s.sql}, execute, execute, execute, execute, execute, execute) {
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	var text []byte
	err := conn.QueryRow(t.Context(), `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) `+execute, pgx.QueryExecModeSimpleProtocol).Scan(&text)
	if err != nil {
		t.Fatalf("explain %s: %v", s.sql, err)
	}
	var said []struct{ Plan plan }
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	return said[0].Plan
}

func literals(args []any) string {
	var all []string
	for _, arg := range args {
		switch v := arg.(type) {
		case nil:
			all = append(all, `NULL`)
		case int:
			all = append(all, strconv.Itoa(v))
		case time.Time:
			all = append(all, v.UTC().Format(`'2006-01-02 15:04:05.999999Z'`))
		case *time.Time:
			if v == nil {
				all = append(all, `NULL`)
				continue
			}
			all = append(all, literals([]any{*v}))
		default:
			if list := reflect.ValueOf(v); list.Kind() == reflect.Slice {
				all = append(all, `'{`+elements(list)+`}'`)
				continue
			}
			all = append(all, fmt.Sprintf(`'%v'`, v))
		}
	}
	return strings.Join(all, ", ")
}

func elements(list reflect.Value) string {
	var all []string
	for i := range list.Len() {
		of := list.Index(i)
		if of.Kind() == reflect.Pointer && of.IsNil() {
			all = append(all, "NULL")
			continue
		}
		all = append(all, fmt.Sprint(reflect.Indirect(of).Interface()))
	}
	return strings.Join(all, ",")
}

// faultsOf says what is wrong with a plan: most is what a page, or the deals of one busy contact, take.
func faultsOf(p plan) []string {
	const most = 1000
	var faults []string
	read := (p.Rows + p.Filtered + p.Rechecked) * p.Loops
	if p.Relation != "" && p.Node == "Seq Scan" {
		faults = append(faults, "reads all of "+p.Relation)
	}
	if p.Node == "Sort" || p.Relation != "" || p.Index != "" {
		if read > most {
			faults = append(faults, fmt.Sprintf("%s of %s%s takes %.0f rows", p.Node, p.Relation, p.Index, read))
		}
	}
	for _, below := range p.Plans {
		if p.Node == "Sort" && below.Rows > most {
			faults = append(faults, fmt.Sprintf("sorts %.0f rows", below.Rows))
		}
		faults = append(faults, faultsOf(below)...)
	}
	return faults
}
