package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// A debtor's overdue invoices, in an organization that wants reminders, or not.
type debtor struct {
	t            *testing.T
	d            Deps
	organization string
	contact      string
}

func newDebtor(t *testing.T, d Deps, timezone string) *debtor {
	t.Helper()
	b := &debtor{t: t, d: d, organization: outbox.NewID(), contact: outbox.NewID()}
	exec(t, d, `INSERT INTO organizations (id, name, state, timezone, settings)
		VALUES ($1, 'Rao Textiles', 'KA', $2, '{"reminders":{"enabled":true}}')`, b.organization, timezone)
	exec(t, d, `INSERT INTO contacts (organization_id, id, name, email) VALUES ($1, $2, 'Asha Rao', 'asha@example.in')`, b.organization, b.contact)
	return b
}

// invoice is one that became due so many days before today, by the calendar on the organization's wall.
func (b *debtor) invoice(days int) (id string) {
	b.t.Helper()
	id = outbox.NewID()
	exec(b.t, b.d, `
		INSERT INTO invoices (organization_id, id, contact_id, status, financial_year, sequence, number, place_of_supply, place_of_supply_code,
			inter_state, issue_date, due_date, subtotal, cgst, sgst, igst, total, supplier, customer, sent_at)
		SELECT o.id, $2, $3, 'overdue', 2017, last.n + 1, 'N' || last.n + 1, 'x', '29', false, '2017-07-01',
			(now() AT TIME ZONE o.timezone)::date - $4::integer, 100, 0, 0, 0, 100, '{}', '{"name":"Asha Rao"}', now()
		FROM organizations o, (SELECT count(*)::integer AS n FROM invoices WHERE organization_id = $1) last
		WHERE o.id = $1`, b.organization, id, b.contact, days)
	return id
}

func (b *debtor) remind() {
	b.t.Helper()
	if err := (remindInvoices{b.d}).Run(b.t.Context(), remindInvoicesArgs{}); err != nil {
		b.t.Fatal(err)
	}
}

