package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// scoreLeadArgs are River's arguments of ai.lead_score.
type scoreLeadArgs struct{ Request }

// Kind implements river.JobArgs.
func (scoreLeadArgs) Kind() string { return "ai.lead_score" }

// leadRating is the answer of ai.lead_score. Its score is the contact's lead_score from then on.
type leadRating struct {
	Reason        string `json:"reason"`
	Score         int    `json:"score"` // 0 to 100
	Stage         string `json:"stage"` // hot, warm or cold
	NurtureAction string `json:"nurture_action"`
	PredictedMRR  int64  `json:"predicted_mrr"` // paise a month; the model gives rupees
}

// leadDocument describes leadRating for the API's document.
var leadDocument = documentSchema(`
		"reason":{"type":"string","description":"why, in a sentence or two"},
		"score":{"type":"integer","minimum":0,"maximum":100,"description":"how likely the contact is to buy, in points"},
		"stage":{"enum":["hot","warm","cold"],"description":"what the score says: hot from 70, warm from 40"},
		"nurture_action":{"type":"string","description":"what to do next"},
		"predicted_mrr":{"type":"integer","minimum":0,"description":"expected revenue, in paise a month"}`,
	"reason", "score", "stage", "nurture_action", "predicted_mrr")

var leadScore = inquiry[aboutContact, store.ContactFacts, leadRating]{
	template:   readTemplate("lead_score.v1"),
	summary:    "Rates a contact as a lead; the score becomes the contact's lead_score.",
	rulesSay:   "points for fit, size, need and reach, from the contact's words, sums and ways to be reached.",
	madeFrom:   "the contact, or one of its deals or invoices,",
	document:   leadDocument,
	properties: contactProperty,
	required:   `"contact_id"`,
	read:       readContact,
	view:       viewOfContact,
	tags:       tagsOfContact,
	rules:      func(_ aboutContact, f store.ContactFacts, now time.Time) leadRating { return rateLead(f, now) },
	polish:     func(r *leadRating, _ aboutContact, _ store.ContactFacts, _ time.Time) { r.polish() },
	save:       saveLeadScore,
	changes:    []string{cachetag.Contacts},
}

// scoreLead rates a contact as a lead.
type scoreLead struct{ asker }

// Run implements Work.
func (w scoreLead) Run(ctx context.Context, _ scoreLeadArgs, t *Task) (Result, error) {
	return leadScore.run(ctx, w.asker, t)
}

// polish turns the model's rupees into paise, and has the stage say what the score says.
func (r *leadRating) polish() {
	r.PredictedMRR *= 100
	r.Stage = stageOf(r.Score)
}

func stageOf(score int) string {
	switch {
	case score >= hotScore:
		return "hot"
	case score >= warmScore:
		return "warm"
	}
	return "cold"
}

func saveLeadScore(ctx context.Context, tx pgx.Tx, t *Task, saved store.Insight) ([]events.Fact, error) {
	var r leadRating
	if err := json.Unmarshal(saved.Output, &r); err != nil {
		return nil, fmt.Errorf("read the score of %s: %w", saved.SubjectID, err)
	}
	version, err := store.ScoreContact(ctx, tx, t.OrganizationID, saved.SubjectID, r.Score)
	if err != nil || version == 0 {
		return nil, err
	}
	return []events.Fact{events.ContactUpdated{ContactID: saved.SubjectID, Changed: []string{"lead_score"}, Version: version}}, nil
}

// A score is at least this for its stage.
const (
	hotScore  = 70
	warmScore = 40
)

// rateLead rates a lead by the rubric that the template gives the model: fit 30, size 30, need 20, reach 20.
// An employee or a vendor is no lead, whatever the points.
func rateLead(f store.ContactFacts, now time.Time) leadRating {
	if action, ok := noLead[f.Type]; ok {
		return leadRating{Stage: stageOf(0), NurtureAction: action,
			Reason: "The contact is of type " + f.Type + ": nobody who is going to buy."}
	}
	days := calendar{zone: zone(f.Timezone), now: now}
	score := leadFit(f) + leadSize(f) + leadNeed(f) + leadReach(f)
	if f.LastContactedAt != nil && days.since(*f.LastContactedAt) > 90 {
		score -= 10
	}
	switch f.Status {
	case "lost":
		score = min(score, 10)
	case "inactive":
		score -= 15
	}
	r := leadRating{Score: min(max(score, 0), 100), PredictedMRR: monthly(f, days)}
	r.Reason = fmt.Sprintf("Fit %d of 30, size %d of 30, need %d of 20, reach %d of 20; the contact is %s.",
		leadFit(f), leadSize(f), leadNeed(f), leadReach(f), f.Status)
	switch r.Stage = stageOf(r.Score); r.Stage {
	case "hot":
		r.NurtureAction = "Call within a day and agree on a date for the order."
	case "warm":
		r.NurtureAction = "Send a short message this week, with one example from the same trade."
	default:
		r.NurtureAction = "Leave it in the newsletter, and look again in a month."
	}
	return r
}

var noLead = map[string]string{
	"employee": "Sell nothing here; change the contact's type if it is a lead after all.",
	"vendor":   "Leave it to who buys from it; change the contact's type if it is a lead after all.",
}

var trades = []string{"retail", "wholesale", "trader", "manufactur", "textile", "restaurant", "distribut", "service", "clinic", "store"}

// pains are the words of somebody who needs what this business sells: the original rubric's.
var pains = []string{"gst", "e-invoic", "einvoic", "complian", "billing", "invoic"}

func leadFit(f store.ContactFacts) (points int) {
	if f.Company != nil {
		points += 10
	}
	if f.HasGSTIN {
		points += 10
	}
	if mentions(f, trades) {
		points += 10
	}
	return points
}

func leadSize(f store.ContactFacts) int {
	switch value := max(f.OpenValue, f.PaidTotal); {
	case value >= 5_00_000_00:
		return 30
	case value >= 1_00_000_00:
		return 20
	case value >= 25_000_00:
		return 10
	case value > 0:
		return 5
	}
	return 0
}

func leadNeed(f store.ContactFacts) int {
	if mentions(f, pains) {
		return 20
	}
	return 0
}

func leadReach(f store.ContactFacts) (points int) {
	if f.HasPhone {
		points += 10
	}
	if f.HasEmail {
		points += 5
	}
	if f.Source != nil && strings.Contains(strings.ToLower(*f.Source), "refer") {
		points += 5
	}
	return points
}

// mentions looks for words where people write what a contact is about.
func mentions(f store.ContactFacts, words []string) bool {
	var all strings.Builder
	for _, s := range []*string{f.Company, f.Notes, f.Source} {
		if s != nil {
			all.WriteString(*s + " ")
		}
	}
	all.WriteString(strings.Join(f.Tags, " "))
	for _, d := range f.Deals {
		all.WriteString(" " + d.Title)
	}
	text := strings.ToLower(all.String())
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// monthly expects open deals by their probability over a year, or what was paid so far to go on.
func monthly(f store.ContactFacts, days calendar) int64 {
	var expected int64
	for _, d := range f.Deals {
		expected += d.Value / 100 * int64(d.Probability) * openOrNot(d.Stage)
	}
	months := max(1, int64(days.since(f.CreatedAt)/30))
	return max(expected/12, f.PaidTotal/months)
}

func openOrNot(stage string) int64 {
	if stage == store.DealWon || stage == store.DealLost {
		return 0
	}
	return 1
}
