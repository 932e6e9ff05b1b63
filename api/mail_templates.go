package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/store"
)

// MailTemplateView is a template of an organization's as lists have it.
type MailTemplateView struct {
	ID        string    `json:"id" format:"uuid"`
	Name      string    `json:"name" doc:"What mail.send calls it by. One of the name of a template of the product takes its place"`
	Subject   string    `json:"subject"`
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// mailTemplateDetail is a template as it is read by itself and answered by changes.
type mailTemplateDetail struct {
	MailTemplateView
	Text *string `json:"text" doc:"null: made from the HTML"`
	HTML *string `json:"html" doc:"null: the mail is text alone"`
}

func mailTemplateViewOf(t store.MailTemplate) MailTemplateView {
	return MailTemplateView{ID: t.ID, Name: t.Name, Subject: t.Subject, Version: t.Version,
		CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC()}
}

func mailTemplateDetailOf(t store.MailTemplate) mailTemplateDetail {
	v := mailTemplateDetail{MailTemplateView: mailTemplateViewOf(t)}
	if t.Text != "" {
		v.Text = &t.Text
	}
	if t.HTML != "" {
		v.HTML = &t.HTML
	}
	return v
}

type mailTemplatesInput struct {
	PageQuery
	Name string `query:"name" maxLength:"64" doc:"Exactly this one"`
}

type mailTemplatesOutput struct{ Body page[MailTemplateView] }

// listMailTemplates lists an organization's own templates without their texts.
func (s *Server) listMailTemplates(ctx context.Context, in *mailTemplatesInput) (*mailTemplatesOutput, error) {
	before, err := parseCursor(in.Cursor, "mail-templates", in.Name)
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.MailTemplates(ctx, exchangeOf(ctx).caller.OrganizationID, in.Name, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	views := make([]MailTemplateView, len(rows))
	for i, t := range rows {
		views[i] = mailTemplateViewOf(t)
	}
	return &mailTemplatesOutput{pageOf(views, in.Limit, func(v MailTemplateView) string { return v.ID }, "mail-templates", in.Name)}, nil
}

// MailTemplateTexts are what a client may say of a template beside its name and subject. null takes away.
type MailTemplateTexts struct {
	Text optional[string] `json:"text,omitzero" nullable:"true" maxLength:"65536" doc:"Left out or null: made from the HTML"`
	HTML optional[string] `json:"html,omitzero" nullable:"true" maxLength:"65536" doc:"Values are escaped by where they stand. Left out or null: the mail is text alone"`
}

type createMailTemplateInput struct {
	Body struct {
		Name    string `json:"name" pattern:"^[a-z][a-z0-9_]{0,63}$" doc:"Lower-case letters, digits and _, at most 64, a letter first"`
		Subject string `json:"subject" minLength:"1" maxLength:"2000"`
		MailTemplateTexts
	}
}

// createMailTemplate keeps a template that can be rendered.
func (s *Server) createMailTemplate(ctx context.Context, in *createMailTemplateInput) (*created[mailTemplateDetail], error) {
	t := store.MailTemplate{OrganizationID: exchangeOf(ctx).caller.OrganizationID, ID: outbox.NewID()}
	p := mailTemplatePatch{Name: given(&in.Body.Name), Subject: given(&in.Body.Subject), MailTemplateTexts: in.Body.MailTemplateTexts}
	if _, err := p.apply(&t); err != nil {
		return nil, err
	}
	a, err := s.changeOnce(ctx, func(tx pgx.Tx) (answer, []events.Fact, error) {
		made, err := store.CreateMailTemplate(ctx, tx, t)
		if err != nil {
			return answer{}, nil, nameTaken(err, t.Name)
		}
		body, err := encode(mailTemplateDetailOf(made))
		return answer{status: http.StatusCreated, body: body,
			headers: answerHeaders{Location: "/api/mail/templates/" + made.ID, ETag: versionTag(made.Version)}}, nil, err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[mailTemplateDetail](a), nil
}

func nameTaken(err error, name string) error {
	if !errors.Is(err, store.ErrNameTaken) {
		return err
	}
	refused := refuse("name_taken", "there is a template of that name; change or delete that one")
	refused.Faults = []Fault{{"/name", name + " is there already"}}
	return refused
}

type mailTemplateInput struct {
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}

func (s *Server) getMailTemplate(ctx context.Context, in *mailTemplateInput) (*versioned[mailTemplateDetail], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	t, err := s.DB.MailTemplate(ctx, exchangeOf(ctx).caller.OrganizationID, id)
	if err != nil {
		return nil, err
	}
	return versionedOf(versionTag(t.Version), mailTemplateDetailOf(t)).unless(in.IfNoneMatch), nil
}

type patchMailTemplateInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag that the change is meant for"`
	Body    mailTemplatePatch
}

// mailTemplatePatch is a JSON merge patch (RFC 7396): what is left out stays, null takes away.
type mailTemplatePatch struct {
	Name    optional[string] `json:"name,omitzero" pattern:"^[a-z][a-z0-9_]{0,63}$" doc:"Lower-case letters, digits and _, at most 64, a letter first"`
	Subject optional[string] `json:"subject,omitzero" minLength:"1" maxLength:"2000"`
	MailTemplateTexts
}

// apply changes t, tells whether it is different now, and refuses what can't be rendered.
func (p mailTemplatePatch) apply(t *store.MailTemplate) (changed bool, err error) {
	var m merge
	kept := func(text string) (string, error) { return text, nil }
	m.text("name", &t.Name, p.Name, kept)
	m.text("subject", &t.Subject, p.Subject, kept)
	for _, f := range []struct {
		name  string
		given optional[string]
	}{{"name", p.Name}, {"subject", p.Subject}} {
		if f.given.null {
			m.fault("/"+f.name, "can't be taken away")
		}
	}
	for _, f := range []struct {
		name  string
		field *string
		given optional[string]
	}{{"text", &t.Text, p.Text}, {"html", &t.HTML, p.HTML}} {
		if strings.TrimSpace(f.given.value) == "" || f.given.null {
			f.given.value, f.given.null = "", false
		}
		m.text(f.name, f.field, f.given, kept)
	}
	if len(m.faults) > 0 {
		return false, invalid(m.faults...)
	}
	if len(m.changed) == 0 {
		return false, nil
	}
	if err := letter.Try(letterTemplateOf(*t)); err != nil {
		return false, letterError("", err)
	}
	return true, nil
}

func letterTemplateOf(t store.MailTemplate) letter.Template {
	return letter.Template{Name: t.Name, Subject: t.Subject, Text: t.Text, HTML: t.HTML}
}

// letterError points into a template at the place of its fault, and into data of a letter at theirs.
func letterError(template string, err error) error {
	var ofTemplate *letter.Error
	var ofData *letter.DataError
	var unfit letter.Unfit
	switch {
	case errors.As(err, &ofTemplate):
		return invalid(Fault{template + "/" + ofTemplate.Part, ofTemplate.Where()})
	case errors.As(err, &ofData):
		unfit = letter.Unfit{*ofData}
	case !errors.As(err, &unfit):
		return err
	}
	faults := make([]Fault, len(unfit))
	for i, f := range unfit {
		faults[i] = Fault{"/data" + f.Pointer, f.Detail}
	}
	return invalid(faults...)
}

func (s *Server) patchMailTemplate(ctx context.Context, in *patchMailTemplateInput) (*versioned[mailTemplateDetail], error) {
	var t store.MailTemplate
	err := s.change(ctx, func(tx pgx.Tx) (_ []events.Fact, err error) {
		if t, err = mailTemplateToChange(ctx, tx, in.ID, in.IfMatch); err != nil {
			return nil, err
		}
		changed, err := in.Body.apply(&t)
		if err != nil || !changed {
			return nil, err
		}
		t, err = store.UpdateMailTemplate(ctx, tx, t)
		return nil, nameTaken(err, t.Name)
	})
	if err != nil {
		return nil, err
	}
	return versionedOf(versionTag(t.Version), mailTemplateDetailOf(t)), nil
}

func mailTemplateToChange(ctx context.Context, tx pgx.Tx, text, ifMatch string) (store.MailTemplate, error) {
	id, err := parseID(text)
	if err != nil {
		return store.MailTemplate{}, err
	}
	t, err := store.LockMailTemplate(ctx, tx, exchangeOf(ctx).caller.OrganizationID, id)
	if err != nil {
		return t, err
	}
	return t, checkMatch(ifMatch, t.Version)
}

type deleteMailTemplateInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag of what is to be deleted"`
}

// deleteMailTemplate deletes a template. Mails that were sent by it stay as they are; those that wait fail, unless
// the product has one of the name.
func (s *Server) deleteMailTemplate(ctx context.Context, in *deleteMailTemplateInput) (*struct{}, error) {
	return nil, s.change(ctx, func(tx pgx.Tx) ([]events.Fact, error) {
		t, err := mailTemplateToChange(ctx, tx, in.ID, in.IfMatch)
		if err != nil {
			return nil, err
		}
		return nil, store.DeleteMailTemplate(ctx, tx, t)
	})
}
