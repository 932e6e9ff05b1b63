package jobs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
)

// A server that takes mails and is always cut off before it says so gets no endless row of copies to deliver.
func TestLostAnswersAreNotAnsweredForEver(t *testing.T) {
	t.Parallel()
	m := &postman{answer: func(string, int) error {
		return &mail.Refusal{Class: mail.Unknown, Step: mail.StepDot, Cause: fmt.Errorf("EOF")}
	}}
	p := newStates(t, m)
	id := p.hand(`{"to":["a@example.org"],"subject":"x","text":"x"}`)
	sent := func(n int) {
		p.eventually(fmt.Sprintf("it is sent %d times", n), func() error {
			if got := m.got("a@example.org"); got != n {
				return fmt.Errorf("it was sent %d times: %s", got, p.timeline(id))
			}
			return nil
		})
		p.becomes(id, "a unknown")
	}
	again := func() {
		p.waits(id)
		p.exec(`UPDATE mail_recipients SET unknown_at = unknown_at - interval '1 hour' WHERE message_id = $1`, id)
		p.due(id)
	}
	sent(2)
	p.eventually("the third copy waits", func() error {
		if at := p.job(id).NextAttemptAt; at == nil || time.Until(*at) < 4*time.Minute {
			return fmt.Errorf("it goes out at %v", at)
		}
		return nil
	})
	again()
	sent(3)
	again()
	sent(4)
	if j := p.ends(id, store.Failed); !strings.Contains(string(j.Error), "mail_unknown") {
		t.Errorf("it failed with %s", j.Error)
	}
	if got := m.got("a@example.org"); got != 4 {
		t.Errorf("it was sent %d times", got)
	}
}

// An address that is put on the list while a mail to it waits for the server gets nothing any more.
func TestSuppressedWhileItWaitsForTheServer(t *testing.T) {
	t.Parallel()
	m := &postman{}
	p := newStates(t, m)
	m.before = func(to string) {
		if to != "b@example.org" {
			return
		}
		p.exec(`INSERT INTO mail_suppressions (organization_id, id, address, stream, reason)
			SELECT organization_id, gen_random_uuid(), 'b@example.org', '*', 'manual' FROM mail_messages LIMIT 1
			ON CONFLICT DO NOTHING`)
	}
	j := p.send(`{"to":["a@example.org","b@example.org","c@example.org"],"subject":"x","text":"x"}`)
	if got := p.recipients(j.ID); got != "a accepted, b suppressed, c accepted" || m.got("b@example.org") != 0 || j.Status != store.Succeeded {
		t.Errorf("%s, sent %d times: %+v", got, m.got("b@example.org"), j)
	}
}

// "Not now" after the job has ended means never, and all that tells of the mail says so.
func TestPutOffAfterTheEndIsTheEnd(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 10), make(chan struct{})
	m := &postman{answer: answers, hold: func(string) {
		asked <- struct{}{}
		<-release
	}}
	p := newStates(t, m)
	id := p.hand(`{"to":["grey@example.org"],"subject":"x","text":"x"}`)
	<-asked
	p.ask("POST", "/api/jobs/"+id+"/cancel", "", nil)
	close(release)
	p.becomes(id, "grey cancelled")
	var waits bool
	p.scan(&waits, `SELECT next_attempt_at IS NOT NULL FROM mail_recipients WHERE message_id = $1`, id)
	if got := p.timeline(id); waits || got != "cancelled unknown cancelled" {
		t.Errorf("it is tried again: %v; %s", waits, got)
	}
}
