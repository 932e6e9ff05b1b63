package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/jobs"
)

func TestReportsMeanSomething(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	rows := []struct {
		action, status, reply string
		told                  string
		fact                  string // without the mail's version, of 2
		suppressed            string
	}{
		{"failed", "5.1.1", "550 5.1.1 no such user", "accepted bounced: bounced address_suppressed", "mail.bounced", "* hard_bounce"},
		{"failed", "5.0.0", "550 5.1.1 no such user", "accepted bounced: bounced address_suppressed", "mail.bounced", "* hard_bounce"},
		{"failed", "5.2.2", "552 5.2.2 full", "accepted bounced: bounced", "mail.bounced", ""},
		{"failed", "4.4.1", "", "accepted bounced: bounced", "mail.bounced", ""},
		{"failed", "5.7.26", "550 5.7.26 unauthenticated", "accepted bounced: bounced", "mail.bounced", ""},
		{"delayed", "4.4.1", "", "accepted: delayed", "", ""},
		{"delivered", "2.1.5", "", "accepted delivered: delivered", "mail.delivered", ""},
		{"relayed", "2.0.0", "250 ok", "accepted delivered: delivered", "mail.delivered", ""},
		{"failed", "2.0.0", "", "accepted", "", ""},
	}
	for i, row := range rows {
		address := fmt.Sprintf("r%d@example.org", i)
		id := d.mail("accepted", "other@example.org", address)
		r := dsn(id, address, row.action, row.status, row.reply)
		d.take(d.path(id, 2), r)
		d.take(d.path(id, 2), r) // the server comes again when it has not heard the answer
		if got := d.told(id, 2); got != row.told {
			t.Errorf("%s %s: told %q, want %q", row.action, row.status, got, row.told)
		}
		if got := d.told(id, 1); got != "accepted" {
			t.Errorf("%s %s: the other recipient is %q", row.action, row.status, got)
		}
		var want []string
		if row.fact != "" {
			want = []string{row.fact + " 2 v2"}
		}
		d.wants(row.action+" "+row.status, d.facts(id), want)
		want = nil
		if row.suppressed != "" {
			want = []string{address + " " + row.suppressed}
		}
		got := slices.DeleteFunc(d.list(d.organization), func(s string) bool { return !strings.HasPrefix(s, address) })
		d.wants(row.action+" "+row.status, got, want)
	}
}

func TestBounceSaysWhy(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.mail("accepted", "a@example.org")
	d.take(d.path(id, 1), dsn(id, "a@example.org", "failed", "5.0.0", "550 5.1.1 no such user"))
	var detail, fact []byte
	d.scan(&detail, `SELECT detail FROM mail_events WHERE message_id = $1 AND type = 'bounced'`, id)
	d.scan(&fact, `SELECT data FROM outbox WHERE type = 'mail.bounced' AND subject = $1`, id)
	var line, bounced map[string]any
	d.must(json.Unmarshal(detail, &line))
	d.must(json.Unmarshal(fact, &bounced))
	if line["class"] != "hard" || line["status"] != "5.1.1" || line["reply"] != "550 5.1.1 no such user" || line["reporting_mta"] != "mx.example.net" {
		t.Errorf("the timeline says %s", detail)
	}
	if bounced["class"] != "hard" || bounced["status"] != "5.1.1" || bounced["stream"] != "reminders" || strings.Contains(string(fact), "example.org") {
		t.Errorf("the fact says %s", fact)
	}
	var causation, why string
	d.scan(&causation, `SELECT o.causation_id::text FROM outbox o JOIN jobs j ON j.event_id::text = o.causation_id::text WHERE o.subject = $1`, id)
	d.scan(&why, `SELECT detail FROM mail_suppressions WHERE message_id = $1`, id)
	if causation == "" || why != "550 5.1.1 no such user" {
		t.Errorf("it came of %q, and the list says %q", causation, why)
	}
}

