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

var riskOfChurn = inquiry[aboutContact, store.ContactFacts, churnRisk]{
	template:   readTemplate("churn_risk.v1"),
	does:       "Says how likely a customer is to leave. Answers {risk_score 0-100, risk_level low|medium|high|critical, reason_summary, recommended_action}.",
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
