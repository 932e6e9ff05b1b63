package jobs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

type rating struct {
	Reason        string `json:"reason"`
	Score         int    `json:"score"`
	Stage         string `json:"stage"`
	NurtureAction string `json:"nurture_action"`
	PredictedMRR  int64  `json:"predicted_mrr"`
}

func TestLeadScoreIsKeptAndTold(t *testing.T) {
	t.Parallel()
	s := working(t)
	id := s.contact("Asha Rao", map[string]any{"company": "Rao Textiles", "notes": "Wants GST billing for 4 shops."})
	job := s.submit("ai.lead_score", fmt.Sprintf(`{"contact_id":%q}`, id))
	a := s.answer(job)
	var r rating
	if err := json.Unmarshal(a.JSON, &r); err != nil || a.Provider != inference.Ollama {
		t.Fatalf("answer %+v, error %v; want Ollama's", a, err)
	}
	var text rating
	if err := json.Unmarshal([]byte(a.Text), &text); err != nil || text != r || r.PredictedMRR%100 != 0 {
		t.Errorf("text %q and document %s; want the same, with whole rupees in paise", a.Text, a.JSON)
	}
	var score int
	var version int64
	s.scan(&score, `SELECT lead_score FROM contacts WHERE id = $1`, id)
	s.scan(&version, `SELECT version FROM contacts WHERE id = $1`, id)
	if score != r.Score || version != 2 {
		t.Errorf("the contact has score %d in version %d, want %d in version 2", score, version, r.Score)
	}
	for _, told := range []struct{ eventType, subject string }{{"contact.updated", id}, {"insight.updated", ""}, {"job.completed", job}} {
		var n int
		s.scan(&n, `SELECT count(*) FROM outbox WHERE type = $1 AND ($2 = '' OR subject = $2)`, told.eventType, told.subject)
		if n != 1 {
			t.Errorf("%d events %s, want 1", n, told.eventType)
		}
	}
	var kept json.RawMessage
	s.scan(&kept, `SELECT output FROM ai_insights WHERE contact_id = $1 AND kind = 'ai.lead_score' AND job_id = $2`, id, job)
	var k rating
	if err := json.Unmarshal(kept, &k); err != nil || k != r {
		t.Errorf("the insight is %s, want %s", kept, a.JSON)
	}
}

func TestRulesRateLeadWithoutModel(t *testing.T) {
	t.Parallel()
	s := working(t, func(_ *inference.Config, d *jobs.Deps) { d.Rules = true })
	s.ollama.Every(unreachable)
	s.groq.Every(unreachable)
	id := s.contact("Asha Rao", map[string]any{"company": "Rao Textiles", "notes": "Wants GST billing.", "phone": "+919845012345"})
	job := s.submit("ai.lead_score", fmt.Sprintf(`{"contact_id":%q}`, id))
	a := s.answer(job)
	var r rating
	if err := json.Unmarshal(a.JSON, &r); err != nil {
		t.Fatal(err)
	}
	// Company 10, trade 10, need 20, phone 10.
	if a.Provider != "rules" || r.Score != 50 || r.Stage != "warm" {
		t.Errorf("%s says %+v, want the rules' 50, warm", a.Provider, r)
	}
	if calls := fmt.Sprint(s.calls(job)); calls != "[ollama:unavailable groq:unavailable rules:ok]" {
		t.Errorf("calls %s", calls)
	}
}

func TestLeadScoreOfNobody(t *testing.T) {
	t.Parallel()
	s := working(t)
	j := s.ends(s.submit("ai.lead_score", `{"contact_id":"0197aaaa-0000-7000-8000-0000000000ff"}`), store.Failed)
	var p struct {
		Code   string
		Errors []struct{ Pointer string }
	}
	if err := json.Unmarshal(j.Error, &p); err != nil || p.Code != "not_found" || len(p.Errors) != 1 || p.Errors[0].Pointer != "/input/contact_id" {
		t.Errorf("it fails with %s, want not_found at /input/contact_id", j.Error)
	}
	if n := len(s.ollama.Requests()); n != 0 {
		t.Errorf("the model was asked %d times", n)
	}
}

func TestLeadScoreWaitsWhereRulesAreOff(t *testing.T) {
	t.Parallel()
	s := working(t)
	s.ollama.Every(unreachable)
	s.groq.Every(unreachable)
	job := s.submit("ai.lead_score", fmt.Sprintf(`{"contact_id":%q}`, s.contact("Asha Rao", nil)))
	if reason := s.waits(job); !strings.Contains(reason, "Ollama") || !strings.Contains(reason, "Groq") {
		t.Errorf("it waits for %q, want both providers named", reason)
	}
}

// Rules don't push in where the house's own model is merely busy, and the other one may not be paid.
func TestRulesLetBusyModelAnswer(t *testing.T) {
	t.Parallel()
	s := working(t, func(_ *inference.Config, d *jobs.Deps) { d.Rules = true })
	s.budget(0)
	s.ollama.Every(faults.OllamaStatus(503, "server busy, please try again.  maximum pending requests exceeded"))
	job := s.submit("ai.lead_score", fmt.Sprintf(`{"contact_id":%q}`, s.contact("Asha Rao", nil)))
	s.waits(job)
	s.ollama.Every(nil)
	if a := s.answer(job); a.Provider != inference.Ollama {
		t.Errorf("%s answered, want Ollama", a.Provider)
	}
}
