package jobs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/jobs"
)

// read is a job's document as T, which has to have all of its fields.
func read[T any](t *testing.T, doc json.RawMessage) (out T) {
	t.Helper()
	var got, want map[string]json.RawMessage
	if err := json.Unmarshal(doc, &out); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	again, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(doc, &got) != nil || json.Unmarshal(again, &want) != nil || len(got) != len(want) {
		t.Fatalf("the document %s has other fields than %s", doc, again)
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Fatalf("the document %s has no %s", doc, name)
		}
	}
	return out
}

// insight is what is kept of a kind about a subject, by its column; "organization" has none.
func (s *site) insight(kind, subject, id string) (doc json.RawMessage) {
	s.t.Helper()
	where := `num_nonnulls(contact_id, deal_id, invoice_id) = 0 AND organization_id = $2`
	if subject != "organization" {
		where = subject + `_id = $2`
	}
	s.scan(&doc, `SELECT output FROM ai_insights WHERE kind = $1 AND `+where, kind, id)
	return doc
}

// byRules is a site whose rules answer, because no model can be reached.
func byRules(t *testing.T) *site {
	t.Helper()
	s := working(t, func(_ *inference.Config, d *jobs.Deps) { d.Rules = true })
	s.ollama.Every(unreachable)
	s.groq.Every(unreachable)
	return s
}

// about is an input with one id.
func about(what, id string) string { return fmt.Sprintf(`{"%s_id":%q}`, what, id) }

type summary struct {
	Summary    string   `json:"summary"`
	Highlights []string `json:"highlights"`
	NextAction string   `json:"next_action"`
}

func TestContactSummary(t *testing.T) {
	t.Parallel()
	s := working(t)
	id := s.contact("Asha Rao", map[string]any{"company": "Rao Textiles"})
	a := s.answer(s.submit("ai.contact_summary", about("contact", id)))
	got := read[summary](t, a.JSON)
	if a.Provider != inference.Ollama || got.Summary == "" || got.NextAction == "" || got.Highlights == nil {
		t.Errorf("%s says %s", a.Provider, a.JSON)
	}
	if kept := read[summary](t, s.insight("ai.contact_summary", "contact", id)); kept.Summary != got.Summary {
		t.Errorf("kept is %+v, want %+v", kept, got)
	}
}

type churn struct {
	ReasonSummary     string `json:"reason_summary"`
	RiskScore         int    `json:"risk_score"`
	RiskLevel         string `json:"risk_level"`
	RecommendedAction string `json:"recommended_action"`
}

func TestChurnRisk(t *testing.T) {
	t.Parallel()
	s := working(t)
	id := s.contact("Asha Rao", nil)
	// The level is ours, whatever the model says.
	s.ollama.Next(faults.OllamaSays(`{"reason_summary":"Long silence.","risk_score":74,"recommended_action":"Call."}`, "stop"))
	a := s.answer(s.submit("ai.churn_risk", about("contact", id)))
	want := churn{"Long silence.", 74, "high", "Call."}
	if got := read[churn](t, a.JSON); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	a = s.answer(s.submit("ai.churn_risk", fmt.Sprintf(`{"contact_id":%q,"cache":"no-store"}`, id)))
	got := read[churn](t, a.JSON)
	if a.Provider != inference.Ollama || got.RiskScore < 0 || got.RiskScore > 100 || got.RiskLevel == "" {
		t.Errorf("%s says %s", a.Provider, a.JSON)
	}
	if kept := read[churn](t, s.insight("ai.churn_risk", "contact", id)); kept != got {
		t.Errorf("kept is %+v, want %+v", kept, got)
	}
}

func TestRulesAboutContacts(t *testing.T) {
	t.Parallel()
	s := byRules(t)
	id := s.contact("Asha Rao", map[string]any{"type": "customer", "stage": "customer"})
	s.deal(id, "Loom software", nil)
	s.invoice(id, -12, map[string]any{"status": "overdue"})
	a := s.answer(s.submit("ai.contact_summary", about("contact", id)))
	sum := read[summary](t, a.JSON)
	want := "Asha Rao is known since today: type customer, stage customer, status active. Deals: 1 deal open, worth ₹1,00,000. " +
		"Invoices: ₹1,180 due on 1 invoice and ₹1,180 of it overdue on 1 invoice. No contact was noted so far."
	if a.Provider != "rules" || sum.Summary != want || sum.NextAction != "Ask for the ₹1,180 that are overdue." {
		t.Errorf("%s says %+v, want %s", a.Provider, sum, want)
	}
	risk := read[churn](t, s.answer(s.submit("ai.churn_risk", about("contact", id))).JSON)
	// Overdue and never paid 20, less 15 for the open deal.
	if risk.RiskScore != 5 || risk.RiskLevel != "low" || risk.ReasonSummary != "₹1,180 overdue on 1 invoice." {
		t.Errorf("the rules say %+v", risk)
	}
}

// asked is what a request told the model, and its data.
func (s *site) asked(n int) (system string, data map[string]any) {
	s.t.Helper()
	messages, _ := s.ollama.Requests()[n].Body["messages"].([]any)
	if len(messages) != 2 {
		s.t.Fatalf("the model was sent %v", messages)
	}
	content := func(n int) string { return messages[n].(map[string]any)["content"].(string) }
	doc, opened := strings.CutPrefix(content(1), "<data>\n")
	doc, closed := strings.CutSuffix(doc, "\n</data>")
	if !opened || !closed || strings.Contains(doc, "<") {
		s.t.Fatalf("the data is %s", content(1))
	}
	s.must(json.Unmarshal([]byte(doc), &data))
	return content(0), data
}

// Who follows is told anew what was polished, and nothing else.
func TestOnlyWhatWasPolishedIsToldAnew(t *testing.T) {
	t.Parallel()
	s := working(t)
	contact := s.contact("Asha Rao", nil)
	for kind, want := range map[string]int{"ai.contact_summary": 0, "ai.churn_risk": 1} {
		id := s.submit(kind, about("contact", contact))
		a := s.answer(id)
		var resets int
		var told string
		s.scan(&resets, `SELECT count(*) FROM job_events WHERE job_id = $1 AND type = 'reset'`, id)
		s.scan(&told, `SELECT string_agg(data ->> 'text', '' ORDER BY seq) FROM job_events WHERE job_id = $1 AND type = 'token'
			AND seq > (SELECT coalesce(max(seq), 0) FROM job_events WHERE job_id = $1 AND type = 'reset')`, id)
		if resets != want || told != a.Text {
			t.Errorf("%s: %d resets, want %d; told is %q, the answer %q", kind, resets, want, told, a.Text)
		}
	}
}
