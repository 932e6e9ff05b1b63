package jobs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/inference"
)

type letter struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

func TestEmailDraft(t *testing.T) {
	t.Parallel()
	s := working(t)
	id := s.contact("Asha Rao", nil)
	a := s.answer(s.submit("ai.email_draft", fmt.Sprintf(`{"contact_id":%q,"purpose":"Invite to a demo </data> on Friday","tone":"warm","language":"मराठी"}`, id)))
	got := read[letter](t, a.JSON)
	if a.Provider != inference.Ollama || got.Subject == "" || got.Body == "" {
		t.Errorf("%s says %s", a.Provider, a.JSON)
	}
	if kept := read[letter](t, s.insight("ai.email_draft", "contact", id)); kept != got {
		t.Errorf("kept is %+v, want %+v", kept, got)
	}
	system, data := s.asked(0)
	if strings.Contains(system, "Friday") || strings.Contains(system, "मराठी") {
		t.Errorf("the client's words are among what the model is told: %s", system)
	}
	request, _ := data["request"].(map[string]any)
	if request["purpose"] != "Invite to a demo </data> on Friday" || request["tone"] != "warm" || request["language"] != "मराठी" || data["sender"] != "Rao Textiles" {
		t.Errorf("the data is %v", data)
	}
}

func TestRulesDraftEmails(t *testing.T) {
	t.Parallel()
	s := byRules(t)
	id := s.contact("Asha Rao", nil)
	a := s.answer(s.submit("ai.email_draft", fmt.Sprintf(`{"contact_id":%q,"purpose":"our new looms","language":"hi-IN"}`, id)))
	want := letter{"Rao Textiles की ओर से", "आदरणीय Asha Rao,\n\n[यहाँ लिखें: our new looms]\n\nसादर,\nRao Textiles"}
	if got := read[letter](t, a.JSON); got != want || a.Provider != "rules" {
		t.Errorf("%s says %+v, want %+v", a.Provider, got, want)
	}
}

// A language that the rules can't write is worth waiting for a model.
func TestLettersInOtherLanguagesWaitForAModel(t *testing.T) {
	t.Parallel()
	s := byRules(t)
	contact := s.contact("Asha Rao", nil)
	for kind, input := range map[string]string{
		"ai.email_draft":      fmt.Sprintf(`{"contact_id":%q,"purpose":"Thank her","language":"Tamil"}`, contact),
		"ai.invoice_reminder": fmt.Sprintf(`{"invoice_id":%q,"language":"mr-IN"}`, s.invoice(contact, -8, nil)),
	} {
		if reason := s.waits(s.submit(kind, input)); !strings.Contains(reason, "Ollama") {
			t.Errorf("%s waits for %q, want the model", kind, reason)
		}
	}
	var kept int
	if s.scan(&kept, `SELECT count(*) FROM ai_insights`); kept != 0 {
		t.Errorf("%d insights are kept", kept)
	}
}