// begun lists an invoice's reminders with their jobs, each as "step kind mode priority", and wants the fact of each.
func (b *debtor) begun(invoice string) (list []string) {
	b.t.Helper()
	rows, err := b.d.DB.Pool().Query(b.t.Context(), `
		SELECT r.step || ' ' || j.kind || ' ' || (j.input->>'mode') || ' ' || j.priority
		FROM invoice_reminders r JOIN jobs j ON j.organization_id = r.organization_id AND j.id = r.text_job_id
		JOIN outbox f ON f.event_id = j.event_id AND f.subject = j.id::text AND f.type = 'job.requested'
		WHERE r.organization_id = $1 AND r.invoice_id = $2 AND j.input->>'invoice_id' = $2::text AND j.deadline > now() + interval '11 hours'
		ORDER BY r.step`, b.organization, invoice)
	if err == nil {
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func reminderOf(step int) string { return fmt.Sprintf("[%d ai.invoice_reminder relaxed 3]", step) }

func (b *debtor) want(invoice, want string) {
	b.t.Helper()
	if got := fmt.Sprint(b.begun(invoice)); got != want {
		b.t.Errorf("begun are %s, want %s", got, want)
	}
}

// afterTen gives a time zone in which it is some hours after ten in the morning, or before.
func afterTen(hours int) string {
	// POSIX counts zones to the west.
	offset := 10 + hours - time.Now().UTC().Hour()
	for offset > 12 {
		offset -= 24
	}
	for offset < -11 {
		offset += 24
	}
	return fmt.Sprintf("Etc/GMT%+d", -offset)
}

// Steps are due on their days; what was missed is made up for by the latest alone.
func TestRemindersAreDue(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	b := newDebtor(t, d, afterTen(1))
	steps := make(map[string]string)
	for days, want := range map[int]string{0: "[]", 1: "[]", 2: "[]", 3: reminderOf(3), 5: reminderOf(3), 7: reminderOf(7), 12: reminderOf(7),
		14: reminderOf(14), 28: reminderOf(14), 30: reminderOf(30), 400: reminderOf(30)} {
		steps[b.invoice(days)] = want
	}
	for range 2 { // a second run finds nothing
		b.remind()
		for invoice, want := range steps {
			b.want(invoice, want)
		}
	}
}

// In order, one after the other, each once.
func TestRemindersFollowEachOther(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	b := newDebtor(t, d, afterTen(1))
	invoice := b.invoice(0)
	want := ""
	for day := 1; day <= 40; day++ {
		exec(t, d, `UPDATE invoices SET due_date = due_date - 1`)
		b.remind()
		if day == 3 || day == 7 || day == 14 || day == 30 {
			want += fmt.Sprintf(" %d ai.invoice_reminder relaxed 3", day)
		}
		b.want(invoice, "["+trimmed(want)+"]")
	}
	// Put off, and late again: what was said is not said anew.
	exec(t, d, `UPDATE invoices SET due_date = current_date - 20`)
	b.remind()
	b.want(invoice, "["+trimmed(want)+"]")
}

func trimmed(s string) string {
	if s == "" {
		return s
	}
	return s[1:]
}

// A day begins at ten in the morning where the organization is.
func TestRemindersKeepTheClockOfTheOrganization(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	early, late := newDebtor(t, d, afterTen(-2)), newDebtor(t, d, afterTen(0))
	before, at := early.invoice(3), late.invoice(3)
	yesterday := early.invoice(4)
	early.remind()
	early.want(before, "[]")
	early.want(yesterday, reminderOf(3))
	late.want(at, reminderOf(3))
	// Around the world, an hour apart: exactly those where ten has struck.
	var zones []*debtor
	var invoices []string
	for offset := -11; offset <= 12; offset++ {
		z := newDebtor(t, d, fmt.Sprintf("Etc/GMT%+d", -offset))
		zones, invoices = append(zones, z), append(invoices, z.invoice(7))
	}
	var hours []int
	for _, z := range zones {
		var hour int
		if err := d.DB.Pool().QueryRow(t.Context(), `SELECT extract(hour FROM now() AT TIME ZONE timezone)::integer FROM organizations WHERE id = $1`, z.organization).Scan(&hour); err != nil {
			t.Fatal(err)
		}
		hours = append(hours, hour)
	}
	early.remind()
	for i, z := range zones {
		if hours[i] == 9 || hours[i] == 23 {
			continue // the hour may strike meanwhile
		}
		want := "[]"
		if hours[i] >= 10 {
			want = reminderOf(7)
		}
		z.want(invoices[i], want)
	}
}

// Nothing is begun where nobody asked for it, where there is nothing to pay, or nowhere to write to.
func TestRemindersAreLeftOut(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	for name, change := range map[string]string{
		"not wanted":     `UPDATE organizations SET settings = '{"reminders":{"enabled":false}}' WHERE id = $1`,
		"never asked":    `UPDATE organizations SET settings = '{}' WHERE id = $1`,
		"no address":     `UPDATE contacts SET email = NULL WHERE organization_id = $1`,
		"paid":           `UPDATE invoices SET status = 'paid', amount_paid = total, paid_at = now() WHERE organization_id = $1`,
		"cancelled":      `UPDATE invoices SET status = 'cancelled', cancelled_at = now() WHERE organization_id = $1`,
		"put off":        `UPDATE invoices SET status = 'sent', due_date = current_date + 9 WHERE organization_id = $1`,
		"someone's hand": `SELECT $1::uuid`,
	} {
		b := newDebtor(t, d, afterTen(1))
		invoice := b.invoice(3)
		exec(t, d, change, b.organization)
		if name == "someone's hand" {
			held := d.DB.Tx(t.Context(), func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), `SELECT FROM invoices WHERE id = $1 FOR NO KEY UPDATE`, invoice); err != nil {
					return err
				}
				b.remind()
				b.want(invoice, "[]")
				return nil
			})
			if held != nil {
				t.Fatal(held)
			}
		}
		b.remind()
		want := "[]"
		if name == "someone's hand" {
			want = reminderOf(3)
		}
		if got := fmt.Sprint(b.begun(invoice)); got != want {
			t.Errorf("%s: begun are %s, want %s", name, got, want)
		}
	}
}

// Once it is wanted, or there is somewhere to write to, the latest step is made up for.
func TestRemindersAreMadeUpFor(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	b := newDebtor(t, d, afterTen(1))
	invoice := b.invoice(20)
	exec(t, d, `UPDATE contacts SET email = NULL WHERE organization_id = $1`, b.organization)
	b.remind()
	b.want(invoice, "[]")
	exec(t, d, `UPDATE contacts SET email = 'asha@example.in' WHERE organization_id = $1`, b.organization)
	b.remind()
	b.want(invoice, reminderOf(14))
}

// Runs that meet, and runs that are cut off, begin each reminder once.
func TestRemindersAtOnce(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	b := newDebtor(t, d, afterTen(1))
	for range 300 {
		b.invoice(7)
	}
	var runs sync.WaitGroup
	for i := range 6 {
		runs.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*40*time.Millisecond+time.Millisecond)
			defer cancel()
			_ = (remindInvoices{d}).Run(ctx, remindInvoicesArgs{}) // may be cut off, that is the point
		})
	}
	runs.Wait()
	var whole sync.WaitGroup
	for range 3 {
		whole.Go(func() {
			if err := (remindInvoices{d}).Run(t.Context(), remindInvoicesArgs{}); err != nil {
				t.Error(err)
			}
		})
	}
	whole.Wait()
	b.remind()
	var reminders, jobs, facts, fair int
	err := d.DB.Pool().QueryRow(t.Context(), `SELECT (SELECT count(*) FROM invoice_reminders), (SELECT count(DISTINCT input->>'invoice_id') FROM jobs),
		(SELECT count(*) FROM outbox WHERE type = 'job.requested'), (SELECT count(*) FROM jobs WHERE NOT overflow)`).Scan(&reminders, &jobs, &facts, &fair)
	if err != nil || reminders != 300 || jobs != 300 || facts != 300 {
		t.Errorf("%d reminders, %d jobs, %d facts, %v; want 300 of each", reminders, jobs, facts, err)
	}
	// Transactions at once may all take the last places, and there are nine runs.
	if fair < AI.Share || fair > 9*AI.Share {
		t.Errorf("%d jobs have their fair place, want %d or a few more", fair, AI.Share)
	}
}

