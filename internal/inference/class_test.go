package inference

import "testing"

// What may be answered by other models is of another class; what is asked for in other words is not.
func TestClass(t *testing.T) {
	t.Parallel()
	class := func(model string, change ...func(*Config)) string {
		cfg := Config{OllamaEnabled: true, GroqKey: "gsk_secret"}
		for _, f := range change {
			f(&cfg)
		}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c.Class(Prompt{Model: model, Mode: Relaxed, LocalOnly: true})
	}
	fast := class("")
	for _, same := range []string{"fast", "mistral:7b"} {
		if got := class(same); got != fast {
			t.Errorf("%q is of class %q, want %q", same, got, fast)
		}
	}
	if got := class("", func(c *Config) { c.OllamaModels.Large, c.OllamaURL = "another", "http://other" }); got != fast {
		t.Errorf("another large model, and another host, change fast to %q", got)
	}
	seen := map[string]string{fast: "fast"}
	for what, got := range map[string]string{
		"large":                        class("large"),
		"a name":                       class("tiny"),
		"a name of Groq's":             class("openai/gpt-oss-120b"),
		"another fast model":           class("", func(c *Config) { c.OllamaModels.Fast = "another" }),
		"another fast model at Groq":   class("", func(c *Config) { c.GroqModels.Fast = "another" }),
		"without Ollama":               class("", func(c *Config) { c.OllamaEnabled = false }),
		"without Groq":                 class("", func(c *Config) { c.GroqKey = "" }),
		"without Groq, large":          class("large", func(c *Config) { c.GroqKey = "" }),
		"with neither, but that works": class("", func(c *Config) { c.OllamaEnabled, c.GroqKey = false, "" }),
	} {
		if other, taken := seen[got]; taken {
			t.Errorf("%s is of the class of %s, %q", what, other, got)
		}
		seen[got] = what
	}
}
