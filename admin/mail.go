package admin

import (
	"net/http"
	"net/url"

	"github.com/payaid/payaid/operator"
)

// A mailsPage is a part of the list of mails, what it was narrowed by, and how mail does.
type mailsPage struct {
	Standing operator.MailStanding
	Mails    []operator.Mail
	Pager    pager
	Query    url.Values
	Narrow   bool
	States   []string
}

var mailStates = []string{"queued", "sending", "accepted", "deferred", "failed", "suppressed", "unknown", "cancelled"}

// mails lists the mails of all organizations.
func (p *Pages) mails(r *request) error {
	names := []string{"state", "organization", "recipient", "template", "stream", "message_id", "queue_id", "job"}
	query := r.filters(names...)
	narrow := r.spans(query, "created_after", "created_before") || r.narrowed(names...)
	data := mailsPage{Query: r.URL.Query(), Narrow: narrow, States: mailStates}
	if err := r.client.Get(r.Context(), "/api/admin/mail/standing", nil, &data.Standing); err != nil {
		return err
	}
	var list operator.MailList
	if err := r.client.Get(r.Context(), "/api/admin/mail", query, &list); err != nil {
		return err
	}
	data.Mails, data.Pager = list.Data, r.pager(list.NextCursor)
	return r.render(http.StatusOK, "mails", "Mail", data)
}

// A mailPage is a mail; with its content only where that was asked for.
type mailPage struct {
	operator.MailTrail
	Content *operator.MailContent
	Frame   string // where its HTML is shown by itself
	Unknown []operator.MailPerson
}

// mail shows a mail without what it says.
func (p *Pages) mail(r *request) error { return r.showMail(nil) }

// revealMail shows a mail with what it says, which is noted.
func (p *Pages) revealMail(r *request) error {
	var c operator.MailContent
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/mail/"+r.id()+"/reveal", nil, &c); err != nil {
		return err
	}
	return r.showMail(&c)
}

// id is the last id of the path as it goes into a path of the API.
func (r *request) id() string { return pathEscape(r.PathValue("id")) }

func (r *request) showMail(c *operator.MailContent) error {
	data := mailPage{Content: c, Frame: "/admin/mail/html/" + r.id()}
	if err := r.client.Get(r.Context(), "/api/admin/mail/"+r.id(), nil, &data.MailTrail); err != nil {
		return err
	}
	for _, person := range data.People {
		if person.State == "unknown" {
			data.Unknown = append(data.Unknown, person)
		}
	}
	r.framed()
	return r.renderAt(http.StatusOK, "mail", []crumb{{Title: "Mail", Path: "/admin/mail"}, {Title: data.ID}}, data)
}

// settleMail says what became of a recipient of whom nobody knew.
func (p *Pages) settleMail(r *request) error {
	in := operator.SettleMail{Outcome: r.PostFormValue("outcome")}
	if to := r.PostFormValue("recipient"); to != "" {
		in.Recipient = &to
	}
	var now operator.MailTrail
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/mail/"+r.id()+"/settle", in, &now); err != nil {
		return err
	}
	return r.redirect("/admin/mail/"+r.id(), "It is settled: the mail is "+now.State+".")
}

// A suppressionsPage is a part of the list of addresses that get no mail.
type suppressionsPage struct {
	List    []operator.Suppression
	Pager   pager
	Query   url.Values
	Narrow  bool
	Reasons []string
}

var suppressionReasons = []string{"complaint", "hard_bounce", "manual", "unsubscribe", "soft_bounce"}

// suppressions lists the addresses that get no mail, over all organizations.
func (p *Pages) suppressions(r *request) error {
	names := []string{"organization", "recipient", "stream", "reason"}
	var list operator.SuppressionList
	if err := r.client.Get(r.Context(), "/api/admin/mail/suppressions", r.filters(names...), &list); err != nil {
		return err
	}
	return r.renderAt(http.StatusOK, "suppressions", []crumb{{Title: "Mail", Path: "/admin/mail"}, {Title: "Suppressions"}},
		suppressionsPage{List: list.Data, Pager: r.pager(list.NextCursor), Query: r.URL.Query(), Narrow: r.narrowed(names...), Reasons: suppressionReasons})
}

// suppress keeps an organization's mail from an address.
func (p *Pages) suppress(r *request) error {
	in := operator.NewSuppression{OrganizationID: r.PostFormValue("organization_id"), Address: r.PostFormValue("address"), Stream: r.PostFormValue("stream")}
	if why := r.PostFormValue("detail"); why != "" {
		in.Detail = &why
	}
	var made operator.Suppression
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/mail/suppressions", in, &made); err != nil {
		return err
	}
	return r.back("/admin/mail/suppressions", "Nothing is sent to "+made.Address+" any more.")
}

// unsuppress takes an entry off the list.
func (p *Pages) unsuppress(r *request) error {
	if err := r.client.Do(r.Context(), http.MethodDelete, "/api/admin/mail/suppressions/"+r.id(), nil, nil); err != nil {
		return err
	}
	return r.back("/admin/mail/suppressions", "The entry is off the list; what is sent from now on goes out.")
}