// TestSoftBouncesCountInARow: one full mailbox is no reason, and three in a week are one for a week.
func TestSoftBouncesCountInARow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	bounce := func(address string) (id string) {
		id = d.mail("accepted", address)
		for range 3 { // reports on the same mail are one bounce
			d.take(d.path(id, 1), dsn(id, address, "failed", "5.2.2", "full"))
		}
		return id
	}
	bounce("Full@example.org")
	old := bounce("full@example.org")
	d.wants("after two", d.list(d.organization), nil)
	d.exec(`UPDATE mail_recipients SET bounced_at = now() - interval '8 days' WHERE message_id = $1`, old)
	bounce("full@example.org")
	d.wants("after two in a week", d.list(d.organization), nil)
	bounce("full@example.org")
	d.wants("after three in a week", d.list(d.organization), []string{"full@example.org * soft_bounce for 7 days"})

	// What says more takes its place, and what says less doesn't.
	id := bounce("full@example.org")
	d.take(d.path(id, 1), arf("abuse", d.path(id, 1), ""))
	d.wants("after a complaint", d.list(d.organization), []string{"full@example.org * complaint"})
	bounce("full@example.org")
	d.wants("after another bounce", d.list(d.organization), []string{"full@example.org * complaint"})
}

// TestBounceConcernsOneOrganization: otherwise a tenant could find out, or spoil, whom another writes to.
func TestBounceConcernsOneOrganization(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mine := d.organization
	id := d.mail("accepted", "a@example.org")
	d.organization = outbox.NewID()
	d.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Other', 'KA')`, d.organization)
	theirs := d.mail("accepted", "a@example.org")
	d.take(d.path(id, 1), dsn(id, "a@example.org", "failed", "5.1.1", ""))
	d.wants("mine", d.list(mine), []string{"a@example.org * hard_bounce"})
	d.wants("theirs", d.list(d.organization), nil)
	if got := d.told(theirs, 1); got != "accepted" {
		t.Errorf("their mail is %s", got)
	}
}

// TestReportsSettleWhatNobodyKnew: whoever reports on a mail has had it from our server.
func TestReportsSettleWhatNobodyKnew(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, state := range []string{"unknown", "sending", "queued", "deferred", "failed", "cancelled"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			d := &desk{&site{t: t, organization: d.organization, db: d.db, deps: d.deps}, d.reports}
			for _, said := range []struct{ action, status, told, fact string }{
				{"relayed", "2.0.0", "accepted delivered: accepted delivered", "mail.delivered"},
				{"failed", "4.2.2", "accepted bounced: accepted bounced", "mail.bounced"},
				{"delayed", "4.4.1", "accepted: accepted delayed", ""},
			} {
				address := state + "@example.org"
				id := d.mail(state, address)
				d.take(d.path(id, 1), dsn(id, address, said.action, said.status, ""))
				if got := d.told(id, 1); got != said.told {
					t.Errorf("after %s it is told %q", said.action, got)
				}
				want := []string{"mail.accepted 1 v2"}
				if said.fact != "" {
					want = append(want, said.fact+" 1 v3")
				}
				d.wants(said.action, d.facts(id), want)
				var m string
				d.scan(&m, `SELECT state FROM mail_messages WHERE id = $1`, id)
				if m != "accepted" {
					t.Errorf("the mail is %s", m)
				}
			}
		})
	}
}

// TestReportWaitsForTheAnswer: a report may be there before the process that sent the mail has written down the
// server's answer, which has more to say.
func TestReportWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.mail("sending", "a@example.org")
	taken := make(chan error, 1)
	go func() {
		taken <- d.reports.Take(t.Context(), d.path(id, 1), dsn(id, "a@example.org", "relayed", "2.0.0", ""))
	}()
	var claim string
	d.scan(&claim, `SELECT claim::text FROM mail_recipients WHERE message_id = $1`, id)
	d.must(d.db.Tx(t.Context(), func(tx pgx.Tx) error {
		_, err := store.SettleSending(t.Context(), tx, store.Sent{OrganizationID: d.organization, MailID: id, Position: 1, Claim: claim,
			Begun: true, State: store.MailAccepted, Code: 250, QueueID: "4jXK"})
		return err
	}))
	d.must(<-taken)
	var queue string
	d.scan(&queue, `SELECT queue_id FROM mail_recipients WHERE message_id = $1`, id)
	if got := d.told(id, 1); got != "accepted delivered: delivered" || queue != "4jXK" {
		t.Errorf("told %q of %q", got, queue)
	}
}

// TestAnswerAfterTheReportIsToldOnce: the process that sent the mail was slow, not dead.
func TestAnswerAfterTheReportIsToldOnce(t *testing.T) {
	t.Parallel()
	sent, answer := make(chan struct{}), make(chan struct{})
	p := newStates(t, &postman{hold: func(string) { close(sent); <-answer }})
	deps := p.deps
	deps.Mailing.Bounces = bouncesOf(t)
	d := &desk{p.site, jobs.NewMailReports(deps)}
	d.deps.Mailing.Bounces = deps.Mailing.Bounces
	id := p.hand(`{"to":["a@example.org"],"subject":"x","text":"x"}`)
	<-sent
	d.take(d.path(id, 1), dsn(id, "a@example.org", "relayed", "2.0.0", ""))
	if got := d.told(id, 1); got != "accepted delivered: accepted delivered" {
		t.Errorf("before the answer it is told %q", got)
	}
	close(answer)
	p.ends(id, store.Succeeded)
	var queue string
	d.scan(&queue, `SELECT queue_id FROM mail_recipients WHERE message_id = $1`, id)
	if got := d.told(id, 1); got != "accepted delivered: accepted delivered" || queue != "Qa" {
		t.Errorf("after the answer it is told %q of %q", got, queue)
	}
	d.wants("facts", kindsOf(d.facts(id)), []string{"mail.accepted", "mail.delivered"})
}

// kindsOf leaves recipients and versions out.
func kindsOf(facts []string) (kinds []string) {
	for _, f := range facts {
		kind, _, _ := strings.Cut(f, " ")
		kinds = append(kinds, kind)
	}
	return kinds
}

func TestComplaintsAreForEver(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.mail("accepted", "a@example.org", "b@example.org", "c@example.org")
	d.take("bounces@example.com", arf("abuse", d.path(id, 1), ""))
	d.take(d.path(id, 2), arf("not-spam", "", ""))
	link, err := d.deps.Mailing.Tickets.Unsubscribe(t.Context(), ticket.Ref{OrganizationID: d.organization, MessageID: id, Recipient: 3})
	d.must(err)
	unsubscribe := "<mailto:x@example.com>, <https://crm.example.com/unsubscribe/" + link + ">"
	d.take("bounces@example.com", arf("not-spam", "someone@example.net", unsubscribe))
	d.take("bounces@example.com", arf("abuse", "someone@example.net", unsubscribe))
	for position, want := range []string{"accepted complained: complained address_suppressed", "accepted: feedback",
		"accepted complained: complained address_suppressed"} {
		if got := d.told(id, position+1); got != want {
			t.Errorf("recipient %d: %q, want %q", position+1, got, want)
		}
	}
	d.wants("facts", d.facts(id), []string{"mail.complained 1 v2", "mail.complained 3 v4"})
	d.wants("list", d.list(d.organization), []string{"a@example.org * complaint", "c@example.org reminders complaint"})
}

