package inference

import (
	"encoding/json"
	"testing"

	"github.com/payaid/payaid/internal/localstack/faults"
)

func TestKeepable(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]bool{
		`{"a":"b"}`: true, `"\u00e9\n\\u0000"`: true, `"\ud83d\ude4f"`: true, `1e300`: true, `"\\\\"`: true, `"\""`: true,
		`"\u0000"`: false, `{"\u0000":1}`: false, `"\\\u0000"`: false, `"\ud83d"`: false, `"\ude4f"`: false, `"\ud83d\u0041"`: false,
		`"\ud83dabcdef"`: false, `1e400`: false, `[{"a":-1e99999}]`: false,
	} {
		if got := keepable(json.RawMessage(doc)) == nil; got != want || !json.Valid([]byte(doc)) {
			t.Errorf("%s: %t, want %t", doc, got, want)
		}
	}
}

// What no database takes is neither told to who follows nor delivered.
func TestWhatNoDatabaseTakes(t *testing.T) {
	t.Parallel()
	local, remote := newRig(t, nil), newRig(t, func(c *Config) { c.OllamaEnabled = false })
	local.ollama.Next(faults.OllamaSays("a\x00b", "stop"))
	remote.groq.Next(faults.GroqSays("a\x00b", "stop"))
	for provider, r := range map[string]*rig{Ollama: local, Groq: remote} {
		if a := r.mustAnswer(t, score(), provider); a.Text != "a\uFFFDb" {
			t.Errorf("the answer of %s is %q", provider, a.Text)
		}
	}
	r := newRig(t, nil)
	p := score()
	p.Schema = json.RawMessage(`{"type":"object"}`)
	r.ollama.Next(faults.OllamaSays(`{"n":"a\u0000b"}`, "stop"), faults.OllamaSays(`{"n":1e99999}`, "stop"))
	r.groq.Next(faults.GroqSays(`{"n":"\ud800"}`, "stop"))
	if e := r.mustFail(t, p); e.Class != SchemaInvalid || !e.Permanent() {
		t.Errorf("%+v", e)
	}
}
