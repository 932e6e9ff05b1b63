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

	"github.com/payaid/payaid/internal/letter"
)

//go:embed docs/page.html docs/style.css
var docsFiles embed.FS

// docsPage is what the template shows.
type docsPage struct {
	Title, Version, Description string
	Resources                   []docsResource
	Kinds                       []docsKind
	Outputs                     []docsShape // that several kinds share
	StreamEvents                []streamEvent
	Functions                   []letter.Function // of templates of mails
	Letters                     []docsLetter
	Schemas                     []docsSchema
	Problems                    []docsProblem
	Events                      []docsEvent
	WebhookHeaders              []webhookHeader
	WebhookAnswers              []webhookAnswer
}

// docsLetter is a template of mails of the product's own, with an example of its data.
type docsLetter struct {
	Name, Meaning, Sample string
	Optional              []string
}

func docsLetters() (list []docsLetter) {
	for _, name := range letter.StandardNames() {
		list = append(list, docsLetter{name, letter.Meaning(name), string(letter.Sample(name)), letter.Optional(name)})
	}
	return list
}

type docsResource struct {
	Name, Anchor string
	Operations   []docsOperation
}

type docsOperation struct {
	*huma.Operation
	Sentence string
	Asks     []docsParam
	Takes    string // name of the schema of the body
	Answers  []docsAnswer
}

type docsParam struct {
	Name, In, Description string
	Type                  docsType
}

// docsType is a type in words, of which one may name a shape.
type docsType struct{ Before, Shape, After string }

type docsAnswer struct{ Status, Description, Schema string }

type docsSchema struct {
	Name   string
	Fields []docsField
}

type docsField struct {
	Name, Description string
	Type              docsType
	Required          bool
}

type docsProblem struct {
	Code, Meaning string
	Status        int
	Job           bool // the error of a job alone
}

// renderDocs renders the OpenAPI document as a page that needs neither script nor a style of its own.
func renderDocs(doc *huma.OpenAPI, routes []route, kinds []Kind) ([]byte, error) {
	t, err := template.ParseFS(docsFiles, "docs/page.html")
	if err != nil {
		return nil, err
	}
	p := docsPage{Title: doc.Info.Title, Version: doc.Info.Version, Description: doc.Info.Description,
		Resources: docsResourcesOf(doc, routes), StreamEvents: streamEvents, Events: docsEventsOf(doc),
		WebhookHeaders: webhookHeaders, WebhookAnswers: webhookAnswers,
		Functions: letter.Functions(), Letters: docsLetters()}
	if p.Kinds, p.Outputs, err = docsKindsOf(kinds); err != nil {
		return nil, err
	}
	schemas := doc.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		if schemas[name].Extensions == nil { // else it is a kind's output, which is shown with the kind
			p.Schemas = append(p.Schemas, docsSchemaOf(name, schemas[name]))
		}
	}
	p.Problems = docsProblemsOf(kinds)
	var b bytes.Buffer
	err = t.Execute(&b, p)
	return b.Bytes(), err
}

// docsProblemsOf lists what requests are refused for and what jobs fail with; what is both is one.
func docsProblemsOf(kinds []Kind) (list []docsProblem) {
	all := map[string]docsProblem{}
	for _, k := range kinds {
		for _, c := range k.Codes {
			all[c.Name] = docsProblem{Code: c.Name, Meaning: c.Meaning, Status: c.Status, Job: true}
		}
	}
	for name, c := range codes {
		p := docsProblem{Code: name, Meaning: c.meaning, Status: c.status}
		if of := all[name]; of.Job {
			p.Meaning += fmt.Sprintf(" As the error of a job (%d): %s", of.Status, of.Meaning)
		}
		all[name] = p
	}
	list = slices.Collect(maps.Values(all))
	slices.SortFunc(list, func(a, b docsProblem) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), strings.Compare(a.Code, b.Code))
	})
	return list
}

// docsResourcesOf groups the operations, in the order of the routes.
func docsResourcesOf(doc *huma.OpenAPI, routes []route) (list []docsResource) {
	for _, tag := range doc.Tags {
		r := docsResource{Name: tag.Name, Anchor: "about-" + strings.ReplaceAll(strings.ToLower(tag.Name), " ", "-")}
		for _, rt := range routes {
			if resourceOf(rt.path) == tag.Name {
				r.Operations = append(r.Operations, docsOperationOf(operationOf(doc.Paths[rt.path], rt.method)))
			}
		}
		list = append(list, r)
	}
	return list
}

func docsOperationOf(op *huma.Operation) docsOperation {
	d := docsOperation{Operation: op, Sentence: op.Summary}
	if !strings.HasSuffix(op.Summary, "?") {
		d.Sentence += "."
	}
	for _, p := range op.Parameters {
		d.Asks = append(d.Asks, docsParam{Name: p.Name, In: p.In, Description: p.Description, Type: typeOf(p.Schema)})
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
		d.Fields = append(d.Fields, docsField{Name: field, Type: typeOf(f), Description: f.Description,
			Required: slices.Contains(s.Required, field)})
	}
	return d
}

func typeOf(s *huma.Schema) docsType {
	switch {
	case s.Ref != "":
		return docsType{Shape: s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]}
	case s.Type == huma.TypeArray && s.Items != nil:
		t := typeOf(s.Items)
		t.Before = "list of " + t.Before
		if s.Nullable {
			t.After += " or null"
		}
		t.After += limits(s)
		return t
	case s.Type == "":
		return docsType{Before: "any"}
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
	return docsType{Before: name + limits(s)}
}

func oneOf(values []any) string {
	var names []string
	for _, v := range values {
		if v != nil { // which is said after them
			names = append(names, fmt.Sprint(v))
		}
	}
	if len(names) == 1 {
		return names[0]
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
	case what != "" && most == nil && least != nil && *least == 1:
		b.WriteString(", not empty")
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
