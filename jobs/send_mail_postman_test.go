package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/jobs"
)

// A postman is a mail server that answers as a test wants, by the recipient. It counts what it accepted, and what it
// may have accepted.
type postman struct {
	mu     sync.Mutex
	has    map[string]int
	answer func(to string, try int) error // nil: accepted
	tries  map[string]int
	// before is called before the caller is told that a connection is in hand; nil: not.
	before func(to string)
	// hold keeps the answer back for as long as it blocks; nil: not at all.
	hold func(to string)
}

func (m *postman) Send(ctx context.Context, e mail.Envelope, _ []byte, commit func(context.Context) error) (mail.Receipt, error) {
	m.mu.Lock()
	m.tries[e.To]++
	try := m.tries[e.To]
	m.mu.Unlock()
	if m.before != nil {
		m.before(e.To)
	}
	if err := commit(ctx); err != nil {
		return mail.Receipt{}, fmt.Errorf("commit before the mail is sent: %w", err)
	}
	if m.hold != nil {
		m.hold(e.To)
	}
	var err error
	if m.answer != nil {
		err = m.answer(e.To, try)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := err.(*mail.Refusal); err == nil || ok && r.Class == mail.Unknown {
		m.has[e.To]++
	}
	return mail.Receipt{Code: 250, Reply: "2.0.0 Ok: queued as Q" + e.To[:1], QueueID: "Q" + e.To[:1]}, err
}

// got is how many mails a recipient has.
func (m *postman) got(to string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has[to]
}

// newStates is an installation with such a server.
func newStates(t *testing.T, m *postman, change ...func(*jobs.Deps)) *post {
	t.Helper()
	m.has, m.tries = make(map[string]int), make(map[string]int)
	return newPost(t, append([]func(*jobs.Deps){func(d *jobs.Deps) {
		d.Mailing.Mailer, d.Mailing.Bounces = m, jobs.Mailing{}.Bounces
	}}, change...)...)
}

// hand hands a mail over and gives the job's id.
func (p *post) hand(input string, more ...string) string {
	p.site.t.Helper()
	var j seenMail
	p.ask("POST", "/api/jobs", `{"kind":"mail.send","input":`+input+strings.Join(more, "")+`}`, &j)
	return j.ID
}

// recipients is "local part state" of a mail's recipients, in order.
func (p *post) recipients(id string) string {
	p.site.t.Helper()
	var s string
	p.scan(&s, `SELECT string_agg(split_part(address, '@', 1) || ' ' || state, ', ' ORDER BY position) FROM mail_recipients WHERE message_id = $1`, id)
	return s
}

// timeline is the types of a mail's events.
func (p *post) timeline(id string) string {
	p.site.t.Helper()
	var s string
	p.scan(&s, `SELECT coalesce(string_agg(type, ' ' ORDER BY created_at, id), '') FROM mail_events WHERE message_id = $1`, id)
	return s
}

func (p *post) becomes(id, want string) {
	p.site.t.Helper()
	p.eventually("the recipients are "+want, func() error {
		if got := p.recipients(id); got != want {
			return fmt.Errorf("they are %s; %s", got, p.timeline(id))
		}
		return nil
	})
}

// due has a job that waits go on now.
func (p *post) due(id string) {
	p.site.t.Helper()
	p.eventually("River has put the job off", func() error {
		tag, err := p.db.Pool().Exec(p.site.t.Context(),
			`UPDATE river_job SET state = 'available', scheduled_at = now() WHERE args ->> 'job_id' = $1 AND state = 'scheduled'`, id)
		if err == nil && tag.RowsAffected() == 0 {
			err = fmt.Errorf("it has not")
		}
		return err
	})
}

func refusal(class mail.Class, code int, status, reply string) *mail.Refusal {
	return &mail.Refusal{Class: class, Step: mail.StepRcpt, Code: code, Enhanced: status, Reply: reply, Suppress: status == "5.1.1"}
}

// answers are by local part.
func answers(to string, _ int) error {
	switch local, _, _ := strings.Cut(to, "@"); local {
	case "nobody":
		return refusal(mail.Rejected, 550, "5.1.1", "<nobody@example.org> unknown")
	case "blocked":
		return refusal(mail.Blocked, 554, "5.7.1", "policy")
	case "large":
		return refusal(mail.TooLarge, 552, "5.3.4", "too large")
	case "grey":
		return refusal(mail.Deferred, 450, "4.2.0", "Greylisted")
	}
	return nil
}
