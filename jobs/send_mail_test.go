package jobs_test

import (
	"context"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/ticket"
	"github.com/payaid/payaid/jobs"
)

// A post is an installation whose mail goes to a sink.
type post struct {
	*site
	*client
	sink *localstack.Sink
}

func newPost(t *testing.T, change ...func(*jobs.Deps)) *post {
	t.Helper()
	sink, err := localstack.StartSink(t.Context(), localstack.SinkOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Stop(context.Background()) })
	bounces, err := ticket.ParseBounces("bounces@example.com")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(_ *inference.Config, d *jobs.Deps) {
		pool, err := mail.New(configOf(t, sink.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		d.Mailing = jobs.Mailing{Mailer: pool, From: netmail.Address{Name: "PayAid", Address: "noreply@example.com"},
			Tickets: ticket.NewMaker(func(ctx context.Context) ([]byte, error) { return d.DB.Secret(ctx, "mail") }),
			Bounces: bounces, PublicURL: "https://crm.example.com"}
		for _, c := range change {
			c(d)
		}
	})
	p := &post{site: s, sink: sink, client: s.client()}
	if pool, ok := s.deps.Mailing.Mailer.(*mail.Pool); ok {
		s.running("pool", pool.Run)
	}
	s.worker(map[string]int{"mail": 4})
	return p
}

// send hands over mail.send and gives the job at its end.
func (p *post) send(input string) seenMail {
	p.site.t.Helper()
	var j seenMail
	p.ask("POST", "/api/jobs", `{"kind":"mail.send","input":`+input+`}`, &j)
	for deadline := time.Now().Add(patience); j.Status == store.Queued || j.Status == store.Running; {
		p.ask("GET", "/api/jobs/"+j.ID, "", &j, "Prefer", "wait=55")
		if time.Now().After(deadline) {
			p.site.t.Fatalf("the mail is not sent: %+v\n%s", j, p.logged)
		}
	}
	return j
}

type seenMail struct {
	ID, Status string
	Error      struct{ Code, Detail string }
	Output     struct {
		MessageID  string `json:"message_id"`
		State      string
		QueueID    string `json:"queue_id"`
		Recipients []struct {
			Address, State string
			Code           int
			Reply          string
		}
	}
}

// content is what the sink got.
func (p *post) content(m localstack.SinkMessage) string {
	p.site.t.Helper()
	raw, err := os.ReadFile(filepath.Clean(m.Path))
	p.must(err)
	return string(raw)
}

func TestMailIsSentToEachRecipientOnce(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	j := p.send(`{"to":["Asha Rao <asha@example.org>"],"cc":["b@example.org"],"bcc":["c@example.org"],"subject":"Überweisung ₹500",
		"html":"<p>Thanks</p>","attachments":[{"filename":"a.txt","content_type":"text/plain","content_base64":"aGk="}]}`)
	if j.Status != store.Succeeded || j.Output.State != "accepted" || j.Output.MessageID != j.ID || len(j.Output.Recipients) != 3 {
		t.Fatalf("got %+v\n%s", j, p.logged)
	}
	var to []string
	for _, m := range p.sink.Messages() {
		to = append(to, m.To...)
		raw := p.content(m)
		if !strings.HasPrefix(m.From, "bounces+") || !strings.Contains(raw, "<"+j.ID+"@example.com>") || strings.Contains(raw, "c@example.org") {
			t.Errorf("from %s:\n%s", m.From, raw)
		}
	}
	slices.Sort(to)
	if want := []string{"asha@example.org", "b@example.org", "c@example.org"}; !slices.Equal(to, want) {
		t.Errorf("the server took the mail for %v, want %v", to, want)
	}
	var state string
	var events, facts int
	p.scan(&state, `SELECT state FROM mail_messages WHERE id = $1`, j.ID)
	p.scan(&events, `SELECT count(*) FROM mail_events WHERE message_id = $1 AND type = 'accepted'`, j.ID)
	p.scan(&facts, `SELECT count(*) FROM outbox WHERE type = 'mail.accepted'`)
	if state != "accepted" || events != 3 || facts != 3 {
		t.Errorf("the mail is %s, with %d lines and %d facts", state, events, facts)
	}
}

func TestSuppressedAddressGetsNoMail(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.exec(`INSERT INTO mail_suppressions (organization_id, id, address, stream, reason) VALUES ($1, gen_random_uuid(), 'asha@example.org', '*', 'complaint')`,
		p.organization)
	j := p.send(`{"to":["Asha@example.org"],"subject":"x","text":"x"}`)
	if j.Status != store.Failed || j.Error.Code != "mail_suppressed" || j.Output.State != "suppressed" || len(p.sink.Messages()) != 0 {
		t.Errorf("got %+v, and the sink %d mails", j, len(p.sink.Messages()))
	}
}

// configOf is a pool for a sink, which speaks no TLS.
func configOf(t *testing.T, addr string) mail.Config {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return mail.Config{Host: host, Port: n, Hello: "client.example.com"}
}
