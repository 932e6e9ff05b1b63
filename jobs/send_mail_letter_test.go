package jobs_test

import (
	"strings"
	"testing"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// What a letter can't be written of fails with the place of the fault, and nothing is sent.
func TestLetterThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	draft := p.invoice(p.contact("Asha Rao", nil), 3, map[string]any{"status": "draft", "number": nil, "financial_year": nil, "sequence": nil,
		"sent_at": nil, "supplier": nil, "customer": nil})
	mine := p.organization
	p.organization = outbox.NewID()
	p.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Others', 'KA')`, p.organization)
	others := p.invoice(p.contact("Ravi", nil), 3, nil)
	p.organization = mine
	for _, c := range []struct{ more, code, pointer string }{
		{`"template":"no_such"`, "mail_template", "/input/template"},
		{`"template":"reminder"`, "mail_template", "/input/data/organization"},
		{`"template":"report_ready","data":{"organization":{"name":"x"},"report":{"title":7}}`, "mail_template", "/input/data/report/title"},
		{`"template":"invoice","invoice_id":"` + others + `"`, "not_found", "/input/invoice_id"},
		{`"template":"invoice","invoice_id":"` + draft + `"`, "invalid_state", "/input/invoice_id"},
		{`"subject":"x","text":"x","attachments":[{"invoice_id":"` + others + `"}]`, "not_found", "/input/attachments/0/invoice_id"},
	} {
		j := p.send(`{"to":["asha@example.org"],` + c.more + `}`)
		var problem struct {
			Code, Detail string
			Errors       []struct{ Pointer string }
		}
		p.ask("GET", "/api/jobs/"+j.ID, "", &struct{ Error any }{&problem})
		if j.Status != store.Failed || problem.Code != c.code || len(problem.Errors) != 1 || problem.Errors[0].Pointer != c.pointer || problem.Detail == "" {
			t.Errorf("%s: %s with %+v", c.more, j.Status, problem)
		}
	}
	if n := len(p.sink.Messages()); n != 0 {
		t.Errorf("%d mails were sent", n)
	}
}

// An organization's own template of the name of one of the product takes its place.
func TestOwnTemplateTakesThePlace(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	invoice := p.invoice(p.contact("Asha Rao", nil), 3, nil)
	p.exec(`INSERT INTO mail_templates (organization_id, id, name, subject, text) VALUES ($1, gen_random_uuid(), 'invoice', 'Bill {{.invoice.number}}', 'Pay {{rupees .invoice.amount_due}}, {{.customer.name}}.')`, p.organization)
	if j := p.send(`{"to":["asha@example.org"],"template":"invoice","invoice_id":"` + invoice + `"}`); j.Status != store.Succeeded {
		t.Fatalf("got %+v", j)
	}
	if m := p.arrived(1); m.subject != "Bill INV/26-27/0001" || strings.TrimSpace(m.text) != "Pay ₹1,180.00, Asha Rao." || len(m.files) != 0 {
		t.Errorf("%s: %s", m.subject, m.text)
	}
}
