package jobs

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// rateChurnArgs are River's arguments of ai.churn_risk.
type rateChurnArgs struct{ Request }

// Kind implements river.JobArgs.
func (rateChurnArgs) Kind() string { return "ai.churn_risk" }

// churnRisk is the answer of ai.churn_risk.
type churnRisk struct {
	ReasonSummary     string `json:"reason_summary"`
	RiskScore         int    `json:"risk_score"` // 0 to 100
	RiskLevel         string `json:"risk_level"` // low, medium, high or critical: what the score says
	RecommendedAction string `json:"recommended_action"`
}

// churnDocument describes churnRisk for the API's document.
var churnDocument = documentSchema(`
		"reason_summary":{"type":"string","description":"why, in a sentence or two"},
		"risk_score":{"type":"integer","minimum":0,"maximum":100,"description":"how likely the customer is to leave, in points"},
		"risk_level":{"enum":["low","medium","high","critical"],"description":"what the score says: medium from 25, high from 50, critical from 75"},
		"recommended_action":{"type":"string","description":"what to do about it"}`,
	"reason_summary", "risk_score", "risk_level", "recommended_action")

var riskOfChurn = inquiry[aboutContact, store.ContactFacts, churnRisk]{
	template:   readTemplate("churn_risk.v1"),
	summary:    "Says how likely a customer is to leave, why, and what to do about it.",
	rulesSay:   "points for overdue and late payments, silence, and deals that were lost.",
	madeFrom:   "the contact, or one of its deals or invoices,",
	document:   churnDocument,
	properties: contactProperty,
	required:   `"contact_id"`,
	read:       readContact,
	view:       viewOfContact,
	tags:       tagsOfContact,
	rules: func(_ aboutContact, f store.ContactFacts, now time.Time) churnRisk {
		return judgeChurn(f, calendar{zone: zone(f.Timezone), now: now})
	},
	polish: func(r *churnRisk, _ aboutContact, _ store.ContactFacts, _ time.Time) {
		r.RiskLevel = riskLevel(r.RiskScore)
	},
}

// rateChurn says how likely a customer is to leave.
type rateChurn struct{ asker }

// Run implements Work.
func (w rateChurn) Run(ctx context.Context, _ rateChurnArgs, t *Task) (Result, error) {
	return riskOfChurn.run(ctx, w.asker, t)
}

// A risk score is at least this for its level.
const (
	criticalRisk = 75
	highRisk     = 50
	mediumRisk   = 25
)

func riskLevel(score int) string {
	switch {
	case score >= criticalRisk:
		return "critical"
	case score >= highRisk:
		return "high"
	case score >= mediumRisk:
		return "medium"
	}
	return "low"
}
