package jobs

import (
	"testing"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// An answer ends with what it was made from only if facts make its tags void.
func TestTagsOfInquiriesAreThoseOfFacts(t *testing.T) {
	t.Parallel()
	const id = "0197aaaa-0000-7000-8000-000000000001"
	about := aboutContact{ContactID: id}
	facts := store.ContactFacts{ID: id}
	for kind, tags := range map[string][]string{
		"ai.lead_score":       leadScore.tags(about, facts),
		"ai.contact_summary":  summaryOfContact.tags(about, facts),
		"ai.churn_risk":       riskOfChurn.tags(about, facts),
		"ai.email_draft":      draftOfEmail.tags(emailWanted{aboutContact: about}, facts),
		"ai.deal_insight":     insightOfDeal.tags(aboutDeal{DealID: id}, store.DealFacts{ContactFacts: facts}),
		"ai.invoice_reminder": reminderOfInvoice.tags(reminderWanted{InvoiceID: id}, store.InvoiceFacts{ContactFacts: facts}),
		"ai.daily_briefing":   briefingOfDay.tags(aboutOrganization{}, store.BriefingFacts{}),
	} {
		if len(tags) == 0 {
			t.Errorf("%s has no tags", kind)
		}
		for _, tag := range tags {
			if !cachetag.Known(tag) {
				t.Errorf("no fact makes %q of %s void", tag, kind)
			}
		}
	}
}
