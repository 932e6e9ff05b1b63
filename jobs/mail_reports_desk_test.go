package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/jobs"
)

// A desk is an installation to which mail servers report, without a server and without workers.
type desk struct {
	*site
	reports *jobs.MailReports
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	s := newSite(t, func(_ *inference.Config, d *jobs.Deps) {
		d.Mailing = jobs.Mailing{Bounces: bouncesOf(t), Tickets: ticketsOf(d.DB)}
	})
	return &desk{s, jobs.NewMailReports(s.deps)}
}

func bouncesOf(t *testing.T) ticket.Bounces {
	t.Helper()
	b, err := ticket.ParseBounces("bounces@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ticketsOf(db *store.DB) *ticket.Maker {
	return ticket.NewMaker(func(ctx context.Context) ([]byte, error) { return db.Secret(ctx, "mail") })
}

// mail inserts one that the server took an hour ago, or of which that is not known.
func (d *desk) mail(state string, addresses ...string) (id string) {
	d.t.Helper()
	id = d.insert("jobs", map[string]any{"kind": "mail.send", "queue": "mail", "status": "running", "input": "{}", "max_attempts": 10,
		"priority": 2, "event_id": outbox.NewID()})
	d.exec(`INSERT INTO mail_messages (organization_id, id, state, stream) VALUES ($1, $2, $3, 'reminders')`, d.organization, id, state)
	for i, address := range addresses {
		d.exec(`INSERT INTO mail_recipients (organization_id, message_id, position, field, address, state, claim, attempts, sending_at, accepted_at)
			VALUES ($1, $2, $3, 'to', $4, $5, gen_random_uuid(), 1, now() - interval '1 hour',
				CASE WHEN $5 = 'accepted' THEN now() - interval '1 hour' END)`, d.organization, id, i+1, address, state)
	}
	return id
}

// path is the return path of a mail's recipient.
func (d *desk) path(id string, position int) string {
	d.t.Helper()
	t, err := d.deps.Mailing.Tickets.ReturnPath(d.t.Context(), ticket.Ref{MessageID: id, Recipient: position})
	d.must(err)
	return d.deps.Mailing.Bounces.With(t)
}

// reportsSent numbers reports, as servers do.
var reportsSent atomic.Int64

// dsn is a delivery report about a mail of ours.
func dsn(id, address, action, status, reply string) mail.Report {
	return parsed(fmt.Sprintf("From: MAILER-DAEMON@mx.example.net\nMessage-ID: <report-%d@mx.example.net>\nDate: Fri, 20 Nov 2026 09:15:02 +0530\n"+
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n"+
		"Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; %s\nAction: %s\nStatus: %s\nDiagnostic-Code: smtp; %s\n\n"+
		"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <%s@example.com>\n--b--\n", reportsSent.Add(1), address, action, status, reply, id))
}

// arf is feedback about a mail of ours, whose recipient it doesn't name.
func arf(kind, mailFrom, listUnsubscribe string) mail.Report {
	return parsed(fmt.Sprintf("From: fbl@example.net\nMessage-ID: <fbl-%d@example.net>\n"+
		"Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\n"+
		"Feedback-Type: %s\nVersion: 1\nUser-Agent: X/1\nOriginal-Mail-From: <%s>\n\n"+
		"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <m@example.com>\nList-Unsubscribe: %s\n--b--\n", reportsSent.Add(1), kind, mailFrom, listUnsubscribe))
}

func parsed(text string) mail.Report {
	r, err := mail.ParseReport(strings.NewReader(text))
	if err != nil {
		panic(err)
	}
	return r
}

// take has a report come to an address.
func (d *desk) take(address string, r mail.Report) {
	d.t.Helper()
	d.must(d.reports.Take(d.t.Context(), address, r))
}

// told is what is known of a recipient, as text: its state, what was reported, and the mail's timeline.
func (d *desk) told(id string, position int) string {
	d.t.Helper()
	var out string
	d.scan(&out, `
		SELECT r.state || CASE WHEN delivered_at IS NOT NULL THEN ' delivered' ELSE '' END
			|| CASE WHEN bounced_at IS NOT NULL THEN ' bounced' ELSE '' END || CASE WHEN complained_at IS NOT NULL THEN ' complained' ELSE '' END
			|| ': ' || coalesce((SELECT string_agg(type, ' ' ORDER BY id) FROM mail_events e
				WHERE e.message_id = r.message_id AND e.position = r.position), '')
		FROM mail_recipients r WHERE message_id = $1 AND position = $2`, id, position)
	return strings.TrimSuffix(out, ": ")
}

// facts are those about a mail, in their order, with their recipients and versions.
func (d *desk) facts(id string) (list []string) {
	d.t.Helper()
	rows, err := d.db.Pool().Query(d.t.Context(), `SELECT type || ' ' || (data->>'recipient') || ' v' || aggregate_version FROM outbox
		WHERE subject = $1 AND type LIKE 'mail.%' ORDER BY event_id`, id)
	d.must(err)
	for rows.Next() {
		var s string
		d.must(rows.Scan(&s))
		list = append(list, s)
	}
	d.must(rows.Err())
	return list
}

// list is what an organization sends nothing to.
func (d *desk) list(organization string) (list []string) {
	d.t.Helper()
	rows, err := d.db.Pool().Query(d.t.Context(), `SELECT address || ' ' || stream || ' ' || reason || CASE WHEN expires_at IS NULL THEN '' ELSE ' for '
		|| round(extract(epoch FROM expires_at - now()) / 86400) || ' days' END FROM mail_suppressions WHERE organization_id = $1 ORDER BY 1`, organization)
	d.must(err)
	for rows.Next() {
		var s string
		d.must(rows.Scan(&s))
		list = append(list, s)
	}
	d.must(rows.Err())
	return list
}

func (d *desk) wants(what string, got, want []string) {
	d.t.Helper()
	if !slices.Equal(got, want) {
		d.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
