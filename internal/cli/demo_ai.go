package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/rupees"
)

// demoAI asks about the organization's own records, each kind twice, and keeps what became of it for the table
// at the end.
type demoAI struct {
	api    client
	model  bool // one can be reached
	rules  bool // answer where none can
	before demoUsage
	rows   []demoAnswered

	contact, deal, invoice string // ids of what is asked about
}

// demoAnswered is an answer, as the table shows it.
type demoAnswered struct {
	kind string
	demoAnswer
}

// A businessKind is a kind that the demo runs, and what it is asked about.
type businessKind struct {
	what, kind string
	input      map[string]any
}

func (d *demoAI) kinds() []businessKind {
	return []businessKind{
		{"the contact summed up", "ai.contact_summary", map[string]any{"contact_id": d.contact}},
		{"the contact as a lead", "ai.lead_score", map[string]any{"contact_id": d.contact}},
		{"the contact's churn risk", "ai.churn_risk", map[string]any{"contact_id": d.contact}},
		{"an email to the contact", "ai.email_draft", map[string]any{"contact_id": d.contact, "purpose": "ask whether the last delivery was all right"}},
		{"a deal that rots", "ai.deal_insight", map[string]any{"deal_id": d.deal}},
		{"a reminder of the invoice", "ai.invoice_reminder", map[string]any{"invoice_id": d.invoice}},
		{"the morning's briefing", "ai.daily_briefing", map[string]any{}},
	}
}

// steps are to be read when the step before them has chosen what to ask about.
func (d *demoAI) steps() []demoStep {
	steps := []demoStep{{"who and what it is about", d.choose}}
	for i, k := range d.kinds() {
		steps = append(steps, demoStep{k.what, func(ctx context.Context) (string, error) { return d.askTwice(ctx, d.kinds()[i]) }})
	}
	return steps
}

// choose looks for a contact with deals whose invoice is overdue, and for the open deal that has been in its
// stage for longest.
func (d *demoAI) choose(ctx context.Context) (string, error) {
	invoice, err := d.overdueInvoice(ctx)
	if err != nil {
		return "", err
	}
	deal, err := d.oldestDeal(ctx)
	if err != nil {
		return "", err
	}
	if d.before, err = d.usage(ctx); err != nil {
		return "", err
	}
	d.contact, d.invoice, d.deal = invoice.ContactID, invoice.ID, deal.ID
	return fmt.Sprintf("%s, whose invoice %s over %s is overdue; %q, in %s for %d days", invoice.Contact.Name, invoice.Number,
		rupees.Format(invoice.AmountDue), deal.Title, deal.Stage, int(time.Since(deal.StageChangedAt).Hours()/24)), nil
}

type demoInvoice struct {
	ID        string `json:"id"`
	Number    string `json:"number"`
	ContactID string `json:"contact_id"`
	AmountDue int64  `json:"amount_due"`
	Contact   struct {
		Name string `json:"name"`
	} `json:"contact"`
}

func (d *demoAI) overdueInvoice(ctx context.Context) (demoInvoice, error) {
	var overdue struct {
		Data []demoInvoice `json:"data"`
	}
	if err := d.api.do(ctx, http.MethodGet, "/api/invoices?status=overdue&include=contact&limit=20", nil, &overdue); err != nil {
		return demoInvoice{}, err
	}
	for _, v := range overdue.Data {
		var deals struct {
			Data []struct{} `json:"data"`
		}
		if err := d.api.do(ctx, http.MethodGet, "/api/deals?limit=1&contact_id="+v.ContactID, nil, &deals); err != nil {
			return demoInvoice{}, err
		}
		if len(deals.Data) > 0 {
			return v, nil
		}
	}
	return demoInvoice{}, errors.New("no contact with deals has an invoice that is overdue")
}

type demoDeal struct {
	ID             string    `json:"id"`
	Title          string    `json:"title"`
	Stage          string    `json:"stage"`
	StageChangedAt time.Time `json:"stage_changed_at"`
}

