package jobs_test

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack/faults"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

func TestRefusalOfOneTouchesNoOther(t *testing.T) {
	t.Parallel()
	m := &postman{answer: answers}
	p := newStates(t, m)
	j := p.send(`{"to":["nobody@example.org","a@example.org"],"cc":["blocked@example.org"],"bcc":["large@example.org"],"subject":"x","text":"x"}`)
	if got, want := p.recipients(j.ID), "nobody failed, a accepted, blocked failed, large failed"; got != want || j.Status != store.Succeeded ||
		j.Output.State != "accepted" || j.Output.QueueID != "Qa" || j.Output.Recipients[0].Code != 550 {
		t.Errorf("%s: %+v", got, j)
	}
	var suppressed string
	p.scan(&suppressed, `SELECT string_agg(address || ' ' || reason, ', ') FROM mail_suppressions`)
	if suppressed != "nobody@example.org hard_bounce" {
		t.Errorf("suppressed: %s", suppressed)
	}
	if again := p.send(`{"to":["nobody@example.org"],"subject":"x","text":"x"}`); again.Error.Code != "mail_suppressed" || m.tries["nobody@example.org"] != 1 {
		t.Errorf("the server was asked again: %+v", again)
	}
}

func TestCodesOfMailsThatNobodyGot(t *testing.T) {
	t.Parallel()
	p := newStates(t, &postman{answer: answers})
	for to, want := range map[string]string{"nobody": "mail_rejected", "blocked": "mail_rejected", "large": "mail_content"} {
		j := p.send(`{"to":["` + to + `@example.org"],"subject":"x","text":"x"}`)
		if j.Status != store.Failed || j.Error.Code != want || j.Output.State != "failed" {
			t.Errorf("%s: %+v, want %s", to, j, want)
		}
	}
}

func TestDeferredMailWaitsAndExpires(t *testing.T) {
	t.Parallel()
	m := &postman{answer: answers}
	p := newStates(t, m)
	id := p.hand(`{"to":["grey@example.org","a@example.org"],"subject":"x","text":"x"}`)
	reason := p.waits(id)
	if !strings.Contains(reason, "Greylisted") {
		t.Errorf("it waits as %q", reason)
	}
	var pause time.Duration
	p.scan(&pause, `SELECT next_attempt_at - updated_at FROM mail_recipients WHERE message_id = $1 AND position = 1`, id)
	if got := p.recipients(id); got != "grey deferred, a accepted" || pause < 4*time.Minute || pause > 6*time.Minute {
		t.Errorf("%s, for %s", got, pause)
	}
	// The next try comes after three days.
	p.exec(`UPDATE jobs SET started_at = now() - interval '73 hours' WHERE id = $1`, id)
	p.exec(`UPDATE mail_recipients SET next_attempt_at = now() WHERE message_id = $1 AND position = 1`, id)
	p.due(id)
	p.becomes(id, "grey failed, a accepted")
	if p.ends(id, store.Succeeded); m.got("a@example.org") != 1 {
		t.Errorf("the other recipient got it %d times", m.got("a@example.org"))
	}
	var reasons string
	p.scan(&reasons, `SELECT string_agg(detail ->> 'reason', ' ' ORDER BY id) FROM mail_events WHERE message_id = $1 AND position = 1`, id)
	if reasons != "deferred expired" {
		t.Errorf("reasons: %s", reasons)
	}
	// Alone it is a failure of its own, and by hand it has all the time again.
	id = p.hand(`{"to":["grey@example.org"],"subject":"x","text":"x"}`)
	p.waits(id)
	p.exec(`UPDATE jobs SET started_at = now() - interval '73 hours' WHERE id = $1`, id)
	p.exec(`UPDATE mail_recipients SET next_attempt_at = now() WHERE message_id = $1`, id)
	p.due(id)
	if j := p.ends(id, store.Failed); !strings.Contains(string(j.Error), "mail_expired") {
		t.Errorf("it failed with %s", j.Error)
	}
	p.ask("POST", "/api/jobs/"+id+"/retry", "", nil)
	p.waits(id)
	p.becomes(id, "grey deferred")
}

