package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// docsKind is a kind of job, with the fields of its input.
type docsKind struct {
	Name, Scope string
	Does        string // what its input's schema says of it
	MaxAttempts int
	Fields      []docsField
}

func docsKindsOf(kinds []Kind) ([]docsKind, error) {
	list := make([]docsKind, 0, len(kinds))
	for _, k := range kinds {
		d := docsKind{Name: k.Name, Scope: k.Scope, MaxAttempts: k.MaxAttempts}
		if len(k.Schema) > 0 {
			var s inputSchema
			if err := json.Unmarshal(k.Schema, &s); err != nil {
				return nil, fmt.Errorf("read the schema of %s: %w", k.Name, err)
			}
			d.Does, d.Fields = s.Description, s.fields("")
		}
		list = append(list, d)
	}
	return list, nil
}

// inputSchema is of JSON Schema what kinds of jobs use. The document's own schemas are huma's, which it reads
// from types alone.
type inputSchema struct {
	Type        any                     `json:"type"` // a name, or a list of them
	Enum        []any                   `json:"enum"`
	Const       any                     `json:"const"`
	Format      string                  `json:"format"`
	Description string                  `json:"description"`
	Default     any                     `json:"default"`
	Minimum     *float64                `json:"minimum"`
	Maximum     *float64                `json:"maximum"`
	MinLength   *int                    `json:"minLength"`
	MaxLength   *int                    `json:"maxLength"`
	MinItems    *int                    `json:"minItems"`
	MaxItems    *int                    `json:"maxItems"`
	Items       *inputSchema            `json:"items"`
	Properties  map[string]*inputSchema `json:"properties"`
	Required    []string                `json:"required"`
}

// fields lists the properties, those that are required first, each before what its entries have.
func (s *inputSchema) fields(within string) (list []docsField) {
	names := append(slices.Clone(s.Required), slices.Sorted(maps.Keys(s.Properties))...)
	for i, name := range names {
		f := s.Properties[name]
		if f == nil || slices.Contains(names[:i], name) {
			continue
		}
		list = append(list, docsField{Name: within + name, Type: typeOf(f.asHuma()), Description: f.Description,
			Required: slices.Contains(s.Required, name)})
		if f.Items != nil {
			list = append(list, f.Items.fields(within+name+"[].")...)
		}
	}
	return list
}

func (s *inputSchema) asHuma() *huma.Schema {
	if s == nil {
		return nil
	}
	h := &huma.Schema{Format: s.Format, Enum: s.Enum, Default: s.Default, Minimum: s.Minimum, Maximum: s.Maximum,
		MinLength: s.MinLength, MaxLength: s.MaxLength, MinItems: s.MinItems, MaxItems: s.MaxItems, Items: s.Items.asHuma()}
	if s.Const != nil {
		h.Enum = []any{s.Const}
	}
	switch t := s.Type.(type) {
	case string:
		h.Type = t
	case []any:
		for _, name := range t {
			if name == "null" {
				h.Nullable = true
			} else {
				h.Type = fmt.Sprint(name)
			}
		}
	case nil:
		if len(h.Enum) > 0 {
			h.Type = huma.TypeString // whatever it is, its values are listed
		}
	}
	return h
}
