package api

import (
	"bytes"
	"cmp"
	"embed"
	"html/template"
	"maps"
	"net/http"
	"slices"
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
	Takes   string // name of the schema of the body
	Answers []docsAnswer
}

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
	if s.Nullable {
		name += " or null"
	}
	return name
}
