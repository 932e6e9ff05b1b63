package events

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The document describes exactly the messages that are frozen under testdata.
func TestAsyncAPIDescribesTheSamples(t *testing.T) {
	t.Parallel()
	raw, err := AsyncAPI("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	doc := parsed.(map[string]any)
	if doc["asyncapi"] != "3.0.0" || doc["info"].(map[string]any)["version"] != "1.2.3" {
		t.Errorf("asyncapi %v, info %v", doc["asyncapi"], doc["info"])
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("asyncapi.json", doc); err != nil {
		t.Fatal(err)
	}
	channels := doc["channels"].(map[string]any)
	if len(channels) != len(facts) || len(doc["operations"].(map[string]any)) != len(facts) {
		t.Errorf("%d channels, %d operations", len(channels), len(doc["operations"].(map[string]any)))
	}
	for _, f := range facts {
		s := readSample(t, f.EventType())
		if channel, _ := channels[f.EventType()].(map[string]any); channel["address"] != s.Subject {
			t.Errorf("%s has the address %v, want %s", f.EventType(), channel["address"], s.Subject)
		}
		headers := map[string]any{}
		for name, value := range s.Headers {
			headers[name] = value
		}
		data, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.Data))
		if err != nil {
			t.Fatal(err)
		}
		for part, value := range map[string]any{"headers": headers, "payload": data} {
			schema, err := c.Compile("asyncapi.json#/components/messages/" + f.EventType() + "/" + part)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s %s: %v", f.EventType(), part, err)
			}
			described := doc["components"].(map[string]any)["messages"].(map[string]any)[f.EventType()].(map[string]any)[part].(map[string]any)["properties"].(map[string]any)
			for name := range value.(map[string]any) {
				if described[name] == nil {
					t.Errorf("%s %s: %s is not described", f.EventType(), part, name)
				}
			}
		}
	}
	for _, k := range Catalogue() {
		message := doc["components"].(map[string]any)["messages"].(map[string]any)[k.Type].(map[string]any)
		if k.Meaning == "" || message["summary"] != k.Meaning {
			t.Errorf("%s: summary %v", k.Type, message["summary"])
		}
	}
}
