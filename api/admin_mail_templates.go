package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/operator"
)

type mailSamplesInput struct{}

type mailSamplesOutput struct{ Body operator.MailTemplates }

// mailSamples lists the product's own templates of mails.
func (s *Server) mailSamples(context.Context, *mailSamplesInput) (*mailSamplesOutput, error) {
	v := operator.MailTemplates{Data: []operator.MailTemplateName{}}
	for _, name := range letter.StandardNames() {
		l, err := letter.Write(name, nil, letter.Sample(name))
		if err != nil {
			return nil, fmt.Errorf("write the example of template %s: %w", name, err)
		}
		v.Data = append(v.Data, operator.MailTemplateName{Name: name, Subject: l.Subject})
	}
	return &mailSamplesOutput{v}, nil
}

type mailSampleInput struct {
	Name string `path:"name" maxLength:"64"`
}

type mailSampleOutput struct{ Body operator.MailSample }

// mailSample fills a template of the product with example data, and sends nothing.
func (s *Server) mailSample(_ context.Context, in *mailSampleInput) (*mailSampleOutput, error) {
	made, ok := letter.Standard(in.Name)
	if !ok {
		return nil, notFound()
	}
	data := letter.Sample(in.Name)
	l, err := made.Render(data)
	if err != nil {
		return nil, fmt.Errorf("write the example of template %s: %w", in.Name, err)
	}
	source := made.Source()
	return &mailSampleOutput{operator.MailSample{Name: in.Name, Subject: l.Subject, Text: unlessBlank(l.Text), HTML: unlessBlank(l.HTML),
		Warnings: l.Warnings(), Data: json.RawMessage(data),
		Source: operator.MailSource{Subject: source.Subject, Text: unlessBlank(source.Text), HTML: unlessBlank(source.HTML)}}}, nil
}
