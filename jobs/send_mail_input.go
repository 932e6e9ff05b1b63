package jobs

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	letters "github.com/payaid/payaid/internal/letter"
	ours "github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
)

// mailInput is the input of mail.send.
type mailInput struct {
	To          []string         `json:"to"`
	Cc          []string         `json:"cc"`
	Bcc         []string         `json:"bcc"`
	ReplyTo     *string          `json:"reply_to"`
	Subject     *string          `json:"subject"`
	HTML        *string          `json:"html"`
	Text        *string          `json:"text"`
	Template    *string          `json:"template"`
	Data        json.RawMessage  `json:"data"`
	Attachments []mailAttachment `json:"attachments"`
	Stream      *string          `json:"stream"`
	OnUnknown   *string          `json:"on_unknown"`
	ContactID   *string          `json:"contact_id"`
	DealID      *string          `json:"deal_id"`
	InvoiceID   *string          `json:"invoice_id"`
}

// mailAttachment is a file of the sender's, or an invoice as PDF.
type mailAttachment struct {
	Filename      string  `json:"filename"`
	ContentType   string  `json:"content_type"`
	ContentBase64 *string `json:"content_base64"`
	InvoiceID     *string `json:"invoice_id"`
}

const (
	transactional = "transactional" // the stream of what the recipient's own doing brought about
	maxRecipients = 50
	maxFiles      = 10
	maxFileBytes  = 700_000 // all attachments together; a request has a mebibyte, and base64 takes a third more
	maxBodyBytes  = 512 << 10
)

const mailInputSchema = `{"type":"object","required":["to"],"additionalProperties":false,"properties":{
		"to":` + addressesSchema + `,"cc":` + addressesSchema + `,"bcc":` + addressesSchema + `,
		"reply_to":{"type":["string","null"],"description":"the organization's own address unless given"},
		"subject":{"type":["string","null"],"maxLength":500,"description":"a template has its own"},
		"html":{"type":["string","null"],"maxLength":524288},
		"text":{"type":["string","null"],"maxLength":524288,"description":"made from the HTML unless given"},
		"template":{"type":["string","null"],"description":"name of a template, in place of subject, html and text"},
		"data":{"type":["object","null"],"description":"what the template asks for; invoice needs none where there is an invoice_id"},
		"attachments":{"type":["array","null"],"maxItems":10,"description":"700,000 bytes together","items":{"type":"object","additionalProperties":false,"properties":{
			"filename":{"type":"string","maxLength":200,"description":"an invoice has its own"},
			"content_type":{"type":"string"},
			"content_base64":{"type":["string","null"]},
			"invoice_id":{"type":["string","null"],"format":"uuid","description":"the invoice as PDF, as it is when the mail is sent"}}}},
		"stream":{"type":["string","null"],"pattern":"^[a-z][a-z0-9_-]{0,31}$","default":"transactional","description":"what one can unsubscribe from; nobody can from transactional"},
		"on_unknown":{"enum":["resend","hold",null],"default":"resend","description":"when nobody knows whether the server took the mail, and no report comes that tells: send it again under the same Message-ID, at most three times when the server takes mails and never says so, or leave it to be settled by hand"},
		"contact_id":{"type":["string","null"],"format":"uuid","description":"that the mail is about, for lists"},
		"deal_id":{"type":["string","null"],"format":"uuid"},
		"invoice_id":{"type":["string","null"],"format":"uuid"}}}`

const addressesSchema = `{"type":["array","null"],"maxItems":50,"items":{"type":"string","maxLength":500},"description":"a@example.com or Name <a@example.com>; 50 recipients in all"}`

func (in mailInput) stream() string {
	if in.Stream == nil {
		return transactional
	}
	return *in.Stream
}

func (in mailInput) onUnknown() string {
	if in.OnUnknown == nil {
		return store.UnknownResend
	}
	return *in.OnUnknown
}

var templateName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