func TestChannelFaultsWaitWithoutCounting(t *testing.T) {
	t.Parallel()
	var ill atomic.Bool
	ill.Store(true)
	m := &postman{answer: func(string, int) error {
		if ill.Load() {
			return &mail.Refusal{Class: mail.Channel, Step: mail.StepConnect, Cause: fmt.Errorf("dial tcp: lookup mail.internal: hunter2"), Until: time.Now().Add(time.Hour)}
		}
		return nil
	}}
	p := newStates(t, m)
	id := p.hand(`{"to":["a@example.org","b@example.org"],"subject":"x","text":"x"}`)
	if reason := p.waits(id); strings.Contains(reason, "internal") || strings.Contains(reason, "hunter2") || !strings.Contains(reason, "can't be reached") {
		t.Errorf("it waits as %q", reason)
	}
	j := p.job(id)
	var attempts int
	p.scan(&attempts, `SELECT sum(attempts) FROM mail_recipients WHERE message_id = $1`, id)
	if in := time.Until(*j.NextAttemptAt); in < 55*time.Minute || attempts != 0 || m.tries["b@example.org"] != 0 {
		t.Errorf("it waits for %s, after %d tries, %d of the second", in, attempts, m.tries["b@example.org"])
	}
	ill.Store(false)
	p.ask("POST", "/api/jobs/"+id+"/retry", "", nil)
	p.ends(id, store.Succeeded)
	// Bounded by the deadline.
	ill.Store(true)
	id = p.hand(`{"to":["a@example.org"],"subject":"x","text":"x"}`, `,"deadline":"`+time.Now().Add(8*time.Second).UTC().Format(time.RFC3339Nano)+`"`)
	if j := p.ends(id, store.Failed); !strings.Contains(string(j.Error), "deadline_exceeded") {
		t.Errorf("it failed with %s", j.Error)
	}
	p.becomes(id, "a failed")
}

func TestUnknownIsSentAgainOrHeld(t *testing.T) {
	t.Parallel()
	m := &postman{answer: func(_ string, try int) error {
		if try == 1 {
			return &mail.Refusal{Class: mail.Unknown, Step: mail.StepDot, Cause: fmt.Errorf("EOF")}
		}
		return nil
	}}
	p := newStates(t, m)
	j := p.send(`{"to":["a@example.org"],"subject":"x","text":"x"}`)
	if got := p.timeline(j.ID); j.Status != store.Succeeded || got != "unknown resent accepted" {
		t.Errorf("%s: %+v", got, j)
	}
	j = p.send(`{"to":["b@example.org"],"subject":"x","text":"x","on_unknown":"hold"}`)
	if got := p.timeline(j.ID); j.Status != store.Failed || j.Error.Code != "mail_unknown" || j.Output.State != "unknown" ||
		!strings.HasPrefix(got, "unknown") || strings.Contains(got, "resent") || m.got("b@example.org") != 1 {
		t.Errorf("%s: %+v", got, j)
	}
	// By hand it is sent again, when the try's last word is not to be expected any more.
	p.exec(`UPDATE mail_recipients SET unknown_at = now() - interval '1 hour' WHERE message_id = $1`, j.ID)
	p.ask("POST", "/api/jobs/"+j.ID+"/retry", "", nil)
	p.ends(j.ID, store.Succeeded)
	if m.got("b@example.org") != 2 {
		t.Errorf("it was sent %d times", m.got("b@example.org"))
	}
}

