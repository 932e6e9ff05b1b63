package jobs_test

import (
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/inference"
)

type briefing struct {
	Bullets []string `json:"bullets"`
	Focus   string   `json:"focus"`
}

func TestDailyBriefing(t *testing.T) {
	t.Parallel()
	s := working(t)
	s.invoice(s.contact("Asha Rao", nil), -12, map[string]any{"status": "overdue"})
	a := s.answer(s.submit("ai.daily_briefing", `{}`))
	got := read[briefing](t, a.JSON)
	if a.Provider != inference.Ollama || len(got.Bullets) < 2 || len(got.Bullets) > 5 || got.Focus == "" {
		t.Errorf("%s says %s", a.Provider, a.JSON)
	}
	if kept := read[briefing](t, s.insight("ai.daily_briefing", "organization", s.organization)); kept.Focus != got.Focus {
		t.Errorf("kept is %+v, want %+v", kept, got)
	}
}

func TestRulesBrief(t *testing.T) {
	t.Parallel()
	s := byRules(t)
	s.invoice(s.contact("Asha Rao", nil), -12, map[string]any{"status": "overdue"})
	a := s.answer(s.submit("ai.daily_briefing", `{}`))
	got := read[briefing](t, a.JSON)
	if a.Provider != "rules" || len(got.Bullets) != 3 || !strings.HasPrefix(got.Focus, "Call Asha Rao about INV/26-27/0001: ₹1,180 have been overdue for 12 days") {
		t.Errorf("%s says %s", a.Provider, a.JSON)
	}
}
