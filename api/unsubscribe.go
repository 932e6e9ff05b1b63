package api

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
)

//go:embed pages/unsubscribe.html
var pageFiles embed.FS

var unsubscribeTemplate = template.Must(template.ParseFS(pageFiles, "pages/unsubscribe.html"))

// unsubscribePage is what a reader of a mail sees who followed its link.
type unsubscribePage struct {
	Title, Text string
	Asks        bool // it has the button
}

// pagePolicy is for pages with a form that posts to where it came from.
const pagePolicy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; style-src 'self'"

// showUnsubscribe asks whether to unsubscribe. It changes nothing, whoever asks for it: mail programs, and what looks
// for malware on the way, fetch all links of a mail (RFC 8058, section 1).
func (s *Server) showUnsubscribe(w http.ResponseWriter, r *http.Request) error {
	ref, err := s.unsubscribeTicket(r)
	if err != nil {
		return s.pageOr(w, r, err)
	}
	of, err := s.DB.Subscription(r.Context(), ref.OrganizationID, ref.MessageID, ref.Recipient)
	if err != nil || of.Stream == store.TransactionalStream {
		return s.pageOr(w, r, unsubscribeRefusal(err))
	}
	if of.Ended {
		return s.writePage(w, http.StatusOK, unsubscribed(of))
	}
	return s.writePage(w, http.StatusOK, unsubscribePage{
		Title: "Unsubscribe?", Asks: true,
		Text: fmt.Sprintf("%s sends mails of the kind %q to %s. Shall it stop?", of.OrganizationName, of.Stream, masked(of.Address)),
	})
}

// unsubscribe keeps mails of the stream from the recipient whose ticket it is: at the click in a mail program, whose
// server posts List-Unsubscribe=One-Click, or at the page's button. The ticket says all, so what is posted isn't
// looked at; and whoever has it may act, from whatever site, without a login or a cookie.
func (s *Server) unsubscribe(w http.ResponseWriter, r *http.Request) error {
	ref, err := s.unsubscribeTicket(r)
	if err != nil {
		return s.pageOr(w, r, err)
	}
	ctx := r.Context()
	exchangeOf(ctx).caller.OrganizationID = ref.OrganizationID
	var of store.Subscription
	err = s.change(ctx, func(tx pgx.Tx) (facts []events.Fact, err error) {
		var m *store.Mail
		of, m, err = store.Unsubscribe(ctx, tx, ref.OrganizationID, ref.MessageID, ref.Recipient, outbox.NewID(), outbox.NewID())
		if err != nil || m == nil {
			return nil, err
		}
		return []events.Fact{events.MailUnsubscribed{MessageID: m.ID, Recipient: ref.Recipient, Stream: m.Stream, Version: m.Version}}, nil
	})
	if err != nil || of.Stream == store.TransactionalStream {
		return s.pageOr(w, r, unsubscribeRefusal(err))
	}
	return s.writePage(w, http.StatusOK, unsubscribed(of))
}

func unsubscribed(of store.Subscription) unsubscribePage {
	return unsubscribePage{Title: "You are unsubscribed",
		Text: fmt.Sprintf("%s sends no more mails of the kind %q to %s.", of.OrganizationName, of.Stream, masked(of.Address))}
}

// unsubscribeTicket reads the ticket in the path.
func (s *Server) unsubscribeTicket(r *http.Request) (ticket.Ref, error) {
	if s.Tickets == nil {
		return ticket.Ref{}, refuse("not_found", "nobody can unsubscribe here")
	}
	ref, err := s.Tickets.OfUnsubscribe(r.Context(), r.PathValue("ticket"))
	if errors.Is(err, ticket.ErrForged) {
		return ref, refuse("not_found", "this link is not one of ours, or not all of it was copied")
	}
	return ref, err
}

// unsubscribeRefusal is for a true ticket that leads nowhere; without an error, as nobody can unsubscribe from what
// their own doing brings about.
func unsubscribeRefusal(err error) error {
	switch {
	case err == nil:
		return refuse("not_found", "one can't unsubscribe from mails of this kind")
	case errors.Is(err, store.ErrNotFound):
		return refuse("gone", "the mail is too old: what it said and to whom is no longer kept. Use the link of a newer one")
	}
	return err
}

// masked shows of an address what its owner recognises it by.
func masked(address string) string {
	at := strings.LastIndexByte(address, '@')
	first, size := utf8.DecodeRuneInString(address)
	if at < 1 || size > at {
		return "you"
	}
	return string(first) + "…" + address[at:]
}

// pageOr tells people on a page what was wrong, and programs by a problem.
func (s *Server) pageOr(w http.ResponseWriter, r *http.Request, err error) error {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return err
	}
	p := s.problem(exchangeOf(r.Context()), err)
	for name, value := range p.header {
		w.Header().Set(name, value)
	}
	return s.writePage(w, p.Status, unsubscribePage{Title: p.Title, Text: "You were not unsubscribed: " + p.Detail + "."})
}

func (s *Server) writePage(w http.ResponseWriter, status int, p unsubscribePage) error {
	var b bytes.Buffer
	if err := unsubscribeTemplate.Execute(&b, p); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.WriteHeader(status)
	// A client that has gone away needs no page.
	_, _ = w.Write(b.Bytes())
	return nil
}

func documentUnsubscribe(_ *Server, api huma.API, op *huma.Operation) {
	op.Description = "No key is asked for: the ticket, which stands in the List-Unsubscribe header of a mail, is all that is needed."
	op.Parameters = append(op.Parameters, &huma.Param{Name: "ticket", In: "path", Required: true,
		Description: "Of one recipient of one mail", Schema: &huma.Schema{Type: huma.TypeString}})
	page := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	op.Responses["200"] = &huma.Response{Description: "A page", Content: map[string]*huma.MediaType{"text/html": page}}
	for status, what := range map[string]string{
		"404": "The ticket is not one of ours, or one can't unsubscribe from the mail",
		"410": "The mail is too old to be known",
	} {
		refused := problemResponse(api)
		refused.Description = what
		refused.Content["text/html"] = page // for who accepts it
		op.Responses[status] = refused
	}
}