// TestWhatProvesNothingChangesNothing: everybody may write to the address for reports.
func TestWhatProvesNothingChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.mail("accepted", "a@example.org")
	path := d.path(id, 1)
	bounce := func(m, address string) mail.Report { return dsn(m, address, "failed", "5.1.1", "") }
	forged := path[:20] + "x" + path[21:]
	if forged == path {
		forged = path[:20] + "y" + path[21:]
	}
	for address, want := range map[string]bool{path: true, strings.ToUpper(path): true, "bounces@example.com": true, forged: false,
		"bounces+x@example.com": false, "noreply@example.com": false} {
		if got, err := d.reports.Expects(t.Context(), address); got != want || err != nil {
			t.Errorf("%s is expected: %v, %v", address, got, err)
		}
	}
	d.take(forged, bounce(id, "a@example.org"))
	d.take("bounces@example.com", bounce(id, "a@example.org")) // all recipients know the Message-ID
	d.take("bounces@example.com", arf("abuse", forged, ""))
	d.take(path, bounce("spam", "victim@example.net")) // backscatter of what somebody wrote under our return path
	for _, gone := range []string{outbox.NewID(), id} {
		d.take(d.path(gone, 9), bounce(gone, "a@example.org"))
	}
	never := d.mail("queued", "a@example.org")
	d.exec(`UPDATE mail_recipients SET sending_at = NULL, claim = NULL WHERE message_id = $1`, never)
	d.take(d.path(never, 1), bounce(never, "a@example.org"))
	late := d.mail("accepted", "a@example.org")
	d.exec(`UPDATE mail_recipients SET sending_at = now() - interval '15 days' WHERE message_id = $1`, late)
	d.take(d.path(late, 1), bounce(late, "a@example.org"))
	for _, one := range []string{id, never, late} {
		if got := d.told(one, 1); got != "accepted" && got != "queued" {
			t.Errorf("told %q", got)
		}
		d.wants("facts", d.facts(one), nil)
	}
	d.wants("list", d.list(d.organization), nil)

	// What names one of the two is about our mail: servers rewrite Message-IDs, and addresses are forwarded.
	d.take(path, bounce("rewritten", "a@example.org"))
	second := d.mail("accepted", "b@example.org")
	d.take(d.path(second, 1), bounce(second, "elsewhere@example.net"))
	for _, one := range []string{id, second} {
		if got := d.told(one, 1); got != "accepted bounced: bounced address_suppressed" {
			t.Errorf("told %q", got)
		}
	}
}

// TestEnvelopeIsEnough: where a server drops what is behind the plus, the report still has the envelope.
func TestEnvelopeIsEnough(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	byID, byPath := d.mail("accepted", "a@example.org"), d.mail("accepted", "b@example.org")
	r := dsn(byID, "a@example.org", "delivered", "2.0.0", "")
	r.EnvelopeID, _ = d.deps.Mailing.Bounces.Split(d.path(byID, 1))
	d.take("bounces@example.com", r)
	r = dsn(byPath, "b@example.org", "delivered", "2.0.0", "")
	r.Original.ReturnPath = d.path(byPath, 1)
	d.take("bounces@example.com", r)
	for _, id := range []string{byID, byPath} {
		if got := d.told(id, 1); got != "accepted delivered: delivered" {
			t.Errorf("told %q", got)
		}
	}
}

// TestReportsAtTheSameTimeAreOne: the server may come again while the first is being written down.
func TestReportsAtTheSameTimeAreOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.mail("unknown", "a@example.org", "b@example.org")
	reports := []mail.Report{dsn(id, "a@example.org", "failed", "5.1.1", ""), dsn(id, "b@example.org", "failed", "5.1.1", "")}
	errs := make(chan error, 20)
	for i := range cap(errs) {
		path := d.path(id, i%2+1)
		go func() { errs <- d.reports.Take(t.Context(), path, reports[i%2]) }()
	}
	for range cap(errs) {
		d.must(<-errs)
	}
	for position := range 2 {
		if got := d.told(id, position+1); got != "accepted bounced: accepted bounced address_suppressed" {
			t.Errorf("told %q", got)
		}
	}
	if got := d.facts(id); len(got) != 4 {
		t.Errorf("facts: %q", got)
	}
}

// TestReportIsRefusedWhileTheDatabaseIsAway: then the server keeps it.
func TestReportIsRefusedWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.mail("accepted", "a@example.org")
	path, report := d.path(id, 1), dsn(id, "a@example.org", "failed", "5.1.1", "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if err := d.reports.Take(ctx, path, report); err == nil {
		t.Error("it was taken")
	}
	deps := d.deps
	deps.Mailing.Tickets = ticket.NewMaker(func(ctx context.Context) ([]byte, error) { return deps.DB.Secret(ctx, "mail") })
	if _, err := jobs.NewMailReports(deps).Expects(ctx, path); err == nil {
		t.Error("an address was judged without the key")
	}
	d.take(path, report)
}
