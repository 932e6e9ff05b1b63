package jobs_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	netmail "net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/inference"
	"github.com/payaid/payaid/internal/localstack"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// An exchange is an installation with a real mail server between it and the rest of the world, which is one remote
// server for mx.test. What that refuses comes back by the real server's own reports, over LMTP.
type exchange struct {
	*desk
	*client
	postfix *localstack.Postfix
	remote  *remote
	inbox   net.Addr
	gate    *localstack.Gate // between the inbox and Postgres
}

func newExchange(t *testing.T, settings map[string]string) *exchange {
	t.Helper()
	e := &exchange{remote: newRemote(t)}
	inbox := listen(t)
	e.inbox = inbox.Addr()
	e.postfix = localstack.NewPostfix(t, localstack.PostfixOptions{Settings: settings, Transports: map[string]string{
		`/@mx\.test$/`:                    "smtp:[127.0.0.1]:" + portOf(e.remote.addr),
		`/^bounces(\+.*)?@example\.com$/`: "lmtp:inet:127.0.0.1:" + portOf(e.inbox),
	}})
	pool, err := mail.New(mail.Config{Host: "127.0.0.1", Port: e.postfix.Plain(), RootCAs: e.postfix.Roots(), Hello: "client.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(_ *inference.Config, d *jobs.Deps) {
		d.Mailing = jobs.Mailing{Mailer: pool, From: netmail.Address{Name: "PayAid", Address: "noreply@example.com"},
			Bounces: bouncesOf(t), Tickets: ticketsOf(d.DB), Evidence: time.Minute}
	})
	e.client = s.client()
	s.running("pool", pool.Run)
	s.worker(map[string]int{"mail": 4})
	e.gate = localstack.NewGate(t, hostOf(t, s.url))
	behind := s.deps
	behind.DB, err = store.Open(t.Context(), store.PoolOptions{URL: throughGate(t, s.url, e.gate), Role: store.System, Name: "inbox", MaxConns: 4})
	s.must(err)
	t.Cleanup(behind.DB.Close)
	behind.Mailing.Tickets = ticketsOf(behind.DB)
	e.desk = &desk{s, jobs.NewMailReports(behind)}
	server := mail.NewInbox(mail.InboxConfig{Reports: e.reports, Log: s.logged.log()})
	s.running("inbox", func(ctx context.Context) error { return server.Serve(ctx, inbox) })
	return e
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func portOf(a net.Addr) string { return fmt.Sprint(a.(*net.TCPAddr).Port) }

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func throughGate(t *testing.T, address string, g *localstack.Gate) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = g.Addr()
	return u.String()
}

// A remote is the mail server of somebody else. It refuses as the recipients' names say, and keeps the rest.
type remote struct {
	addr net.Addr

	mu    sync.Mutex
	asked []string // recipients
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	l := listen(t)
	r := &remote{addr: l.Addr()}
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return remoteSession{r}, nil }))
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return r
}

// seen counts how often somebody wanted to deliver to an address.
func (r *remote) seen(address string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.asked {
		if one == address {
			n++
		}
	}
	return n
}

type remoteSession struct{ *remote }

func (remoteSession) Mail(string, *gosmtp.MailOptions) error { return nil }
func (remoteSession) Reset()                                 {}
func (remoteSession) Logout() error                          { return nil }

func (remoteSession) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (s remoteSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, to)
	switch {
	case strings.HasPrefix(strings.ToLower(to), "gone"):
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	case strings.HasPrefix(to, "late"):
		return &gosmtp.SMTPError{Code: 450, EnhancedCode: gosmtp.EnhancedCode{4, 2, 0}, Message: "not now"}
	}
	return nil
}

// send hands over mail.send and gives its id when the server has taken it for everybody.
func (e *exchange) send(input string) (id string) {
	e.site.t.Helper()
	j := (&post{site: e.site, client: e.client}).send(input)
	if j.Status != store.Succeeded || j.Output.State != "accepted" {
		e.site.t.Fatalf("got %+v\n%s", j, e.logged)
	}
	return j.ID
}

// becomes waits until a recipient is told of as it should.
func (e *exchange) becomes(id string, position int, want string) {
	e.site.t.Helper()
	e.eventually("the report is taken", func() error {
		if got := e.told(id, position); got != want {
			return fmt.Errorf("recipient %d: told %q, want %q\n%s", position, got, want, e.postfix.Log())
		}
		return nil
	})
}

const (
	bouncedHard   = "accepted bounced: accepted bounced address_suppressed"
	deliveredOnce = "accepted delivered: accepted delivered"
)

