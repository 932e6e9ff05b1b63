package api

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type adminMailsInput struct {
	PageQuery
	State          string    `query:"state" enum:"queued,sending,accepted,deferred,failed,suppressed,unknown,cancelled"`
	OrganizationID string    `query:"organization"`
	Recipient      string    `query:"recipient" maxLength:"254" doc:"A whole address in any capitals, or a domain such as @example.in"`
	Template       string    `query:"template" maxLength:"64" pattern:"^(-|[a-z][a-z0-9_]*)$" doc:"- for mails that their senders wrote"`
	Stream         string    `query:"stream" maxLength:"32" pattern:"^[a-z][a-z0-9_-]*$"`
	MessageID      string    `query:"message_id" maxLength:"400" doc:"The mail's id, which is its job's, or the Message-ID of the mail"`
	QueueID        string    `query:"queue_id" maxLength:"200" doc:"The mail server's name for what it accepted, as its log has it"`
	JobID          string    `query:"job" maxLength:"36"`
	CreatedAfter   time.Time `query:"created_after" doc:"RFC 3339; from this moment on"`
	CreatedBefore  time.Time `query:"created_before" doc:"RFC 3339; before this moment"`
}

type adminMailsOutput struct{ Body operator.MailList }

// adminMails lists the mails of all organizations, newest first, without what they say.
func (s *Server) adminMails(ctx context.Context, in *adminMailsInput) (*adminMailsOutput, error) {
	f, filters, err := in.filter(s)
	if err != nil {
		return nil, err
	}
	if f.Before, err = parseCursor(in.Cursor, filters...); err != nil {
		return nil, err
	}
	var rows []store.AnyMail
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.AnyMails(ctx, tx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	views := make([]operator.Mail, len(rows))
	for i, m := range rows {
		views[i] = anyMailOf(m.Mail, m.Organization)
		for _, r := range m.Recipients {
			views[i].Recipients = append(views[i].Recipients, operator.MailTarget(r))
		}
	}
	p := pageOf(views, in.Limit, func(m operator.Mail) string { return m.ID }, filters...)
	return &adminMailsOutput{operator.MailList(p)}, nil
}

func (in *adminMailsInput) filter(s *Server) (f store.AnyMailFilter, filters []string, err error) {
	f = store.AnyMailFilter{State: in.State, Template: in.Template, Stream: in.Stream, QueueID: strings.TrimSpace(in.QueueID),
		CreatedAfter: in.CreatedAfter, CreatedBefore: in.CreatedBefore, Limit: in.Limit + 1}
	var faults []Fault
	fault := func(name, detail string) { faults = append(faults, Fault{"/query/" + name, detail}) }
	if in.OrganizationID != "" {
		if f.OrganizationID, err = optionalID("organization", in.OrganizationID); err != nil {
			fault("organization", "must be a UUID")
		}
	}
	if f.Address, f.Domain, err = s.recipient(in.Recipient); err != nil {
		fault("recipient", err.Error())
	}
	for name, text := range map[string]string{"message_id": in.MessageID, "job": in.JobID} {
		if text == "" {
			continue
		}
		id := store.MailIDOf(text)
		switch {
		case id == "":
			fault(name, "must be the id of a mail, or its Message-ID")
		case f.ID != "" && f.ID != id:
			fault(name, "names another mail than the other one does")
		}
		f.ID = id
	}
	if len(faults) > 0 {
		return f, nil, invalid(faults...)
	}
	return f, []string{"admin-mail", f.State, f.OrganizationID, f.Address, f.Domain, f.Template, f.Stream, f.QueueID, f.ID,
		filterTime(f.CreatedAfter), filterTime(f.CreatedBefore)}, nil
}

// recipient reads whom mails are looked for by: an address, or with an @ before it, or without one, a domain.
func (s *Server) recipient(text string) (address, domain string, err error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", "", nil
	}
	if rest, found := strings.CutPrefix(text, "@"); found || !strings.Contains(text, "@") {
		// Domains are kept as the recipients of mails have them, which the address of anybody there tells.
		whole, err := s.mailAddress("x@" + rest)
		return "", strings.ToLower(strings.TrimPrefix(whole, "x@")), err
	}
	address, err = s.mailAddress(text)
	return address, "", err
}

func anyMailOf(m store.Mail, organization *string) operator.Mail {
	return operator.Mail{ID: m.ID, OrganizationID: m.OrganizationID, Organization: organization, State: m.State, Stream: m.Stream,
		Template: m.Template, Size: m.Size, OnUnknown: m.OnUnknown, InvoiceID: m.InvoiceID, DealID: m.DealID, ContactID: m.ContactID,
		CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC(), Recipients: []operator.MailTarget{}}
}

type adminMailInput struct {
	ID string `path:"id"`
}

type adminMailOutput struct{ Body operator.MailTrail }

