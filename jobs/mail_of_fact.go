package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	letters "github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/papers"
)

// A mailCause is the fact that a mail is for, and what the mail is about.
type mailCause struct {
	cause
	About string `json:"about"` // id of the invoice, of the deal, of the endpoint, or of the job that wrote the text
}

func mailFor(e events.Envelope, about string) sendMailArgs {
	return sendMailArgs{Request: Request{OrganizationID: e.OrganizationID}, Cause: &mailCause{causeOf(e), about}}
}

func mailOfInvoice(e events.Envelope, f events.InvoiceSent) (sendMailArgs, bool) {
	return mailFor(e, f.InvoiceID), true
}

func mailOfWonDeal(e events.Envelope, f events.DealWon) (sendMailArgs, bool) {
	return mailFor(e, f.DealID), true
}

// React implements Reaction: it hands a mail over, which is a job of its own. A fact that is told twice, or replayed,
// makes one mail.
func (w sendMail) React(ctx context.Context, args sendMailArgs) error {
	if args.Cause == nil {
		return errors.New("mail.send was started by no fact")
	}
	var err error
	switch args.Cause.Type {
	case events.InvoiceSent{}.EventType():
		err = w.mailInvoice(ctx, args.OrganizationID, *args.Cause)
	case events.DealWon{}.EventType():
		err = w.mailWonDeal(ctx, args.OrganizationID, *args.Cause)
	case events.WebhookDisabled{}.EventType():
		err = w.mailDisabledWebhook(ctx, args.OrganizationID, *args.Cause)
	case events.JobCompleted{}.EventType(), events.JobFailed{}.EventType():
		err = w.mailReminder(ctx, args.OrganizationID, *args.Cause)
	default:
		err = fmt.Errorf("no mail is for %s", args.Cause.Type)
	}
	if err == nil || store.IsRefusal(err) || ctx.Err() != nil {
		return err
	}
	// The mail is not tried yet: what is told to come again within minutes is the handing over.
	w.Log.Warn("mail could not be handed over and is tried again", "event_id", args.Cause.EventID, "event_type", args.Cause.Type,
		"organization_id", args.OrganizationID, "error", err)
	return &Wait{Reason: "the mail could not be handed over"}
}

// mailOrder is a mail that a fact asks for.
func (c mailCause) mailOrder(organizationID, purpose string, input map[string]any) (order, error) {
	id, err := c.jobFor(purpose)
	return order{
		organizationID: organizationID, id: id, kind: sendMailArgs{}.Kind(), spec: sendMailSpec, input: input,
		priority: normalPriority, metadata: map[string]any{"cause": c.Type, "event_id": c.EventID}, cause: c.cause,
	}, err
}

// mailInvoice mails an invoice that was sent to the contact, with the invoice as PDF. Its data are left out, so that the
// words are read when the PDF is drawn: a mail that waited for its server asks for no money that was paid meanwhile.
func (w sendMail) mailInvoice(ctx context.Context, organizationID string, c mailCause) error {
	v, err := w.DB.InvoiceToMail(ctx, organizationID, c.About, 0)
	if errors.Is(err, store.ErrNotFound) || err == nil && v.Status == store.InvoiceCancelled {
		return nil
	}
	if err != nil {
		return err
	}
	about := store.Mail{OrganizationID: organizationID, Template: &invoiceTemplate, InvoiceID: &c.About, ContactID: &v.ContactID}
	if v.Email == nil {
		return w.unsent(ctx, c, about, noAddress)
	}
	o, err := c.mailOrder(organizationID, invoiceTemplate, map[string]any{
		"to": []string{addressOf(v.ContactName, *v.Email)}, "template": invoiceTemplate,
		"attachments": []map[string]any{{"invoice_id": c.About}}, "invoice_id": c.About, "contact_id": v.ContactID,
	})
	if err != nil {
		return err
	}
	return w.give(ctx, o, about, c)
}

