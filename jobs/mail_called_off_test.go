package jobs_test

import (
	"testing"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
)

// What waits for a server when the invoice is cancelled doesn't go out, unless somebody mailed it by hand.
func TestMailOfAnInvoiceIsCalledOffWithIt(t *testing.T) {
	t.Parallel()
	s := posting(t)
	invoice := s.invoice(s.contact("Asha Rao", map[string]any{"email": "a@example.in"}), 30, nil)
	s.tell(sentFact(invoice))
	j, _ := s.mail()
	s.waits(j.ID)
	byHand := s.submit("mail.send", `{"to": ["a@example.in"], "subject": "x", "text": "y", "invoice_id": "`+invoice+`"}`)
	s.tell(events.InvoiceCancelled{InvoiceID: invoice, ContactID: outbox.NewID(), Number: "x", Version: 2})
	s.quiet()
	if got := s.job(j.ID).Status; got == store.Cancelled {
		t.Error("the mail of an invoice that stands is called off")
	}
	s.exec(`UPDATE invoices SET status = 'cancelled', cancelled_at = now()`)
	s.tell(events.InvoiceCancelled{InvoiceID: invoice, ContactID: outbox.NewID(), Number: "x", Version: 3})
	s.ends(j.ID, store.Cancelled)
	s.quiet()
	if got := s.job(byHand).Status; got == store.Cancelled {
		t.Error("a mail by hand is called off")
	}
}

// A reminder that can't be sent is looked for among the reminders.
func TestReminderWithoutAnAddressIsOfItsStream(t *testing.T) {
	t.Parallel()
	s, invoice := reminding(t, 3)
	asked, release := s.held(faults.OllamaSays(`{"subject":"Late","body":"Dear Asha, ₹1,180 for INV/26-27/0001 is due."}`, "stop"))
	s.overdue(invoice)
	text := s.textJob()
	<-asked
	s.exec(`UPDATE contacts SET email = NULL`)
	release()
	s.ends(text, store.Succeeded)
	s.noMail()
	var stream string
	s.scan(&stream, `SELECT stream FROM mail_messages WHERE state = 'cancelled'`)
	if stream != "reminders" {
		t.Errorf("it is shown in the stream %q", stream)
	}
}
