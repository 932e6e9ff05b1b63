package jobs

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/inference"
)

// asked is all that tells questions apart.
type asked struct {
	organization, kind, class string
	question
}

func (a asked) mustKey(t *rapid.T) string {
	key, err := a.key(a.organization, a.kind, a.class)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func drawAsked(t *rapid.T) asked {
	// Short and of few letters, so that parts could be taken for each other.
	word := rapid.StringMatching(`[ab:,"\[\]]{0,3}`)
	message := rapid.Custom(func(t *rapid.T) inference.Message {
		return inference.Message{Role: rapid.SampledFrom([]string{"system", "user"}).Draw(t, "role"), Content: word.Draw(t, "content")}
	})
	a := asked{organization: word.Draw(t, "organization"), kind: word.Draw(t, "kind"), class: word.Draw(t, "class"), question: question{
		template: word.Draw(t, "template"), tags: rapid.SliceOfN(word, 0, 2).Draw(t, "tags"),
		prompt: inference.Prompt{Messages: rapid.SliceOfN(message, 0, 2).Draw(t, "messages"), MaxTokens: rapid.IntRange(0, 2).Draw(t, "max_tokens")},
	}}
	if rapid.Bool().Draw(t, "warm") {
		temperature := rapid.SampledFrom([]float64{0, 0.7, 1}).Draw(t, "temperature")
		a.prompt.Temperature = &temperature
	}
	if rapid.Bool().Draw(t, "shaped") {
		a.prompt.Schema, _ = json.Marshal(map[string]any{"type": "object", "description": word.Draw(t, "description")})
	}
	return a
}

// essence is what two questions with one key have in common, written down in another way than by the key.
func (a asked) essence() string {
	temperature := "none"
	if a.prompt.Temperature != nil {
		temperature = fmt.Sprint(*a.prompt.Temperature)
	}
	return fmt.Sprintf("%q %q %q %q %q %q %d %s %s", a.organization, a.kind, a.class, a.template, a.tags, a.prompt.Messages,
		a.prompt.MaxTokens, temperature, a.prompt.Schema)
}

// Questions have one key exactly when all that an answer depends on is the same.
func TestKeysTellQuestionsApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		one, two := drawAsked(t), drawAsked(t)
		if same := one.mustKey(t) == two.mustKey(t); same != (one.essence() == two.essence()) {
			t.Errorf("one key: %t, for\n%s\n%s", same, one.essence(), two.essence())
		}
	})
}

// Each thing that an answer depends on changes the key, by itself.
func TestEachFieldChangesTheKey(t *testing.T) {
	t.Parallel()
	cool, warm := 0.0, 0.1
	for what, change := range map[string]func(*asked){
		"organization": func(a *asked) { a.organization += "x" },
		"kind":         func(a *asked) { a.kind += "x" },
		"template":     func(a *asked) { a.template += "x" },
		"class":        func(a *asked) { a.class += "x" },
		"tags":         func(a *asked) { a.tags = append(a.tags[:len(a.tags):len(a.tags)], "x") },
		"content":      func(a *asked) { a.prompt.Messages[0].Content += "x" },
		"inner space":  func(a *asked) { a.prompt.Messages[0].Content += " x" },
		"role":         func(a *asked) { a.prompt.Messages[0].Role += "x" },
		"another message": func(a *asked) {
			a.prompt.Messages = append(a.prompt.Messages, inference.Message{Role: "user", Content: "x"})
		},
		"max_tokens":     func(a *asked) { a.prompt.MaxTokens++ },
		"temperature":    func(a *asked) { a.prompt.Temperature = &warm },
		"no temperature": func(a *asked) { a.prompt.Temperature = nil },
		"schema":         func(a *asked) { a.prompt.Schema = json.RawMessage(`{"type":"object","title":"x"}`) },
		"no schema":      func(a *asked) { a.prompt.Schema = nil },
	} {
		rapid.Check(t, func(t *rapid.T) {
			a := drawAsked(t)
			a.prompt.Messages = append([]inference.Message{{Role: "user", Content: "hello"}}, a.prompt.Messages...)
			a.prompt.Temperature, a.prompt.Schema = &cool, json.RawMessage(`{"type":"object"}`)
			before := a.mustKey(t)
			if change(&a); a.mustKey(t) == before {
				t.Errorf("another %s is the same question", what)
			}
		})
	}
}

// What doesn't change an answer doesn't change the key.
func TestWhatIsNoPartOfTheKey(t *testing.T) {
	t.Parallel()
	schema := func(text string) func(*asked) {
		return func(a *asked) { a.prompt.Schema = json.RawMessage(text) }
	}
	for what, change := range map[string]func(*asked){
		"mode":          func(a *asked) { a.prompt.Mode = inference.Relaxed },
		"local_only":    func(a *asked) { a.prompt.LocalOnly = true },
		"order of keys": schema(`{"properties": {"a":{"type":"number","maximum":1.50},"b":{}},` + "\n" + `"type":"object"}`),
		"space at ends": func(a *asked) { a.prompt.Messages[0].Content = "\t " + a.prompt.Messages[0].Content + "\r\n\u00a0" },
		"line ends": func(a *asked) {
			a.prompt.Messages[0].Content = strings.ReplaceAll(a.prompt.Messages[0].Content, "\n", "\r\n")
		},
		"line ends of old": func(a *asked) {
			a.prompt.Messages[0].Content = strings.ReplaceAll(a.prompt.Messages[0].Content, "\n", "\r")
		},
	} {
		rapid.Check(t, func(t *rapid.T) {
			a := drawAsked(t)
			a.prompt.Messages = append([]inference.Message{{Role: "user", Content: "two\nlines"}}, a.prompt.Messages...)
			a.prompt.Schema = json.RawMessage(`{"type":"object","properties":{"b":{},"a":{"maximum":1.50,"type":"number"}}}`)
			before := a.mustKey(t)
			if change(&a); a.mustKey(t) != before {
				t.Errorf("another %s is another question", what)
			}
		})
	}
	// Numbers beyond a float's precision stay apart.
	a, b := question{prompt: inference.Prompt{Schema: json.RawMessage(`{"const":9007199254740993}`)}},
		question{prompt: inference.Prompt{Schema: json.RawMessage(`{"const":9007199254740992}`)}}
	one, err := a.key("o", "k", "c")
	two, other := b.key("o", "k", "c")
	if err != nil || other != nil || one == two {
		t.Errorf("large numbers: %v, %v, %s and %s", err, other, one, two)
	}
}
