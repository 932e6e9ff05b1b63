package jobs

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// judgeDealArgs are River's arguments of ai.deal_insight.
type judgeDealArgs struct{ Request }

// Kind implements river.JobArgs.
func (judgeDealArgs) Kind() string { return "ai.deal_insight" }

// aboutDeal is the input of ai.deal_insight.
type aboutDeal struct {
	DealID string `json:"deal_id"`
	inquiryOptions
}

func (in aboutDeal) faults() []Fault {
	return append(idFaults("/deal_id", in.DealID), in.optionFaults()...)
}

func (in aboutDeal) subject(string) (store.Subject, string) {
	return store.Subject{Type: store.SubjectDeal, ID: in.DealID}, "/deal_id"
}

// dealInsight is the answer of ai.deal_insight. How long the deal has been where it is, and whether that is too
// long, is never asked of a model.
type dealInsight struct {
	Reason      string `json:"reason"`
	Probability int    `json:"probability"` // 0 to 100, of winning it; 100 once it is won, 0 once it is lost
	NextAction  string `json:"next_action"`
	rot
}

// rot says how long a deal has been in its stage.
type rot struct {
	Rotting      bool `json:"rotting"` // longer than the limit
	DaysInStage  int  `json:"days_in_stage"`
	RotLimitDays *int `json:"rot_limit_days"` // null: a closed deal doesn't rot
}

// dealDocument describes dealInsight for the API's document.
var dealDocument = documentSchema(`
		"reason":{"type":"string","description":"why, in a sentence or two"},
		"probability":{"type":"integer","minimum":0,"maximum":100,"description":"of winning it, in percent; 100 once it is won, 0 once it is lost"},
		"next_action":{"type":"string","description":"what to do next"},
		"rotting":{"type":"boolean","description":"whether it has been in its stage for longer than the limit; from the records, by whomever the rest is"},
		"days_in_stage":{"type":"integer","minimum":0,"description":"days of the organization's calendar; from the records"},
		"rot_limit_days":{"type":["integer","null"],"minimum":0,"description":"how many days it may be in this stage; null: a closed deal doesn't rot"}`,
	"reason", "probability", "next_action", "rotting", "days_in_stage", "rot_limit_days")

var insightOfDeal = inquiry[aboutDeal, store.DealFacts, dealInsight]{
	template: readTemplate("deal_insight.v1"),
	summary:  "Says how likely a deal is to be won, whether it rots in its stage, and what to do next.",
	rulesSay: "what is usual in the stage, more or less for rot, a date that has passed, the size, and how it went with the contact so far.",
	madeFrom: "the deal or its contact, or another deal or an invoice of the contact,",
	document: dealDocument,
	properties: `
		"deal_id":{"type":"string","format":"uuid"}`,
	required: `"deal_id"`,
	read: func(ctx context.Context, db *store.DB, organizationID string, in aboutDeal, now time.Time) (store.DealFacts, error) {
		return db.DealFacts(ctx, organizationID, in.DealID, now)
	},
	view: func(_ aboutDeal, f store.DealFacts, now time.Time) any { return viewDeal(f, now) },
	tags: func(in aboutDeal, f store.DealFacts) []string {
		return []string{cachetag.DealTag(in.DealID), cachetag.ContactTag(f.ID)}
	},
	rules: func(_ aboutDeal, f store.DealFacts, now time.Time) dealInsight {
		return judgeByRules(f, calendar{zone: zone(f.Timezone), now: now})
	},
	polish: func(d *dealInsight, _ aboutDeal, f store.DealFacts, now time.Time) {
		d.settle(f, calendar{zone: zone(f.Timezone), now: now})
	},
}

// judgeDeal says how likely a deal is to be won, whether it rots, and what to do next.
type judgeDeal struct{ asker }

// Run implements Work.
func (w judgeDeal) Run(ctx context.Context, _ judgeDealArgs, t *Task) (Result, error) {
	return insightOfDeal.run(ctx, w.asker, t)
}

// settle puts in what the records say.
func (d *dealInsight) settle(f store.DealFacts, days calendar) {
	d.rot = rotOf(f.DealStage, f.StageChangedAt, days)
	switch f.DealStage {
	case store.DealWon:
		d.Probability = 100
	case store.DealLost:
		d.Probability = 0
	}
}

// rotLimits are how many days a deal may be in a stage.
var rotLimits = map[string]int{store.DealLead: 21, store.DealQualified: 10, store.DealProposal: 14, store.DealNegotiation: 7}

func rotOf(stage string, since time.Time, days calendar) rot {
	r := rot{DaysInStage: max(0, days.since(since))}
	if limit, open := rotLimits[stage]; open {
		r.RotLimitDays, r.Rotting = &limit, r.DaysInStage > limit
	}
	return r
}

// dealView is what a model gets to see of a deal.
type dealView struct {
	Title             string `json:"title"`
	Stage             string `json:"stage"`
	Value             int64  `json:"rupees"`
	Probability       int    `json:"probability_by_hand"`
	DaysOpen          int    `json:"days_since_it_was_made"`
	ExpectedCloseDays *int   `json:"expected_to_close_in_days"` // negative: the date has passed
	LostReason        string `json:"lost_reason,omitempty"`
	rot
	Contact contactView `json:"contact"`
}

func viewDeal(f store.DealFacts, now time.Time) dealView {
	days := calendar{zone: zone(f.Timezone), now: now}
	v := dealView{Title: shown(f.Title, viewShort), Stage: f.DealStage, Value: f.Value / 100, Probability: f.Probability,
		DaysOpen: days.since(f.DealCreatedAt), LostReason: shownOf(f.LostReason, viewShort),
		rot: rotOf(f.DealStage, f.StageChangedAt, days), Contact: viewContact(f.ContactFacts, now)}
	if f.ExpectedCloseDate != nil {
		n := days.until(*f.ExpectedCloseDate)
		v.ExpectedCloseDays = &n
	}
	return v
}