// A fact looks at its own invoice at once, and calls off what is under way of one that needs no reminder any more.
func TestRemindersOfOneInvoice(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	b := newDebtor(t, d, afterTen(1))
	one, other := b.invoice(7), b.invoice(7)
	now := func() {
		t.Helper()
		if err := (remindInvoices{d}).Run(t.Context(), remindInvoicesArgs{OrganizationID: b.organization, InvoiceID: one}); err != nil {
			t.Fatal(err)
		}
	}
	neighbour := newDebtor(t, d, afterTen(1))
	theirs := neighbour.invoice(7)
	now()
	now()
	b.want(one, reminderOf(7))
	b.want(other, "[]")
	if err := (remindInvoices{d}).Run(t.Context(), remindInvoicesArgs{OrganizationID: b.organization}); err != nil {
		t.Fatal(err)
	}
	b.want(other, reminderOf(7))
	neighbour.want(theirs, "[]")
	exec(t, d, `UPDATE invoices SET status = 'paid', amount_paid = total, paid_at = now() WHERE id = $1`, one)
	now()
	now()
	var cancelled, queued, facts int
	err := d.DB.Pool().QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM jobs WHERE status = 'cancelled' AND input->>'invoice_id' = $1),
		       (SELECT count(*) FROM jobs WHERE status = 'queued' AND input->>'invoice_id' = $2),
		       (SELECT count(*) FROM outbox WHERE type = 'job.cancelled')`, one, other).Scan(&cancelled, &queued, &facts)
	if err != nil || cancelled != 1 || queued != 1 || facts != 1 {
		t.Errorf("%d cancelled, %d of the other queued, %d facts, %v; want one of each", cancelled, queued, facts, err)
	}
}

// The job of a fact is the same whenever it is asked for, and none that the door would refuse is made.
func TestHandOver(t *testing.T) {
	t.Parallel()
	d := newDeps(t)
	b := newDebtor(t, d, afterTen(1))
	c := cause{EventID: outbox.NewID(), Type: "invoice.sent", CorrelationID: "request-1", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	id, err := c.jobFor("reminder")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := c.jobFor("reminder"); again != id {
		t.Errorf("the id is %s and then %s", id, again)
	}
	if another, _ := c.jobFor("invoice"); another == id || another[:13] != c.EventID[:13] {
		t.Errorf("for another purpose it is %s, of event %s", another, c.EventID)
	}
	give := func(input map[string]any) (made bool, err error) {
		err = d.DB.Tx(t.Context(), func(tx pgx.Tx) error {
			made, err = handOver(t.Context(), tx, order{organizationID: b.organization, id: id, kind: "ai.invoice_reminder",
				spec: reminderOfInvoice.spec(), input: input, priority: normalPriority, cause: c, metadata: map[string]any{"cause": c.Type}}, &places{})
			return err
		})
		return made, err
	}
	var refused refusal
	if _, err := give(map[string]any{"invoice_id": "x"}); !errors.As(err, &refused) || refused[0].Pointer != "/invoice_id" {
		t.Errorf("an input that is none is answered %v", err)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	count := 0
	for range 8 {
		wait.Go(func() {
			made, err := give(map[string]any{"invoice_id": b.contact})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if made {
				count++
			}
		})
	}
	wait.Wait()
	j, err := d.DB.Job(t.Context(), b.organization, id)
	if err != nil {
		t.Fatal(err)
	}
	var facts int
	var causation, correlation, trace string
	err = d.DB.Pool().QueryRow(t.Context(), `SELECT count(*) OVER (), causation_id, correlation_id, traceparent FROM outbox WHERE event_id = $1 AND subject = $2`, j.EventID, id).
		Scan(&facts, &causation, &correlation, &trace)
	if err != nil || count != 1 || facts != 1 || causation != c.EventID || correlation != c.CorrelationID || trace != c.TraceParent {
		t.Errorf("made %d times, %d facts, led to by %s of %s, %s, %v", count, facts, causation, correlation, trace, err)
	}
	if *j.RequestID != c.CorrelationID || *j.TraceParent != c.TraceParent || time.Since(j.CreatedAt) > time.Minute || j.Status != store.Queued {
		t.Errorf("the job is %+v", j)
	}
	var meta map[string]string
	if err := json.Unmarshal(j.Metadata, &meta); err != nil || meta["cause"] != "invoice.sent" {
		t.Errorf("its metadata are %s", j.Metadata)
	}
}
