package api

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/events"
)

//go:embed docs/page.html docs/style.css
var docsFiles embed.FS

// docsPage is what the template shows.
type docsPage struct {
	Title, Version, Description string
	Operations                  []docsOperation
	Schemas                     []docsSchema
	Problems                    []docsProblem
	Events                      []events.Kind
}

type docsOperation struct {
	*huma.Operation
	Asks    []docsParam
	Takes   string // name of the schema of the body
	Answers []docsAnswer
}

type docsParam struct{ Name, In, Type, Description string }

type docsAnswer struct{ Status, Description, Schema string }

type docsSchema struct {
	Name   string
	Fields []docsField
}

type docsField struct {
	Name, Type, Description string
	Required                bool
}

type docsProblem struct {
	Code, Title, Meaning string
	Status               int
}

// renderDocs renders the OpenAPI document as a page that needs neither script nor a style of its own.
func renderDocs(doc *huma.OpenAPI) ([]byte, error) {
	t, err := template.ParseFS(docsFiles, "docs/page.html")
	if err != nil {
		return nil, err
	}
	p := docsPage{Title: doc.Info.Title, Version: doc.Info.Version, Description: doc.Info.Description,
		Events: events.Catalogue()}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Delete} {
			if op != nil {
				p.Operations = append(p.Operations, docsOperationOf(op))
			}
		}
	}
	schemas := doc.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		p.Schemas = append(p.Schemas, docsSchemaOf(name, schemas[name]))
	}
	for name, c := range codes {
		p.Problems = append(p.Problems, docsProblem{name, c.title, c.meaning, c.status})
	}
	slices.SortFunc(p.Problems, func(a, b docsProblem) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), strings.Compare(a.Code, b.Code))
	})
	var b bytes.Buffer
	err = t.Execute(&b, p)
	return b.Bytes(), err
}

func docsOperationOf(op *huma.Operation) docsOperation {
	d := docsOperation{Operation: op}
	for _, p := range op.Parameters {
		d.Asks = append(d.Asks, docsParam{p.Name, p.In, typeName(p.Schema), p.Description})
	}
	if op.RequestBody != nil {
		d.Takes = schemaName(op.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[status]
		description := r.Description
		if status == "default" {
			description = "A problem"
		}
		d.Answers = append(d.Answers, docsAnswer{status, cmp.Or(description, http.StatusText(op.DefaultStatus)), schemaName(r.Content)})
	}
	return d
}

// schemaName is the name of the schema that a body has, "" for one without.
func schemaName(content map[string]*huma.MediaType) string {
	for _, media := range content {
		s := media.Schema
		if s != nil && len(s.AllOf) > 0 {
			s = s.AllOf[0]
		}
		if s != nil && s.Ref != "" {
			return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		}
	}
	return ""
}

func docsSchemaOf(name string, s *huma.Schema) docsSchema {
	d := docsSchema{Name: name}
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		f := s.Properties[field]
		d.Fields = append(d.Fields, docsField{Name: field, Type: typeName(f), Description: f.Description,
			Required: slices.Contains(s.Required, field)})
	}
	return d
}

func typeName(s *huma.Schema) string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Type == huma.TypeArray && s.Items != nil:
		return "list of " + typeName(s.Items)
	case s.Type == "":
		return "any"
	}
	name := s.Type
	if s.Format != "" {
		name += " (" + s.Format + ")"
	}
	if len(s.Enum) > 0 {
		name = oneOf(s.Enum)
	}
	if s.Nullable {
		name += " or null"
	}
	return name + limits(s)
}

func oneOf(values []any) string {
	var names []string
	for _, v := range values {
		if v != nil { // which is said after them
			names = append(names, fmt.Sprint(v))
		}
	}
	return "one of " + strings.Join(names, ", ")
}

// limits says in words what a value may be.
func limits(s *huma.Schema) string {
	var b strings.Builder
	between(&b, s.MinLength, s.MaxLength, " characters")
	between(&b, s.MinItems, s.MaxItems, " entries")
	between(&b, s.Minimum, s.Maximum, "")
	if s.Default != nil {
		fmt.Fprintf(&b, "; %v if left out", s.Default)
	}
	return b.String()
}

func between[N int | float64](b *strings.Builder, least, most *N, what string) {
	switch {
	case least != nil && most != nil:
		fmt.Fprintf(b, ", %v to %v%s", written(*least), written(*most), what)
	case least != nil:
		fmt.Fprintf(b, ", at least %v%s", written(*least), what)
	case most != nil:
		fmt.Fprintf(b, ", at most %v%s", written(*most), what)
	}
}

// written shows a large number as a person would write it.
func written[N int | float64](n N) string { return strconv.FormatFloat(float64(n), 'f', -1, 64) }