// What the server accepted counts, whatever became of the job while it did, and is not sent again.
func TestAcceptanceIsWrittenDownWhateverBecameOfTheJob(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(p *post, id string)
		status    string
	}{
		"cancelled": {func(p *post, id string) { p.ask("POST", "/api/jobs/"+id+"/cancel", "", nil) }, store.Cancelled},
		"expired": {func(p *post, id string) {
			p.exec(`UPDATE jobs SET status = 'failed', error = '{"code":"deadline_exceeded"}', finished_at = now() WHERE id = $1`, id)
		}, store.Failed},
		"tried again by hand": {func(p *post, id string) {
			p.ask("POST", "/api/jobs/"+id+"/cancel", "", nil)
			p.ask("POST", "/api/jobs/"+id+"/retry", "", nil)
			p.waits(id)
		}, store.Succeeded},
		"settled to be sent again": {func(p *post, id string) {
			p.ask("POST", "/api/jobs/"+id+"/cancel", "", nil)
			p.ask("POST", "/api/mail/"+id+"/settle", `{"outcome":"resend"}`, nil)
			p.waits(id)
		}, store.Succeeded},
		"taken over": {func(p *post, id string) {
			p.exec(`UPDATE jobs SET lease = lease + 1 WHERE id = $1`, id)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, release := make(chan struct{}, 10), make(chan struct{})
			m := &postman{hold: func(string) {
				asked <- struct{}{}
				<-release
			}}
			p := newStates(t, m)
			id := p.hand(`{"to":["a@example.org"],"subject":"x","text":"x"}`)
			<-asked
			c.meanwhile(p, id)
			close(release)
			p.becomes(id, "a accepted")
			if c.status != "" {
				p.eventually("the job ends", func() error {
					if j := p.job(id); j.Status != c.status {
						return fmt.Errorf("it is %s", j.Status)
					}
					return nil
				})
			}
			var state string
			p.scan(&state, `SELECT state FROM mail_messages WHERE id = $1`, id)
			if got := p.timeline(id); m.got("a@example.org") != 1 || m.tries["a@example.org"] != 1 || state != "accepted" || !strings.Contains(got, "accepted") {
				t.Errorf("sent %d times, in %d tries; the mail is %s: %s", m.got("a@example.org"), m.tries["a@example.org"], state, got)
			}
		})
	}
}

// Who wants a mail sent again gets it, whatever the sender chose, when the try before has had its last word; that it
// knows nothing changes nothing.
func TestMailIsResentByHandAfterTheLastWord(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 10), make(chan struct{})
	m := &postman{hold: func(string) {
		asked <- struct{}{}
		<-release
	}, answer: func(_ string, try int) error {
		if try == 1 {
			return &mail.Refusal{Class: mail.Unknown, Step: mail.StepDot, Cause: fmt.Errorf("EOF")}
		}
		return nil
	}}
	p := newStates(t, m)
	id := p.hand(`{"to":["a@example.org"],"subject":"x","text":"x","on_unknown":"hold"}`)
	<-asked
	p.ask("POST", "/api/jobs/"+id+"/cancel", "", nil)
	p.becomes(id, "a unknown")
	p.ask("POST", "/api/mail/"+id+"/settle", `{"outcome":"resend"}`, nil)
	p.waits(id)
	var pause time.Duration
	wait := `SELECT coalesce(next_attempt_at - unknown_at, '0') FROM mail_recipients WHERE message_id = $1`
	if p.scan(&pause, wait, id); p.recipients(id) != "a unknown" || pause != store.LastWord {
		t.Errorf("%s, for %s", p.recipients(id), pause)
	}
	close(release)
	p.eventually("the try before has its last word", func() error {
		if got := p.timeline(id); !strings.HasSuffix(got, "settled unknown") {
			return fmt.Errorf("the timeline is %s", got)
		}
		return nil
	})
	if p.scan(&pause, wait, id); p.recipients(id) != "a unknown" || pause != store.LastWord || m.got("a@example.org") != 1 {
		t.Errorf("%s, for %s, sent %d times", p.recipients(id), pause, m.got("a@example.org"))
	}
	p.exec(`UPDATE mail_recipients SET next_attempt_at = now() WHERE message_id = $1`, id)
	p.due(id)
	p.becomes(id, "a accepted")
	if p.ends(id, store.Succeeded); m.got("a@example.org") != 2 {
		t.Errorf("sent %d times", m.got("a@example.org"))
	}
}

