package api

import (
	"context"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// MailHead is what a mail is and what became of it as a whole.
type MailHead struct {
	ID        string    `json:"id" format:"uuid" doc:"That of its job"`
	State     string    `json:"state" enum:"queued,sending,accepted,deferred,failed,suppressed,unknown,cancelled" doc:"What is still open for one of its recipients first, then the best that was reached. accepted: by the mail server, which answers for it from then on; deferred: the server said not now; suppressed: not sent, as the address is on the list of suppressions; unknown: nobody knows whether the server took it, see POST /api/mail/{id}/settle"`
	Stream    string    `json:"stream" doc:"What readers can unsubscribe from; nobody can from transactional"`
	Template  *string   `json:"template"`
	Subject   *string   `json:"subject" doc:"As it was sent; null before the first attempt"`
	Size      *int64    `json:"size" doc:"Of the whole mail, in bytes; null before the first attempt"`
	OnUnknown string    `json:"on_unknown" enum:"resend,hold" doc:"What is done when nobody knows whether the server took it, and no report comes that tells"`
	InvoiceID *string   `json:"invoice_id" format:"uuid"`
	DealID    *string   `json:"deal_id" format:"uuid"`
	ContactID *string   `json:"contact_id" format:"uuid"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"`
	Links     mailLinks `json:"links"`
}

type mailLinks struct {
	Self string  `json:"self"`
	Job  *string `json:"job" doc:"The mail.send that sends it; null: none was made, as the mail can't be sent, and the timeline says why"`
}

// mailView is a mail in a list.
type mailView struct {
	MailHead
	Recipients []mailAddressee `json:"recipients"`
}

type mailAddressee struct {
	Address string `json:"address"`
	Field   string `json:"field" enum:"to,cc,bcc" doc:"Those of bcc are shown to nobody but the organization that sent the mail"`
	State   string `json:"state" enum:"queued,sending,accepted,deferred,failed,suppressed,unknown,cancelled"`
}

// mailDetail is a mail with all that is known of it.
type mailDetail struct {
	MailHead
	Recipients []mailRecipientView `json:"recipients"`
	Events     []mailEventView     `json:"events" doc:"The timeline, the oldest first"`
}

type mailRecipientView struct {
	Address       string     `json:"address"`
	Name          *string    `json:"name"`
	Field         string     `json:"field" enum:"to,cc,bcc"`
	State         string     `json:"state" enum:"queued,sending,accepted,deferred,failed,suppressed,unknown,cancelled"`
	Code          *int       `json:"code" doc:"Of the mail server's last answer"`
	Status        *string    `json:"status" doc:"Its enhanced code (RFC 3463)"`
	Reply         *string    `json:"reply"`
	QueueID       *string    `json:"queue_id" doc:"The server's name for what it accepted"`
	Attempts      int        `json:"attempts" doc:"Tries that the server answered, or may have"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	AcceptedAt    *time.Time `json:"accepted_at"`
	DeliveredAt   *time.Time `json:"delivered_at" doc:"As a mail server reported; null says nothing, as few report it"`
	BouncedAt     *time.Time `json:"bounced_at"`
	ComplainedAt  *time.Time `json:"complained_at" doc:"When a report came that the recipient called it spam"`
}

type mailEventView struct {
	Type      string     `json:"type" doc:"queued, accepted, deferred, failed, suppressed, unknown, resent, retried, cancelled, delivered, bounced, complained, unsubscribed, settled or not_sent; more may come"`
	Recipient *string    `json:"recipient" doc:"Address; null: the whole mail"`
	At        time.Time  `json:"at"`
	Detail    jsonObject `json:"detail" doc:"Depends on the type"`
}

func mailHeadOf(m store.Mail, addressees int) MailHead {
	return MailHead{
		ID: m.ID, State: m.State, Stream: m.Stream, Template: m.Template, Subject: m.Subject, Size: m.Size, OnUnknown: m.OnUnknown,
		InvoiceID: m.InvoiceID, DealID: m.DealID, ContactID: m.ContactID, CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC(),
		Version: m.Version, Links: mailLinksOf(m.ID, addressees),
	}
}

// mailLinksOf knows that what is addressed to nobody never became a job.
func mailLinksOf(id string, addressees int) mailLinks {
	l := mailLinks{Self: mailPath(id)}
	if addressees > 0 {
		job := jobPath(id)
		l.Job = &job
	}
	return l
}

func mailPath(id string) string { return "/api/mail/" + id }

func mailDetailOf(m store.MailDetail) mailDetail {
	v := mailDetail{MailHead: mailHeadOf(m.Mail, len(m.Recipients)), Recipients: make([]mailRecipientView, len(m.Recipients)),
		Events: []mailEventView{}}
	if v.Links.Job != nil {
		v.Events = append(v.Events, mailEventView{Type: store.MailQueued, At: m.CreatedAt.UTC(), Detail: jsonObject("{}")})
	}
	addresses := make(map[int]*string)
	for i, r := range m.Recipients {
		addresses[r.Position] = &r.Address
		v.Recipients[i] = mailRecipientView{
			Address: r.Address, Name: r.Name, Field: r.Field, State: r.State, Code: r.Code, Status: r.Status, Reply: r.Reply,
			QueueID: r.QueueID, Attempts: r.Attempts, NextAttemptAt: utc(r.NextAttemptAt), AcceptedAt: utc(r.AcceptedAt),
			DeliveredAt: utc(r.DeliveredAt), BouncedAt: utc(r.BouncedAt), ComplainedAt: utc(r.ComplainedAt),
		}
	}
	for _, e := range m.Events {
		line := mailEventView{Type: e.Type, At: e.At.UTC(), Detail: jsonObject(e.Detail)}
		if e.Position != nil {
			line.Recipient = addresses[*e.Position]
		}
		v.Events = append(v.Events, line)
	}
	return v
}

// mailOutputOf is a mail as it is answered. Its tag sums up all that is shown, as subject and size come to be known
// without a new version.
func mailOutputOf(m store.MailDetail) (*versioned[encoded[mailDetail]], error) {
	body, err := encode(mailDetailOf(m))
	if err != nil {
		return nil, err
	}
	return versionedOf(summedTag(m.Version, body), encoded[mailDetail]{body}), nil
}

type mailsInput struct {
	PageQuery
	State         string    `query:"state" enum:"queued,sending,accepted,deferred,failed,suppressed,unknown,cancelled"`
	Stream        string    `query:"stream" maxLength:"32" pattern:"^[a-z][a-z0-9_-]*$"`
	Template      string    `query:"template" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Address       string    `query:"address" minLength:"3" maxLength:"254" doc:"Of a recipient: the whole address, in any capitals"`
	ContactID     string    `query:"contact_id" format:"uuid"`
	InvoiceID     string    `query:"invoice_id" format:"uuid"`
	CreatedAfter  time.Time `query:"created_after" doc:"RFC 3339; from this moment on"`
	CreatedBefore time.Time `query:"created_before" doc:"RFC 3339; before this moment"`
}

type mailsOutput struct{ Body page[mailView] }

// listMails lists mails, newest first. Mails are read from the database alone: nobody should have to wonder in which
// caches the addresses of people lie, and what is asked of mails is what became of them by now.
func (s *Server) listMails(ctx context.Context, in *mailsInput) (*mailsOutput, error) {
	f, filters, err := in.filter(s)
	if err != nil {
		return nil, err
	}
	if f.Before, err = parseCursor(in.Cursor, filters...); err != nil {
		return nil, err
	}
	rows, err := s.DB.Mails(ctx, exchangeOf(ctx).caller.OrganizationID, f)
	if err != nil {
		return nil, err
	}
	views := make([]mailView, len(rows))
	for i, m := range rows {
		views[i] = mailView{MailHead: mailHeadOf(m.Mail, len(m.Recipients)), Recipients: make([]mailAddressee, len(m.Recipients))}
		for j, r := range m.Recipients {
			views[i].Recipients[j] = mailAddressee(r)
		}
	}
	return &mailsOutput{pageOf(views, in.Limit, func(v mailView) string { return v.ID }, filters...)}, nil
}

// filter is what the list is narrowed by, and the same as the cursor is bound to it.
func (in *mailsInput) filter(s *Server) (f store.MailFilter, filters []string, err error) {
	f = store.MailFilter{State: in.State, Stream: in.Stream, Template: in.Template,
		CreatedAfter: in.CreatedAfter, CreatedBefore: in.CreatedBefore, Limit: in.Limit + 1}
	var faults []Fault
	for _, by := range []struct {
		name, given string
		into        *string
	}{{"contact", in.ContactID, &f.ContactID}, {"invoice", in.InvoiceID, &f.InvoiceID}} {
		id, ok := canonicalID(by.given)
		if by.given != "" && !ok {
			faults = append(faults, Fault{"/query/" + by.name + "_id", "must be the id of a " + by.name})
		}
		*by.into = id
	}
	if in.Address != "" {
		if f.Address, err = s.mailAddress(in.Address); err != nil {
			faults = append(faults, Fault{"/query/address", err.Error()})
		}
	}
	if len(faults) > 0 {
		return f, nil, invalid(faults...)
	}
	return f, []string{"mail", f.State, f.Stream, f.Template, f.Address, f.ContactID, f.InvoiceID,
		filterTime(f.CreatedAfter), filterTime(f.CreatedBefore)}, nil
}

type mailInput struct {
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}

// getMail reads one mail with what has happened to it.
func (s *Server) getMail(ctx context.Context, in *mailInput) (*versioned[encoded[mailDetail]], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	m, err := s.DB.Mail(ctx, exchangeOf(ctx).caller.OrganizationID, id)
	if err != nil {
		return nil, err
	}
	out, err := mailOutputOf(m)
	if err != nil {
		return nil, err
	}
	return out.unless(in.IfNoneMatch), nil
}
