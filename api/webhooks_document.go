package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/events"
)

// A webhookHeader is one that deliveries have, for the documents.
type webhookHeader struct{ Name, Meaning string }

var webhookHeaders = []webhookHeader{
	{"webhook-id", "The event's id, the same with every attempt and replay: who has seen it has the event already"},
	{"webhook-timestamp", "When this attempt was made, in seconds since 1970. Refuse what is minutes old, as somebody may have kept it"},
	{"webhook-signature", "v1, and the base64 of the HMAC-SHA256 of id, timestamp and body, joined by full stops; its key is the secret behind whsec_, out of base64. For a time after a rotation there are two, parted by a space: either will do"},
	{"X-PayAid-Event", "The event's type"},
	{"X-Webhook-Signature", "For receivers from before: the HMAC-SHA256 of the body alone in hex, with the whole secret as its key. After a rotation it is the newest secret at once: receivers that must not miss any verify webhook-signature"},
}

// A webhookAnswer is what a receiver's answers of a status mean.
type webhookAnswer struct{ Status, Meaning string }

var webhookAnswers = []webhookAnswer{
	{"2XX", "The event is the receiver's; it isn't sent again"},
	{"410", "The receiver wants nothing more: the endpoint is disabled"},
	{"429", "Not now. Retry-After is heeded, and so with 503"},
	{"default", "The delivery failed, redirects included, and is tried again, ever more seldom, for three days"},
}

const webhookMedia = "application/cloudevents+json"

// documentWebhooks adds what endpoints are sent to the document, an operation for each type of events.
func (s *Server) documentWebhooks(api huma.API) {
	components := s.openAPI.Components
	components.Schemas.Map()["CloudEvent"] = cloudEventSchema()
	components.Parameters = make(map[string]*huma.Param, len(webhookHeaders))
	for _, h := range webhookHeaders {
		components.Parameters[h.Name] = &huma.Param{Name: h.Name, In: "header", Required: true, Description: h.Meaning,
			Schema: &huma.Schema{Type: huma.TypeString}}
	}
	s.openAPI.Webhooks = make(map[string]*huma.PathItem)
	for _, k := range events.Catalogue() {
		if !k.Inside {
			s.openAPI.Webhooks[k.Type] = webhookItem(k.Type, k.Meaning, dataSchema(api, reflect.TypeOf(k.Fact)))
		}
	}
	s.openAPI.Webhooks[webhookTest] = webhookItem(webhookTest, "Somebody asked for a test of the endpoint.",
		dataSchema(api, reflect.TypeFor[testData]()))
}

// dataSchema is the schema of an event's data, to which fields may be added without a new version.
func dataSchema(api huma.API, t reflect.Type) *huma.Schema {
	registry := api.OpenAPI().Components.Schemas
	ref := registry.Schema(t, true, "")
	registry.SchemaFromRef(ref.Ref).AdditionalProperties = nil
	return ref
}

func webhookItem(eventType, meaning string, data *huma.Schema) *huma.PathItem {
	op := deliveryOperation("webhook-"+strings.ReplaceAll(eventType, ".", "-"), strings.TrimSuffix(meaning, "."), data, eventType)
	op.RequestBody.Content[webhookMedia].Example = webhookExample(eventType)
	return &huma.PathItem{Post: op}
}

// deliveryOperation is how receivers are sent events of some types whose data has a shape.
func deliveryOperation(id, summary string, data *huma.Schema, eventTypes ...any) *huma.Operation {
	op := &huma.Operation{
		OperationID: id,
		Method:      http.MethodPost,
		Summary:     summary,
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{webhookMedia: {
			Schema: &huma.Schema{AllOf: []*huma.Schema{{Ref: "#/components/schemas/CloudEvent"}, {
				Type: huma.TypeObject, Required: []string{"type", "data"},
				Properties: map[string]*huma.Schema{"type": {Type: huma.TypeString, Enum: eventTypes}, "data": data},
			}}},
		}}},
		Responses: make(map[string]*huma.Response, len(webhookAnswers)),
		Security:  []map[string][]string{}, // the signature says who sends it
	}
	for _, h := range webhookHeaders {
		op.Parameters = append(op.Parameters, &huma.Param{Ref: "#/components/parameters/" + h.Name})
	}
	for _, a := range webhookAnswers {
		op.Responses[a.Status] = &huma.Response{Description: a.Meaning}
	}
	return op
}

// webhookExample is an event as it is sent, nil where there is no sample of its type.
func webhookExample(eventType string) any {
	e, err := events.Sample(eventType)
	if eventType == webhookTest {
		const id = "01976f5e-7d4a-7666-8d21-0123456789ab"
		e = events.Envelope{ID: "01976f5e-7d4a-7fff-8d21-00000000feed", Type: webhookTest, Subject: id, AggregateVersion: 1,
			Time: time.Date(2027, 1, 31, 9, 29, 59, 0, time.UTC), OrganizationID: "01976f5e-7d4a-7000-8d21-ba9876543210"}
		e.Data, err = encode(testData{id, testMessage})
	}
	var body []byte
	if err == nil {
		body, err = events.Structured(e)
	}
	if err != nil {
		return nil
	}
	return json.RawMessage(body)
}

// cloudEventSchema is what events of all types have in common.
func cloudEventSchema() *huma.Schema {
	text := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: description}
	}
	id := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Format: "uuid", Description: description}
	}
	constant := func(value string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Enum: []any{value}} }
	return &huma.Schema{
		Type:        huma.TypeObject,
		Description: "An event as endpoints of webhooks are sent it: CloudEvents 1.0, structured. Ignore fields that you don't know",
		Properties: map[string]*huma.Schema{
			"specversion":      constant(events.SpecVersion),
			"id":               id("The same as webhook-id"),
			"source":           constant(events.Source),
			"type":             text(""),
			"subject":          text("Id of what it happened to"),
			"time":             {Type: huma.TypeString, Format: "date-time"},
			"datacontenttype":  constant("application/json"),
			"organizationid":   id(""),
			"aggregateversion": {Type: huma.TypeInteger, Description: "Version of what it happened to, after it. Events may come in another order than they happened in; of two about one thing the higher is the newer"},
			"causationid":      text("Id of the event that led to it; left out where there was none"),
			"correlationid":    text("Id of the request that led to it; left out where there was none"),
			"data":             {Type: huma.TypeObject, AdditionalProperties: true},
		},
		Required: []string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "organizationid", "aggregateversion", "data"},
	}
}

// docsEvent is a type of events with the shape of its data, for the docs page.
type docsEvent struct {
	events.Kind
	Shape string // "" for what webhooks aren't told of
}

func docsEventsOf(doc *huma.OpenAPI) (list []docsEvent) {
	for _, k := range events.Catalogue() {
		e := docsEvent{Kind: k}
		if doc.Webhooks[k.Type] != nil {
			e.Shape = fmt.Sprintf("%T", k.Fact)[len("events."):]
		}
		list = append(list, e)
	}
	return list
}
