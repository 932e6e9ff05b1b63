package jobs

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/rupees"
	"github.com/payaid/payaid/internal/store"
)

// briefDailyArgs are River's arguments of ai.daily_briefing.
type briefDailyArgs struct{ Request }

// Kind implements river.JobArgs.
func (briefDailyArgs) Kind() string { return "ai.daily_briefing" }

// aboutOrganization is the input of inquiries about an organization as a whole.
type aboutOrganization struct{ inquiryOptions }

func (in aboutOrganization) faults() []Fault { return in.optionFaults() }

func (in aboutOrganization) subject(organizationID string) (store.Subject, string) {
	return store.Subject{Type: store.SubjectOrganization, ID: organizationID}, ""
}

// dailyBriefing is the answer of ai.daily_briefing.
type dailyBriefing struct {
	Bullets []string `json:"bullets"` // 2 to 5
	Focus   string   `json:"focus"`   // the one thing to do today
}

// briefingDocument describes dailyBriefing for the API's document.
var briefingDocument = documentSchema(`
		"bullets":{"type":"array","minItems":2,"maxItems":5,"items":{"type":"string"},"description":"what to know"},
		"focus":{"type":"string","description":"the one thing to do today"}`,
	"bullets", "focus")

var briefingOfDay = inquiry[aboutOrganization, store.BriefingFacts, dailyBriefing]{
	template: readTemplate("daily_briefing.v1"),
	summary:  "Says what a business should know this morning, and the one thing to do first.",
	rulesSay: "the day's figures put into sentences: overdue invoices, deals that rot, follow-ups, yesterday's leads and payments.",
	madeFrom: "a contact, a deal, an invoice or the organization",
	document: briefingDocument,
	read: func(ctx context.Context, db *store.DB, organizationID string, _ aboutOrganization, now time.Time) (store.BriefingFacts, error) {
		return db.BriefingFacts(ctx, organizationID, rotLimits, now)
	},
	view: func(_ aboutOrganization, f store.BriefingFacts, now time.Time) any { return viewBriefing(f, now) },
	tags: func(aboutOrganization, store.BriefingFacts) []string {
		return []string{cachetag.Contacts, cachetag.Deals, cachetag.Invoices, cachetag.Org}
	},
	rules: func(_ aboutOrganization, f store.BriefingFacts, now time.Time) dailyBriefing {
		return brief(f, calendar{zone: zone(f.Timezone), now: now})
	},
}

// briefDaily says what a business should know in the morning.
type briefDaily struct{ asker }

// Run implements Work.
func (w briefDaily) Run(ctx context.Context, _ briefDailyArgs, t *Task) (Result, error) {
	return briefingOfDay.run(ctx, w.asker, t)
}

// briefingView is what a model gets to see of an organization's day. Amounts stand as they are to be copied.
type briefingView struct {
	Weekday   string             `json:"weekday"`
	Overdue   overdueView        `json:"overdue_invoices"`
	Rotting   rottingView        `json:"deals_that_rot"`
	FollowUps followUpsView      `json:"follow_ups_due"`
	Since     sinceYesterdayView `json:"since_yesterday"`
	OpenDeals int                `json:"open_deals"`
	Pipeline  string             `json:"value_of_open_deals"`
}

type overdueView struct {
	Count    int               `json:"count"`
	Total    string            `json:"total"`
	Greatest []overdueLineView `json:"greatest,omitempty"`
}

type overdueLineView struct {
	Number      string `json:"number"`
	Customer    string `json:"customer"`
	Due         string `json:"due"`
	DaysOverdue int    `json:"days_overdue"`
}

type rottingView struct {
	Count    int               `json:"count"`
	Value    string            `json:"value"`
	Greatest []rottingLineView `json:"greatest,omitempty"`
}

type rottingLineView struct {
	Title       string `json:"title"`
	Customer    string `json:"customer"`
	Stage       string `json:"stage"`
	Value       string `json:"value"`
	DaysInStage int    `json:"days_in_stage"`
}

type followUpsView struct {
	Count  int                `json:"count"`
	Oldest []followUpLineView `json:"oldest,omitempty"`
}

type followUpLineView struct {
	Contact string `json:"contact"`
	Company string `json:"company,omitempty"`
	DaysAgo int    `json:"due_days_ago"`
}

type sinceYesterdayView struct {
	NewLeads int    `json:"new_leads"`
	Payments int    `json:"payments"`
	Paid     string `json:"paid"`
}

func viewBriefing(f store.BriefingFacts, now time.Time) briefingView {
	days := calendar{zone: zone(f.Timezone), now: now}
	v := briefingView{
		Weekday:   now.In(days.zone).Weekday().String(),
		Overdue:   overdueView{Count: f.Overdue, Total: rupees.Format(f.OverdueTotal)},
		Rotting:   rottingView{Count: f.Rotting, Value: rupees.Format(f.RottingValue)},
		FollowUps: followUpsView{Count: f.FollowUps},
		Since:     sinceYesterdayView{NewLeads: f.NewLeads, Payments: f.Payments, Paid: rupees.Format(f.PaidTotal)},
		OpenDeals: f.OpenDeals, Pipeline: rupees.Format(f.Pipeline),
	}
	for _, i := range f.TopOverdue {
		v.Overdue.Greatest = append(v.Overdue.Greatest, overdueLineView{Number: i.Number, Customer: shown(i.Contact, viewShort),
			Due: rupees.Format(i.AmountDue), DaysOverdue: -days.until(i.DueDate)})
	}
	for _, d := range f.TopRotting {
		v.Rotting.Greatest = append(v.Rotting.Greatest, rottingLineView{Title: shown(d.Title, viewShort), Customer: shown(d.Contact, viewShort),
			Stage: d.Stage, Value: rupees.Format(d.Value), DaysInStage: days.since(d.StageChangedAt)})
	}
	for _, c := range f.TopFollowUps {
		v.FollowUps.Oldest = append(v.FollowUps.Oldest, followUpLineView{Contact: shown(c.Contact, viewShort),
			Company: shownOf(c.Company, viewShort), DaysAgo: days.since(c.Due)})
	}
	return v
}
