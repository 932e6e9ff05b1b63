package jobs

import (
	"testing"

	"github.com/payaid/payaid/internal/store"
)

func TestRot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		stage       string
		days, limit int
		rots        bool
	}{
		{"lead", 21, 21, false}, {"lead", 22, 21, true},
		{"qualified", 10, 10, false}, {"qualified", 11, 10, true},
		{"proposal", 14, 14, false}, {"proposal", 15, 14, true},
		{"negotiation", 7, 7, false}, {"negotiation", 8, 7, true},
		{"won", 900, 0, false}, {"lost", 900, 0, false}, {"lead", -1, 21, false},
	} {
		got := rotOf(tt.stage, *daysAgo(tt.days), today())
		limit := 0
		if got.RotLimitDays != nil {
			limit = *got.RotLimitDays
		}
		if got.Rotting != tt.rots || got.DaysInStage != max(0, tt.days) || limit != tt.limit {
			t.Errorf("%s for %d days: %+v with limit %d, want %v", tt.stage, tt.days, got, limit, tt.rots)
		}
	}
}

func TestDealRules(t *testing.T) {
	t.Parallel()
	passed, ahead := "2026-11-19", "2026-11-20"
	for _, tt := range []struct {
		name   string
		change func(*store.DealFacts)
		want   int
	}{
		{"a proposal", func(*store.DealFacts) {}, 50},
		{"a lead", func(f *store.DealFacts) { f.DealStage = "lead" }, 10},
		{"qualified", func(f *store.DealFacts) { f.DealStage = "qualified" }, 25},
		{"in negotiation", func(f *store.DealFacts) { f.DealStage = "negotiation" }, 75},
		{"won", func(f *store.DealFacts) { f.DealStage, f.Status = "won", "lost" }, 100},
		{"lost", func(f *store.DealFacts) { f.DealStage, f.WonDeals = "lost", 9 }, 0},
		{"rotting", func(f *store.DealFacts) { f.StageChangedAt = *daysAgo(15) }, 35},
		{"rotting at twice the limit", func(f *store.DealFacts) { f.StageChangedAt = *daysAgo(28) }, 35},
		{"rotting beyond twice the limit", func(f *store.DealFacts) { f.StageChangedAt = *daysAgo(29) }, 20},
		{"closes today", func(f *store.DealFacts) { f.ExpectedCloseDate = &ahead }, 50},
		{"should have closed yesterday", func(f *store.DealFacts) { f.ExpectedCloseDate = &passed }, 40},
		{"five times as great as usual", func(f *store.DealFacts) { f.Value, f.WonDeals, f.WonValue = 500, 1, 100 }, 60},
		{"greater than usual", func(f *store.DealFacts) { f.Value, f.WonDeals, f.WonValue = 501, 1, 100 }, 50},
		{"won before", func(f *store.DealFacts) { f.WonDeals = 1 }, 60},
		{"won as many as lost", func(f *store.DealFacts) { f.WonDeals, f.LostDeals = 1, 1 }, 50},
		{"lost before", func(f *store.DealFacts) { f.LostDeals = 1 }, 40},
		{"overdue", func(f *store.DealFacts) { f.Overdue = 1 }, 45},
		{"a contact a week ago", func(f *store.DealFacts) { f.LastContactedAt = daysAgo(7) }, 55},
		{"a contact 8 days ago", func(f *store.DealFacts) { f.LastContactedAt = daysAgo(8) }, 50},
		{"a contact 61 days ago", func(f *store.DealFacts) { f.LastContactedAt = daysAgo(61) }, 40},
		{"inactive", func(f *store.DealFacts) { f.Status = "inactive" }, 40},
		{"contact lost", func(f *store.DealFacts) { f.Status = "lost" }, 20},
		{"never below 1", func(f *store.DealFacts) { f.DealStage, f.Status, f.LostDeals = "lead", "lost", 9 }, 1},
	} {
		f := store.DealFacts{DealStage: "proposal", StageChangedAt: *daysAgo(1)}
		f.Status = "active"
		tt.change(&f)
		got := judgeByRules(f, today())
		if got.Probability != tt.want || got.Reason == "" || got.NextAction == "" {
			t.Errorf("%s: %+v, want %d", tt.name, got, tt.want)
		}
	}
}
