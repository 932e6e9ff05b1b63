package jobs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	letters "github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/workers"
)

// toldBy is what led to the facts that these tests state.
var toldBy = outbox.Origin{CorrelationID: "request-7", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

// tell states a fact, and gives the id of its event.
func (s *site) tell(f events.Fact) (eventID string) {
	s.t.Helper()
	b := &pgx.Batch{}
	origin := toldBy
	origin.OrganizationID = s.organization
	eventID, err := outbox.Queue(b, origin, f)
	s.must(err)
	s.must(s.db.Send(s.t.Context(), b))
	return eventID
}

// again replays all facts of a type.
func (s *site) again(eventType string) {
	s.t.Helper()
	table := jobs.All(s.deps)
	var plan workers.Plan
	s.eventually("the router has routed all", func() error {
		var behind int
		s.scan(&behind, `SELECT count(*) FROM outbox WHERE type = $1`, eventType)
		var err error
		plan, err = workers.PlanReplay(s.t.Context(), s.db, table, time.Now().Add(-time.Hour), []string{eventType})
		if err == nil && plan.Events < behind {
			err = fmt.Errorf("%d of %d", plan.Events, behind)
		}
		return err
	})
	n, err := workers.Replay(s.t.Context(), s.db, table, plan)
	if err != nil || n == 0 {
		s.t.Fatalf("%d jobs are started again, %v", n, err)
	}
	s.quiet()
}

// quiet waits until no reaction to a fact is under way.
func (s *site) quiet() {
	s.t.Helper()
	s.eventually("all that facts started has ended", func() error {
		var facts, position, left int
		s.scan(&facts, `SELECT count(*) FROM outbox`)
		s.scan(&position, `SELECT count(*) FROM outbox o, consumer_positions p WHERE p.consumer = 'router' AND (o.xid, o.id) <= (p.xid, p.id)`)
		s.scan(&left, `SELECT count(*) FROM river_job WHERE kind IN ('mail.send', 'invoices.remind', 'cache.invalidate')
			AND args->>'job_id' IS NULL AND state NOT IN ('completed', 'discarded', 'cancelled')`)
		if position < facts || left > 0 {
			return fmt.Errorf("%d of %d facts are routed, %d reactions are left", position, facts, left)
		}
		return nil
	})
}

// mailInput is what these tests read of the input of a mail.
type mailInput struct {
	To          []string
	Template    string
	Data        json.RawMessage
	Attachments []struct {
		InvoiceID string `json:"invoice_id"`
	}
	Stream    string
	InvoiceID string `json:"invoice_id"`
	DealID    string `json:"deal_id"`
	ContactID string `json:"contact_id"`
}

// mails are the jobs that facts have made.
func (s *site) mails() (list []store.Job) {
	s.t.Helper()
	list, err := s.db.Jobs(s.t.Context(), s.organization, store.JobFilter{Kind: "mail.send", Limit: 100})
	s.must(err)
	return list
}

// mail waits for the one mail that there is, and checks that its data are those of its template.
func (s *site) mail() (store.Job, mailInput) {
	s.t.Helper()
	s.eventually("there is a mail", func() error {
		var why string
		if len(s.mails()) == 0 {
			_ = s.db.Pool().QueryRow(s.t.Context(), `SELECT detail->>'reason' FROM mail_events`).Scan(&why)
			return fmt.Errorf("there is none: %q", why)
		}
		return nil
	})
	s.quiet()
	list := s.mails()
	if len(list) != 1 {
		s.t.Fatalf("there are %d mails", len(list))
	}
	var in mailInput
	s.must(json.Unmarshal(list[0].Input, &in))
	if in.Template == "invoice" {
		return list[0], in // its data are read when it is sent
	}
	if _, faults := letters.Fit(in.Template, in.Data); len(faults) > 0 {
		s.t.Errorf("the data don't fit the template %s: %v in %s", in.Template, faults, in.Data)
	}
	return list[0], in
}

func (s *site) noMail() {
	s.t.Helper()
	s.quiet()
	if list := s.mails(); len(list) > 0 {
		s.t.Errorf("there are %d mails: %s", len(list), list[0].Input)
	}
}

// posting is a site whose worker hands mail over. There is no mail server: mails wait.
func posting(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.worker(map[string]int{"ai": 2, "mail": 4, "maintenance": 2, "cache": 2})
	return s
}

func sentFact(invoice string) events.InvoiceSent {
	return events.InvoiceSent{InvoiceID: invoice, ContactID: outbox.NewID(), Number: "x", Version: 2}
}

func TestInvoiceIsMailed(t *testing.T) {
	t.Parallel()
	s := posting(t)
	contact := s.contact(`Asha "R" <Rao>`, map[string]any{"email": "asha@example.in"})
	invoice := s.invoice(contact, 30, map[string]any{"notes": "Thank you."})
	event := s.tell(sentFact(invoice))
	j, in := s.mail()
	if fmt.Sprint(in.To) != `["Asha \"R\" <Rao>" <asha@example.in>]` || in.Template != "invoice" || in.InvoiceID != invoice || in.ContactID != contact ||
		len(in.Attachments) != 1 || in.Attachments[0].InvoiceID != invoice {
		t.Errorf("the mail is %s", j.Input)
	}
	if in.Data != nil {
		t.Errorf("what it says is fixed before it is sent: %s", in.Data)
	}
	if !strings.Contains(string(j.Metadata), `"cause": "invoice.sent"`) || *j.RequestID != toldBy.CorrelationID || *j.TraceParent != toldBy.TraceParent || j.Priority != 2 {
		t.Errorf("the job is %+v", j)
	}
	var causation, template string
	s.scan(&causation, `SELECT causation_id::text FROM outbox WHERE event_id = $1`, j.EventID)
	s.scan(&template, `SELECT template FROM mail_messages WHERE id = $1 AND invoice_id = $2 AND contact_id = $3`, j.ID, invoice, contact)
	if causation != event || template != "invoice" {
		t.Errorf("it was requested because of %s, want %s; its template is %s", causation, event, template)
	}
	// The fact told again is the same mail, and another fact of the invoice another.
	s.again("invoice.sent")
	s.mail()
	s.tell(sentFact(invoice))
	s.eventually("there is another", func() error {
		if n := len(s.mails()); n != 2 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

// Where there is nobody to write to, the list of mails says so, and once there is, a replay writes.
func TestInvoiceOfNoAddress(t *testing.T) {
	t.Parallel()
	s := posting(t)
	contact := s.contact("Asha Rao", nil)
	invoice := s.invoice(contact, 30, nil)
	s.tell(sentFact(invoice))
	s.noMail()
	s.again("invoice.sent")
	s.noMail()
	var state, reason string
	s.scan(&state, `SELECT state FROM mail_messages WHERE invoice_id = $1 AND contact_id = $2 AND template = 'invoice'`, invoice, contact)
	s.scan(&reason, `SELECT detail->>'reason' FROM mail_events WHERE type = 'not_sent'`)
	if state != "cancelled" || reason != "the contact has no email address" {
		t.Errorf("the mail is %s: %s", state, reason)
	}
	s.exec(`UPDATE contacts SET email = 'asha@example.in'`)
	s.again("invoice.sent")
	s.mail()
}

// An address from before addresses were held to a form can't be written to.
func TestInvoiceOfAnAddressThatIsNone(t *testing.T) {
	t.Parallel()
	s := posting(t)
	s.tell(sentFact(s.invoice(s.contact("Asha Rao", map[string]any{"email": "asha at example"}), 30, nil)))
	s.noMail()
	var reason string
	s.scan(&reason, `SELECT detail->>'reason' FROM mail_events WHERE type = 'not_sent'`)
	if !strings.HasPrefix(reason, "refused: /to/0 ") {
		t.Errorf("the reason is %q", reason)
	}
}

func TestCancelledInvoiceIsNotMailed(t *testing.T) {
	t.Parallel()
	s := posting(t)
	s.tell(sentFact(s.invoice(s.contact("Asha Rao", map[string]any{"email": "a@example.in"}), 30, map[string]any{"status": "cancelled", "cancelled_at": time.Now()})))
	s.tell(sentFact(outbox.NewID()))
	s.noMail()
}

func TestWonDealIsMailedToTheOwner(t *testing.T) {
	t.Parallel()
	s := posting(t)
	contact := s.contact("Asha Rao", map[string]any{"company": "Rao & Sons"})
	deal := s.deal(contact, "Yearly supply", map[string]any{"stage": "won", "probability": 100, "closed_at": time.Now()})
	won := events.DealWon{DealID: deal, ContactID: contact, Value: 1_00_000_00, Currency: "INR", Version: 2}
	s.tell(won)
	s.noMail() // the owner has given no address
	s.exec(`UPDATE organizations SET email = 'owner@example.in' WHERE id = $1`, s.organization)
	s.again("deal.won")
	j, in := s.mail()
	var said letters.DealWon
	s.must(json.Unmarshal(in.Data, &said))
	if fmt.Sprint(in.To) != "[Rao Textiles <owner@example.in>]" || in.Template != "deal_won" || in.DealID != deal || in.ContactID != contact || len(in.Attachments) != 0 ||
		said.Deal.Title != "Yearly supply" || said.Deal.Value != 1_00_000_00 || said.Deal.WonOn != time.Now().In(india).Format(time.DateOnly) || *said.Contact.Company != "Rao & Sons" {
		t.Errorf("the mail is %s", j.Input)
	}
}

// reminding is a posting site that wants reminders, at an hour at which they are due, with an invoice that is so
// many days late.
func reminding(t *testing.T, days int) (s *site, invoice string) {
	t.Helper()
	s = posting(t)
	s.exec(`UPDATE organizations SET settings = '{"reminders":{"enabled":true}}', timezone = $2 WHERE id = $1`, s.organization, noon())
	invoice = s.invoice(s.contact("Asha Rao", map[string]any{"email": "asha@example.in"}), 0, map[string]any{"status": "overdue"})
	s.exec(`UPDATE invoices SET due_date = (now() AT TIME ZONE (SELECT timezone FROM organizations o WHERE o.id = organization_id))::date - $1::integer`, days)
	return s, invoice
}

// noon is a time zone in which ten has struck.
func noon() string {
	east := 12 - time.Now().UTC().Hour()
	return fmt.Sprintf("Etc/GMT%+d", -east)
}

func (s *site) overdue(invoice string) {
	s.t.Helper()
	s.tell(events.InvoiceOverdue{InvoiceID: invoice, ContactID: outbox.NewID(), Number: "x", Currency: "INR", DueDate: "2026-01-01", Version: 3})
}

// textJob waits for the job that writes an invoice's reminder.
func (s *site) textJob() (id string) {
	s.t.Helper()
	s.eventually("a text is asked for", func() error {
		return s.db.Pool().QueryRow(s.t.Context(), `SELECT text_job_id::text FROM invoice_reminders`).Scan(&id)
	})
	return id
}

func TestReminderIsMailed(t *testing.T) {
	t.Parallel()
	s, invoice := reminding(t, 8)
	s.ollama.Next(faults.OllamaSays(`{"subject":"About INV/26-27/0001","body":"Dear Asha, ₹1,180 for INV/26-27/0001 is due. Please pay."}`, "stop"))
	s.overdue(invoice)
	text := s.textJob()
	s.ends(text, store.Succeeded)
	j, in := s.mail()
	var said letters.Reminder
	s.must(json.Unmarshal(in.Data, &said))
	if in.Template != "reminder" || in.Stream != "reminders" || in.InvoiceID != invoice || len(in.Attachments) != 1 || fmt.Sprint(in.To) != "[Asha Rao <asha@example.in>]" ||
		*said.Subject != "About INV/26-27/0001" || !strings.Contains(said.Text, "Please pay.") || said.DaysOverdue != 8 || said.Invoice.AmountDue != 1180_00 {
		t.Errorf("the mail is %s", j.Input)
	}
	if !strings.Contains(string(j.Metadata), `"step": 7`) || j.Deadline == nil || j.Deadline.Sub(j.CreatedAt) > 25*time.Hour {
		t.Errorf("the job is %+v", j)
	}
	var noted string
	s.scan(&noted, `SELECT mail_job_id::text FROM invoice_reminders WHERE step = 7 AND text_job_id = $1`, text)
	if noted != j.ID {
		t.Errorf("noted is mail %s, want %s", noted, j.ID)
	}
	// Told again, by whomever, it is the same reminder.
	s.again("job.completed")
	s.again("invoice.overdue")
	s.mail()
}

// Where no model could write, the rules did not either, or the time is over, the rules' letter goes out.
func TestReminderNobodyWrote(t *testing.T) {
	t.Parallel()
	s, invoice := reminding(t, 3)
	s.ollama.Every(unreachable)
	s.groq.Every(unreachable)
	s.overdue(invoice)
	text := s.textJob()
	s.waits(text)
	s.noMail()
	s.exec(`UPDATE jobs SET deadline = now() WHERE id = $1`, text)
	s.ends(text, store.Failed)
	_, in := s.mail()
	var said letters.Reminder
	s.must(json.Unmarshal(in.Data, &said))
	if !strings.Contains(*said.Subject, "INV/26-27/0001") || !strings.Contains(said.Text, "3 days ago") || said.DaysOverdue != 3 {
		t.Errorf("the mail says %s", in.Data)
	}
	// Whoever tries the job again by hand gets a text, and the customer no second letter.
	s.tell(events.JobCompleted{JobID: text, Kind: "ai.invoice_reminder", Attempt: 1, Version: 9})
	s.mail()
}

// Whatever happens while the text is written counts.
func TestReminderThatIsNotWantedAnyMore(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"paid":      `UPDATE invoices SET status = 'paid', amount_paid = total, paid_at = now()`,
		"cancelled": `UPDATE invoices SET status = 'cancelled', cancelled_at = now()`,
		"put off":   `UPDATE invoices SET status = 'sent', due_date = due_date + 30`,
		"opted out": `UPDATE organizations SET settings = '{"reminders":{"enabled":false}}'`,
		"no email":  `UPDATE contacts SET email = NULL`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, invoice := reminding(t, 3)
			asked, release := s.held(faults.OllamaSays(`{"subject":"Late","body":"Dear Asha, ₹1,180 for INV/26-27/0001 is due."}`, "stop"))
			s.overdue(invoice)
			text := s.textJob()
			<-asked
			s.exec(change)
			release()
			s.ends(text, store.Succeeded)
			s.noMail()
		})
	}
}

// Who cancels the text's job calls the reminder off; a client's own reminder mails nothing.
func TestReminderIsCalledOff(t *testing.T) {
	t.Parallel()
	s, invoice := reminding(t, 3)
	s.ollama.Every(unreachable)
	s.groq.Every(unreachable)
	s.overdue(invoice)
	text := s.textJob()
	s.waits(text)
	s.must(s.db.Tx(t.Context(), func(tx pgx.Tx) error { return jobs.Cancel(t.Context(), tx, s.job(text)) }))
	s.noMail()
	s.ollama.Every(nil)
	s.answer(s.submit("ai.invoice_reminder", about("invoice", invoice)))
	s.noMail()
	s.overdue(invoice)
	s.noMail()
}

// The mail of a reminder that waits for a server is called off when the money comes.
func TestPaidInvoiceIsNotRemindedOf(t *testing.T) {
	t.Parallel()
	s, invoice := reminding(t, 3)
	s.ollama.Next(faults.OllamaSays(`{"subject":"Late","body":"Dear Asha, ₹1,180 for INV/26-27/0001 is due."}`, "stop"))
	s.overdue(invoice)
	j, _ := s.mail()
	s.waits(j.ID) // for a server
	s.exec(`UPDATE invoices SET status = 'paid', amount_paid = total, paid_at = now()`)
	s.tell(events.InvoicePaid{InvoiceID: invoice, ContactID: outbox.NewID(), Number: "x", Total: 1180_00, Currency: "INR", PaidAt: time.Now(), Version: 4})
	s.ends(j.ID, store.Cancelled)
	var state string
	s.scan(&state, `SELECT state FROM mail_messages WHERE id = $1`, j.ID)
	if state != "cancelled" {
		t.Errorf("the mail is %s", state)
	}
}
