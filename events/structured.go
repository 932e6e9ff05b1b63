package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// structured is the envelope in the JSON format of CloudEvents 1.0. The order of its fields is the order on the wire.
type structured struct {
	SpecVersion      string          `json:"specversion"`
	ID               string          `json:"id"`
	Source           string          `json:"source"`
	Type             string          `json:"type"`
	Subject          string          `json:"subject"`
	Time             string          `json:"time"`
	DataContentType  string          `json:"datacontenttype"`
	OrganizationID   string          `json:"organizationid"`
	AggregateVersion int64           `json:"aggregateversion"`
	CausationID      string          `json:"causationid,omitempty"`
	CorrelationID    string          `json:"correlationid,omitempty"`
	Data             json.RawMessage `json:"data"`
}

// Structured gives an event whole, as one JSON object (CloudEvents 1.0, structured mode, application/cloudevents+json), for
// those outside. The same event gives the same bytes, which signatures need; traces are nobody's business out there,
// so the trace context is left out. The bytes are UTF-8 without line breaks.
func Structured(e Envelope) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(structured{
		SpecVersion: SpecVersion, ID: e.ID, Source: Source, Type: e.Type, Subject: e.Subject,
		Time: e.Time.UTC().Format(time.RFC3339Nano), DataContentType: "application/json", OrganizationID: e.OrganizationID,
		AggregateVersion: e.AggregateVersion, CausationID: e.CausationID, CorrelationID: e.CorrelationID,
		Data: bytes.ToValidUTF8(e.Data, []byte("\uFFFD")),
	})
	if err != nil {
		return nil, fmt.Errorf("write event %s as a whole: %w", e.ID, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
