package events

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

type object = map[string]any

// AsyncAPI renders the catalogue as an AsyncAPI 3.0 document: a channel and a message for each type.
func AsyncAPI(version string) ([]byte, error) {
	channels, operations, messages := object{}, object{}, object{}
	for _, k := range Catalogue() {
		channels[k.Type] = object{
			"address":  Subject(k.Type),
			"messages": object{k.Type: ref("#/components/messages/" + k.Type)},
		}
		operations["publish."+k.Type] = object{
			"action":   "send",
			"channel":  ref("#/channels/" + k.Type),
			"messages": []any{ref("#/channels/" + k.Type + "/messages/" + k.Type)},
		}
		messages[k.Type] = object{
			"name":        k.Type,
			"summary":     k.Meaning,
			"contentType": "application/json",
			"headers":     headerSchema(k.Type),
			"payload":     schema(reflect.TypeOf(k.Fact)),
		}
	}
	return json.Marshal(object{
		"asyncapi": "3.0.0",
		"info": object{
			"title":   "PayAid events",
			"version": version,
			"description": "CloudEvents 1.0 in binary mode on NATS JetStream. Within a version changes are additive: " +
				"ignore fields that you don't know. An event may come more than once; its ce-id stays the same.",
		},
		"defaultContentType": "application/json",
		"channels":           channels,
		"operations":         operations,
		"components":         object{"messages": messages},
	})
}

func ref(to string) object { return object{"$ref": to} }

// headerSchema describes the CloudEvents attributes as Envelope.Headers spells them.
func headerSchema(eventType string) object {
	text := object{"type": "string"}
	id := object{"type": "string", "format": "uuid"}
	return object{
		"type": "object",
		"properties": object{
			headerID:               id,
			headerSource:           object{"const": Source},
			headerType:             object{"const": eventType},
			headerSpecVersion:      object{"const": SpecVersion},
			headerSubject:          object{"type": "string", "description": "id of the aggregate"},
			headerTime:             object{"type": "string", "format": "date-time"},
			headerOrganizationID:   id,
			headerAggregateVersion: object{"type": "string", "pattern": "^[0-9]+$"},
			headerCausationID:      object{"type": "string", "description": "id of the event that led to this one"},
			headerCorrelationID:    object{"type": "string", "description": "id of the request at the head of the chain"},
			headerTraceParent:      text,
			headerContentType:      object{"const": "application/json"},
		},
		"required": []string{headerID, headerSource, headerType, headerSpecVersion, headerSubject, headerTime,
			headerOrganizationID, headerAggregateVersion, headerContentType},
	}
}

// schema gives the JSON Schema of what encoding/json makes of a type.
func schema(t reflect.Type) object {
	if t == reflect.TypeFor[time.Time]() {
		return object{"type": "string", "format": "date-time"}
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return object{"anyOf": []any{schema(t.Elem()), object{"type": "null"}}}
	case reflect.Struct:
		return structSchema(t)
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schema(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Interface:
		return object{}
	}
	return object{"type": "integer"}
}

func structSchema(t reflect.Type) object {
	properties, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		properties[name] = schema(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	return object{"type": "object", "properties": properties, "required": required}
}
