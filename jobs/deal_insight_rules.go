package jobs

import (
	"fmt"

	"github.com/payaid/payaid/internal/store"
)

// judgeByRules begins with what a deal's stage is usually worth, and moves with what is known of it: the rubric
// that the template gives the model.
func judgeByRules(f store.DealFacts, days calendar) dealInsight {
	var d dealInsight
	d.settle(f, days)
	switch f.DealStage {
	case store.DealWon:
		d.Reason, d.NextAction = "The deal is won.", "Send the invoice, and ask for a recommendation."
		return d
	case store.DealLost:
		d.Reason, d.NextAction = "The deal is lost.", "Ask what decided it, and look again in three months."
		return d
	}
	usual := stageProbability[f.DealStage]
	d.Reason = fmt.Sprintf("In stage %s %s; %d %% are usual there", f.DealStage, forDays(d.DaysInStage), usual)
	d.Probability = usual
	for _, s := range dealSigns(f, d.rot, days) {
		if s.points != 0 {
			d.Probability += s.points
			d.Reason += fmt.Sprintf("; %s (%+d)", s.says, s.points)
		}
	}
	// An open deal is neither won nor lost.
	d.Probability, d.Reason = min(max(d.Probability, 1), 99), d.Reason+"."
	d.NextAction = nextStep[f.DealStage]
	if d.Rotting {
		d.NextAction = fmt.Sprintf("Call today: in this stage a deal should move within %d days. %s", *d.RotLimitDays, d.NextAction)
	}
	return d
}

var stageProbability = map[string]int{store.DealLead: 10, store.DealQualified: 25, store.DealProposal: 50, store.DealNegotiation: 75}

var nextStep = map[string]string{
	store.DealLead:        "Find out what is needed, by when, and who decides.",
	store.DealQualified:   "Send a proposal with a price and a date.",
	store.DealProposal:    "Ask what is still open about the proposal, and offer a call.",
	store.DealNegotiation: "Settle the last open point, and ask for the order.",
}

func dealSigns(f store.DealFacts, r rot, days calendar) []sign {
	return []sign{rotSign(r), closeSign(f, days), sizeSign(f), historySign(f), moneySign(f), touchSign(f, days), statusSign(f)}
}

func rotSign(r rot) sign {
	switch {
	case !r.Rotting:
		return sign{}
	case r.DaysInStage > 2**r.RotLimitDays:
		return sign{-30, "more than twice as long as it should be"}
	}
	return sign{-15, "longer than it should be"}
}

func closeSign(f store.DealFacts, days calendar) sign {
	if f.ExpectedCloseDate != nil && days.until(*f.ExpectedCloseDate) < 0 {
		return sign{-10, "the date on which it should have closed has passed"}
	}
	return sign{}
}

// sizeSign compares with what the contact has bought so far: nobody's first order is the greatest.
func sizeSign(f store.DealFacts) sign {
	if f.WonDeals > 0 && f.Value > 5*(f.WonValue/int64(f.WonDeals)) {
		return sign{-10, "more than five times the usual value with this contact"}
	}
	return sign{}
}

func historySign(f store.DealFacts) sign {
	switch {
	case f.WonDeals > f.LostDeals:
		return sign{10, fmt.Sprintf("%s won before", counted(f.WonDeals, "deal"))}
	case f.LostDeals > f.WonDeals:
		return sign{-10, fmt.Sprintf("%s lost before", counted(f.LostDeals, "deal"))}
	}
	return sign{}
}

func moneySign(f store.DealFacts) sign {
	if f.Overdue > 0 {
		return sign{-5, counted(f.Overdue, "invoice") + " overdue"}
	}
	return sign{}
}

func touchSign(f store.DealFacts, days calendar) sign {
	switch {
	case f.LastContactedAt == nil:
		return sign{}
	case days.since(*f.LastContactedAt) <= 7:
		return sign{5, "a contact within a week"}
	case days.since(*f.LastContactedAt) > 60:
		return sign{-10, "no contact for more than 60 days"}
	}
	return sign{}
}

func statusSign(f store.DealFacts) sign {
	switch f.Status {
	case "lost":
		return sign{-30, "the contact is marked as lost"}
	case "inactive":
		return sign{-10, "the contact is marked as inactive"}
	}
	return sign{}
}
