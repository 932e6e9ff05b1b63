package api

import (
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/events/outbox"
)

func (g *rig) settle(t testing.TB, key, id, body string, headers ...string) *reply {
	t.Helper()
	return g.call(t, key, "POST", "/api/mail/"+id+"/settle", body, headers...)
}

func TestSettleByHand(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	for outcome, want := range map[string]string{
		"accepted": "accepted: mail.accepted",
		"failed":   "failed: mail.failed",
	} {
		id := g.mailed(t, org, nil, "a@example.in")
		g.recipientIs(t, org, id, 1, "unknown")
		var v mailDetail
		g.settle(t, key, id, `{"outcome":"`+outcome+`"}`, "Idempotency-Key", id).want(200).json(&v)
		last := v.Events[len(v.Events)-1]
		told := ""
		for _, f := range g.facts(t, id) {
			if strings.HasPrefix(f.typ, "mail.") {
				told += f.typ
			}
		}
		if got := v.State + ": " + told; got != want || v.Recipients[0].State != outcome || (v.Recipients[0].AcceptedAt != nil) != (outcome == "accepted") {
			t.Errorf("got %q and %+v, want %q", got, v, want)
		}
		if last.Type != "settled" || *last.Recipient != "a@example.in" || !strings.Contains(string(last.Detail), outcome) {
			t.Errorf("the timeline ends with %+v", last)
		}
		g.settle(t, key, id, `{"outcome":"`+outcome+`"}`, "Idempotency-Key", id).want(200) // the same request
		g.settle(t, key, id, `{"outcome":"resend"}`).problem(409, "not_unknown")
		g.settle(t, key, id, `{"recipient":"A@example.in","outcome":"failed"}`).problem(409, "not_unknown")
		if g.mail(t, key, id).Version != v.Version {
			t.Error("what was refused changed something")
		}
	}
}

func TestSettleSaysWhich(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	id := g.mailed(t, org, nil, "a@example.in", "b@example.in", "c@example.in")
	g.recipientIs(t, org, id, 1, "unknown")
	g.recipientIs(t, org, id, 2, "unknown")
	g.recipientIs(t, org, id, 3, "accepted")
	g.settle(t, key, id, `{"outcome":"failed"}`).problem(422, "validation_failed", "/recipient")
	g.settle(t, key, id, `{"recipient":"d@example.in","outcome":"failed"}`).problem(422, "validation_failed", "/recipient")
	g.settle(t, key, id, `{"recipient":"c@example.in","outcome":"failed"}`).problem(409, "not_unknown")
	g.settle(t, key, id, `{"outcome":"sent"}`).problem(422, "validation_failed", "/outcome")
	g.settle(t, key, id, `{}`).problem(422, "validation_failed", "/outcome")
	g.settle(t, g.key(t, key, "read write"), id, `{"outcome":"failed"}`).problem(403, "forbidden")
	g.settle(t, key, outbox.NewID(), `{"outcome":"failed"}`).problem(404, "not_found")
	g.settle(t, key, g.submit(t, key, aCompletion).ID, `{"outcome":"resend"}`).problem(404, "not_found")
	var v mailDetail
	g.settle(t, key, id, `{"recipient":"B@EXAMPLE.in","outcome":"failed"}`).want(200).json(&v)
	if v.State != "unknown" || v.Recipients[1].State != "failed" || v.Recipients[0].State != "unknown" {
		t.Errorf("got %+v", v)
	}
	g.settle(t, key, id, `{"outcome":"failed"}`).want(200).json(&v) // one alone is left
	if v.State != "accepted" {
		t.Errorf("got %+v", v)
	}
}

