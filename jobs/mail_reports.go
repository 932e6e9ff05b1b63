package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
)

const (
	// A server tries for five days at most. What comes later is mostly an answer to somebody who found the return
	// path in a mailbox and writes under it.
	bounceWithin    = 14 * 24 * time.Hour
	complaintWithin = 90 * 24 * time.Hour
	// Soft bounces in a row, and the time within which they are one, and for which they keep an address.
	softBounces       = 3
	softBounceWithin  = 7 * 24 * time.Hour
	softBounceExpires = 7 * 24 * time.Hour
	// answerWithin is how long a report waits for the answer of the server whose mail it is about: where both come
	// at the same moment, the answer says more.
	answerWithin = 3 * time.Second
	// Servers say of a mail that it is delayed every few hours for days. Who has a ticket could write any number of
	// reports that differ, and each makes a line, a fact and calls of webhooks.
	reportsOfAKind = 50
)

// MailReports acts on what mail servers report of mails: recipients become delivered, bounced or complained, those
// of whom nobody knew are settled, and addresses are suppressed. Nothing is believed without a ticket, and a ticket
// stands for one recipient of one mail: whoever has one may speak for that address, to that organization alone.
type MailReports struct{ deps Deps }

// NewMailReports uses the database, the tickets and the address for reports of d.
func NewMailReports(d Deps) *MailReports { return &MailReports{d} }

// Expects says whether an address is the one for reports, with a ticket that was made here or with none.
func (r *MailReports) Expects(ctx context.Context, address string) (bool, error) {
	t, ours := r.deps.Mailing.Bounces.Split(address)
	if t == "" {
		return ours, nil
	}
	_, err := r.deps.Mailing.Tickets.OfReturnPath(ctx, t)
	if errors.Is(err, ticket.ErrForged) {
		return false, nil
	}
	return err == nil, err
}

// Take writes down what a report means, and returns nil when that is committed. A report that came before, or that
// means nothing here, changes nothing.
func (r *MailReports) Take(ctx context.Context, address string, report mail.Report) error {
	ref, err := r.subject(ctx, address, report)
	if errors.Is(err, ticket.ErrForged) {
		r.deps.Log.Info("a mail report names no mail of ours", "report", report.Kind)
		return nil
	}
	if err != nil {
		return err
	}
	m, err := r.deps.DB.FindMail(ctx, ref.MessageID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it went with its job, long ago
	}
	if err != nil {
		return err
	}
	j, err := r.deps.DB.Job(ctx, m.OrganizationID, m.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.awaitAnswer(ctx, m, ref.Recipient); err != nil {
		return err
	}
	n := &mailNews{MailReports: r, mail: m, origin: originOf(j), position: ref.Recipient, report: report, weak: ref.OrganizationID != ""}
	err = r.deps.DB.Tx(ctx, func(tx pgx.Tx) error { return n.write(ctx, tx) })
	if errors.Is(err, store.ErrNotFound) {
		return nil // deleted in this moment
	}
	if err != nil {
		return fmt.Errorf("take a report on mail %s: %w", m.ID, err)
	}
	if len(n.facts) > 0 {
		r.deps.Hints.OutboxChanged()
		r.deps.Log.Info("mail was reported on", "job_id", m.ID, "organization_id", m.OrganizationID, "report", report.Kind, "as", n.facts[len(n.facts)-1].EventType())
	}
	return nil
}

// subject finds the recipient that a report is about: by the ticket of the address that it came to, or by one in
// what it quotes of the mail's envelope. The Message-ID is no proof, as all recipients of a mail know it. Providers
// that leave out the envelope still show the link by which readers unsubscribe; its ticket says less, as it may
// have been passed on with the mail, and comes with its organization.
func (r *MailReports) subject(ctx context.Context, address string, report mail.Report) (ticket.Ref, error) {
	tickets := r.deps.Mailing.Tickets
	if t, _ := r.deps.Mailing.Bounces.Split(address); t != "" {
		return tickets.OfReturnPath(ctx, t)
	}
	for _, text := range []string{report.EnvelopeID, report.Feedback.MailFrom, report.Original.ReturnPath} {
		if t, _ := r.deps.Mailing.Bounces.Split(text); t != "" {
			text = t
		}
		ref, err := tickets.OfReturnPath(ctx, text)
		if !errors.Is(err, ticket.ErrForged) {
			return ref, err
		}
	}
	if report.Feedback.Complaint() {
		for link := range strings.FieldsFuncSeq(report.Original.ListUnsubscribe, func(c rune) bool { return strings.ContainsRune("<>, ", c) }) {
			ref, err := tickets.OfUnsubscribe(ctx, link[strings.LastIndexByte(link, '/')+1:])
			if !errors.Is(err, ticket.ErrForged) {
				return ref, err
			}
		}
	}
	return ticket.Ref{}, ticket.ErrForged
}

// awaitAnswer gives the process that is sending this mail a moment to write down what the server answered. One that
// died will not; then the report is what is known.
func (r *MailReports) awaitAnswer(ctx context.Context, m store.Mail, position int) error {
	end := time.NewTimer(answerWithin)
	defer end.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		to, err := store.RecipientOf(ctx, r.deps.DB.Pool(), m.OrganizationID, m.ID, position)
		if errors.Is(err, store.ErrNotFound) || err == nil && to.State != store.MailSending {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-again.C:
		}
	}
}

