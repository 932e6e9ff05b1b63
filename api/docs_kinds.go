package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// docsKind is a kind of job, with the fields of its input and of its output.
type docsKind struct {
	Kind
	Fields, Gives []docsField
	Shape         string // of the output, where it is that of several kinds; Gives is what the kind adds
}

// docsShape is an output of several kinds: what they have in common.
type docsShape struct {
	Name   string
	Fields []docsField
}

// docsKindsOf reads the schemas of the kinds. Outputs with a title are shapes that several kinds share.
func docsKindsOf(kinds []Kind) (list []docsKind, shapes []docsShape, err error) {
	for _, k := range kinds {
		d := docsKind{Kind: k}
		in, err := readSchema(k.Schema)
		if err != nil {
			return nil, nil, fmt.Errorf("read the schema of %s: %w", k.Name, err)
		}
		out, err := readSchema(k.Output)
		if err != nil {
			return nil, nil, fmt.Errorf("read the schema of the output of %s: %w", k.Name, err)
		}
		d.Fields, d.Gives, d.Shape = in.fields(""), out.fields(""), out.Title
		if d.Shape != "" {
			var common []docsField
			common, d.Gives = out.parted()
			if !slices.ContainsFunc(shapes, func(s docsShape) bool { return s.Name == d.Shape }) {
				shapes = append(shapes, docsShape{d.Shape, common})
			}
		}
		list = append(list, d)
	}
	return list, shapes, nil
}

func readSchema(raw json.RawMessage) (s kindSchema, err error) {
	if len(raw) > 0 {
		err = json.Unmarshal(raw, &s)
	}
	return s, err
}

// documentOutputs puts the outputs of the kinds among the document's schemas.
func documentOutputs(kinds []Kind, schemas map[string]*huma.Schema) {
	for _, k := range kinds {
		var given map[string]any
		if json.Unmarshal(k.Output, &given) == nil && given != nil {
			schemas[outputName(k.Name)] = &huma.Schema{Extensions: given}
		}
	}
}

// outputName is OutputOfAiLeadScore for ai.lead_score.
func outputName(kind string) string {
	var b strings.Builder
	b.WriteString("OutputOf")
	for _, word := range strings.FieldsFunc(kind, func(r rune) bool { return r == '.' || r == '_' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// describe is a submitted job of the kind.
func (k Kind) describe(input *huma.Schema) *huma.Schema {
	s := &huma.Schema{
		Title: k.Name, Description: strings.TrimSpace(k.Summary + " " + k.Notes), Type: huma.TypeObject, Extensions: map[string]any{},
		Properties: map[string]*huma.Schema{"kind": {Type: huma.TypeString, Enum: []any{k.Name}}, "input": input},
	}
	if len(k.Output) > 0 {
		s.Extensions["x-output"] = map[string]any{"$ref": "#/components/schemas/" + outputName(k.Name)}
	}
	var names []string
	for _, c := range k.Codes {
		names = append(names, c.Name)
	}
	if names != nil {
		s.Extensions["x-codes"] = names
	}
	return s
}

// kindSchema is of JSON Schema what kinds of jobs use. The document's own schemas are huma's, which it reads
// from types alone.
type kindSchema struct {
	Title       string                 `json:"title"`
	Type        any                    `json:"type"` // a name, or a list of them
	Enum        []any                  `json:"enum"`
	Const       any                    `json:"const"`
	Format      string                 `json:"format"`
	Description string                 `json:"description"`
	Default     any                    `json:"default"`
	Minimum     *float64               `json:"minimum"`
	Maximum     *float64               `json:"maximum"`
	MinLength   *int                   `json:"minLength"`
	MaxLength   *int                   `json:"maxLength"`
	MinItems    *int                   `json:"minItems"`
	MaxItems    *int                   `json:"maxItems"`
	Items       *kindSchema            `json:"items"`
	Properties  map[string]*kindSchema `json:"properties"`
	Required    []string               `json:"required"`
}

// parted lists the fields of a shape, and what a kind puts into the shape's objects.
func (s *kindSchema) parted() (common, own []docsField) {
	for _, f := range s.fields("") {
		if strings.Contains(f.Name, ".") && !strings.Contains(f.Name, "[].") {
			own = append(own, f)
		} else {
			common = append(common, f)
		}
	}
	return common, own
}

// fields lists the properties, those that are required first, each before what its entries have.
func (s *kindSchema) fields(within string) (list []docsField) {
	names := append(slices.Clone(s.Required), slices.Sorted(maps.Keys(s.Properties))...)
	for i, name := range names {
		f := s.Properties[name]
		if f == nil || slices.Contains(names[:i], name) {
			continue
		}
		list = append(list, docsField{Name: within + name, Type: typeOf(f.asHuma()), Description: f.Description,
			Required: slices.Contains(s.Required, name)})
		list = append(list, f.fields(within+name+".")...)
		if f.Items != nil {
			list = append(list, f.Items.fields(within+name+"[].")...)
		}
	}
	return list
}

func (s *kindSchema) asHuma() *huma.Schema {
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
		var names []string
		for _, name := range t {
			if name == "null" {
				h.Nullable = true
			} else {
				names = append(names, fmt.Sprint(name))
			}
		}
		h.Type = strings.Join(names, " or ")
	case nil:
		if len(h.Enum) > 0 {
			h.Type = huma.TypeString // whatever it is, its values are listed
			h.Nullable = slices.Contains(h.Enum, nil)
		}
	}
	return h
}
