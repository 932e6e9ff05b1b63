package jobs

import (
	"fmt"

	"github.com/payaid/payaid/internal/rupees"
	"github.com/payaid/payaid/internal/store"
)

// brief says what waits, most urgent first, and then how business goes: two bullets at least.
func brief(f store.BriefingFacts, days calendar) dailyBriefing {
	var waits []string
	if f.Overdue > 0 {
		waits = append(waits, overdueBullet(f, days))
	}
	if f.FollowUps > 0 {
		waits = append(waits, followUpBullet(f, days))
	}
	if f.Rotting > 0 {
		waits = append(waits, rottingBullet(f, days))
	}
	return dailyBriefing{Focus: focusOf(f, days), Bullets: append(waits,
		fmt.Sprintf("Since yesterday: %s, and %s with %s in all.", counted(f.NewLeads, "new lead"), counted(f.Payments, "payment"), rupees.Format(f.PaidTotal)),
		fmt.Sprintf("%s open, worth %s.", counted(f.OpenDeals, "deal"), rupees.Format(f.Pipeline)))}
}

func overdueBullet(f store.BriefingFacts, days calendar) string {
	text := fmt.Sprintf("%s overdue, %s in all", counted(f.Overdue, "invoice"), rupees.Format(f.OverdueTotal))
	if len(f.TopOverdue) == 0 {
		return text + "."
	}
	i := f.TopOverdue[0]
	return fmt.Sprintf("%s; the greatest is %s of %s: %s, %s overdue.", text, i.Number, clip(i.Contact, viewShort),
		rupees.Format(i.AmountDue), counted(-days.until(i.DueDate), "day"))
}

func followUpBullet(f store.BriefingFacts, days calendar) string {
	text := counted(f.FollowUps, "follow-up") + " due"
	if len(f.TopFollowUps) == 0 {
		return text + "."
	}
	c := f.TopFollowUps[0]
	return fmt.Sprintf("%s; the first was due %s: %s.", text, ago(days.since(c.Due)), clip(c.Contact, viewShort))
}

func rottingBullet(f store.BriefingFacts, days calendar) string {
	text := fmt.Sprintf("%s for too long in the same stage, worth %s", counted(f.Rotting, "deal"), rupees.Format(f.RottingValue))
	if len(f.TopRotting) == 0 {
		return text + "."
	}
	d := f.TopRotting[0]
	return fmt.Sprintf("%s; the greatest is %s with %s: %s, in stage %s %s.", text, clip(d.Title, viewShort), clip(d.Contact, viewShort),
		rupees.Format(d.Value), d.Stage, forDays(days.since(d.StageChangedAt)))
}

// focusOf is what brings the most money the soonest.
func focusOf(f store.BriefingFacts, days calendar) string {
	switch {
	case len(f.TopOverdue) > 0:
		i := f.TopOverdue[0]
		return fmt.Sprintf("Call %s about %s: %s have been overdue for %s.", clip(i.Contact, viewShort), i.Number,
			rupees.Format(i.AmountDue), counted(-days.until(i.DueDate), "day"))
	case len(f.TopFollowUps) > 0:
		return fmt.Sprintf("Speak with %s, as was planned.", clip(f.TopFollowUps[0].Contact, viewShort))
	case len(f.TopRotting) > 0:
		d := f.TopRotting[0]
		return fmt.Sprintf("Move %s with %s on, or close it.", clip(d.Title, viewShort), clip(d.Contact, viewShort))
	case f.NewLeads > 0:
		return "Call the new leads while they remember you."
	}
	return "Nothing waits: a good day to look for new customers."
}
