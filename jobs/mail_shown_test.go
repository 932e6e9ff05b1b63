package jobs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/jobs"
)

// What an operator is shown of a mail is what would be sent now, from the records of its own organization alone.
func TestMailIsShownAsItWouldBeWritten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	invoice := s.invoice(s.contact("Asha Rao", nil), 3, nil)
	s.exec(`INSERT INTO mail_templates (organization_id, id, name, subject, text) VALUES ($1, gen_random_uuid(), 'own', 'Dear {{.name}}', 'Hello')`, s.organization)
	show := func(organization, input string) jobs.ShownMail {
		t.Helper()
		m, err := jobs.ShowMail(t.Context(), s.open(false), organization, json.RawMessage(input))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	plain := show(s.organization, `{"to":["a@example.in"],"subject":"S","text":"T","html":"H","reply_to":"r@example.in","attachments":[{"filename":"a.txt","content_type":"text/plain","content_base64":"AAAA"},{"invoice_id":"`+invoice+`"}]}`)
	if plain.Subject != "S" || plain.Text != "T" || plain.HTML != "H" || plain.ReplyTo != "r@example.in" || len(plain.Files) != 2 || plain.Files[0].Bytes != 3 || plain.Files[1].ContentType != "application/pdf" {
		t.Errorf("got %+v", plain)
	}
	if m := show(s.organization, `{"to":["a@example.in"],"template":"own","data":{"name":"Asha"}}`); m.Subject != "Dear Asha" || m.Why != "" {
		t.Errorf("got %+v", m)
	}
	byID := `{"to":["a@example.in"],"template":"invoice","invoice_id":"` + invoice + `"}`
	if m := show(s.organization, byID); !strings.Contains(m.Subject, "INV/26-27/0001") || !strings.Contains(m.HTML, "Asha Rao") {
		t.Errorf("got %+v", m)
	}
	if m := show(outbox.NewID(), byID); m.Why == "" || m.Subject != "" || m.HTML != "" {
		t.Errorf("of somebody else: %+v", m)
	}
	if _, err := jobs.ShowMail(t.Context(), s.open(false), s.organization, json.RawMessage(`7`)); err == nil {
		t.Error("what is no input is read")
	}
}