func (d *demoAI) oldestDeal(ctx context.Context) (oldest demoDeal, err error) {
	var open struct {
		Data []demoDeal `json:"data"`
	}
	if err := d.api.do(ctx, http.MethodGet, "/api/deals?status=open&limit=200", nil, &open); err != nil {
		return oldest, err
	}
	for _, deal := range open.Data {
		if oldest.ID == "" || deal.StageChangedAt.Before(oldest.StageChangedAt) {
			oldest = deal
		}
	}
	if oldest.ID == "" {
		return oldest, errors.New("no deal is open")
	}
	return oldest, nil
}

// mostAsks is how often the same is asked until the answer comes from the cache. Once more is enough, unless
// what happened before is still being told to the cache.
const mostAsks = 4

// askTwice asks for an answer, and then for one that was kept.
func (d *demoAI) askTwice(ctx context.Context, k businessKind) (string, error) {
	if d.contact == "" {
		return "", errors.New("there is nothing to ask about")
	}
	first, took, err := d.ask(ctx, k)
	var waits *demoWaits
	if errors.As(err, &waits) && !d.model && !d.rules {
		return waits.Error(), nil
	}
	if err != nil {
		return "", err
	}
	d.rows = append(d.rows, first)
	out := fmt.Sprintf("answered in %s by %s", ms(took), first.by())
	if d.model && first.Provider == "rules" {
		return "", errors.New(out + ", although a model can be reached")
	}
	again := first
	for range mostAsks - 1 {
		if again, took, err = d.ask(ctx, k); err != nil {
			return "", err
		}
		if again.Cached || again.Provider == "rules" {
			break
		}
	}
	d.rows = append(d.rows, again)
	if again.Provider == "rules" {
		return out, nil
	}
	if !again.Cached {
		return "", fmt.Errorf("%s, and %d times more by %s: nothing was kept", out, mostAsks-1, again.by())
	}
	return fmt.Sprintf("%s, again in %s from the cache", out, ms(took)), nil
}

// demoWaits is a job that has something to wait for.
type demoWaits struct{ reason string }

// Error says for what.
func (w *demoWaits) Error() string { return "waits: " + w.reason }

func (a demoAnswer) by() string {
	out := fmt.Sprintf("%s (%s)", a.Provider, a.Model)
	if a.FallbackReason != nil {
		out += ", as the first choice " + inWords(*a.FallbackReason)
	}
	return out
}

// inWords is a class of failures, such as breaker_open, as people read it.
func inWords(class string) string {
	if words, ok := failures[class]; ok {
		return words
	}
	return "had a failure (" + strings.ReplaceAll(class, "_", " ") + ")"
}

var failures = map[string]string{
	inference.Unavailable: "can't be reached", inference.Timeout: "took too long", inference.Truncated: "broke off",
	inference.Server: "failed", inference.Overloaded: "has too much to do", inference.QueueFull: "has too many who wait",
	inference.BreakerOpen: "has failed too often of late", inference.OutOfBudget: "has no budget left",
	inference.Misconfigured: "is not set up",
}

func (d *demoAI) ask(ctx context.Context, k businessKind) (demoAnswered, time.Duration, error) {
	began := time.Now()
	out := demoAnswered{kind: k.kind}
	j, err := d.api.submit(ctx, k.kind, k.input, nil)
	if err != nil {
		return out, 0, err
	}
	j, err = d.api.await(ctx, j.ID, demoPatience)
	switch {
	case err != nil:
		return out, 0, err
	case j.Waiting != nil:
		return out, 0, &demoWaits{j.Waiting.Reason}
	case j.Error != nil:
		return out, 0, j.Error
	}
	if err := json.Unmarshal(j.Output, &out.demoAnswer); err != nil {
		return out, 0, fmt.Errorf("read the result: %w", err)
	}
	if len(out.JSON) == 0 || out.JSON[0] != '{' {
		return out, 0, fmt.Errorf("the answer is no document: %s", out.JSON)
	}
	return out, time.Since(began), nil
}
