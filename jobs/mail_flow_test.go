package jobs_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os/exec"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
)

// A parsedMail is a mail as its reader has it, read by the standard library, which had no hand in writing it.
type parsedMail struct {
	netmail.Header
	subject    string
	text, html string
	files      map[string][]byte
}

// arrived waits until the sink has so many mails, and reads the newest.
func (p *post) arrived(n int) parsedMail {
	p.site.t.Helper()
	var list []localstack.SinkMessage
	p.eventually("the mail arrives", func() error {
		if list = p.sink.Messages(); len(list) != n {
			return fmt.Errorf("the sink has %d, want %d; jobs: %v", len(list), n, p.standing())
		}
		return nil
	})
	raw := p.content(list[0])
	m, err := netmail.ReadMessage(strings.NewReader(raw))
	p.must(err)
	parsed := parsedMail{Header: m.Header, files: make(map[string][]byte)}
	parsed.subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	p.must(err)
	p.must(parsed.read(m.Header.Get, m.Body))
	return parsed
}

// standing is how the mails' jobs stand, for who waits in vain.
func (p *post) standing() (list []string) {
	for _, j := range p.mails() {
		list = append(list, fmt.Sprintf("%s %s %v", j.Status, j.Error, valueOf(j.WaitingReason)))
	}
	return list
}

func valueOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (m *parsedMail) read(header func(string) string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		return err
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := m.read(part.Header.Get, part); err != nil {
				return err
			}
		}
	}
	switch strings.ToLower(header("Content-Transfer-Encoding")) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	content, err := io.ReadAll(body)
	_, disposition, _ := mime.ParseMediaType(header("Content-Disposition"))
	switch {
	case disposition["filename"] != "":
		m.files[disposition["filename"]] = content
	case kind == "text/html":
		m.html = string(content)
	default:
		m.text = string(content)
	}
	return err
}

// textOfPDF is what a reader of a PDF finds in it.
func (p *post) textOfPDF(pdf []byte) string {
	p.site.t.Helper()
	read := exec.CommandContext(p.site.t.Context(), "pdftotext", "-layout", "-", "-")
	read.Stdin = bytes.NewReader(pdf)
	text, err := read.Output()
	p.must(err)
	return string(text)
}

// names reports whether the letter names a file: a word by itself, not the end of another name.
func (m parsedMail) names(file string) bool {
	return strings.Contains(m.text, " "+file) && strings.Contains(m.html, " "+file)
}

