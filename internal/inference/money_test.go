package inference

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/localstack/faults"
)

// A byte is the least that a token can be, so nothing that is asked may be worth less.
func TestAtMostBoundsEveryTokenizer(t *testing.T) {
	t.Parallel()
	g := newGroq("http://groq.test", "gsk_secret", "", nil)
	text := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("नमस्ते🙏🏽।<>&\"\\\x00\u2028{}[]:, ")), 0, 200, -1))
	rapid.Check(t, func(t *rapid.T) {
		c := call{model: rapid.SampledFrom([]string{"openai/gpt-oss-20b", "llama"}).Draw(t, "model"),
			maxTokens: rapid.IntRange(1, 65536).Draw(t, "max_tokens"), plainJSON: rapid.Bool().Draw(t, "plain")}
		bytes := 0
		for range rapid.IntRange(1, 5).Draw(t, "messages") {
			m := Message{Role: rapid.SampledFrom([]string{"system", "user", "assistant"}).Draw(t, "role"), Content: text.Draw(t, "content")}
			c.messages = append(c.messages, m)
			bytes += len(m.Role) + len(m.Content) + 8 // what stands between messages
		}
		if rapid.Bool().Draw(t, "schema") {
			source := []byte(`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}`)
			schema, bad := compileSchema(source)
			if bad != nil {
				t.Fatal(bad)
			}
			c.schema = schema
			bytes += len(source)
		}
		p := Price{In: rapid.Float64Range(0, 100).Draw(t, "in"), Out: rapid.Float64Range(0, 100).Draw(t, "out")}
		sent, body, err := g.request(c)
		if err != nil {
			t.Fatal(err)
		}
		thoughts := 0
		if reasons(c.model) {
			thoughts = reasoningRoom
		}
		if sent.MaxTokens != c.maxTokens+thoughts {
			t.Fatalf("the request allows %d tokens, want %d", sent.MaxTokens, c.maxTokens+thoughts)
		}
		if most, worst := p.atMost(sent, body), p.nanoUSD(bytes+256, sent.MaxTokens); most < worst {
			t.Fatalf("at most %d, but %d bytes may cost %d", most, bytes, worst)
		}
	})
}

// The stand-in's model has hardly more tokens than bytes, so its bills are the worst there are.
func TestReservationBoundsTheBill(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a", "नमस्ते, बिल का भुगतान कब होगा?", "🙏🏽🇮🇳👨‍👩‍👧‍👦", "!?;:{}[]()<>&\"'", strings.Repeat("x ", 400), "\x00\x01\x02"} {
		r := newRig(t, func(c *Config) { c.OllamaEnabled = false })
		money := &purse{has: 1e12}
		p := Prompt{Messages: []Message{{"system", text}, {"user", text}}, MaxTokens: 40, Terms: pays(money)}
		a := r.mustAnswer(t, p, Groq)
		if money.reserved < money.settled || money.settled != a.Attempts[0].CostNanoUSD || money.settled == 0 {
			t.Errorf("%q: reserved %d, settled %d", text, money.reserved, money.settled)
		}
	}
}

// TestWhatACallCosts has Groq fail in many ways: what it may have billed counts in full unless it says.
func TestWhatACallCosts(t *testing.T) {
	t.Parallel()
	const whole, nothing, metered = -1, 0, 11*75 + 13*300
	for name, c := range map[string]struct {
		fault faults.Fault
		want  int64
	}{
		"answered":                 {faults.GroqSays("yes", "stop"), metered},
		"cut by the limit":         {faults.GroqSays("yes", "length"), metered},
		"refused":                  {faults.GroqStatus(400, "", "no"), nothing},
		"rate limited":             {faults.GroqStatus(429, "rate_limit_exceeded", "no", "Retry-After", "600"), nothing},
		"broken":                   {faults.GroqStatus(500, "", "no"), nothing},
		"wrong key":                {faults.GroqStatus(401, "", "no"), nothing},
		"cut":                      {faults.CutAfter(2), whole},
		"reset":                    {faults.Reset, whole},
		"an error in its place":    {faults.Status(200, "data: {\"error\":{\"message\":\"no\"}}\n\n"), whole},
		"an answer without a bill": {faults.Status(200, "data: {\"choices\":[{\"delta\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"), whole},
		"a bill of nonsense": {faults.Status(200, "data: {\"choices\":[{\"delta\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}],"+
			"\"usage\":{\"prompt_tokens\":-9,\"completion_tokens\":-9}}\n\ndata: [DONE]\n\n"), nothing},
		"silent": {faults.Hang, whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *Config) {
				c.OllamaEnabled = false
				if name == "silent" {
					c.GroqTimeout = 200 * time.Millisecond
				}
			})
			r.groq.Every(c.fault)
			money := &purse{has: 1e12}
			p := score()
			p.Terms, p.Mode = pays(money), Relaxed
			a, err := r.ask(t, p)
			attempts := a.Attempts
			if e := (*Error)(nil); errors.As(err, &e) {
				attempts = e.Attempts
			}
			want := c.want
			if want == whole {
				want = money.reserved
			}
			if money.settled != want || len(attempts) == 0 || attempts[len(attempts)-1].CostNanoUSD != want || money.open != 0 {
				t.Errorf("settled %d, recorded %+v, %d left open; want %d", money.settled, attempts, money.open, want)
			}
		})
	}
}

func TestACallThatNeverLeavesCostsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled, c.GroqBaseURL = false, refused(t) })
	money := &purse{has: 1e12}
	p := score()
	p.Terms = pays(money)
	if e := r.mustFail(t, p); !e.Wait() || money.reserved == 0 || money.settled != 0 || money.open != 0 {
		t.Errorf("%+v; reserved %d, settled %d", e, money.reserved, money.settled)
	}
}

func TestMoneyOfAPanicIsSpent(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled = false })
	money := &purse{has: 1e12}
	p := score()
	p.Terms = pays(money)
	r.heard.onText = func() { panic("sink") }
	func() {
		defer func() { _ = recover() }()
		_, _ = r.ask(t, p)
	}()
	if money.settled != money.reserved || money.settled == 0 || money.open != 0 {
		t.Errorf("reserved %d, settled %d, %d open", money.reserved, money.settled, money.open)
	}
}

func TestModelWithoutPriceNeedsNoBudget(t *testing.T) {
	t.Parallel()
	unpriced := func(c *Config) { c.OllamaURL, c.GroqModels.Fast = refused(t), "mystery" }
	for _, name := range []string{"", "mystery"} {
		r := newRig(t, unpriced)
		p := score()
		p.Model, p.Terms = name, pays(&purse{has: 1e18})
		e := r.mustFail(t, p)
		if !e.Wait() || e.Class != Misconfigured || !strings.Contains(e.Reason(), "mystery has no price") ||
			!strings.Contains(e.Reason(), "GROQ_PRICES") || len(r.groq.Requests()) != 0 {
			t.Errorf("%q: %+v after %d calls of Groq, want to wait for a price", name, e, len(r.groq.Requests()))
		}
		if !strings.Contains(r.log.String(), "provider needs the owner") {
			t.Error("the owner isn't told")
		}
		p.Terms = nil
		r.groq.Every(faults.GroqSays("yes", "stop"))
		if a := r.mustAnswer(t, p, Groq); a.Attempts[1].CostNanoUSD != 0 {
			t.Errorf("%+v", a.Attempts)
		}
	}
	if got := (Config{GroqModels: Models{Fast: "mystery"}}).Unpriced(); len(got) != 1 || got[0] != "mystery" {
		t.Errorf("unpriced: %q", got)
	}
	if got := (Config{GroqModels: Models{Fast: "mystery"}, Prices: map[string]Price{"mystery": {In: 1}}}).Unpriced(); len(got) != 0 {
		t.Errorf("unpriced: %q", got)
	}
}

type unknown struct{}

func (unknown) Reserve(context.Context, int64) (func(int64), error) {
	return nil, errors.New("the database is away")
}

func TestBudgetThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaURL = refused(t) })
	p := score()
	p.Terms = pays(unknown{})
	e := r.mustFail(t, p)
	if !e.Wait() || e.Class != Unchecked || e.RetryAfter > 2*soon || !strings.Contains(e.Reason(), "can't be checked") ||
		outcomes(e.Attempts) != "ollama:unavailable groq:budget_unknown" || len(r.groq.Requests()) != 0 {
		t.Errorf("%+v after %d calls of Groq", e, len(r.groq.Requests()))
	}
	p.Terms = nil
	r.mustAnswer(t, p, Groq)
}
