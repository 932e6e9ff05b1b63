package jobs

import (
	"fmt"
	"time"

	"github.com/payaid/payaid/internal/rupees"
	"github.com/payaid/payaid/internal/store"
)

// A sign is something in the records that makes what a rubric asks about more likely, or less.
type sign struct {
	points int
	says   string
}

// judgeChurn adds up the signs by the rubric that the template gives the model: silence 25, no business 30,
// money 30, deals 15.
func judgeChurn(f store.ContactFacts, days calendar) churnRisk {
	var score int
	var why []string
	for _, s := range []sign{silence(f, days), idleness(f, days), lateness(f), debts(f, days), losses(f)} {
		score += s.points
		if s.points > 0 {
			why = append(why, s.says)
		}
	}
	if f.OpenDeals > 0 {
		score -= 15
	}
	switch f.Status {
	case "lost":
		score, why = max(score, 90), append(why, "the contact is marked as lost")
	case "inactive":
		score, why = score+15, append(why, "the contact is marked as inactive")
	}
	r := churnRisk{RiskScore: min(max(score, 0), 100), ReasonSummary: sentence(listed(why))}
	if why == nil {
		r.ReasonSummary = "Nothing in the records points to leaving."
	}
	r.RiskLevel = riskLevel(r.RiskScore)
	r.RecommendedAction = churnAdvice[r.RiskLevel]
	if f.Overdue > 0 && r.RiskScore < highRisk {
		r.RecommendedAction = fmt.Sprintf("Call this week, and ask when the %s that are overdue will be paid.", rupees.Format(f.OverdueTotal))
	}
	return r
}

var churnAdvice = map[string]string{
	"low":      "Carry on as before.",
	"medium":   "Call within two weeks, and ask whether all is well.",
	"high":     "Call this week, and settle what is open before anything new is offered.",
	"critical": "Have the owner call today, and make a personal offer to stay.",
}

func silence(f store.ContactFacts, days calendar) sign {
	last := f.LastContactedAt
	if last == nil {
		last = &f.CreatedAt
	}
	return after(days.since(*last), "without a contact", step{180, 25}, step{90, 15}, step{30, 5})
}

// idleness counts from the last invoice, payment or move of a deal, whichever is the newest.
func idleness(f store.ContactFacts, days calendar) sign {
	last := f.CreatedAt
	for _, at := range []*time.Time{f.LastInvoiceAt, f.LastPaidAt, f.LastDealAt} {
		if at != nil && at.After(last) {
			last = *at
		}
	}
	return after(days.since(last), "without an invoice, a payment or a deal", step{365, 30}, step{180, 20}, step{90, 10})
}

// A step is how many points there are when more than so many days have passed.
type step struct{ beyond, points int }

// after gives the points of the first step that is behind; the longest comes first.
func after(n int, what string, steps ...step) sign {
	for _, s := range steps {
		if n > s.beyond {
			return sign{s.points, counted(n, "day") + " " + what}
		}
	}
	return sign{}
}

func lateness(f store.ContactFacts) sign {
	says := fmt.Sprintf("%d of %s paid late", f.PaidLate, counted(f.PaidInvoices, "invoice"))
	switch {
	case f.PaidLate == 0:
		return sign{}
	case 2*f.PaidLate >= f.PaidInvoices:
		return sign{10, says}
	}
	return sign{5, says}
}

// longOverdue so many days a customer who means to stay has paid.
const longOverdue = 30

// debts weigh more when they are great for this customer, or old; with what was paid late they are 30 at most.
func debts(f store.ContactFacts, days calendar) sign {
	if f.Overdue == 0 {
		return sign{}
	}
	s := sign{10, fmt.Sprintf("%s overdue on %s", rupees.Format(f.OverdueTotal), counted(f.Overdue, "invoice"))}
	if f.OverdueTotal >= f.PaidTotal/3 {
		s.points += 10
	}
	if f.OverdueSince == nil {
		return s
	}
	if late := -days.until(*f.OverdueSince); late > longOverdue {
		s.points += 10
		s.says += fmt.Sprintf(", by up to %d days", late)
	}
	s.points = min(s.points, 30-lateness(f).points)
	return s
}

func losses(f store.ContactFacts) sign {
	says := counted(f.LostDeals, "deal") + " lost"
	switch {
	case f.LostDeals == 0:
		return sign{}
	case f.LostDeals > f.WonDeals:
		return sign{15, says}
	}
	return sign{5, says}
}