// A recipient whose turn it was when the job was cancelled gets nothing.
func TestCancelledMailIsNotSent(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 10), make(chan struct{})
	m := &postman{hold: func(string) {
		asked <- struct{}{}
		<-release
	}}
	p := newStates(t, m)
	id := p.hand(`{"to":["a@example.org","b@example.org"],"subject":"x","text":"x"}`)
	<-asked
	p.ask("POST", "/api/jobs/"+id+"/cancel", "", nil)
	close(release)
	p.becomes(id, "a accepted, b cancelled")
	later := p.hand(`{"to":["c@example.org"],"subject":"x","text":"x"}`, `,"run_at":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"`)
	p.ask("POST", "/api/jobs/"+later+"/cancel", "", nil)
	p.becomes(later, "c cancelled")
	if m.got("b@example.org") != 0 || m.got("c@example.org") != 0 {
		t.Error("a cancelled mail was sent")
	}
}

// The answer to a commit is lost with its connection, though it is done: that is neither a conflict nor a reason to
// do it again.
func TestLostAnswersOfCommits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statement string // after which the connection is cut, before the answer to its transaction
		want      string // of the timeline
		attempt   int    // in which it was done
	}{
		"that it is accepted":   {"accepted_at = CASE WHEN", "accepted", 1},
		"that it is being sent": {"SET state = 'sending', claim", "accepted", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &postman{}
			var cuts atomic.Int32
			p := newStates(t, m, func(d *jobs.Deps) { d.DB = cutDB(t, d.DB, c.statement, &cuts) })
			j := p.send(`{"to":["a@example.org"],"subject":"x","text":"x"}`)
			if got := p.timeline(j.ID); j.Status != store.Succeeded || got != c.want || m.got("a@example.org") != 1 || cuts.Load() != 1 || p.job(j.ID).Attempt != c.attempt {
				t.Errorf("%s, attempt %d, sent %d times, %d cuts: %+v\n%s", got, p.job(j.ID).Attempt, m.got("a@example.org"), cuts.Load(), j, p.logged)
			}
			var facts int
			p.scan(&facts, `SELECT count(*) FROM outbox WHERE type = 'mail.accepted'`)
			if facts != 1 {
				t.Errorf("%d facts", facts)
			}
		})
	}
}

// cutDB is a database behind a wire, which is cut once: after the server has done the transaction of a statement and
// before its answer.
func cutDB(t *testing.T, db *store.DB, statement string, cuts *atomic.Int32) *store.DB {
	t.Helper()
	config := db.Pool().Config().ConnConfig
	var mu sync.Mutex
	armed := make(map[int]bool)
	w := faults.NewWire(t, fmt.Sprintf("%s:%d", config.Host, config.Port), func(c faults.Chunk) ([]byte, bool) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case c.ToServer && bytes.Contains(c.Data, []byte(statement)) && cuts.Load() == 0:
			// Alone it is a transaction of its own, else that ends with the commit.
			armed[c.Conn] = strings.Contains(statement, "sending")
		case c.ToServer && bytes.Contains(c.Data, []byte("commit\x00")):
			if _, ok := armed[c.Conn]; ok {
				armed[c.Conn] = true
			}
		case !c.ToServer && armed[c.Conn] && cuts.CompareAndSwap(0, 1):
			return nil, true
		}
		return c.Data, false
	})
	u := url.URL{Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: w.Addr(), Path: "/" + config.Database,
		// Each statement is spelled out whenever it is executed.
		RawQuery: "sslmode=disable&default_query_exec_mode=cache_describe"}
	cut, err := store.Open(t.Context(), store.PoolOptions{URL: u.String(), Role: store.System, Name: "test", MaxConns: 12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cut.Close)
	return cut
}
