package jobs

import (
	"time"
	"unicode/utf8"

	"github.com/payaid/payaid/internal/store"
)

// How much of a text that people wrote a model gets to see, in characters. A character takes up to six bytes of a
// prompt, and all of them together have to leave room for an answer in a small model's window.
const (
	viewNotes = 1500
	viewShort = 100
	viewLine  = 60 // of a deal among ten
	viewTag   = 30
	viewTags  = 20
)

// contactView is what a model gets to see of a contact: no phone number, no address, no GSTIN, amounts in
// rupees, and days instead of dates, so that the same state of affairs is the same question.
type contactView struct {
	Name             string   `json:"name"`
	Company          string   `json:"company,omitempty"`
	Type             string   `json:"type"`
	Stage            string   `json:"stage"`
	Status           string   `json:"status"`
	Source           string   `json:"source,omitempty"`
	City             string   `json:"city,omitempty"`
	State            string   `json:"state,omitempty"`
	Tags             []string `json:"tags,omitempty"`
	Notes            string   `json:"notes,omitempty"`
	HasPhone         bool     `json:"has_phone"`
	HasEmail         bool     `json:"has_email"`
	HasGSTIN         bool     `json:"registered_for_gst"`
	DaysKnown        int      `json:"days_known"`
	DaysSinceContact *int     `json:"days_since_last_contact"`
	FollowUpInDays   *int     `json:"follow_up_in_days"` // negative: it is due since then
	DaysSinceInvoice *int     `json:"days_since_last_invoice"`
	DaysSincePayment *int     `json:"days_since_last_payment"`
	DaysSinceDeal    *int     `json:"days_since_a_deal_moved"`

	OpenDeals      int   `json:"open_deals"`
	OpenValue      int64 `json:"open_deals_rupees"`
	WonDeals       int   `json:"won_deals"`
	WonValue       int64 `json:"won_deals_rupees"`
	LostDeals      int   `json:"lost_deals"`
	PaidInvoices   int   `json:"paid_invoices"`
	PaidTotal      int64 `json:"paid_rupees"`
	PaidLate       int   `json:"paid_late"`
	UnpaidInvoices int   `json:"unpaid_invoices"`
	DueTotal       int64 `json:"due_rupees"`
	Overdue        int   `json:"overdue_invoices"`
	OverdueTotal   int64 `json:"overdue_rupees"`

	Deals    []dealLineView    `json:"deals,omitempty"`
	Invoices []invoiceLineView `json:"invoices,omitempty"`
}

type dealLineView struct {
	Title       string `json:"title"`
	Stage       string `json:"stage"`
	Value       int64  `json:"rupees"`
	Probability int    `json:"probability"`
	DaysInStage int    `json:"days_in_stage"`
	LostReason  string `json:"lost_reason,omitempty"`
}

type invoiceLineView struct {
	Status    string `json:"status"`
	Total     int64  `json:"rupees"`
	AmountDue int64  `json:"due_rupees"`
	DueInDays *int   `json:"due_in_days,omitempty"` // negative: overdue; of unpaid ones alone
}

// viewContact shows a contact as it stands at a moment, by the organization's calendar.
func viewContact(f store.ContactFacts, now time.Time) contactView {
	today := calendar{zone: zone(f.Timezone), now: now}
	v := contactView{
		Name: shown(f.Name, viewShort), Company: shownOf(f.Company, viewShort), Type: f.Type, Stage: f.Stage, Status: f.Status,
		Source: shownOf(f.Source, viewShort), City: shownOf(f.City, viewShort), State: shownOf(f.State, viewShort),
		Notes: shownOf(f.Notes, viewNotes), HasPhone: f.HasPhone, HasEmail: f.HasEmail, HasGSTIN: f.HasGSTIN,
		DaysKnown: today.since(f.CreatedAt), DaysSinceContact: today.sinceOrNil(f.LastContactedAt),
		DaysSinceInvoice: today.sinceOrNil(f.LastInvoiceAt), DaysSincePayment: today.sinceOrNil(f.LastPaidAt), DaysSinceDeal: today.sinceOrNil(f.LastDealAt),
		OpenDeals: f.OpenDeals, OpenValue: f.OpenValue / 100, WonDeals: f.WonDeals, WonValue: f.WonValue / 100, LostDeals: f.LostDeals,
		PaidInvoices: f.PaidInvoices, PaidTotal: f.PaidTotal / 100, PaidLate: f.PaidLate,
		UnpaidInvoices: f.UnpaidInvoices, DueTotal: f.DueTotal / 100, Overdue: f.Overdue, OverdueTotal: f.OverdueTotal / 100,
	}
	if f.NextFollowUp != nil {
		days := -today.since(*f.NextFollowUp)
		v.FollowUpInDays = &days
	}
	for _, tag := range f.Tags[:min(len(f.Tags), viewTags)] {
		v.Tags = append(v.Tags, shown(tag, viewTag))
	}
	for _, d := range f.Deals {
		v.Deals = append(v.Deals, dealLineView{Title: shown(d.Title, viewLine), Stage: d.Stage, Value: d.Value / 100,
			Probability: d.Probability, DaysInStage: today.since(d.StageChangedAt), LostReason: shownOf(d.LostReason, viewLine)})
	}
	for _, i := range f.Invoices {
		v.Invoices = append(v.Invoices, today.viewInvoice(i))
	}
	return v
}

func (c calendar) viewInvoice(i store.InvoiceLine) invoiceLineView {
	v := invoiceLineView{Status: i.Status, Total: i.Total / 100, AmountDue: i.AmountDue / 100}
	if i.Status == "sent" || i.Status == "overdue" {
		days := c.until(i.DueDate)
		v.DueInDays = &days
	}
	return v
}

// A calendar counts days as people in a time zone do.
type calendar struct {
	zone *time.Location
	now  time.Time
}

// zone is a time zone by its name; UTC where this machine doesn't know it.
func zone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return z
}

// since is how many midnights have passed; negative when they are to come.
func (c calendar) since(at time.Time) int {
	return int(c.midnight(c.now).Sub(c.midnight(at)).Round(time.Hour) / (24 * time.Hour))
}

func (c calendar) sinceOrNil(at *time.Time) *int {
	if at == nil {
		return nil
	}
	days := c.since(*at)
	return &days
}

// until is how many days it is to a date (YYYY-MM-DD); negative when it has passed.
func (c calendar) until(date string) int {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return 0 // Postgres writes dates in no other way
	}
	return int(day.Sub(c.midnight(c.now)) / (24 * time.Hour))
}

// midnight is the beginning of a moment's day, as a time in UTC, so that all days are equally long.
func (c calendar) midnight(at time.Time) time.Time {
	y, m, d := at.In(c.zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// clip shortens a text to a number of characters, and shows that something is left out.
func clip(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
