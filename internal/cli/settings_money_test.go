package cli

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/inference"
)

func TestPrices(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]map[string]inference.Price{
		"": {},
		"openai/gpt-oss-20b=0.075/0.30,openai/gpt-oss-120b=0.15/0.60": {
			"openai/gpt-oss-20b": {In: 0.075, Out: 0.3}, "openai/gpt-oss-120b": {In: 0.15, Out: 0.6}},
		" free = 0 / 0 ,": {"free": {}},
	} {
		var p problems
		if got := p.prices("GROQ_PRICES", in); !maps.Equal(got, want) || p.err() != nil {
			t.Errorf("%q: %v, %v", in, got, p.err())
		}
	}
	for _, in := range []string{"x", "x=1", "x=1/", "=1/1", "x=-1/1", "x=1/NaN", "x=Inf/1", "x=1/1,x=2/2", "x=1/1/1", "x=a/b"} {
		var p problems
		if p.prices("GROQ_PRICES", in); p.err() == nil || !strings.Contains(p.err().Error(), "GROQ_PRICES: ") {
			t.Errorf("%q: %v", in, p.err())
		}
	}
}

func TestAIRateLimits(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]aiRate{
		"":                          nil,
		"free=20/1h,basic=200/1h":   {{"free", "", 20, time.Hour}, {"basic", "", 200, time.Hour}},
		" *:ai.completion = 4/90s,": {{"*", "ai.completion", 4, 90 * time.Second}},
		"free=1/1s,free:ai.chat=1/744h": {{"free", "", 1, time.Second},
			{"free", "ai.chat", 1, 31 * 24 * time.Hour}},
	} {
		var p problems
		if got := (aiLimitSettings{in}).check(&p); !slices.Equal(got, want) || p.err() != nil {
			t.Errorf("%q: %+v, %v", in, got, p.err())
		}
	}
	for in, part := range map[string]string{
		"free": "want PLAN=N/TIME", "free=20": "want PLAN=N/TIME", "free=0/1h": "want PLAN=N/TIME", "free=20/1ms": "want PLAN=N/TIME",
		"free=20/9999h": "want PLAN=N/TIME", "gold=20/1h": `no plan "gold"`, "free:mail.send=2/1h": `no kind "mail.send"`,
		"free:=2/1h": `no kind ""`, "free=2/1h,free=3/1h": "names free twice",
	} {
		var p problems
		if (aiLimitSettings{in}).check(&p); p.err() == nil || !strings.Contains(p.err().Error(), "AI_RATE_LIMITS: ") ||
			!strings.Contains(p.err().Error(), part) {
			t.Errorf("%q: %v, want %q", in, p.err(), part)
		}
	}
	rates, stop, err := limitersOf([]aiRate{{"free", "", 20, time.Hour}, {"*", "ai.chat", 2, time.Hour}, {"pro", "", 9, time.Minute}},
		"", slog.New(slog.DiscardHandler))
	defer stop()
	if err != nil || len(rates) != 3 || rates[0].Limiter != rates[1].Limiter || rates[2].Limiter.Window() != time.Minute {
		t.Errorf("%+v, %v", rates, err)
	}
}

func TestDoctorWarnsOfModelsWithoutPrice(t *testing.T) {
	t.Parallel()
	look := func(c inference.Config) (texts string) {
		d := doctor{}
		d.model(t.Context(), model{chain: c})
		for _, f := range d.findings {
			texts += f.State + " " + f.Detail + " " + f.Remedy + "\n"
		}
		return texts
	}
	c := inference.Config{GroqKey: "gsk_x", GroqModels: inference.Models{Fast: "mystery"}}
	if got := look(c); !strings.Contains(got, uneasy+" no price is known for mystery") || !strings.Contains(got, "GROQ_PRICES") {
		t.Errorf("got %s", got)
	}
	c.Prices = map[string]inference.Price{"mystery": {}}
	if got := look(c); strings.Contains(got, "price") {
		t.Errorf("got %s", got)
	}
}

func TestDoctorTellsTheSettingsOfAI(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rules, prices, limits, want string }{
		{"", "", "", "rules are off unless set, but on in up (AI_RULES_FALLBACK), 0 limits (AI_RATE_LIMITS), 0 own prices (GROQ_PRICES)"},
		{"true", "a=1/2,b=0/0", "free=20/1h", "rules are on (AI_RULES_FALLBACK), 1 limits (AI_RATE_LIMITS), 2 own prices (GROQ_PRICES)"},
		{"false", "", "", "rules are off (AI_RULES_FALLBACK), 0"},
	} {
		var p problems
		s := aiSettings{AIRulesFallback: tt.rules, GroqPrices: tt.prices}
		m := s.check(&p, rulesOff)
		d := doctor{}
		d.aiSettings(s, m, len(aiLimitSettings{tt.limits}.check(&p)))
		if f := d.findings[0]; f.State != fine || !strings.Contains(f.Detail, tt.want) {
			t.Errorf("%+v: got %+v", tt, f)
		}
	}
}

// What can't be read ends the doctor before anything is looked at.
func TestDoctorChecksTheSettingsOfAI(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"--ai-rate-limits=free=20/9999h", "--groq-prices=free", "--ai-rules-fallback=perhaps"} {
		var out strings.Builder
		if status := Main([]string{"doctor", "--database-url=postgres://127.0.0.1:1/x", arg}, &out, &out); status != 1 ||
			!strings.Contains(out.String(), "configuration: "+strings.ToUpper(strings.ReplaceAll(strings.Split(arg[2:], "=")[0], "-", "_"))) {
			t.Errorf("%s: status %d, %s", arg, status, &out)
		}
	}
}