// An invoice that is sent over HTTP arrives with its PDF, once, however often the fact is told; and again by hand.
func TestSentInvoiceArrives(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.worker(map[string]int{"maintenance": 2, "cache": 2})
	p.ask("PATCH", "/api/organization", `{"email":"accounts@rao.example","address":"14 Tilak Road\nPune 411030"}`, nil)
	var contact, invoice struct{ ID, Number string }
	p.ask("POST", "/api/contacts", `{"name":"लक्ष्मी Rao","email":"lakshmi@example.org","state":"Maharashtra"}`, &contact)
	p.ask("POST", "/api/invoices", `{"contact_id":"`+contact.ID+`","notes":"Thank you.","items":[
		{"description":"Cotton fabric","hsn_sac":"5208","quantity":"2.5","unit_price":40000,"gst_rate":18}]}`, &invoice)
	p.ask("POST", "/api/invoices/"+invoice.ID+"/send", "", &invoice)
	m := p.arrived(1)
	from, err := m.AddressList("From")
	p.must(err)
	to, err := m.AddressList("To")
	p.must(err)
	if from[0].Name != "Rao Textiles" || from[0].Address != "noreply@example.com" || !strings.Contains(m.Get("Reply-To"), "accounts@rao.example") ||
		to[0].Name != "लक्ष्मी Rao" || to[0].Address != "lakshmi@example.org" || !strings.Contains(m.subject, invoice.Number) || m.Get("List-Unsubscribe") != "" {
		t.Errorf("from %v to %v, reply to %s: %s", from, to, m.Get("Reply-To"), m.subject)
	}
	for _, text := range []string{m.text, m.html} {
		if !strings.Contains(text, "₹1,180") || !strings.Contains(text, "Cotton fabric") || !strings.Contains(text, invoice.Number) {
			t.Errorf("it says\n%s", text)
		}
	}
	name := strings.ReplaceAll(invoice.Number, "/", "-") + ".pdf"
	if len(m.files) != 1 || m.files[name] == nil || !m.names(name) {
		t.Fatalf("attached are %d files, and none is %s:\n%s", len(m.files), name, m.text)
	}
	if text := p.textOfPDF(m.files[name]); !strings.Contains(text, invoice.Number) || !strings.Contains(text, "1,180.00") || !strings.Contains(text, "Cotton fabric") {
		t.Errorf("the PDF says\n%s", text)
	}
	p.again("invoice.sent")
	if j := p.send(`{"to":["lakshmi@example.org"],"template":"invoice","invoice_id":"` + invoice.ID + `","attachments":[{"invoice_id":"` + invoice.ID + `"}]}`); j.Status != store.Succeeded {
		t.Fatalf("by hand: %+v", j)
	}
	byHand := p.arrived(2)
	if byHand.subject != m.subject || byHand.text != m.text || len(byHand.files) != 1 {
		t.Errorf("by hand it says %s\n%s", byHand.subject, byHand.text)
	}
	p.send(`{"to":["lakshmi@example.org"],"template":"invoice","invoice_id":"` + invoice.ID + `","attachments":[{"invoice_id":"` + invoice.ID + `","filename":"bill.pdf"}]}`)
	if named := p.arrived(3); named.files["bill.pdf"] == nil || !named.names("bill.pdf") || named.names(name) {
		t.Errorf("attached as bill.pdf it says\n%s", named.text)
	}
}

// Once reminders are wanted one arrives with the model's words and a way out, and who takes it gets no more.
func TestReminderArrives(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.worker(map[string]int{"ai": 2, "maintenance": 2, "cache": 2})
	p.exec(`UPDATE organizations SET timezone = $2 WHERE id = $1`, p.organization, noon())
	invoice := p.invoice(p.contact("Asha Rao", map[string]any{"email": "asha@example.org"}), -5, map[string]any{"status": "overdue"})
	says := faults.OllamaSays(`{"subject":"About INV/26-27/0001","body":"Dear Asha,\n\n₹1,180 for INV/26-27/0001 is due. Please pay."}`, "stop")
	p.ollama.Next(says)
	p.ask("PATCH", "/api/organization", `{"settings":{"reminders":{"enabled":true}}}`, nil)
	m := p.arrived(1)
	if m.subject != "About INV/26-27/0001" || !strings.Contains(m.text, "Please pay.") || !strings.Contains(m.html, "Please pay.") || m.files["INV-26-27-0001.pdf"] == nil || !m.names("INV-26-27-0001.pdf") ||
		!strings.Contains(m.Get("List-Unsubscribe"), "https://crm.example.com/unsubscribe/") || m.Get("List-Unsubscribe-Post") == "" {
		t.Errorf("%s\n%v\n%s", m.subject, m.Header, m.text)
	}
	p.exec(`INSERT INTO mail_suppressions (organization_id, id, address, stream, reason) VALUES ($1, gen_random_uuid(), 'asha@example.org', 'reminders', 'unsubscribe')`, p.organization)
	p.exec(`UPDATE invoices SET due_date = due_date - 10`)
	p.ollama.Next(says)
	p.overdue(invoice)
	p.eventually("the second is suppressed", func() error {
		var states string
		p.scan(&states, `SELECT coalesce(string_agg(state, ' ' ORDER BY id), '') FROM mail_messages WHERE stream = 'reminders'`)
		if states != "accepted suppressed" {
			return fmt.Errorf("they are %s", states)
		}
		return nil
	})
	p.arrived(1)
}
