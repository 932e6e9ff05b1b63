package inference

import (
	"regexp"
	"slices"
	"time"
)

// ModelPattern is the regular expression of what a prompt may name as its model: what Ollama and Groq allow, or
// nothing. Documents of an API repeat it.
const ModelPattern = `^([A-Za-z0-9][A-Za-z0-9._:/@-]{0,199})?$`

var modelName = regexp.MustCompile(ModelPattern)

// CheckModel says, behind the field's name, what is wrong with the model that a prompt names; "" if nothing is,
// though there may be no such model. Names that no provider can have are refused before anybody is asked.
func CheckModel(name string) string {
	if !modelName.MatchString(name) {
		return "must be fast, large or the name of a model: at most 200 letters, digits and characters of ._:/@-"
	}
	return ""
}

// prepare checks a prompt and decides which models it goes to.
func (c *Chain) prepare(p Prompt, s Sink) (*run, *Error) {
	r := &run{chain: c, prompt: p, sink: s, started: time.Now(), maxTokens: p.MaxTokens}
	if s == nil {
		r.sink = silent{}
	}
	if p.MaxTokens == 0 {
		r.maxTokens = DefaultMaxTokens
	}
	if why := mistake(p); why != "" {
		return nil, &Error{Class: Request, Detail: why, verdict: fail}
	}
	if p.Schema != nil {
		schema, bad := compileSchema(p.Schema)
		if bad != nil {
			return nil, bad
		}
		r.schema = schema
	}
	r.choose()
	return r, nil
}

// mistake says what is wrong with a prompt; "" if nothing is.
func mistake(p Prompt) string {
	text, model := false, CheckModel(p.Model)
	for _, m := range p.Messages {
		if m.Role != "system" && m.Role != "user" && m.Role != "assistant" {
			return "a message's role must be system, user or assistant"
		}
		text = text || m.Content != ""
	}
	switch {
	case !text:
		return "the prompt is empty"
	case model != "":
		return "the model " + model
	case p.Mode != "" && p.Mode != Interactive && p.Mode != Relaxed:
		return "the mode must be interactive or relaxed"
	case p.MaxTokens < 0 || p.MaxTokens > 65536:
		return "max_tokens must be between 1 and 65536"
	case p.Temperature != nil && !(*p.Temperature >= 0 && *p.Temperature <= 2):
		return "the temperature must be between 0 and 2"
	}
	return ""
}

// choose sets the models and the budget of a run.
func (r *run) choose() {
	cfg, name := r.chain.cfg, r.prompt.Model
	tier := Fast
	if slices.Contains([]string{string(Large), cfg.OllamaModels.Large, cfg.GroqModels.Large}, name) {
		tier = Large
	}
	r.local, r.remote, r.budget = cfg.OllamaModels.Fast, cfg.GroqModels.Fast, cfg.FastBudget
	if tier == Large {
		r.local, r.remote, r.budget = cfg.OllamaModels.Large, cfg.GroqModels.Large, cfg.LargeBudget
	}
	r.shadow = cfg.Prices[r.remote]
	if name == "" || name == string(Fast) || name == string(Large) {
		return
	}
	r.named = name != r.local
	r.local = name
	if _, priced := cfg.Prices[name]; priced || name == cfg.GroqModels.Fast || name == cfg.GroqModels.Large {
		r.remote = name
	}
}
