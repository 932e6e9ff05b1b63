package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/payaid/payaid/internal/inference"
)

// aiBackoff is for what went wrong on our side; a model that is away is waited for, not tried again.
var aiBackoff = exponential(2*time.Second, 45*time.Second)

// A relaxed answer of a model on a CPU takes minutes, and it may be asked for twice when its JSON is
// invalid.
const aiTimeout = 15 * time.Minute

const (
	maxPromptBytes = 512 << 10
	maxSchemaBytes = 64 << 10
	maxTokensLimit = 32768
)

// promptOptions are the fields that all free-form kinds share.
type promptOptions struct {
	Model       string          `json:"model"`
	Mode        string          `json:"mode"`
	MaxTokens   *int            `json:"max_tokens"`
	Temperature *float64        `json:"temperature"`
	Schema      json.RawMessage `json:"schema"`
	Cache       string          `json:"cache"`
}

func (o promptOptions) faults() []Fault {
	var faults []Fault
	fault := func(pointer, format string, args ...any) {
		faults = append(faults, Fault{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	if why := inference.CheckModel(o.Model); why != "" {
		fault("/model", "%s", why)
	}
	switch inference.Mode(o.Mode) {
	case "", inference.Interactive, inference.Relaxed:
	default:
		fault("/mode", "must be interactive or relaxed")
	}
	if o.MaxTokens != nil && (*o.MaxTokens < 1 || *o.MaxTokens > maxTokensLimit) {
		fault("/max_tokens", "must be from 1 to %d", maxTokensLimit)
	}
	if o.Temperature != nil && (*o.Temperature < 0 || *o.Temperature > 2) {
		fault("/temperature", "must be from 0 to 2")
	}
	if o.Cache != "" && o.Cache != noStore {
		fault("/cache", "must be no-store")
	}
	return append(faults, schemaFaults(o.Schema)...)
}

func schemaFaults(schema json.RawMessage) []Fault {
	switch {
	case len(schema) == 0 || string(schema) == "null":
		return nil
	case len(schema) > maxSchemaBytes:
		return []Fault{{Pointer: "/schema", Detail: fmt.Sprintf("must have at most %d bytes", maxSchemaBytes)}}
	case schema[0] != '{':
		return []Fault{{Pointer: "/schema", Detail: "must be an object"}}
	}
	var invalid *inference.Error
	if err := inference.CheckSchema(schema); errors.As(err, &invalid) {
		return []Fault{{Pointer: "/schema" + invalid.Pointer, Detail: invalid.Detail}}
	}
	return nil
}

// question asks what the client wrote, as it wrote it.
func (o promptOptions) question(messages []inference.Message) question {
	return question{prompt: o.prompt(messages), noStore: o.Cache == noStore, keep: keepFreeForm}
}

func (o promptOptions) prompt(messages []inference.Message) inference.Prompt {
	p := inference.Prompt{Messages: messages, Model: o.Model, Mode: inference.Mode(o.Mode), Temperature: o.Temperature}
	if o.MaxTokens != nil {
		p.MaxTokens = *o.MaxTokens
	}
	if len(o.Schema) > 0 && string(o.Schema) != "null" {
		p.Schema = o.Schema
	}
	return p
}
