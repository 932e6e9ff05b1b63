package jobs

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	letters "github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/papers"
)

// fill adds what the input only names: the letter of a template, and the files.
func (s *posting) fill(ctx context.Context, m *mail.Message) error {
	if s.input.Template != nil {
		l, err := s.letter(ctx, *s.input.Template)
		if err != nil {
			return err
		}
		m.Subject, m.Text, m.HTML = l.Subject, l.Text, l.HTML
	}
	for i, a := range s.input.Attachments {
		file, err := s.file(ctx, "/attachments/"+strconv.Itoa(i), a)
		if err != nil {
			return err
		}
		m.Attachments = append(m.Attachments, file)
	}
	return nil
}

// letter writes by the organization's own template of a name, or else by the product's.
func (s *posting) letter(ctx context.Context, name string) (letters.Letter, error) {
	var own *letters.Template
	t, err := s.DB.MailTemplateNamed(ctx, s.task.OrganizationID, name)
	switch {
	case err == nil:
		own = &letters.Template{Name: t.Name, Subject: t.Subject, Text: t.Text, HTML: t.HTML}
	case !errors.Is(err, store.ErrNotFound):
		return letters.Letter{}, err
	}
	data, err := s.data(ctx, name)
	if err == nil {
		data, err = s.linked(ctx, data)
	}
	if err != nil {
		return letters.Letter{}, err
	}
	l, err := letters.Write(name, own, data)
	if err != nil {
		return l, unwritable(name, err)
	}
	return l, nil
}

// data are what the template gets. The letter of an invoice needs none but the invoice's id.
func (s *posting) data(ctx context.Context, name string) (json.RawMessage, error) {
	switch {
	case isGiven(s.input.Data):
		return s.input.Data, nil
	case name != invoiceTemplate || s.input.InvoiceID == nil:
		return json.RawMessage("{}"), nil
	}
	v, err := s.DB.InvoiceToMail(ctx, s.task.OrganizationID, *s.input.InvoiceID, letters.MaxItems)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, noInvoice("/invoice_id")
	case err != nil:
		return nil, err
	case v.Number == "":
		return nil, &Failure{Code: codeInvalidState, Title: "Invalid state", Pointer: "/invoice_id",
			Detail: "The invoice is a draft: it can be mailed by its id alone when it has a number."}
	}
	l := invoiceLetter(v)
	attached := func(a mailAttachment) bool { return a.InvoiceID != nil && *a.InvoiceID == *s.input.InvoiceID }
	if i := slices.IndexFunc(s.input.Attachments, attached); i < 0 {
		l.Attachment = nil
	} else if name := s.input.Attachments[i].Filename; name != "" {
		l.Attachment = &name // the letter names the file that its reader has
	}
	return json.Marshal(l)
}

func noInvoice(pointer string) *Failure {
	return &Failure{Code: codeNotFound, Title: "No such invoice", Pointer: pointer, Detail: "There is no such invoice in the organization."}
}

// unwritable is the failure of a letter, which is the template's fault or that of the data.
func unwritable(name string, err error) error {
	var unfit letters.Unfit
	var data *letters.DataError
	var template *letters.Error
	f := &Failure{Code: codeMailTemplate, Title: "No letter", Pointer: "/template"}
	switch {
	case errors.Is(err, letters.ErrUnknown):
		f.Detail = fmt.Sprintf("There is no template %q; the product has %s.", name, strings.Join(letters.StandardNames(), ", "))
	case errors.As(err, &unfit) && len(unfit) > 0:
		f.Pointer, f.Detail = "/data"+unfit[0].Pointer, unfit.Error()
	case errors.As(err, &data):
		f.Pointer, f.Detail = "/data"+data.Pointer, data.Detail
	case errors.As(err, &template):
		f.Detail = "The template " + name + ", " + template.Part + ": " + template.Where()
	default:
		return err
	}
	return f
}

// file is an attachment: the sender's own, or an invoice as it is now.
func (s *posting) file(ctx context.Context, at string, a mailAttachment) (mail.Attachment, error) {
	if a.InvoiceID == nil {
		raw, err := base64.StdEncoding.DecodeString(*a.ContentBase64)
		if err != nil {
			return mail.Attachment{}, fmt.Errorf("read %s: %w", at, err)
		}
		return mail.Attachment{Filename: a.Filename, ContentType: a.ContentType, Content: raw}, nil
	}
	name, pdf, err := papers.ReadInvoice(ctx, s.DB, s.task.OrganizationID, *a.InvoiceID)
	if errors.Is(err, store.ErrNotFound) {
		return mail.Attachment{}, noInvoice(at + "/invoice_id")
	}
	if err != nil {
		return mail.Attachment{}, err
	}
	return mail.Attachment{Filename: cmp.Or(a.Filename, name), ContentType: "application/pdf", Content: pdf}, nil
}

// isGiven reports whether there is a value in the input other than null.
func isGiven(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }
