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
	letters "github.com/payaid/payaid/internal/letter"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/ratelimit"
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
	Error      struct {
		Code, Detail string
		Errors       []struct{ Pointer, Detail string }
	}
	Output struct {
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

func TestMailByTemplateWithAnInvoice(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	contact := p.contact("Asha Rao", nil)
	invoice := p.invoice(contact, 10, nil)
	data := string(letters.Sample("invoice"))
	j := p.send(`{"to":["a@example.org"],"template":"invoice","data":` + data + `,"attachments":[{"invoice_id":"` + invoice + `"}]}`)
	if j.Status != store.Succeeded {
		t.Fatalf("%+v\n%s", j, p.logged)
	}
	if raw := p.content(p.sink.Messages()[0]); !strings.Contains(raw, "INV-26-27-0001.pdf") || !strings.Contains(raw, "application/pdf") {
		t.Errorf("the mail has no invoice:\n%.2000s", raw)
	}
	// An organization's own of the same name takes its place, and gets what data it likes.
	p.exec(`INSERT INTO mail_templates (organization_id, id, name, subject, text) VALUES ($1, gen_random_uuid(), 'invoice', 'Dear {{.who}}', 'Hello')`,
		p.organization)
	p.send(`{"to":["a@example.org"],"template":"invoice","data":{"who":"Asha"}}`)
	if raw := p.content(p.sink.Messages()[0]); !strings.Contains(raw, "Subject: Dear Asha") {
		t.Errorf("not by the organization's own template:\n%.1000s", raw)
	}
}

// What the input names and isn't there, or can't be made, ends the job before anything is sent, and says where.
func TestMailThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	other := newPost(t)
	foreign := other.invoice(other.contact("B", nil), 10, nil)
	p.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Other', 'KA')`, other.organization)
	p.exec(`INSERT INTO mail_templates (organization_id, id, name, subject, text) VALUES
		($1, gen_random_uuid(), 'mine', 'Dear {{.who}}', 'x'), ($2, gen_random_uuid(), 'theirs', 'x', 'x')`, p.organization, other.organization)
	for input, want := range map[string][2]string{
		`"template":"nothing"`:                           {"mail_template", "/input/template"},
		`"template":"theirs"`:                            {"mail_template", "/input/template"},
		`"template":"mine","data":{}`:                    {"mail_template", "/input/template"},
		`"template":"report_ready","data":{"report":{}}`: {"mail_template", "/input/data/"},
		`"template":"invoice"`:                           {"mail_template", "/input/data/"},
		`"subject":"x","text":"x","attachments":[{"filename":"a","content_type":"text/plain","content_base64":"aGk="},{"invoice_id":"` + foreign + `"}]`: {"not_found", "/input/attachments/1/invoice_id"},
	} {
		j := p.send(`{"to":["a@example.org"],` + input + `}`)
		if j.Status != store.Failed || j.Error.Code != want[0] || len(j.Error.Errors) != 1 || !strings.HasPrefix(j.Error.Errors[0].Pointer, want[1]) {
			t.Errorf("%s: %+v, want %v", input, j.Error, want)
		}
	}
	if n := len(p.sink.Messages()); n != 0 {
		t.Errorf("%d mails were sent", n)
	}
}

// What is said to people, and who they are, is nobody's business who reads the log.
func TestMailLeavesNoTraceInTheLog(t *testing.T) {
	t.Parallel()
	m := &postman{answer: answers}
	p := newStates(t, m)
	p.send(`{"to":["Asha <nobody@example.org>"],"cc":["secret-cc@example.org"],"subject":"secret-subject","text":"secret-text","attachments":[
		{"filename":"secret-file","content_type":"text/plain","content_base64":"aGk="}]}`)
	p.send(`{"to":["nobody@example.org"],"template":"secret_template","data":{"x":"secret-data"}}`)
	p.waits(p.hand(`{"to":["grey@example.org"],"subject":"secret-subject","text":"x"}`))
	var kept string
	p.scan(&kept, `SELECT string_agg(args::text || coalesce(errors::text, '') || metadata::text, ' ') FROM river_job`)
	for what, text := range map[string]string{"the log": p.logged.String(), "River's rows": kept} {
		for _, word := range []string{"secret-", "@example.org", "Greylisted", "unknown"} {
			if strings.Contains(text, word) {
				t.Errorf("%s says %q:\n%s", what, word, text)
			}
		}
	}
}

// Beyond its rate an organization's mail waits, and says so; others' does not.
func TestMailBeyondTheRateWaits(t *testing.T) {
	t.Parallel()
	limiter := ratelimit.New(ratelimit.Config{Window: time.Hour})
	t.Cleanup(func() { _ = limiter.Close() })
	p := newPost(t, func(d *jobs.Deps) { d.Mailing.Rate = jobs.MailRate{Limiter: limiter, Limit: 2} })
	id := p.hand(`{"to":["a@example.org","b@example.org","c@example.org"],"subject":"x","text":"x"}`)
	reason := p.waits(id)
	if at := p.job(id).NextAttemptAt; !strings.Contains(reason, "2 in 1h") || time.Until(*at) < 59*time.Minute {
		t.Errorf("it waits as %q until %s", reason, at)
	}
	if got := p.recipients(id); got != "a accepted, b accepted, c queued" || len(p.sink.Messages()) != 2 {
		t.Errorf("%s", got)
	}
	p.client = p.site.client() // another organization
	if j := p.send(`{"to":["a@example.org"],"subject":"x","text":"x"}`); j.Status != store.Succeeded {
		t.Errorf("%+v", j)
	}
}