// adminMail reads a mail of any organization with what became of it, and without what it says.
func (s *Server) adminMail(ctx context.Context, in *adminMailInput) (*adminMailOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	var v operator.MailTrail
	err = s.lookAtAll(ctx, func(tx pgx.Tx) error {
		m, err := anyMail(ctx, tx, id)
		if err != nil {
			return err
		}
		v, err = mailTrailIn(ctx, tx, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &adminMailOutput{v}, nil
}

// anyMail reads a mail of whatever organization.
func anyMail(ctx context.Context, tx pgx.Tx, id string) (store.MailDetail, error) {
	owner, err := store.MailOwner(ctx, tx, id)
	if err != nil {
		return store.MailDetail{}, err
	}
	return store.MailIn(ctx, tx, owner, id)
}

func mailTrailIn(ctx context.Context, tx pgx.Tx, m store.MailDetail) (operator.MailTrail, error) {
	name, err := store.OrganizationName(ctx, tx, m.OrganizationID)
	if err != nil {
		return operator.MailTrail{}, err
	}
	v := operator.MailTrail{Mail: anyMailOf(m.Mail, unlessBlank(name)), People: make([]operator.MailPerson, len(m.Recipients)),
		Events: mailEventsOf(m, withoutWords)}
	for i, r := range m.Recipients {
		v.Recipients = append(v.Recipients, operator.MailTarget{Address: r.Address, Field: r.Field, State: r.State})
		v.People[i] = operator.MailPerson{Position: r.Position, Address: r.Address, Field: r.Field, State: r.State, Code: r.Code,
			Status: r.Status, QueueID: r.QueueID, Attempts: r.Attempts, NextAttemptAt: utc(r.NextAttemptAt), SendingAt: utc(r.SendingAt),
			AcceptedAt: utc(r.AcceptedAt), UnknownAt: utc(r.UnknownAt), DeliveredAt: utc(r.DeliveredAt), BouncedAt: utc(r.BouncedAt),
			ComplainedAt: utc(r.ComplainedAt)}
	}
	return v, nil
}

// mailEventsOf is the timeline, its beginning included, which no row tells of.
func mailEventsOf(m store.MailDetail, shown func(json.RawMessage) json.RawMessage) []operator.MailEvent {
	list := []operator.MailEvent{}
	if len(m.Recipients) > 0 {
		list = append(list, operator.MailEvent{Type: store.MailQueued, At: m.CreatedAt.UTC(), Detail: json.RawMessage("{}")})
	}
	for _, e := range m.Events {
		list = append(list, operator.MailEvent{Type: e.Type, Position: e.Position, At: e.At.UTC(), Detail: shown(e.Detail)})
	}
	return list
}

// spoken are the details of a timeline that are ours, or numbers: what servers wrote isn't among them, as it may quote
// the mail.
var spoken = []string{"attempt", "reason", "class", "status", "code", "queue_id", "outcome", "stream", "action", "feedback",
	"next_attempt_at", "expires_at"}

func withoutWords(detail json.RawMessage) json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal(detail, &all) != nil {
		return json.RawMessage("{}")
	}
	for name := range all {
		if !slices.Contains(spoken, name) {
			delete(all, name)
		}
	}
	kept, err := json.Marshal(all)
	if err != nil {
		return json.RawMessage("{}")
	}
	return kept
}

type mailStandingInput struct{}

type mailStandingOutput struct{ Body operator.MailStanding }

// mailStanding tells how mail does, over all organizations.
func (s *Server) mailStanding(ctx context.Context, _ *mailStandingInput) (*mailStandingOutput, error) {
	now := time.Now().UTC()
	m, err := inTime(ctx, func(ctx context.Context) (store.MailMetrics, error) {
		return s.DB.MailMetrics(ctx, now.Add(-metricsWindow))
	})
	if err != nil {
		return nil, err
	}
	var workers []store.WorkerProcess
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		workers, err = store.WorkersIn(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := mailMetricsViewOf(m, workers)
	v := operator.MailStanding{Queued: f.Queued, Sending: f.Sending, Deferred: f.Deferred, Unknown: f.Unknown, AcceptedLastHour: f.AcceptedLastHour,
		FailedLastHour: f.FailedLastHour, BouncedLastHour: f.BouncedLastHour, ComplaintsLastHour: f.ComplaintsLastHour,
		Suppressions: f.Suppressions, OldestQueuedSeconds: f.OldestQueuedSeconds, Servers: []operator.MailChannel{}, Sink: s.Sink != nil, At: now}
	for _, w := range f.Channel.Workers {
		v.Servers = append(v.Servers, operator.MailChannel{Worker: w.Worker, Host: w.Host, Server: w.Server, State: w.State, LastCause: w.LastCause,
			LastFailureAt: w.LastFailureAt, NextTryAt: w.NextTryAt, HeartbeatAt: w.HeartbeatAt})
	}
	slices.SortStableFunc(v.Servers, func(a, b operator.MailChannel) int { return cmp.Compare(trouble[b.State], trouble[a.State]) })
	return &mailStandingOutput{v}, nil
}
