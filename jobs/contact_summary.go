package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/rupees"
	"github.com/payaid/payaid/internal/store"
)

// summarizeContactArgs are River's arguments of ai.contact_summary.
type summarizeContactArgs struct{ Request }

// Kind implements river.JobArgs.
func (summarizeContactArgs) Kind() string { return "ai.contact_summary" }

// contactSummary is the answer of ai.contact_summary.
type contactSummary struct {
	Summary    string   `json:"summary"`
	Highlights []string `json:"highlights"` // at most 5
	NextAction string   `json:"next_action"`
}

// summaryDocument describes contactSummary for the API's document.
var summaryDocument = documentSchema(`
		"summary":{"type":"string","description":"a few sentences"},
		"highlights":{"type":"array","maxItems":5,"items":{"type":"string"},"description":"what stands out"},
		"next_action":{"type":"string","description":"what to do next"}`,
	"summary", "highlights", "next_action")

var summaryOfContact = inquiry[aboutContact, store.ContactFacts, contactSummary]{
	template:   readTemplate("contact_summary.v1"),
	summary:    "Sums up who a contact is, how things stand, and what to do next.",
	rulesSay:   "the contact's figures put into sentences.",
	madeFrom:   "the contact, or one of its deals or invoices,",
	document:   summaryDocument,
	properties: contactProperty,
	required:   `"contact_id"`,
	read:       readContact,
	view:       viewOfContact,
	tags:       tagsOfContact,
	rules: func(_ aboutContact, f store.ContactFacts, now time.Time) contactSummary {
		return summarize(f, calendar{zone: zone(f.Timezone), now: now})
	},
}

// summarizeContact says in a few sentences who a contact is and how things stand.
type summarizeContact struct{ asker }

// Run implements Work.
func (w summarizeContact) Run(ctx context.Context, _ summarizeContactArgs, t *Task) (Result, error) {
	return summaryOfContact.run(ctx, w.asker, t)
}

// summarize puts the figures into sentences.
func summarize(f store.ContactFacts, days calendar) contactSummary {
	said := []string{introduce(f, days), dealsInWords(f), invoicesInWords(f), contactInWords(f, days)}
	var sentences []string
	for _, s := range said {
		if s != "" {
			sentences = append(sentences, sentence(s))
		}
	}
	return contactSummary{
		Summary:    strings.Join(sentences, " "),
		Highlights: highlights(f, days),
		NextAction: nextActionWith(f, days),
	}
}

func introduce(f store.ContactFacts, days calendar) string {
	who := clip(f.Name, viewShort)
	if f.Company != nil {
		who += " of " + clip(*f.Company, viewShort)
	}
	if f.City != nil {
		who += " in " + *f.City
	}
	return fmt.Sprintf("%s is known %s: type %s, stage %s, status %s", who, forDays(days.since(f.CreatedAt)), f.Type, f.Stage, f.Status)
}

func dealsInWords(f store.ContactFacts) string {
	var parts []string
	if f.OpenDeals > 0 {
		parts = append(parts, counted(f.OpenDeals, "deal")+" open, worth "+rupees.Format(f.OpenValue))
	}
	if f.WonDeals > 0 {
		parts = append(parts, fmt.Sprintf("%d won, worth %s", f.WonDeals, rupees.Format(f.WonValue)))
	}
	if f.LostDeals > 0 {
		parts = append(parts, fmt.Sprintf("%d lost", f.LostDeals))
	}
	if parts == nil {
		return "there are no deals"
	}
	return "deals: " + listed(parts)
}

func invoicesInWords(f store.ContactFacts) string {
	var parts []string
	if f.PaidInvoices > 0 {
		parts = append(parts, fmt.Sprintf("%s paid, %d of them late", counted(f.PaidInvoices, "invoice"), f.PaidLate))
	}
	if f.PaidTotal > 0 {
		parts = append(parts, rupees.Format(f.PaidTotal)+" received in all")
	}
	if f.UnpaidInvoices > 0 {
		parts = append(parts, fmt.Sprintf("%s due on %s", rupees.Format(f.DueTotal), counted(f.UnpaidInvoices, "invoice")))
	}
	if f.Overdue > 0 {
		parts = append(parts, fmt.Sprintf("%s of it overdue on %s", rupees.Format(f.OverdueTotal), counted(f.Overdue, "invoice")))
	}
	if parts == nil {
		return "nothing was invoiced so far"
	}
	return "invoices: " + listed(parts)
}

func contactInWords(f store.ContactFacts, days calendar) string {
	if f.LastContactedAt == nil {
		return "no contact was noted so far"
	}
	return "the last contact was " + ago(days.since(*f.LastContactedAt))
}

func ago(days int) string {
	switch {
	case days <= 0:
		return "today"
	case days == 1:
		return "yesterday"
	}
	return fmt.Sprintf("%d days ago", days)
}

// highlights are what somebody who picks up the phone should have seen: never nil, at most five.
func highlights(f store.ContactFacts, days calendar) []string {
	list := []string{}
	if f.Overdue > 0 {
		list = append(list, fmt.Sprintf("%s overdue on %s", rupees.Format(f.OverdueTotal), counted(f.Overdue, "invoice")))
	}
	if f.NextFollowUp != nil && days.since(*f.NextFollowUp) >= 0 {
		list = append(list, "A follow-up was due "+ago(days.since(*f.NextFollowUp)))
	}
	if d, ok := biggestOpenDeal(f); ok {
		list = append(list, fmt.Sprintf("%s for %s, in stage %s %s", clip(d.Title, viewShort), rupees.Format(d.Value), d.Stage, forDays(days.since(d.StageChangedAt))))
	}
	if f.PaidLate > 0 {
		list = append(list, fmt.Sprintf("Paid %d of %s late", f.PaidLate, counted(f.PaidInvoices, "invoice")))
	}
	if f.LastContactedAt == nil || days.since(*f.LastContactedAt) > silentAfter {
		list = append(list, sentence(contactInWords(f, days)))
	}
	return list
}

// silentAfter so many days without contact somebody should call.
const silentAfter = 30

// biggestOpenDeal is among the newest deals.
func biggestOpenDeal(f store.ContactFacts) (most store.DealLine, ok bool) {
	for _, d := range f.Deals {
		if openOrNot(d.Stage) == 1 && (!ok || d.Value > most.Value) {
			most, ok = d, true
		}
	}
	return most, ok
}

func nextActionWith(f store.ContactFacts, days calendar) string {
	d, open := biggestOpenDeal(f)
	switch {
	case f.Overdue > 0:
		return fmt.Sprintf("Ask for the %s that are overdue.", rupees.Format(f.OverdueTotal))
	case f.NextFollowUp != nil && days.since(*f.NextFollowUp) >= 0:
		return "Make the follow-up that was due " + ago(days.since(*f.NextFollowUp)) + "."
	case f.Status == "lost":
		return "Leave it, unless the contact comes back."
	case open:
		return fmt.Sprintf("Agree on the next step of the deal %s.", clip(d.Title, viewShort))
	case f.LastContactedAt == nil || days.since(*f.LastContactedAt) > silentAfter:
		return "Call, and ask what is needed now."
	}
	return "Agree on a date for the next talk."
}
