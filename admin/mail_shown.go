package admin

import (
	"io"
	"net/http"
	"strings"

	"github.com/payaid/payaid/operator"
)

// framePolicy is for a mail's HTML, which anybody may have written: it is drawn with the styles that it brings, and loads,
// runs, sends and leads nowhere. The sandbox holds for who opens it outside of the frame as well.
const framePolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"

// framed lets a page have frames of this site's own.
func (r *request) framed() {
	r.w.Header().Set("Content-Security-Policy", policy+"; frame-src 'self'")
}

// frame answers with the HTML of a mail and nothing else.
func (r *request) frame(html *string) error {
	if html == nil {
		return r.refuse(http.StatusNotFound, "The mail has no HTML", "It is text alone.")
	}
	h := r.w.Header()
	h.Set("Content-Security-Policy", framePolicy)
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	r.w.WriteHeader(http.StatusOK)
	_, _ = io.Copy(r.w, strings.NewReader(*html)) // who has gone needs no answer
	return nil
}

// mailHTML is a mail's HTML by itself, for the frame of its page. To look at it is noted as well.
func (p *Pages) mailHTML(r *request) error {
	var c operator.MailContent
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/mail/"+r.id()+"/reveal", nil, &c); err != nil {
		return err
	}
	return r.frame(c.HTML)
}

// mailSamples lists the product's own templates.
func (p *Pages) mailSamples(r *request) error {
	var list operator.MailTemplates
	if err := r.client.Get(r.Context(), "/api/admin/mail/templates", nil, &list); err != nil {
		return err
	}
	return r.renderAt(http.StatusOK, "mail_templates", []crumb{{Title: "Mail", Path: "/admin/mail"}, {Title: "Templates"}}, list.Data)
}

// A mailSamplePage is a template filled with example data.
type mailSamplePage struct {
	operator.MailSample
	Frame string
}

// mailSample shows a template filled with example data.
func (p *Pages) mailSample(r *request) error {
	data := mailSamplePage{Frame: "/admin/mail/templates/" + r.id() + "/html"}
	if err := r.client.Get(r.Context(), "/api/admin/mail/templates/"+r.id(), nil, &data.MailSample); err != nil {
		return err
	}
	r.framed()
	return r.renderAt(http.StatusOK, "mail_template",
		[]crumb{{Title: "Mail", Path: "/admin/mail"}, {Title: "Templates", Path: "/admin/mail/templates"}, {Title: data.Name}}, data)
}

// mailSampleHTML is the HTML of a template by itself.
func (p *Pages) mailSampleHTML(r *request) error {
	var v operator.MailSample
	if err := r.client.Get(r.Context(), "/api/admin/mail/templates/"+r.id(), nil, &v); err != nil {
		return err
	}
	return r.frame(v.HTML)
}

// A sinkPage is a part of the mails that were caught.
type sinkPage struct {
	List  []operator.SinkMail
	Pager pager
	None  bool // mail leaves the house
}

// mailSink lists the mails that were caught where none leaves the house.
func (p *Pages) mailSink(r *request) error {
	var list operator.SinkList
	err := r.client.Get(r.Context(), "/api/admin/mail/sink", r.filters(), &list)
	if err != nil && !operator.IsCode(err, "not_found") {
		return err
	}
	return r.renderAt(http.StatusOK, "mail_sink", []crumb{{Title: "Mail", Path: "/admin/mail"}, {Title: "Caught mail"}},
		sinkPage{List: list.Data, Pager: r.pager(list.NextCursor), None: err != nil})
}

// A caughtPage is a mail that was caught, with what it says.
type caughtPage struct {
	ID      string
	Content *operator.MailContent
	Frame   string
}

// caughtMail asks whether to show what a mail says that was caught.
func (p *Pages) caughtMail(r *request) error { return r.showCaught(nil) }

// revealCaught shows what a mail says that was caught, which is noted.
func (p *Pages) revealCaught(r *request) error {
	var c operator.MailContent
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/mail/sink/"+r.id()+"/reveal", nil, &c); err != nil {
		return err
	}
	return r.showCaught(&c)
}

func (r *request) showCaught(c *operator.MailContent) error {
	r.framed()
	return r.renderAt(http.StatusOK, "mail_caught",
		[]crumb{{Title: "Mail", Path: "/admin/mail"}, {Title: "Caught mail", Path: "/admin/mail/sink"}, {Title: r.PathValue("id")}},
		caughtPage{ID: r.PathValue("id"), Content: c, Frame: "/admin/mail/sink/" + r.id() + "/html"})
}

// caughtHTML is the HTML of a mail that was caught by itself.
func (p *Pages) caughtHTML(r *request) error {
	var c operator.MailContent
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/mail/sink/"+r.id()+"/reveal", nil, &c); err != nil {
		return err
	}
	return r.frame(c.HTML)
}