var streamName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// checkMail finds what is wrong with an input before anything is stored.
func checkMail(input json.RawMessage) []Fault {
	var in mailInput
	if faults := strict(input, &in); faults != nil {
		return faults
	}
	faults := in.addressFaults()
	faults = append(faults, in.contentFaults()...)
	faults = append(faults, in.attachmentFaults()...)
	if in.Stream != nil && !streamName.MatchString(*in.Stream) {
		faults = append(faults, Fault{"/stream", "must be lower-case letters, digits, - and _, at most 32, a letter first"})
	}
	if u := in.onUnknown(); u != store.UnknownResend && u != store.UnknownHold {
		faults = append(faults, Fault{"/on_unknown", "must be resend or hold"})
	}
	for pointer, id := range map[string]*string{"/contact_id": in.ContactID, "/deal_id": in.DealID, "/invoice_id": in.InvoiceID} {
		if id != nil && uuid.Validate(*id) != nil {
			faults = append(faults, Fault{pointer, "must be a UUID"})
		}
	}
	if len(faults) > 0 {
		return faults
	}
	return in.trial()
}

// trial composes what can be composed without looking anything up: what a mail can't say is found here.
func (in mailInput) trial() []Fault {
	m := in.message()
	m.ID, m.From, m.Date = "trial", mail.Address{Address: "trial@example.com"}, time.Unix(0, 0)
	if in.Template != nil {
		m.Subject, m.Text = "trial", "trial"
	}
	for _, a := range in.Attachments {
		if a.ContentBase64 != nil {
			m.Attachments = append(m.Attachments, ours.Attachment{Filename: a.Filename, ContentType: a.ContentType})
		}
	}
	_, err := m.Compose()
	var bad *ours.FieldError
	switch {
	case errors.As(err, &bad):
		return []Fault{{"/" + bad.Field, bad.Detail}}
	case err != nil:
		return []Fault{{"", err.Error()}}
	}
	return nil
}

func (in mailInput) addressFaults() (faults []Fault) {
	total, seen := 0, make(map[string]bool)
	in.each(func(field string, i int, s string) {
		total++
		at := "/" + field + "/" + strconv.Itoa(i)
		a, err := ours.ParseAddress(s)
		switch {
		case err != nil:
			faults = append(faults, Fault{at, reasonOf(err)})
		case seen[strings.ToLower(a.Address)]:
			faults = append(faults, Fault{at, "is there already; each address gets the mail once"})
		}
		seen[strings.ToLower(a.Address)] = true
	})
	switch {
	case total == 0:
		faults = append(faults, Fault{"/to", "must have an address"})
	case total > maxRecipients:
		faults = append(faults, Fault{"/to", fmt.Sprintf("has, with cc and bcc, %d addresses; at most %d", total, maxRecipients)})
	}
	if in.ReplyTo != nil {
		if _, err := ours.ParseAddress(*in.ReplyTo); err != nil {
			faults = append(faults, Fault{"/reply_to", reasonOf(err)})
		}
	}
	return faults
}

// reasonOf is what is wrong with a field, without its name.
func reasonOf(err error) string {
	var bad *ours.FieldError
	if errors.As(err, &bad) {
		return bad.Detail
	}
	return err.Error()
}

func (in mailInput) contentFaults() (faults []Fault) {
	given := map[string]*string{"subject": in.Subject, "html": in.HTML, "text": in.Text}
	if in.Template != nil {
		if !templateName.MatchString(*in.Template) {
			faults = append(faults, Fault{"/template", "must be lower-case letters, digits and _, at most 64, a letter first"})
		}
		if isGiven(in.Data) && in.Data[0] != '{' {
			faults = append(faults, Fault{"/data", "must be an object"})
		}
		if len(in.Data) > letters.MaxData {
			faults = append(faults, Fault{"/data", "must be at most 64 KiB"})
		}
		for _, name := range []string{"subject", "html", "text"} {
			if given[name] != nil {
				faults = append(faults, Fault{"/" + name, "must be left out: the template has its own"})
			}
		}
		return faults
	}
	if isGiven(in.Data) {
		faults = append(faults, Fault{"/data", "is for a template, and there is none"})
	}
	if in.Subject == nil || strings.TrimSpace(*in.Subject) == "" {
		faults = append(faults, Fault{"/subject", "is required, unless there is a template"})
	}
	if (in.HTML == nil || *in.HTML == "") && (in.Text == nil || *in.Text == "") {
		faults = append(faults, Fault{"/text", "is required, unless there is html or a template"})
	}
	for _, name := range []string{"html", "text"} {
		if v := given[name]; v != nil && len(*v) > maxBodyBytes {
			faults = append(faults, Fault{"/" + name, "must be at most 512 KiB"})
		}
	}
	return faults
}