// mailNews is one report, as it is written down.
type mailNews struct {
	*MailReports
	mail     store.Mail
	origin   outbox.Origin
	position int
	report   mail.Report
	weak     bool // known by a link alone
	facts    []events.Fact
}

// write makes of a report what it means, in one transaction.
func (n *mailNews) write(ctx context.Context, tx pgx.Tx) error {
	if _, err := store.LockMail(ctx, tx, n.mail.OrganizationID, n.mail.ID); err != nil {
		return err
	}
	to, err := store.RecipientOf(ctx, tx, n.mail.OrganizationID, n.mail.ID, n.position)
	if err != nil {
		return err
	}
	said, ok := n.read(to)
	if !ok {
		return nil
	}
	told, err := store.Reports(ctx, tx, n.mail.OrganizationID, n.mail.ID, n.position, said.event)
	if err != nil || told >= reportsOfAKind {
		return err
	}
	before := newEventID()
	first, err := store.AppendMailEvent(ctx, tx, n.mail.OrganizationID, n.mail.ID, store.MailEvent{ID: newEventID(), Position: n.position,
		Type: said.event, Detail: said.detail, Source: fmt.Sprintf("report/%s/%d", n.report.Digest(), n.position)})
	if err != nil || !first {
		return err
	}
	if to.State != store.MailAccepted {
		if err := n.accept(ctx, tx, before, to); err != nil {
			return err
		}
	}
	m, err := store.ReportMail(ctx, tx, n.mail.OrganizationID, n.mail.ID, n.position, said.marks)
	if err != nil {
		return err
	}
	if f := said.fact(m, n.position); f != nil {
		n.facts = append(n.facts, f)
	}
	if err := n.suppress(ctx, tx, to.Address, said); err != nil {
		return err
	}
	return outbox.Append(ctx, tx, n.origin, n.facts...)
}

// accept settles a recipient of whom nobody knew: whoever reports on a mail has had it from our server, even if it
// was refused afterwards. In the timeline that comes before the report, and it is told once: the process that sent
// the mail may live, and write down the server's answer after all.
func (n *mailNews) accept(ctx context.Context, tx pgx.Tx, eventID string, to store.MailRecipient) error {
	m, err := store.ReportMail(ctx, tx, n.mail.OrganizationID, n.mail.ID, n.position, store.ReportedMail{Accepted: true})
	if err != nil {
		return err
	}
	e := store.MailEvent{ID: eventID, Position: n.position, Type: store.MailAccepted,
		Detail: map[string]any{"attempt": to.Attempts, "reason": "a report says so"}}
	if to.Claim != nil {
		e.Source = sourceOf(*to.Claim, store.MailAccepted)
	}
	first, err := store.AppendMailEvent(ctx, tx, m.OrganizationID, m.ID, e)
	if err == nil && first {
		n.facts = append(n.facts, events.MailAccepted{MessageID: m.ID, Recipient: n.position, Stream: m.Stream,
			QueueID: valueOr(to.QueueID, ""), Attempts: to.Attempts, Version: m.Version})
	}
	return err
}

// suppress puts the address on the list where what was said asks for it. Who is known by a link alone speaks for one
// stream.
func (n *mailNews) suppress(ctx context.Context, tx pgx.Tx, address string, said saying) error {
	s := store.Suppression{OrganizationID: n.mail.OrganizationID, Address: address, Stream: store.AllStreams, MessageID: &n.mail.ID}
	if n.weak && said.class == classComplaint {
		s.Stream = n.mail.Stream
	}
	if said.why != "" {
		s.Detail = &said.why
	}
	return suppressFor(ctx, tx, s, said.class, n.position)
}
