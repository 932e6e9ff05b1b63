package api

import (
	"fmt"
	"testing"

	"github.com/payaid/payaid/events/outbox"
)

func TestMetricsOfMail(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	v := g.metrics(t).Mail
	if v.OldestQueuedSeconds != nil || v.Channel.State != nil || len(v.Unmeasured) != 2 || v.Queued != 0 || v.Suppressions != 0 {
		t.Errorf("without mails: %+v", v)
	}
	one, key := g.organization(t)
	two, _ := g.organization(t)
	first := g.mailed(t, one, nil, "a@example.in")
	later := g.mailed(t, two, nil, "a@example.in")
	g.execute(t, `UPDATE jobs SET created_at = now() - interval '90 seconds', run_at = now() - interval '90 seconds' WHERE id = $1`, first)
	// The oldest of all is put off until tomorrow.
	g.execute(t, `UPDATE jobs SET run_at = now() + interval '1 day' WHERE id = $1`, later)
	g.execute(t, `UPDATE mail_messages SET created_at = now() - interval '1 day' WHERE id = $1`, later)
	for i, state := range []string{"unknown", "deferred", "accepted", "sending"} {
		id := g.mailed(t, []string{one, two}[i%2], nil, "a@example.in")
		g.execute(t, `UPDATE mail_messages SET state = $2 WHERE id = $1`, id, state)
	}
	for typ, ages := range map[string][]string{"accepted": {"1 minute", "59 minutes", "61 minutes"}, "failed": {"0"}, "bounced": {"1 minute", "2 hours"},
		"complained": {"1 second"}, "deferred": {"1 second"}} {
		for _, age := range ages {
			g.execute(t, `INSERT INTO mail_events (organization_id, id, message_id, position, type, created_at)
				VALUES ($1, $2, $3, 1, $4, now() - $5::interval)`, one, outbox.NewID(), first, typ, age)
		}
	}
	g.call(t, key, "POST", "/api/mail/suppressions", `{"address":"a@example.in"}`).want(201)
	g.execute(t, `INSERT INTO mail_suppressions (organization_id, id, address, stream, reason, expires_at)
		VALUES ($1, $2, 'b@example.in', '*', 'soft_bounce', now() - interval '1 second')`, two, outbox.NewID())
	g.execute(t, `INSERT INTO worker_processes (id, host, pid, queues, version, providers) VALUES
		('a', 'h', 1, '{}', 'x', '[{"provider":"smtp","model":"mail.example.com","state":"closed","last_class":""},{"provider":"ollama","model":"m","state":"closed","last_class":""}]'),
		('b', 'h', 1, '{}', 'x', '[{"provider":"smtp","model":"mail.example.com","state":"open","last_class":"535 no"}]')`)

	m := g.metrics(t)
	v = m.Mail
	got := fmt.Sprint(v.Queued, v.Sending, v.Deferred, v.Unknown, " ", v.AcceptedLastHour, v.FailedLastHour, v.BouncedLastHour, v.ComplaintsLastHour, " ", v.Suppressions)
	if want := fmt.Sprint(2, 1, 1, 1, " ", 2, 1, 1, 1, " ", 1); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if v.OldestQueuedSeconds == nil || *v.OldestQueuedSeconds < 90 || *v.OldestQueuedSeconds > 600 {
		t.Errorf("the oldest waits for %v", v.OldestQueuedSeconds)
	}
	if v.Channel.State == nil || *v.Channel.State != "open" || len(v.Channel.Workers) != 2 || *v.Channel.Workers[1].LastCause != "535 no" || len(v.Unmeasured) != 0 {
		t.Errorf("the channel is %+v", v.Channel)
	}
	for _, w := range m.AI.States {
		for _, p := range w.Providers {
			if p.Provider == "smtp" {
				t.Error("the mail server stands among the models")
			}
		}
	}
}
