package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/rupees"
	"github.com/payaid/payaid/internal/store"
)

// remindOfInvoiceArgs are River's arguments of ai.invoice_reminder.
type remindOfInvoiceArgs struct{ Request }

// Kind implements river.JobArgs.
func (remindOfInvoiceArgs) Kind() string { return "ai.invoice_reminder" }

// reminderWanted is the input of ai.invoice_reminder.
type reminderWanted struct {
	InvoiceID string `json:"invoice_id"`
	letterWish
	inquiryOptions
}

func (in reminderWanted) faults() []Fault {
	return append(append(idFaults("/invoice_id", in.InvoiceID), in.wishFaults()...), in.optionFaults()...)
}

func (in reminderWanted) subject(string) (store.Subject, string) {
	return store.Subject{Type: store.SubjectInvoice, ID: in.InvoiceID}, "/invoice_id"
}

// invoiceReminder is the answer of ai.invoice_reminder. How late the invoice is, and how firm the reminder has to
// be, is never asked of a model.
type invoiceReminder struct {
	letter
	dunning
	// Corrected says that a model's letter named money, or a way to pay it, that the invoice doesn't know, and
	// that the rules wrote this letter in its place.
	Corrected bool `json:"corrected"`
}

// dunning says how late an invoice is.
type dunning struct {
	StageDays   int `json:"stage_days"`   // 0, 3, 7, 14 or 30: the later, the firmer
	DaysOverdue int `json:"days_overdue"` // 0 until the day after the due date
}

// reminderDocument describes invoiceReminder for the API's document.
var reminderDocument = documentSchema(letterProperties+`,
		"stage_days":{"enum":[0,3,7,14,30],"description":"how firm the letter is: as for an invoice that is overdue for so many days; from the records, by whomever the rest is"},
		"days_overdue":{"type":"integer","minimum":0,"description":"days of the organization's calendar since the due date; 0 until it has passed; from the records"},
		"corrected":{"type":"boolean","description":"whether a model's letter named money, or a way to pay, that the invoice doesn't know, and rules wrote this one in its place"}`,
	"subject", "body", "stage_days", "days_overdue", "corrected")

var reminderOfInvoice = inquiry[reminderWanted, store.InvoiceFacts, invoiceReminder]{
	template: readTemplate("invoice_reminder.v1"),
	summary:  "Writes to the customer about an invoice that is sent or overdue; nothing is sent.",
	rulesSay: "a letter in English or Hindi that is the firmer the later the invoice is; one in another language waits for a model.",
	madeFrom: "the invoice, its contact, or the organization",
	document: reminderDocument,
	properties: `
		"invoice_id":{"type":"string","format":"uuid"},` + wishProperties,
	required: `"invoice_id"`,
	read: func(ctx context.Context, db *store.DB, organizationID string, in reminderWanted, now time.Time) (store.InvoiceFacts, error) {
		return db.InvoiceFacts(ctx, organizationID, in.InvoiceID, now)
	},
	refuse: refuseReminder,
	view:   func(in reminderWanted, f store.InvoiceFacts, now time.Time) any { return viewReminder(in, f, now) },
	tags: func(in reminderWanted, f store.InvoiceFacts) []string {
		return []string{cachetag.InvoiceTag(in.InvoiceID), cachetag.ContactTag(f.ID), cachetag.Org}
	},
	ruled: func(in reminderWanted) bool { return in.letterWish.ruled() },
	rules: func(in reminderWanted, f store.InvoiceFacts, now time.Time) invoiceReminder {
		d := dunningOf(f, now)
		return invoiceReminder{letter: writeReminder(in.letterWish, f, d), dunning: d}
	},
	polish: func(r *invoiceReminder, in reminderWanted, f store.InvoiceFacts, now time.Time) {
		r.dunning = dunningOf(f, now)
		r.letter, r.Corrected = checkReminder(r.letter, in.letterWish, f, r.dunning)
	},
}

// remindOfInvoice writes to a customer about an invoice that waits for its money.
type remindOfInvoice struct{ asker }

// Run implements Work.
func (w remindOfInvoice) Run(ctx context.Context, _ remindOfInvoiceArgs, t *Task) (Result, error) {
	return reminderOfInvoice.run(ctx, w.asker, t)
}

// refuseReminder refuses invoices that ask for no money.
func refuseReminder(f store.InvoiceFacts) *Failure {
	if f.InvoiceStatus == store.InvoiceSent || f.InvoiceStatus == store.InvoiceOverdue {
		return nil
	}
	return &Failure{Code: codeInvalidState, Title: "Invalid state", Pointer: "/invoice_id",
		Detail: fmt.Sprintf("The invoice is %s; a reminder is for one that is sent or overdue.", f.InvoiceStatus)}
}

// dunningStages are the days overdue from which on a reminder is firmer, the firmest first.
var dunningStages = []int{30, 14, 7, 3}

func dunningOf(f store.InvoiceFacts, now time.Time) dunning {
	days := calendar{zone: zone(f.Timezone), now: now}
	d := dunning{DaysOverdue: max(0, -days.until(f.DueDate))}
	for _, from := range dunningStages {
		if d.DaysOverdue >= from {
			d.StageDays = from
			break
		}
	}
	return d
}

// reminderView is what a model gets to see of an invoice: nothing that was noted about the customer, as nothing
// of it belongs into the letter. Amounts stand as they are to be copied.
type reminderView struct {
	Request  letterWish `json:"request"`
	Sender   string     `json:"sender"`
	Customer string     `json:"customer"`
	Company  string     `json:"company,omitempty"`
	Invoice  struct {
		Number     string `json:"number"`
		IssueDate  string `json:"issue_date"`
		DueDate    string `json:"due_date"`
		Total      string `json:"total"`
		AmountPaid string `json:"amount_paid"`
		AmountDue  string `json:"amount_due"`
		DueInDays  int    `json:"due_in_days"` // negative: overdue
		dunning
	} `json:"invoice"`
	PaidBefore     int `json:"invoices_paid_before"`
	PaidLateBefore int `json:"of_these_paid_late"`
}

func viewReminder(in reminderWanted, f store.InvoiceFacts, now time.Time) reminderView {
	days := calendar{zone: zone(f.Timezone), now: now}
	v := reminderView{Request: in.letterWish, Sender: shown(f.OrganizationName, viewShort), Customer: shown(billedTo(f), viewShort),
		Company:    shown(companyOf(f), viewShort),
		PaidBefore: f.PaidInvoices, PaidLateBefore: f.PaidLate}
	v.Invoice.Number, v.Invoice.IssueDate, v.Invoice.DueDate = *f.Number, f.IssueDate, f.DueDate
	v.Invoice.Total, v.Invoice.AmountPaid = rupees.Format(f.Total), rupees.Format(f.AmountPaid)
	v.Invoice.AmountDue, v.Invoice.DueInDays, v.Invoice.dunning = rupees.Format(f.AmountDue), days.until(f.DueDate), dunningOf(f, now)
	return v
}
