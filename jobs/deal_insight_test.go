package jobs_test

import (
	"testing"
	"time"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/store"
)

type dealInsight struct {
	Reason       string `json:"reason"`
	Probability  int    `json:"probability"`
	NextAction   string `json:"next_action"`
	Rotting      bool   `json:"rotting"`
	DaysInStage  int    `json:"days_in_stage"`
	RotLimitDays *int   `json:"rot_limit_days"`
}

func TestDealInsight(t *testing.T) {
	t.Parallel()
	s := working(t)
	contact := s.contact("Asha Rao", nil)
	id := s.deal(contact, "Loom software", map[string]any{"stage": "negotiation", "stage_changed_at": time.Now().AddDate(0, 0, -8)})
	a := s.answer(s.submit("ai.deal_insight", about("deal", id)))
	got := read[dealInsight](t, a.JSON)
	if a.Provider != inference.Ollama || !got.Rotting || got.DaysInStage != 8 || got.RotLimitDays == nil || *got.RotLimitDays != 7 {
		t.Errorf("%s says %s, want it to rot: 8 days of 7", a.Provider, a.JSON)
	}
	if kept := read[dealInsight](t, s.insight("ai.deal_insight", "deal", id)); kept.NextAction != got.NextAction || kept.DaysInStage != 8 {
		t.Errorf("kept is %+v, want %+v", kept, got)
	}
	s.ends(s.submit("ai.deal_insight", about("deal", contact)), store.Failed)
}

// What is closed is decided, whatever a model says.
func TestClosedDealIsDecided(t *testing.T) {
	t.Parallel()
	s := working(t)
	contact := s.contact("Asha Rao", nil)
	for stage, want := range map[string]int{"won": 100, "lost": 0} {
		id := s.deal(contact, "Loom software", map[string]any{"stage": stage, "probability": want, "closed_at": time.Now(),
			"stage_changed_at": time.Now().AddDate(0, 0, -80)})
		s.ollama.Next(faults.OllamaSays(`{"reason":"Who knows.","probability":50,"next_action":"Call."}`, "stop"))
		got := read[dealInsight](t, s.answer(s.submit("ai.deal_insight", about("deal", id))).JSON)
		if got.Probability != want || got.Rotting || got.RotLimitDays != nil || got.DaysInStage != 80 {
			t.Errorf("%s: %+v", stage, got)
		}
	}
}

func TestRulesAboutDeals(t *testing.T) {
	t.Parallel()
	s := byRules(t)
	id := s.deal(s.contact("Asha Rao", nil), "Loom software", map[string]any{"stage": "proposal", "stage_changed_at": time.Now().AddDate(0, 0, -15)})
	a := s.answer(s.submit("ai.deal_insight", about("deal", id)))
	got := read[dealInsight](t, a.JSON)
	if a.Provider != "rules" || got.Probability != 35 || !got.Rotting || got.DaysInStage != 15 || *got.RotLimitDays != 14 {
		t.Errorf("%s says %s", a.Provider, a.JSON)
	}
}