func (in mailInput) attachmentFaults() (faults []Fault) {
	if len(in.Attachments) > maxFiles {
		return []Fault{{"/attachments", fmt.Sprintf("must be at most %d", maxFiles)}}
	}
	total := 0
	for i, a := range in.Attachments {
		at := "/attachments/" + strconv.Itoa(i)
		switch {
		case (a.ContentBase64 == nil) == (a.InvoiceID == nil):
			faults = append(faults, Fault{at, "must have either content_base64 or invoice_id"})
		case a.InvoiceID != nil:
			if uuid.Validate(*a.InvoiceID) != nil {
				faults = append(faults, Fault{at + "/invoice_id", "must be a UUID"})
			}
		default:
			content, err := base64.StdEncoding.DecodeString(*a.ContentBase64)
			if err != nil {
				faults = append(faults, Fault{at + "/content_base64", "must be base64 (RFC 4648, section 4)"})
			}
			if a.Filename == "" {
				faults = append(faults, Fault{at + "/filename", "is required"})
			}
			total += len(content)
		}
	}
	if total > maxFileBytes {
		faults = append(faults, Fault{"/attachments", fmt.Sprintf("have %d bytes together; at most %d", total, maxFileBytes)})
	}
	return faults
}

// each goes through the recipients in their order.
func (in mailInput) each(do func(field string, i int, address string)) {
	for _, list := range []struct {
		field     string
		addresses []string
	}{{"to", in.To}, {"cc", in.Cc}, {"bcc", in.Bcc}} {
		for i, a := range list.addresses {
			do(list.field, i, a)
		}
	}
}

// message is what the input says itself; addresses that were checked parse.
func (in mailInput) message() ours.Message {
	m := ours.Message{Stream: in.stream()}
	in.each(func(field string, _ int, s string) {
		a, err := ours.ParseAddress(s)
		switch {
		case err != nil:
		case field == "to":
			m.To = append(m.To, a)
		case field == "cc":
			m.Cc = append(m.Cc, a)
		}
	})
	if in.ReplyTo != nil {
		if a, err := ours.ParseAddress(*in.ReplyTo); err == nil {
			m.ReplyTo = []mail.Address{a}
		}
	}
	m.Subject, m.HTML, m.Text = valueOr(in.Subject, ""), valueOr(in.HTML, ""), valueOr(in.Text, "")
	return m
}

func valueOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// queueMail adds the mail of a job to the batch that makes the job.
func queueMail(b *pgx.Batch, j store.Job) error {
	var in mailInput
	if err := json.Unmarshal(j.Input, &in); err != nil {
		return fmt.Errorf("read the input of job %s: %w", j.ID, err)
	}
	var recipients []store.MailRecipient
	in.each(func(field string, _ int, s string) {
		a, err := ours.ParseAddress(s)
		if err != nil {
			return // the input was checked
		}
		r := store.MailRecipient{Field: field, Address: a.Address}
		if a.Name != "" {
			r.Name = &a.Name
		}
		recipients = append(recipients, r)
	})
	store.QueueMail(b, store.Mail{
		OrganizationID: j.OrganizationID, ID: j.ID, Stream: in.stream(), Template: in.Template, OnUnknown: in.onUnknown(),
		InvoiceID: in.InvoiceID, DealID: in.DealID, ContactID: in.ContactID,
	}, recipients)
	return nil
}
