package inference

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/localstack/faults"
)

const lead = `{"type":"object","properties":{"summary":{"type":"string","maxLength":20},
	"score":{"type":"integer","minimum":0,"maximum":10}},"required":["summary","score"],"additionalProperties":false}`

func leadScore() Prompt {
	p := score()
	p.Schema = json.RawMessage(lead)
	return p
}

func TestSchemaIsObeyed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, provider := range []string{Ollama, Groq} {
		if provider == Groq {
			r.ollama.Next(faults.Status(500, ""))
		}
		r.heard.text.Reset()
		a := r.mustAnswer(t, leadScore(), provider)
		var got struct {
			Summary string
			Score   *int
		}
		if err := json.Unmarshal(a.JSON, &got); err != nil || got.Score == nil || *got.Score > 10 || len(got.Summary) > 20 {
			t.Errorf("%s: %s, %v", provider, a.JSON, err)
		}
		if string(a.JSON) != a.Text {
			t.Errorf("%s: JSON %s, text %s", provider, a.JSON, a.Text)
		}
	}
	format := r.groq.Requests()[0].Body["response_format"].(map[string]any)
	form, _ := json.Marshal(format["json_schema"])
	if format["type"] != "json_schema" || !strings.Contains(string(form), `"strict":true`) {
		t.Errorf("format %v, want strict", format)
	}
}

func TestLooseSchemaStandsInTheMessages(t *testing.T) {
	t.Parallel()
	for schema, format := range map[string]any{
		`{"type":"object","properties":{"score":{"type":"integer"}}}`: map[string]any{"type": "json_object"},
		`{"type":"array","items":{"type":"integer"}}`:                 nil,
	} {
		r := newRig(t, func(c *Config) { c.OllamaEnabled = false })
		r.groq.Next(faults.GroqSays(map[bool]string{true: "{}", false: "[1]"}[format != nil], "stop"))
		p := score()
		p.Schema = json.RawMessage(schema)
		r.mustAnswer(t, p, Groq)
		body := r.groq.Requests()[0].Body
		got, _ := json.Marshal(body["response_format"])
		want, _ := json.Marshal(format)
		first := body["messages"].([]any)[0].(map[string]any)
		if string(got) != string(want) || first["role"] != "system" || !strings.Contains(first["content"].(string), schema) {
			t.Errorf("format %s, want %s; message %v", got, want, first)
		}
	}
}

func TestInvalidSchemas(t *testing.T) {
	t.Parallel()
	visited := make(chan string, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { visited <- r.URL.Path }))
	defer elsewhere.Close()
	r := newRig(t, nil)
	for _, tc := range []struct{ name, schema, pointer, detail string }{
		{"no JSON", `{"type":`, "", "it is not JSON"},
		{"a type that is none", `{"type":"object","properties":{"a/b":{"type":"strin"}}}`, "/properties/a~1b/type", "/properties/a~1b/type breaks the rule"},
		{"elsewhere", `{"$ref":"` + elsewhere.URL + `/schema.json"}`, "", "references to other documents are not followed"},
		{"a file", `{"$ref":"file:///etc/passwd"}`, "", "references to other documents are not followed"},
		{"another draft", `{"$schema":"` + elsewhere.URL + `/draft"}`, "", "references to other documents are not followed"},
		{"a dangling reference", `{"$ref":"#/$defs/none"}`, "", "can't be resolved"},
		{"a regular expression that is none", `{"pattern":"("}`, "/pattern", "breaks the rule"},
		{"a number", `7`, "", "invalid schema"},
	} {
		p := score()
		p.Schema = json.RawMessage(tc.schema)
		e := r.mustFail(t, p)
		if early := CheckSchema(p.Schema); early == nil || early.Error() != e.Error() {
			t.Errorf("%s: the check before says %v, the call %v", tc.name, early, e)
		}
		if !e.Permanent() || e.Class != Request || e.Pointer != tc.pointer || !strings.Contains(e.Detail, tc.detail) {
			t.Errorf("%s: %+v, want %q at %q", tc.name, e, tc.detail, tc.pointer)
		}
	}
	if len(r.ollama.Requests()) != 0 {
		t.Error("a prompt with an invalid schema was sent")
	}
	select {
	case path := <-visited:
		t.Errorf("%s was fetched for a client's schema", path)
	default:
	}
}

