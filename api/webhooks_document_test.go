package api

import (
	"bytes"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/payaid/payaid/events"
)

// Each type that endpoints are told of is documented, with an example that it allows; what it allows nobody else's is.
func TestWebhooksAreDocumented(t *testing.T) {
	t.Parallel()
	c, err := served()
	if err != nil {
		t.Fatal(err)
	}
	documented := c.doc["webhooks"].(map[string]any)
	types := []string{webhookTest}
	for _, k := range events.Catalogue() {
		if k.Inside {
			if documented[k.Type] != nil {
				t.Errorf("%s is documented, which nobody is told", k.Type)
			}
			continue
		}
		types = append(types, k.Type)
	}
	if len(documented) != len(types) {
		t.Errorf("%d types are documented, of %d", len(documented), len(types))
	}
	examples := make(map[string][]byte)
	for _, name := range types {
		op := documented[name].(map[string]any)["post"].(map[string]any)
		if len(op["parameters"].([]any)) != len(webhookHeaders) || len(op["responses"].(map[string]any)) != len(webhookAnswers) {
			t.Errorf("%s: parameters %v, responses %v", name, op["parameters"], op["responses"])
		}
		body := op["requestBody"].(map[string]any)["content"].(map[string]any)[webhookMedia].(map[string]any)
		if examples[name], err = json.Marshal(body["example"]); err != nil || body["example"] == nil {
			t.Errorf("%s has no example, %v", name, err)
		}
	}
	for name, example := range examples {
		schema, err := c.at("/webhooks/" + name + "/post/requestBody/content/application~1cloudevents+json/schema")
		if err != nil {
			t.Fatal(err)
		}
		sample := bytes.Replace(example, []byte(`"data":{`), []byte(`"data":{"sample":true,`), 1)
		for _, body := range [][]byte{example, sample} {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s: %s: %v", name, body, err)
			}
		}
		other := "invoice.paid"
		if name == other {
			other = "job.completed"
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(examples[other]))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(value) == nil {
			t.Errorf("%s allows %s", name, examples[other])
		}
	}
}

// What tests send is what is documented.
func TestTestsAreAsDocumented(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	hook := g.webhook(t, key, "")
	c, err := served()
	if err != nil {
		t.Fatal(err)
	}
	for name := range c.doc["webhooks"].(map[string]any) {
		d := g.call(t, key, "POST", "/api/webhooks/"+hook.ID+"/test", `{"event_type":"`+name+`"}`).want(202).delivery()
		var detail deliveryDetail
		g.call(t, key, "GET", d.Links.Self, "").want(200).json(&detail)
		schema, err := c.at("/webhooks/" + name + "/post/requestBody/content/application~1cloudevents+json/schema")
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(detail.Event))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %s: %v", name, detail.Event, err)
		}
	}
}

func TestDocsTellOfWebhooks(t *testing.T) {
	t.Parallel()
	s, err := build(Config{Version: "test", Kinds: testKinds()})
	if err != nil {
		t.Fatal(err)
	}
	page := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(string(s.documents.docs), "|"))
	page = regexp.MustCompile(`[|\s]*[|][|\s]*`).ReplaceAllString(page, "|")
	for _, want := range []string{"|webhook-timestamp|When this attempt was made", "|410|The receiver wants nothing more",
		"|any other, or none within 15 seconds|", "|invoice.paid|InvoicePaid|Nothing of an invoice is due any more.|", "|Webhooks|GET|/api/webhooks|"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(string(s.documents.docs), -1) {
		if !bytes.Contains(s.documents.docs, []byte(`id="`+html.UnescapeString(link[1])+`"`)) {
			t.Errorf("a link leads to #%s, which is nowhere", link[1])
		}
	}
}