// To send again, a job that has ended or waits gets a new run, to which nothing else is due; one that is yet to begin
// sends of itself, and of one that is at work nobody knows what it has read.
func TestSettleResends(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	for name, c := range map[string]struct {
		job       string // what the job is
		runs      int    // afterwards; 0: it is refused
		requested int    // events that ask for the job, besides the first
	}{
		"a job that failed":          {`status = 'failed', finished_at = now(), error = '{"code":"mail_unknown"}'`, 2, 1},
		"a job that succeeded":       {`status = 'succeeded', finished_at = now(), output = '{}'`, 2, 1},
		"a job that was cancelled":   {`status = 'cancelled', finished_at = now()`, 2, 1},
		"a job that waits":           {`status = 'running', waiting_reason = 'x', next_attempt_at = now()`, 2, 1},
		"a job that is yet to begin": {`status = 'queued'`, 1, 0},
		"a job that is put off":      {`run_at = now() + interval '1 day'`, 2, 1},
		"a job that is being worked": {`status = 'running'`, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			id := g.mailed(t, org, nil, "a@example.in", "b@example.in", "c@example.in")
			g.recipientIs(t, org, id, 1, "unknown")
			g.execute(t, `UPDATE mail_recipients SET unknown_at = now() - interval '1 minute' WHERE state = 'unknown' AND message_id = $1`, id)
			g.recipientIs(t, org, id, 2, "accepted")
			g.recipientIs(t, org, id, 3, "failed")
			g.execute(t, `UPDATE jobs SET `+c.job+` WHERE id = $1`, id)
			r := g.settle(t, key, id, `{"outcome":"resend"}`)
			if c.runs == 0 {
				if r.problem(409, "conflict"); r.header.Get("Retry-After") == "" {
					t.Error("it doesn't say when to try again")
				}
				if v := g.mail(t, key, id); v.Recipients[0].State != "unknown" || len(v.Events) != 1 {
					t.Errorf("what was refused is half done: %+v", v)
				}
				return
			}
			var v mailDetail
			r.want(200).json(&v)
			if v.State != "queued" || v.Recipients[0].State != "queued" || v.Recipients[1].State != "accepted" || v.Recipients[2].State != "failed" {
				t.Errorf("got %+v", v)
			}
			if n := g.count(t, `SELECT run FROM jobs WHERE status = 'queued' AND run_at <= now() AND id = '`+id+`'`); n != c.runs {
				t.Errorf("the job has run %d", n)
			}
			if n := g.count(t, `SELECT run FROM mail_messages WHERE id = '`+id+`'`); n != c.runs {
				t.Errorf("the mail belongs to run %d, and is begun anew by the next", n)
			}
			if n := len(g.facts(t, id)); n != c.requested {
				t.Errorf("%d events ask for the job, want %d", n, c.requested)
			}
		})
	}
}

// A try that was cut off just now may still succeed: nothing is sent before it can't.
func TestResendWaitsForTheLastWord(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	for name, c := range map[string]struct {
		since, want string
	}{
		"unknown just now":      {`unknown_at = now() - interval '1 second'`, "unknown"},
		"being sent just now":   {`unknown_at = NULL, sending_at = now() - interval '1 second'`, "unknown"},
		"unknown for a while":   {`unknown_at = now() - interval '21 seconds', sending_at = now() - interval '22 seconds'`, "queued"},
		"nobody knows how long": {`unknown_at = NULL, sending_at = NULL`, "queued"},
	} {
		t.Run(name, func(t *testing.T) {
			id := g.mailed(t, org, nil, "a@example.in")
			g.recipientIs(t, org, id, 1, "unknown")
			g.execute(t, `UPDATE mail_recipients SET `+c.since+` WHERE message_id = $1`, id)
			g.execute(t, `UPDATE jobs SET status = 'cancelled', finished_at = now() WHERE id = $1`, id)
			var v mailDetail
			g.settle(t, key, id, `{"outcome":"resend"}`).want(200).json(&v)
			r := v.Recipients[0]
			if v.State != c.want || r.State != c.want || (r.NextAttemptAt != nil) != (c.want == "unknown") {
				t.Fatalf("got %+v", v)
			}
			if at := r.NextAttemptAt; at != nil && (time.Until(*at) < 15*time.Second || time.Until(*at) > 20*time.Second) {
				t.Errorf("it is sent again at %s", at)
			}
			if n := g.count(t, `SELECT run FROM jobs WHERE status = 'queued' AND id = '`+id+`'`); n != 2 {
				t.Errorf("the job has run %d", n)
			}
			// Who finds out meanwhile says so.
			if c.want == "unknown" {
				g.settle(t, key, id, `{"outcome":"accepted"}`).want(200).json(&v)
				if r := v.Recipients[0]; r.State != "accepted" || r.NextAttemptAt != nil {
					t.Errorf("got %+v", r)
				}
			}
		})
	}
}
