package jobs

import (
	"reflect"
	"testing"

	"github.com/payaid/payaid/internal/store"
)

func TestBriefingRules(t *testing.T) {
	t.Parallel()
	full := store.BriefingFacts{Timezone: "UTC", Overdue: 3, OverdueTotal: 1_75_000_50, Rotting: 1, RottingValue: 50_000_00, FollowUps: 2, NewLeads: 1,
		Payments: 2, PaidTotal: 999_00, OpenDeals: 4, Pipeline: 10_00_000_00,
		TopOverdue:   []store.OverdueLine{{Number: "N1", Contact: "Asha", AmountDue: 1_00_000_00, DueDate: "2026-11-08"}},
		TopRotting:   []store.RottingLine{{Title: "Looms", Contact: "Bela", Stage: "lead", Value: 50_000_00, StageChangedAt: *daysAgo(22)}},
		TopFollowUps: []store.FollowUpLine{{Contact: "Chitra", Due: *daysAgo(1)}}}
	due, lead := full, store.BriefingFacts{NewLeads: 1}
	due.TopOverdue, due.Overdue = nil, 0
	rots := due
	rots.TopFollowUps, rots.FollowUps = nil, 0
	const trade = "Since yesterday: 1 new lead, and 2 payments with ₹999 in all."
	const open = "4 deals open, worth ₹10,00,000."
	const followUps = "2 follow-ups due; the first was due yesterday: Chitra."
	const rotting = "1 deal for too long in the same stage, worth ₹50,000; the greatest is Looms with Bela: ₹50,000, in stage lead for 22 days."
	for _, tt := range []struct {
		name  string
		facts store.BriefingFacts
		want  dailyBriefing
	}{
		{"all", full, dailyBriefing{[]string{"3 invoices overdue, ₹1,75,000.50 in all; the greatest is N1 of Asha: ₹1,00,000, 12 days overdue.", followUps, rotting, trade, open},
			"Call Asha about N1: ₹1,00,000 have been overdue for 12 days."}},
		{"nothing overdue", due, dailyBriefing{[]string{followUps, rotting, trade, open}, "Speak with Chitra, as was planned."}},
		{"a deal rots", rots, dailyBriefing{[]string{rotting, trade, open}, "Move Looms with Bela on, or close it."}},
		{"a lead", lead, dailyBriefing{[]string{"Since yesterday: 1 new lead, and 0 payments with ₹0 in all.", "0 deals open, worth ₹0."}, "Call the new leads while they remember you."}},
		{"nothing", store.BriefingFacts{}, dailyBriefing{[]string{"Since yesterday: 0 new leads, and 0 payments with ₹0 in all.", "0 deals open, worth ₹0."}, "Nothing waits: a good day to look for new customers."}},
	} {
		if got := brief(tt.facts, today()); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got\n%q\nwant\n%q", tt.name, got, tt.want)
		}
	}
}