// TestBouncesComeBack: a remote server refuses, the owner's server reports, the next mail isn't sent.
func TestBouncesComeBack(t *testing.T) {
	t.Parallel()
	e := newExchange(t, nil)
	id := e.send(`{"to":["ok@mx.test","gone@mx.test","Gone2@mx.test"],"subject":"x","text":"x","on_unknown":"hold"}`)
	e.becomes(id, 1, deliveredOnce) // such mails ask for a report of success
	e.becomes(id, 2, bouncedHard)
	e.becomes(id, 3, bouncedHard)
	e.wants("list", e.list(e.organization), []string{"gone2@mx.test * hard_bounce", "gone@mx.test * hard_bounce"})

	// The facts are on the stream, in the order of the mail's versions.
	var published []string
	e.eventually("the facts are published", func() (err error) {
		if published, err = e.published(id); err == nil && len(published) < 6 {
			err = fmt.Errorf("there are %q", published)
		}
		return err
	})
	slices.Sort(published)
	e.wants("stream", published, []string{"mail.accepted", "mail.accepted", "mail.accepted", "mail.bounced", "mail.bounced", "mail.delivered"})

	j := (&post{site: e.site, client: e.client}).send(`{"to":["gone@mx.test"],"subject":"x","text":"x"}`)
	if j.Status != store.Failed || j.Error.Code != "mail_suppressed" {
		t.Errorf("the next mail: %+v", j)
	}
	if n := e.remote.seen("gone@mx.test"); n != 1 {
		t.Errorf("the remote server was asked %d times", n)
	}

	// A mail without the wish for it has no report of success.
	quiet := e.send(`{"to":["ok@mx.test"],"subject":"x","text":"x"}`)
	e.must(e.postfix.Drain(t.Context()))
	if got := e.told(quiet, 1); got != "accepted: accepted" {
		t.Errorf("told %q", got)
	}
}

// published are the types of the facts about a mail that the stream has.
func (e *exchange) published(id string) (types []string, err error) {
	there := make(map[string]bool)
	if err := e.stream.EventIDs(e.site.t.Context(), func(id string) { there[id] = true }); err != nil {
		return nil, err
	}
	rows, err := e.db.Pool().Query(e.site.t.Context(), `SELECT event_id::text, type FROM outbox WHERE subject = $1 AND type LIKE 'mail.%'`, id)
	if err != nil {
		return nil, err
	}
	var event, kind string
	_, err = pgx.ForEachRow(rows, []any{&event, &kind}, func() error {
		if there[event] {
			types = append(types, kind)
		}
		return nil
	})
	return types, err
}

// TestExpiredMailIsNoBadAddress: the server gives up on a soft failure, and says "failed".
func TestExpiredMailIsNoBadAddress(t *testing.T) {
	t.Parallel()
	e := newExchange(t, map[string]string{"maximal_queue_lifetime": "1s", "bounce_queue_lifetime": "1s"})
	for range 2 {
		id := e.send(`{"to":["late@mx.test"],"subject":"x","text":"x"}`)
		e.becomes(id, 1, "accepted bounced: accepted bounced")
	}
	e.wants("list", e.list(e.organization), nil)
	id := e.send(`{"to":["late@mx.test"],"subject":"x","text":"x"}`)
	e.becomes(id, 1, bouncedHard) // by its words; the third is one too many
	e.wants("list", e.list(e.organization), []string{"late@mx.test * soft_bounce for 7 days"})
}

// TestReportsOutliveOurDatabase: the server keeps what we can't take, and it counts once.
func TestReportsOutliveOurDatabase(t *testing.T) {
	t.Parallel()
	e := newExchange(t, nil)
	e.send(`{"to":["ok@mx.test"],"subject":"x","text":"x"}`)
	e.gate.Shut()
	id := e.send(`{"to":["gone@mx.test","gone-too@mx.test"],"subject":"x","text":"x"}`)
	e.must(e.postfix.AwaitLog(t.Context(), regexp.MustCompile(`status=deferred.*451 4\.3\.0`), 2))
	if got := e.told(id, 1); got != "accepted: accepted" {
		t.Errorf("told %q", got)
	}
	e.gate.Open()
	e.becomes(id, 1, bouncedHard)
	e.becomes(id, 2, bouncedHard)
	e.must(e.postfix.Drain(t.Context()))
	if got := e.facts(id); len(got) != 4 {
		t.Errorf("facts %q", got)
	}
}

// TestDoorTakesOurTicketsOnly: by the server's own word, and for complaints as for bounces.
func TestDoorTakesOurTicketsOnly(t *testing.T) {
	t.Parallel()
	e := newExchange(t, nil)
	id := e.send(`{"to":["ok@mx.test"],"subject":"x","text":"x"}`)
	path := e.path(id, 1)
	submit := func(to string, text string) {
		t.Helper()
		text = strings.ReplaceAll(text, "\n", "\r\n")
		c, err := gosmtp.Dial(fmt.Sprintf("127.0.0.1:%d", e.postfix.Plain()))
		e.must(err)
		defer c.Close()
		e.must(c.SendMail("fbl@provider.example", []string{to}, strings.NewReader(text)))
	}
	forged := strings.Replace(path, path[8:12], "aaaa", 1)
	submit(forged, "Subject: x\n\nx\n")
	e.must(e.postfix.AwaitLog(t.Context(), regexp.MustCompile(regexp.QuoteMeta("to=<"+forged+">")+`.*status=bounced.*550 5\.1\.1`), 1))

	submit("bounces@example.com", "Subject: Re: your invoice\n\nPlease call me. 550 5.1.1\n")
	submit(path, "Subject: Away\nAuto-Submitted: auto-replied\n\nI am away.\n")
	complaint := "Message-ID: <fbl@provider.example>\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n" +
		"--b\nContent-Type: text/plain\n\nA complaint.\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\nUser-Agent: X/1\n" +
		"Original-Mail-From: <" + path + ">\n\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <" + id + "@example.com>\n--b--\n"
	submit("bounces@example.com", complaint)
	e.becomes(id, 1, "accepted complained: accepted complained address_suppressed")
	e.must(e.postfix.Drain(t.Context()))
	e.wants("list", e.list(e.organization), []string{"ok@mx.test * complaint"})
	if got := e.told(id, 1); got != "accepted complained: accepted complained address_suppressed" {
		t.Errorf("told %q", got)
	}
}