// mailWonDeal tells the owner of a deal that was won. An organization without an address wants to hear nothing.
func (w sendMail) mailWonDeal(ctx context.Context, organizationID string, c mailCause) error {
	d, err := w.DB.DealToMail(ctx, organizationID, c.About)
	if errors.Is(err, store.ErrNotFound) || err == nil && (d.MailSender.Email == nil || d.WonOn == nil) {
		return nil
	}
	if err != nil {
		return err
	}
	o, err := c.mailOrder(organizationID, dealWonTemplate, map[string]any{
		"to": []string{addressOf(d.MailSender.Name, *d.MailSender.Email)}, "template": dealWonTemplate, "data": dealLetter(d),
		"deal_id": c.About, "contact_id": d.ContactID,
	})
	if err != nil {
		return err
	}
	about := store.Mail{OrganizationID: organizationID, Template: &dealWonTemplate, DealID: &c.About, ContactID: &d.ContactID}
	return w.give(ctx, o, about, c)
}

// give hands a mail over. One that the door would refuse is shown as not sent.
func (w sendMail) give(ctx context.Context, o order, about store.Mail, c mailCause) error {
	made := false
	err := w.DB.Tx(ctx, func(tx pgx.Tx) (err error) {
		made, err = handOver(ctx, tx, o, &places{})
		return err
	})
	var refused refusal
	if errors.As(err, &refused) {
		return w.unsent(ctx, c, about, "refused: "+refused[0].Pointer+" "+refused[0].Detail)
	}
	if err == nil && made {
		w.Hints.OutboxChanged()
	}
	return err
}

// noAddress is why most mails are not sent.
const noAddress = "the contact has no email address"

// unsent notes a mail that can't be, where its sender looks for it: in the list of mails, with the reason in its
// timeline. It takes no id that a mail could have: once there is an address, a replay makes the mail.
func (w sendMail) unsent(ctx context.Context, c mailCause, m store.Mail, why string) error {
	id, err := c.jobFor("unsent")
	if err != nil {
		return err
	}
	m.ID, m.Stream = id, cmp.Or(m.Stream, transactional)
	w.Log.Info("mail is not sent", "event_id", c.EventID, "event_type", c.Type, "organization_id", m.OrganizationID,
		"template", *m.Template, "about", c.About, "reason", why)
	return w.DB.UnsentMail(ctx, m, store.MailEvent{ID: outbox.NewID(), Type: "not_sent", Detail: map[string]any{"reason": why}})
}

// The product's own templates that facts use.
var (
	invoiceTemplate  = "invoice"
	dealWonTemplate  = "deal_won"
	reminderTemplate = "reminder"
)

// addressOf writes an address with the name before it. Names come from the records, and have what a quoted one can't.
func addressOf(name, email string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, name))
	switch {
	case name == "":
		return email
	case strings.ContainsAny(name, `"<>\,;:@`):
		name = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return name + " <" + email + ">"
}

func sender(o store.MailSender) letters.Sender {
	return letters.Sender{Name: o.Name, Email: o.Email, Address: o.Address}
}

func recipientOf(v store.InvoiceToMail) letters.Customer {
	c := letters.Customer{Name: v.ContactName}
	if v.Customer != nil {
		c.Company = v.Customer.Company
		if v.Customer.Name != "" {
			c.Name = v.Customer.Name
		}
	}
	return c
}

// invoiceLetter is what the mail of an invoice says, also when its sender leaves that out.
func invoiceLetter(v store.InvoiceToMail) letters.Invoice {
	file := invoiceFile(v.Number)
	l := letters.Invoice{
		Organization: sender(v.MailSender), Customer: recipientOf(v), Note: v.Notes, Attachment: &file,
		Invoice: letters.Bill{
			Number: v.Number, IssueDate: v.IssueDate, DueDate: v.DueDate, Subtotal: v.Subtotal, Tax: v.Tax, Total: v.Total,
			AmountPaid: v.AmountPaid, AmountDue: v.AmountDue, Items: []letters.BillItem{}, MoreItems: v.ItemCount - int64(len(v.Items)),
		},
	}
	for _, i := range v.Items {
		l.Invoice.Items = append(l.Invoice.Items, letters.BillItem(i))
	}
	return l
}

func dealLetter(d store.DealToMail) letters.DealWon {
	return letters.DealWon{
		Organization: sender(d.MailSender), Deal: letters.Deal{Title: d.Title, Value: d.Value, WonOn: *d.WonOn},
		Contact: letters.Contact{Name: d.ContactName, Company: d.ContactCompany, Email: d.ContactEmail, Phone: d.ContactPhone},
	}
}

// invoiceFile is the name of an invoice's PDF.
func invoiceFile(number string) string {
	return papers.InvoiceFilename(store.InvoicePaper{Invoice: store.Invoice{Number: &number}})
}
