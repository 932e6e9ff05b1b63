package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/store"
)

type previewMailInput struct {
	Body struct {
		Template previewedTemplate `json:"template"`
		Data     jsonObject        `json:"data,omitempty" nullable:"true" doc:"Left out or null: an example, for templates of the product and those that take their place; for others nothing"`
	}
}

// previewedTemplate is the name of a template, or a template that nobody keeps.
type previewedTemplate json.RawMessage

// UnmarshalJSON implements json.Unmarshaler.
func (p *previewedTemplate) UnmarshalJSON(b []byte) error {
	return (*json.RawMessage)(p).UnmarshalJSON(b)
}

// Schema implements huma.SchemaProvider. It has no type, as it is one of two.
func (previewedTemplate) Schema(huma.Registry) *huma.Schema {
	part := func(doc string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Nullable: true, Description: doc}
	}
	return &huma.Schema{
		Description: "The name of a template, the organization's or the product's, or a template itself: an object with subject, text and html",
		Properties:  map[string]*huma.Schema{"subject": part("Must be given"), "text": part("null: made from the HTML"), "html": part("null: the mail is text alone")},
	}
}

// parse gives the name, or the template of an object.
func (p previewedTemplate) parse() (name string, inline *letter.Template, err error) {
	if json.Unmarshal(p, &name) == nil && name != "" {
		return name, nil, nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(p, &fields) != nil || fields == nil {
		return "", nil, invalid(Fault{"/template", "must be the name of a template, or an object with subject, text and html"})
	}
	inline = &letter.Template{}
	parts := map[string]*string{"subject": &inline.Subject, "text": &inline.Text, "html": &inline.HTML}
	var faults []Fault
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		at := "/template/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(field)
		if part := parts[field]; part == nil {
			faults = append(faults, Fault{at, "is none of subject, text and html"})
		} else if json.Unmarshal(fields[field], part) != nil {
			faults = append(faults, Fault{at, "must be a text or null"})
		}
	}
	if len(faults) > 0 {
		return "", nil, invalid(faults...)
	}
	return "", inline, nil
}

// mailPreview is a letter that nobody gets.
type mailPreview struct {
	Subject  string          `json:"subject"`
	Text     *string         `json:"text" doc:"null: made from the HTML when it is mailed"`
	HTML     *string         `json:"html" doc:"Written by whoever wrote the template. A page that shows it puts it into an iframe with an empty sandbox attribute, and never into itself"`
	Warnings []string        `json:"warnings" doc:"What readers may not see as it is meant; it can be sent all the same"`
	Template previewedSource `json:"template" doc:"What was rendered, to begin a template of one's own from"`
	Data     jsonObject      `json:"data" doc:"What it was rendered with"`
}

type previewedSource struct {
	Subject string  `json:"subject"`
	Text    *string `json:"text"`
	HTML    *string `json:"html"`
}

type previewMailOutput struct{ Body mailPreview }

// previewMail renders a template and sends nothing.
func (s *Server) previewMail(ctx context.Context, in *previewMailInput) (*previewMailOutput, error) {
	name, own, err := in.Body.Template.parse()
	if err != nil {
		return nil, err
	}
	at := ""
	if own != nil {
		at = "/template"
	} else if own, err = s.ownTemplate(ctx, name); err != nil {
		return nil, err
	}
	data := json.RawMessage(in.Body.Data)
	if len(data) == 0 || bytes.Equal(data, []byte("null")) {
		if data = letter.Sample(name); data == nil {
			data = json.RawMessage("{}")
		}
	}
	l, err := letter.Write(name, own, data)
	if errors.Is(err, letter.ErrUnknown) {
		return nil, invalid(Fault{"/template", "there is no such template; the product has " + strings.Join(letter.StandardNames(), ", ")})
	}
	if err != nil {
		return nil, letterError(at, err)
	}
	source := own
	if source == nil {
		made, _ := letter.Standard(name)
		standard := made.Source()
		source = &standard
	}
	return &previewMailOutput{mailPreview{
		Subject: l.Subject, Text: unlessBlank(l.Text), HTML: unlessBlank(l.HTML), Warnings: l.Warnings(), Data: jsonObject(data),
		Template: previewedSource{Subject: source.Subject, Text: unlessBlank(source.Text), HTML: unlessBlank(source.HTML)},
	}}, nil
}

// ownTemplate is the organization's own template of a name, nil where it has none.
func (s *Server) ownTemplate(ctx context.Context, name string) (*letter.Template, error) {
	t, err := s.DB.MailTemplateNamed(ctx, exchangeOf(ctx).caller.OrganizationID, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	own := letterTemplateOf(t)
	return &own, nil
}

func unlessBlank(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
