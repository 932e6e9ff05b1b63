package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	letters "github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/store"
)

// remindersStream is what customers may unsubscribe from.
const remindersStream = "reminders"

func mailOfReminder(e events.Envelope, f events.JobCompleted) (sendMailArgs, bool) {
	return mailFor(e, f.JobID), f.Kind == remindOfInvoiceArgs{}.Kind()
}

// mailOfUnwritten is for a text that came to nothing: no model in time, or none that could. Who cancels the job calls
// the reminder off.
func mailOfUnwritten(e events.Envelope, f events.JobFailed) (sendMailArgs, bool) {
	return mailFor(e, f.JobID), f.Kind == remindOfInvoiceArgs{}.Kind()
}

// mailReminder mails the text of a reminder, if the job that ended was one's, the invoice is overdue still, and the
// organization wants reminders still.
func (w sendMail) mailReminder(ctx context.Context, organizationID string, c mailCause) error {
	r, err := w.DB.ReminderOfText(ctx, organizationID, c.About)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	v, err := w.DB.InvoiceToMail(ctx, organizationID, r.InvoiceID, 0)
	if err != nil {
		return err
	}
	about := store.Mail{OrganizationID: organizationID, Stream: remindersStream, Template: &reminderTemplate, InvoiceID: &r.InvoiceID, ContactID: &v.ContactID}
	if v.Email == nil {
		return w.unsent(ctx, c, about, noAddress)
	}
	text, err := w.textOf(ctx, r)
	if err != nil {
		return err
	}
	o, err := c.mailOrder(organizationID, reminderTemplate, map[string]any{
		"to": []string{addressOf(v.ContactName, *v.Email)}, "template": reminderTemplate, "data": reminderLetter(v, text),
		"attachments": []map[string]any{{"invoice_id": r.InvoiceID}}, "stream": remindersStream,
		"invoice_id": r.InvoiceID, "contact_id": v.ContactID,
	})
	if err != nil {
		return err
	}
	o.metadata["step"] = r.Step
	deadline := time.Now().Add(reminderLifetime).UTC().Truncate(time.Microsecond)
	o.deadline = &deadline
	return w.giveReminder(ctx, o, r, about, c)
}

// reminderLifetime is how long a reminder's mail is worth sending: it says how late the invoice is.
const reminderLifetime = 24 * time.Hour

// giveReminder hands the mail of a reminder over and notes it there, or neither.
func (w sendMail) giveReminder(ctx context.Context, o order, r store.Reminder, about store.Mail, c mailCause) error {
	made := false
	err := w.DB.Tx(ctx, func(tx pgx.Tx) error {
		wanted, err := store.MailReminder(ctx, tx, r.OrganizationID, r.TextJobID, o.id)
		if err != nil || !wanted {
			return err
		}
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

// textOf is what a reminder says: what its job wrote, or else what the rules write.
func (w sendMail) textOf(ctx context.Context, r store.Reminder) (text invoiceReminder, err error) {
	if r.Text != nil {
		if err := json.Unmarshal(r.Text, &text); err != nil {
			return text, fmt.Errorf("read the text of reminder %s: %w", r.TextJobID, err)
		}
		return text, nil
	}
	now := time.Now()
	f, err := w.DB.InvoiceFacts(ctx, r.OrganizationID, r.InvoiceID, now)
	if err != nil {
		return text, err
	}
	return reminderOfInvoice.rules(reminderWanted{InvoiceID: r.InvoiceID}, f, now), nil
}

// What a letter has room for, in characters; a model may write more.
const (
	mostSubject  = 200
	mostOfLetter = 10_000
)

func reminderLetter(v store.InvoiceToMail, text invoiceReminder) letters.Reminder {
	subject, file := clip(text.Subject, mostSubject), invoiceFile(v.Number)
	return letters.Reminder{
		Organization: sender(v.MailSender), Customer: recipientOf(v),
		Invoice:     letters.DueBill{Number: v.Number, IssueDate: v.IssueDate, DueDate: v.DueDate, Total: v.Total, AmountDue: v.AmountDue},
		DaysOverdue: int64(text.DaysOverdue), Subject: &subject, Text: clip(text.Body, mostOfLetter), Attachment: &file,
	}
}
