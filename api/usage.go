package api

import (
	"context"
	"math"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// usageDaysMost is how many days may be asked for at once.
const usageDaysMost = 400

type usageInput struct {
	From    string `query:"from" format:"date" doc:"The first day, in the organization's calendar; left out: the first of the month of the last day"`
	To      string `query:"to" format:"date" doc:"The last day, which counts; left out: today"`
	GroupBy string `query:"group_by" enum:"day,kind,model,provider" default:"day"`
}

// usageView is what models did for an organization. A call counts for the day on which it ended.
type usageView struct {
	From     date             `json:"from"`
	To       date             `json:"to" doc:"Counts too"`
	GroupBy  string           `json:"group_by" enum:"day,kind,model,provider"`
	Timezone string           `json:"timezone" doc:"Whose days these are"`
	Data     []usageGroupView `json:"data" doc:"By name; groups in which nothing happened are left out"`
	Totals   UsageFigures     `json:"totals" doc:"Exact, and rounded by itself: not the sum of what was rounded"`
	Budget   usageBudget      `json:"budget"`
	Prices   pricesView       `json:"prices"`
}

type usageGroupView struct {
	Group string `json:"group" doc:"A day, a kind of job, a model, or ollama, groq, cache or rules; the model other is of calls that gave no answer to models which clients named and the owner did not configure"`
	UsageFigures
}

// UsageFigures are what some calls come to. They hold money twice: in paise, and exactly.
type UsageFigures struct {
	Calls            int64    `json:"calls" doc:"Made at providers, whatever became of them; not those that a breaker, a full queue, a limit or a budget kept back"`
	Answers          int64    `json:"answers" doc:"Of models, the cache and the rules"`
	Failures         int64    `json:"failures" doc:"Calls that gave no answer"`
	Rules            int64    `json:"rules" doc:"Of the answers, those that no model gave"`
	Cacheable        int64    `json:"cacheable" doc:"Of the answers, those that were looked for in the cache"`
	Cached           int64    `json:"cached" doc:"And found there"`
	CacheHitRate     *float64 `json:"cache_hit_rate" doc:"cached of cacheable, 0 to 1; null: none was"`
	PromptTokens     int64    `json:"prompt_tokens" doc:"That models read"`
	CompletionTokens int64    `json:"completion_tokens" doc:"That models wrote"`
	AverageLatencyMS *int64   `json:"average_latency_ms" doc:"Of models' answers, the wait for their turn included; null: none answered"`
	Cost             int64    `json:"cost" doc:"What the fallback provider takes, in paise (rupees are in the system's metrics alone), rounded half up"`
	Shadow           int64    `json:"shadow" doc:"What it would have taken for all answers of models and the cache, in paise, rounded half up"`
	Saved            int64    `json:"saved" doc:"shadow less cost, in paise, rounded half up; below 0 where it billed for answers that were of no use"`
	CostNano         int64    `json:"cost_nano_inr" doc:"The same exactly, in billionths of a rupee"`
	ShadowNano       int64    `json:"shadow_nano_inr"`
	SavedNano        int64    `json:"saved_nano_inr"`
}

func usageFiguresOf(u store.Usage) UsageFigures {
	saved := u.ShadowNanoINR - u.CostNanoINR
	f := UsageFigures{
		Calls: u.Calls, Answers: u.Answers, Failures: u.Failures, Rules: u.ByRules, Cacheable: u.Cacheable, Cached: u.Cached,
		CacheHitRate: ratio(u.Cached, u.Cacheable), PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens,
		Cost: paise(u.CostNanoINR), Shadow: paise(u.ShadowNanoINR), Saved: paise(saved),
		CostNano: u.CostNanoINR, ShadowNano: u.ShadowNanoINR, SavedNano: saved,
	}
	if u.ByModels > 0 {
		average := int64(math.Round(float64(u.LatencyMS) / float64(u.ByModels)))
		f.AverageLatencyMS = &average
	}
	return f
}

// usageBudget is the money for the fallback provider this month, whatever days were asked for. In paise.
type usageBudget struct {
	Monthly   *int64    `json:"monthly" doc:"In paise; null: no limit"`
	Spent     int64     `json:"spent" doc:"In paise, rounded half up"`
	Reserved  int64     `json:"reserved" doc:"Set aside for calls under way, and for 15 to 20 minutes for those whose process died, in paise, rounded half up"`
	Remaining *int64    `json:"remaining" doc:"In whole paise; null: no limit"`
	ResetsAt  time.Time `json:"resets_at" doc:"When the next month begins"`
}

func usageBudgetOf(f store.UsageFrame) usageBudget {
	b := usageBudget{Monthly: f.MonthlyBudget, Spent: paise(f.SpentNano), Reserved: paise(f.ReservedNano), ResetsAt: f.ResetsAt.UTC()}
	if f.MonthlyBudget != nil {
		taken := -floorDiv(-(f.SpentNano + f.ReservedNano), store.NanoPerPaisa)
		left := max(0, *f.MonthlyBudget-taken)
		b.Remaining = &left
	}
	return b
}

type usageOutput struct{ Body usageView }

// getUsage tells what models did for the key's organization, exactly at the moment.
func (s *Server) getUsage(ctx context.Context, in *usageInput) (*usageOutput, error) {
	ask := store.UsageAsk{From: dayOf(in.From), To: dayOf(in.To), GroupBy: in.GroupBy, MostDays: usageDaysMost, Now: time.Now()}
	frame, groups, err := s.DB.UsageOf(ctx, exchangeOf(ctx).caller.OrganizationID, ask)
	if err != nil {
		return nil, err
	}
	if fault := spanFault(frame); fault != nil {
		return nil, invalid(*fault)
	}
	v := usageView{From: date{frame.From}, To: date{frame.To}, GroupBy: in.GroupBy, Timezone: frame.Timezone,
		Data: make([]usageGroupView, len(groups)), Budget: usageBudgetOf(frame), Prices: s.Pricing.view()}
	var all store.Usage
	for i, g := range groups {
		v.Data[i] = usageGroupView{g.Name, usageFiguresOf(g.Usage)}
		all.Add(g.Usage)
	}
	v.Totals = usageFiguresOf(all)
	return &usageOutput{v}, nil
}

// dayOf reads a day whose form was checked; nil for "".
func dayOf(text string) *time.Time {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return nil
	}
	return &day
}

// spanFault says what is wrong with the days that a usage is about.
func spanFault(f store.UsageFrame) *Fault {
	switch days := int(f.To.Sub(f.From).Hours() / 24); {
	case days < 0:
		return &Fault{"/query/from", "must not be after to, which is " + f.To.Format(time.DateOnly)}
	case days >= usageDaysMost:
		return &Fault{"/query/from", "must be less than 400 days before to, which is " + f.To.Format(time.DateOnly)}
	}
	return nil
}