func TestSchemaWithReferencesInside(t *testing.T) {
	t.Parallel()
	if err := CheckSchema(json.RawMessage(lead)); err != nil {
		t.Error(err)
	}
	s, bad := compileSchema(json.RawMessage(`{"type":"object","properties":{"a":{"$ref":"#/$defs/n"}},
		"required":["a"],"additionalProperties":false,"$defs":{"n":{"type":"integer"}}}`))
	if bad != nil {
		t.Fatal(bad)
	}
	if !s.strict {
		t.Error("the schema counts as loose")
	}
	if _, _, why := s.read(`{"a":"x"}`); why == nil || !strings.Contains(breach(why), `"type"`) {
		t.Errorf("read: %v, want the rule that was broken", why)
	}
}

func TestStrictSchemas(t *testing.T) {
	t.Parallel()
	for schema, strict := range map[string]bool{
		lead: true,
		`{"type":"object","properties":{"a":{"type":"integer"}},"required":[],"additionalProperties":false}`:               false,
		`{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}`:                                         false,
		`{"type":"object","properties":{"a":{"type":"object"}},"required":["a"],"additionalProperties":false}`:             false,
		`{"type":"object","properties":{"a":{"oneOf":[{"type":"null"}]}},"required":["a"],"additionalProperties":false}`:   false,
		`{"type":"object","properties":{"a":{"anyOf":[{"type":"null"}]}},"required":["a"],"additionalProperties":false}`:   true,
		`{"type":"object","properties":{"a":{"type":"array","items":true}},"required":["a"],"additionalProperties":false}`: false,
		`{"type":"array","items":{"type":"integer"}}`:                                                                      false,
		`true`: false,
	} {
		s, bad := compileSchema(json.RawMessage(schema))
		if bad != nil {
			t.Fatal(bad)
		}
		if s.strict != strict {
			t.Errorf("%s: strict %v, want %v", schema, s.strict, strict)
		}
	}
}

func TestAnswerIsRepaired(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Next(faults.OllamaSays("Sure:\n```json\n{\"summary\":\"ok\",\"score\":7,}\n```", "stop"))
	a := r.mustAnswer(t, leadScore(), Ollama)
	if want := `{"summary":"ok","score":7}`; a.Text != want || string(a.JSON) != want || len(a.Attempts) != 1 {
		t.Errorf("answer %+v", a)
	}
	if got := strings.Join(r.heard.events, ", "); got != "provider ollama , reset ollama repaired" {
		t.Errorf("heard %q", got)
	}
}

func TestAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Next(faults.OllamaSays(`{"summary":"ok","score":70}`, "stop"))
	a := r.mustAnswer(t, leadScore(), Ollama)
	if got := outcomes(a.Attempts); got != "ollama:schema_invalid ollama:ok" || a.FallbackReason != "" {
		t.Errorf("attempts %q, fallback %q", got, a.FallbackReason)
	}
	messages := r.ollama.Requests()[1].Body["messages"].([]any)
	last := messages[len(messages)-1].(map[string]any)
	if len(messages) != 3 || !strings.Contains(last["content"].(string), "maximum") {
		t.Errorf("messages %v, want the answer and what is wrong with it", messages)
	}
	if r.heard.events[1] != "reset ollama schema_invalid" {
		t.Errorf("heard %q", r.heard.events)
	}
}

func TestOtherProviderIsAskedForTheSchema(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	bad := faults.OllamaSays("I can't say.", "stop")
	r.ollama.Next(bad, bad)
	a := r.mustAnswer(t, leadScore(), Groq)
	if got := outcomes(a.Attempts); got != "ollama:schema_invalid ollama:schema_invalid groq:ok" || a.FallbackReason != SchemaInvalid {
		t.Errorf("attempts %q, fallback %q", got, a.FallbackReason)
	}
	if n := len(r.groq.Requests()[0].Body["messages"].([]any)); n != 1 {
		t.Errorf("Groq got %d messages, want the prompt alone", n)
	}
}

func TestSchemaInvalidKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Every(faults.OllamaSays("hunter2", "stop"))
	r.groq.Every(faults.GroqSays(`{"summary":"hunter2","score":"hunter2","hunter2":1}`, "stop"))
	e := r.mustFail(t, leadScore())
	if !e.Permanent() || e.Class != SchemaInvalid || !strings.HasPrefix(e.Partial, `{"summary"`) {
		t.Errorf("%+v, want schema_invalid with the answer", e)
	}
	if got := outcomes(e.Attempts); got != "ollama:schema_invalid ollama:schema_invalid groq:schema_invalid" {
		t.Errorf("attempts %q", got)
	}
	if e.Attempts[2].CostNanoUSD == 0 || e.Attempts[2].ShadowNanoUSD != 0 {
		t.Errorf("attempt %+v, want a cost that saved nothing", e.Attempts[2])
	}
	public := e.Error() + r.log.String()
	for _, a := range e.Attempts {
		public += a.Detail
	}
	if strings.Contains(public, "hunter2") {
		t.Errorf("%q tells the answer", public)
	}
	if s := r.board.get(Ollama, "mistral:7b").status(); s.State != stateClosed {
		t.Errorf("state %s, want quality not to count", s.State)
	}
}

func TestGroqFailsTheSchemaItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled = false })
	failed := faults.GroqStatus(400, "json_validate_failed", "")
	r.groq.Next(failed)
	if a := r.mustAnswer(t, leadScore(), Groq); outcomes(a.Attempts) != "groq:schema_invalid groq:ok" {
		t.Errorf("attempts %q", outcomes(a.Attempts))
	}
	r.groq.Next(failed, failed)
	if e := r.mustFail(t, leadScore()); e.Class != SchemaInvalid || !e.Permanent() {
		t.Errorf("%+v, want schema_invalid", e)
	}
}

func TestServerWithoutStrictSchemas(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.OllamaEnabled = false })
	r.groq.Next(faults.GroqStatus(400, "", "reasoning_effort is not supported"), faults.GroqStatus(400, "", "response_format json_schema is not supported"),
		faults.GroqSays(`{"summary":"ok","score":1}`, "stop"))
	a := r.mustAnswer(t, leadScore(), Groq)
	if got := outcomes(a.Attempts); got != "groq:unsupported groq:unsupported groq:ok" {
		t.Errorf("attempts %q", got)
	}
	if format := r.groq.Requests()[2].Body["response_format"].(map[string]any); format["type"] != "json_object" {
		t.Errorf("format %v, want json_object", format)
	}
}

func TestLengthThatWasAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	p := score()
	p.MaxTokens = 2
	a := r.mustAnswer(t, p, Ollama)
	if a.Text == "" || a.CompletionTokens != 2 || outcomes(a.Attempts) != "ollama:length" || a.Attempts[0].ShadowNanoUSD == 0 {
		t.Errorf("answer %+v", a)
	}
}

func TestLengthThatWasNotAskedFor(t *testing.T) {
	t.Parallel()
	cut := func(p Prompt, key, attempts string, next ...faults.Fault) (*rig, *Error) {
		r := newRig(t, func(c *Config) { c.GroqKey = key })
		r.ollama.Next(next...)
		r.groq.Every(faults.GroqSays("half", "length"))
		e := r.mustFail(t, p)
		if e.Class != Length || !e.Permanent() || e.Partial == "" || outcomes(e.Attempts) != attempts {
			t.Errorf("%+v, want length after %s", e, attempts)
		}
		return r, e
	}
	// Our own limit: the other provider has twice the room.
	r, _ := cut(score(), "gsk_secret", "ollama:length groq:length", faults.OllamaSays("half", "length"))
	if got := r.groq.Requests()[0].Body["max_completion_tokens"]; got != float64(2*DefaultMaxTokens+reasoningRoom) {
		t.Errorf("Groq's limit %v", got)
	}
	// The client's limit, and half a document.
	p := leadScore()
	p.MaxTokens = 3
	r, _ = cut(p, "gsk_secret", "ollama:length groq:length")
	if got := r.groq.Requests()[0].Body["max_completion_tokens"]; got != float64(3+reasoningRoom) {
		t.Errorf("Groq's limit %v, want the client's", got)
	}
	// The model's window is smaller than the client's limit.
	p = score()
	p.MaxTokens = 500
	cut(p, "", "ollama:length", faults.OllamaSays("half", "length"))
}

func TestLengthWithoutASecondProvider(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.GroqKey = "" })
	line := `{"message":{"content":"half"},"done":true,"done_reason":"length","eval_count":1024}` + "\n"
	r.ollama.Next(faults.Status(200, line))
	a := r.mustAnswer(t, score(), Ollama)
	if got := outcomes(a.Attempts); got != "ollama:length ollama:ok" {
		t.Errorf("attempts %q, want one more with twice the room", got)
	}
	if options := r.ollama.Requests()[1].Body["options"].(map[string]any); options["num_predict"] != float64(2*DefaultMaxTokens) {
		t.Errorf("options %v", options)
	}
}

// TestSchemaInvalidIsNotWaitedFor: an answer is there, though not a valid one.
func TestSchemaInvalidIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.ollama.Every(faults.OllamaSays("no", "stop"))
	r.groq.Every(faults.Reset)
	if e := r.mustFail(t, leadScore()); e.Class != SchemaInvalid || !e.Permanent() || e.Partial != "no" {
		t.Errorf("%+v, want schema_invalid", e)
	}
}
