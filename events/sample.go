package events

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
)

//go:embed testdata/*.json
var samples embed.FS

// Sample gives the frozen sample of a type, whose values are made up and whose ids nobody has. Who documents the type,
// or wants to see whether a consumer understands it, shows that.
func Sample(eventType string) (Envelope, error) {
	if _, known := byType[eventType]; !known {
		return Envelope{}, fmt.Errorf("%w: the type %q is not in the catalogue", ErrNotAnEvent, eventType)
	}
	raw, err := samples.ReadFile("testdata/" + eventType + ".json")
	if err != nil {
		return Envelope{}, fmt.Errorf("read the sample of %s: %w", eventType, err)
	}
	var s struct {
		Headers map[string]string `json:"headers"`
		Data    json.RawMessage   `json:"data"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return Envelope{}, fmt.Errorf("read the sample of %s: %w", eventType, err)
	}
	var data bytes.Buffer
	if err := json.Compact(&data, s.Data); err != nil {
		return Envelope{}, fmt.Errorf("read the sample of %s: %w", eventType, err)
	}
	return ParseHeaders(func(name string) string { return s.Headers[name] }, data.Bytes())
}
