package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/jobs"
)

// Through a real server: each recipient has an outcome of its own, and what was accepted for some is a success.
func TestMailThroughPostfix(t *testing.T) {
	t.Parallel()
	server := localstack.TestPostfix(t)
	name, password := server.Login()
	pool, err := mail.New(mail.Config{Host: "127.0.0.1", Port: server.Submission(), User: name, Password: password, RootCAs: server.Roots(), Hello: "client.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	p := newPost(t, func(d *jobs.Deps) { d.Mailing.Mailer = pool })
	id := p.hand(`{"to":["Asha <a@example.org>","nobody@example.org","full@example.org"],"cc":["blocked@example.org"],"bcc":["grey@example.org","b@example.org"],
		"reply_to":"office@example.org","subject":"x","text":"x"}`)
	if reason := p.waits(id); !strings.Contains(reason, "Greylisted") {
		t.Errorf("it waits as %q", reason)
	}
	if got, want := p.recipients(id), "a accepted, nobody failed, full failed, blocked failed, grey deferred, b accepted"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	p.ask("POST", "/api/jobs/"+id+"/cancel", "", nil)
	p.becomes(id, "a accepted, nobody failed, full failed, blocked failed, grey cancelled, b accepted")
	p.must(server.Drain(t.Context()))
	var to []string
	for _, m := range server.Accepted() {
		if m.MessageID == id+"@example.com" {
			to = append(to, m.To)
		}
	}
	slices.Sort(to)
	if want := []string{"a@example.org", "b@example.org"}; !slices.Equal(to, want) {
		t.Errorf("the server accepted it for %v, want %v", to, want)
	}
	var queued string
	p.scan(&queued, `SELECT queue_id FROM mail_recipients WHERE message_id = $1 AND position = 1`, id)
	if !strings.Contains(server.Log(), queued+": to=<a@example.org>") {
		t.Errorf("the server's log doesn't know %q", queued)
	}
}

// What is said to one is nobody else's to read, and answers go where they are wanted.
func TestHeadersOfMail(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.send(`{"to":["a@example.org"],"cc":["b@example.org"],"bcc":["hidden@example.org"],"reply_to":"Office <office@example.org>","subject":"x","text":"x"}`)
	for _, m := range p.sink.Messages() {
		raw := p.content(m)
		if strings.Contains(raw, "hidden") || !strings.Contains(raw, "Reply-To: \"Office\" <office@example.org>") && !strings.Contains(raw, "Reply-To: Office <office@example.org>") ||
			!strings.Contains(raw, "Cc: <b@example.org>") && !strings.Contains(raw, "Cc: b@example.org") || strings.Contains(raw, "List-Unsubscribe") {
			t.Errorf("to %v:\n%s", m.To, raw)
		}
	}
	// Each reader of a stream has a link of its own.
	p.send(`{"to":["a@example.org","b@example.org"],"subject":"x","text":"x","stream":"news"}`)
	links := make(map[string]bool)
	for _, m := range p.sink.Messages()[:2] {
		_, rest, _ := strings.Cut(p.content(m), "List-Unsubscribe: <https://crm.example.com/unsubscribe/")
		link, _, _ := strings.Cut(rest, ">")
		links[link] = true
	}
	if len(links) != 2 || links[""] {
		t.Errorf("links: %v", links)
	}
}

// A full mailbox may be emptied: three mails within a week are a reason to leave it alone for a week, one is none.
func TestFullMailboxes(t *testing.T) {
	t.Parallel()
	p := newStates(t, &postman{answer: func(string, int) error {
		return &mail.Refusal{Class: mail.Rejected, Step: mail.StepRcpt, Code: 552, Enhanced: "5.2.2", Reply: "full"}
	}})
	for n := range 4 {
		want := "mail_rejected"
		if n == 3 {
			want = "mail_suppressed"
		}
		if j := p.send(`{"to":["full@example.org"],"subject":"x","text":"x"}`); j.Error.Code != want {
			t.Errorf("mail %d failed with %s, want %s", n+1, j.Error.Code, want)
		}
	}
	var left time.Duration
	p.scan(&left, `SELECT expires_at - now() FROM mail_suppressions WHERE reason = 'soft_bounce'`)
	if left < 6*24*time.Hour || left > 7*24*time.Hour {
		t.Errorf("it is left alone for %s", left)
	}
}

// A report settles what nobody knew before the mail is sent again; held mail it settles whenever it comes.
func TestReportsSettleTheUnknown(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"resend", "hold"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			m := &postman{answer: func(string, int) error { return &mail.Refusal{Class: mail.Unknown, Step: mail.StepDot} }}
			m.has, m.tries = make(map[string]int), make(map[string]int)
			p := newPost(t, func(d *jobs.Deps) { d.Mailing.Mailer, d.Mailing.Evidence = m, time.Hour })
			id := p.hand(`{"to":["a@example.org"],"subject":"x","text":"x","on_unknown":"` + policy + `"}`)
			if reason := p.waits(id); !strings.Contains(reason, "a report that tells is waited for") {
				t.Errorf("it waits as %q", reason)
			}
			ref, err := p.deps.Mailing.Tickets.ReturnPath(t.Context(), ticket.Ref{OrganizationID: p.organization, MessageID: id, Recipient: 1})
			p.must(err)
			report := dsn(id, "a@example.org", "relayed", "2.0.0", "")
			p.must(jobs.NewMailReports(p.deps).Take(context.Background(), p.deps.Mailing.Bounces.With(ref), report))
			p.ask("POST", "/api/jobs/"+id+"/retry", "", nil)
			p.ends(id, store.Succeeded)
			if m.tries["a@example.org"] != 1 {
				t.Errorf("it was sent %d times: %s", m.tries["a@example.org"], p.timeline(id))
			}
		})
	}
}

// A mail with many recipients lets others in between when it has held its place for long, and goes on where it was.
func TestMailsTakeTurns(t *testing.T) {
	t.Parallel()
	m := &postman{hold: func(to string) {
		if to == "r1@example.org" {
			slow, cancel := context.WithTimeout(t.Context(), 10500*time.Millisecond)
			defer cancel()
			<-slow.Done()
		}
	}}
	p := newStates(t, m)
	id := p.hand(`{"to":["r1@example.org","r2@example.org","r3@example.org"],"subject":"x","text":"x"}`)
	p.becomes(id, "r1 accepted, r2 queued, r3 queued")
	p.ends(id, store.Succeeded)
	var out struct{ Recipients []struct{ State string } }
	p.must(json.Unmarshal(p.job(id).Output, &out))
	if got := fmt.Sprint(m.tries); got != "map[r1@example.org:1 r2@example.org:1 r3@example.org:1]" || len(out.Recipients) != 3 {
		t.Errorf("tries: %s", got)
	}
}
