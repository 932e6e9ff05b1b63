package jobs_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// A road leads to a mail server, once it is open.
type road struct {
	*mail.Pool
	open atomic.Bool
}

func (r *road) Send(ctx context.Context, e mail.Envelope, content []byte, commit func(context.Context) error) (mail.Receipt, error) {
	if !r.open.Load() {
		return mail.Receipt{}, &mail.Refusal{Class: mail.Channel, Step: mail.StepConnect}
	}
	return r.Pool.Send(ctx, e, content, commit)
}

// A lateMail is the mail of an invoice that was sent over HTTP, as long as it waits for a server.
type lateMail struct {
	*post
	*road
	contact, invoice, job string
}

func waiting(t *testing.T) lateMail {
	t.Helper()
	l := lateMail{road: &road{}}
	l.post = newPost(t, func(d *jobs.Deps) { l.Pool = d.Mailing.Mailer.(*mail.Pool); d.Mailing.Mailer = l.road })
	l.running("pool", l.Pool.Run)
	l.worker(map[string]int{"maintenance": 2, "cache": 2})
	var contact, invoice struct{ ID string }
	l.ask("POST", "/api/contacts", `{"name":"Asha Rao","email":"aska@example.org","state":"Maharashtra"}`, &contact)
	l.ask("POST", "/api/invoices", `{"contact_id":"`+contact.ID+`","items":[
		{"description":"Cotton fabric","hsn_sac":"5208","quantity":"2.5","unit_price":40000,"gst_rate":18}]}`, &invoice)
	l.ask("POST", "/api/invoices/"+invoice.ID+"/send", "", nil)
	j, _ := l.mail()
	l.waits(j.ID)
	l.contact, l.invoice, l.job = contact.ID, invoice.ID, j.ID
	return l
}

// What is said of an invoice, and its PDF, are of the moment at which the mail goes out.
func TestInvoiceIsPaidWhileItsMailWaits(t *testing.T) {
	t.Parallel()
	l := waiting(t)
	l.ask("POST", "/api/invoices/"+l.invoice+"/pay", `{"amount":118000,"method":"upi"}`, nil)
	l.quiet()
	l.open.Store(true)
	l.due(l.job)
	m := l.arrived(1)
	if !strings.Contains(m.text, "Nothing is left to pay.") || strings.Contains(m.text, "To be paid by") || !strings.Contains(m.html, "Nothing is left to pay") || len(m.files) != 1 {
		t.Errorf("it says\n%s", m.text)
	}
}

func TestInvoiceIsCancelledWhileItsMailWaits(t *testing.T) {
	t.Parallel()
	l := waiting(t)
	l.ask("POST", "/api/invoices/"+l.invoice+"/cancel", `{}`, nil)
	l.ends(l.job, store.Cancelled)
	l.open.Store(true)
	// What is handed over later comes, and nothing before it.
	if j := l.send(`{"to":["b@example.org"],"subject":"x","text":"x"}`); j.Status != store.Succeeded {
		t.Fatalf("got %+v", j)
	}
	if m := l.arrived(1); m.subject != "x" {
		t.Errorf("%s was sent", m.subject)
	}
	if got := l.recipients(l.job); got != "aska cancelled" {
		t.Errorf("the recipients are %s", got)
	}
}

// Where the address was wrong the invoice is mailed to the right one by its id alone, as it would have been at first.
func TestInvoiceIsMailedAgain(t *testing.T) {
	t.Parallel()
	l := waiting(t)
	l.open.Store(true)
	l.due(l.job)
	first := l.arrived(1)
	l.ask("PATCH", "/api/contacts/"+l.contact, `{"email":"asha@example.org"}`, nil)
	if j := l.send(`{"to":["asha@example.org"],"template":"invoice","invoice_id":"` + l.invoice + `","attachments":[{"invoice_id":"` + l.invoice + `"}]}`); j.Status != store.Succeeded {
		t.Fatalf("got %+v", j)
	}
	again := l.arrived(2)
	if again.subject != first.subject || again.text != first.text || len(again.files) != 1 || !strings.Contains(again.Get("To"), "asha@example.org") {
		t.Errorf("to %s: %s\n%s", again.Get("To"), again.subject, again.text)
	}
	if j := l.send(`{"to":["asha@example.org"],"template":"invoice","invoice_id":"` + l.invoice + `"}`); j.Status != store.Succeeded {
		t.Fatalf("without the PDF: %+v", j)
	}
	if bare := l.arrived(3); bare.subject != first.subject || len(bare.files) != 0 || strings.Contains(bare.text, "attached") {
		t.Errorf("without the PDF it says\n%s", bare.text)
	}
}
