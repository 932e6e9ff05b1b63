package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/inference"
)

func (d *doctor) model(ctx context.Context, m model) {
	if list := m.chain.Unpriced(); m.chain.GroqKey != "" && len(list) > 0 {
		d.say(uneasy, "ai prices", "name what it costs in GROQ_PRICES", "no price is known for %s: calls count as free, and organizations with a budget can't use it",
			strings.Join(list, ", "))
	}
	look := lookAtModel(ctx, m.chain)
	if look.reachable && look.remedy == "" {
		d.say(fine, "ai", "", "%s", look.text)
		return
	}
	d.say(uneasy, "ai", look.remedy, "%s", look.text)
}

// aiSettings tells what was read of the settings that can't be seen in the running processes; what is wrong with
// them has ended the command before.
func (d *doctor) aiSettings(c aiSettings, m model, limits int) {
	rules := "off unless set, but on in up"
	switch {
	case c.AIRulesFallback != "" && m.rules:
		rules = "on"
	case c.AIRulesFallback != "":
		rules = "off"
	}
	d.say(fine, "ai settings", "", "in this environment, which others need not share: rules are %s (AI_RULES_FALLBACK), %d limits (AI_RATE_LIMITS), %d own prices (GROQ_PRICES)",
		rules, limits, len(m.chain.Prices))
}

// words has each model that is loaded say one word, and holds the time against what clients are promised. One that
// isn't is left alone: loading it takes a minute, and may cost another its place.
func (d *doctor) words(ctx context.Context, c inference.Config) {
	if !c.OllamaEnabled {
		return
	}
	var loaded struct {
		Models []struct {
			Name string `json:"name"`
		} `json:"models"`
	}
	looking, cancel := context.WithTimeout(ctx, 2*time.Second)
	err := getJSON(looking, strings.TrimRight(c.OllamaURL, "/")+"/api/ps", &loaded)
	cancel()
	if err != nil {
		return // the check before has said that it doesn't answer
	}
	var names []string
	for _, m := range loaded.Models {
		names = append(names, m.Name)
	}
	for _, tier := range []struct {
		name  inference.Tier
		model string
		most  time.Duration
	}{{inference.Fast, c.OllamaModels.Fast, 5 * time.Second}, {inference.Large, c.OllamaModels.Large, 8 * time.Second}} {
		check := "model " + tier.model
		warm := slices.Contains(c.Warm, tier.name)
		switch {
		case hasModel(names, tier.model):
			d.word(ctx, c, check, string(tier.name), tier.most)
		case warm:
			d.say(uneasy, check, "see the worker's log, and how much memory the host has; a worker loads it within a minute", "it is not loaded, and OLLAMA_WARM says that it should be")
		default:
			d.say(fine, check, "", "it is not loaded now: the first question waits for that (OLLAMA_WARM)")
		}
	}
}

func (d *doctor) word(ctx context.Context, c inference.Config, check, tier string, most time.Duration) {
	const remedy = "see what else the model host does, or name a smaller model"
	c.GroqKey = ""
	chain, err := inference.New(c)
	if err != nil {
		d.say(uneasy, check, "check the OLLAMA_ settings", "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	began := time.Now()
	_, err = chain.Answer(ctx, inference.Prompt{Messages: []inference.Message{{Role: "user", Content: "Say yes."}}, Model: tier, MaxTokens: 1, LocalOnly: true}, nil)
	took := time.Since(began).Round(time.Millisecond)
	switch {
	case ctx.Err() != nil:
		d.say(uneasy, check, remedy, "it said nothing within %s", most)
	case err != nil:
		d.say(uneasy, check, "see Ollama's log", "it said nothing: %v", err)
	default:
		d.say(fine, check, "", "said a word after %s, of %s", took, most)
	}
}

// groq asks which models there are, which costs nothing, to see whether the key is accepted.
func (d *doctor) groq(ctx context.Context, c inference.Config) {
	if c.GroqKey == "" {
		return
	}
	const check = "groq"
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status, err := groqStatus(ctx, c)
	switch {
	case err != nil:
		d.say(uneasy, check, "check GROQ_BASE_URL, and whether this machine may reach it", "it can't be reached: %v", err)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		d.say(broken, check, "set GROQ_API_KEY_FALLBACK to a key that is valid", "it refuses the key (%d)", status)
	case status != http.StatusOK:
		d.say(uneasy, check, "check GROQ_BASE_URL", "it answers %d when asked for its models", status)
	default:
		d.say(fine, check, "", "accepts the key")
	}
}

func groqStatus(ctx context.Context, c inference.Config) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(c.GroqBaseURL, "/")+"/models", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+c.GroqKey)
	// A redirect would take the key elsewhere.
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask for the models: %w", err)
	}
	return response.StatusCode, response.Body.Close()
}
