package chaos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/payaid/payaid/internal/localstack"
)

// nobodyThere is a remote mail server that refuses every recipient, for good.
func nobodyThere(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "listen", err)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return refusing{}, nil }))
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}

type refusing struct{}

func (refusing) Mail(string, *smtp.MailOptions) error { return nil }
func (refusing) Data(io.Reader) error                 { return nil }
func (refusing) Reset()                               {}
func (refusing) Logout() error                        { return nil }

func (refusing) Rcpt(string, *smtp.RcptOptions) error {
	return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
}

// TestReportsSurviveKilledWorkers: a worker is killed while it writes down what the mail server reports, again and
// again. The server was not told that it is done, and comes again; in the end each report counts once.
func TestReportsSurviveKilledWorkers(t *testing.T) {
	t.Parallel()
	const recipients, kills = 3, 3
	inbox := freeAddress(t)
	_, inboxPort, err := net.SplitHostPort(inbox)
	must(t, "the address of the inbox", err)
	postfix := localstack.NewPostfix(t, localstack.PostfixOptions{Transports: map[string]string{
		`/@mx\.test$/`:                    fmt.Sprintf("smtp:[127.0.0.1]:%d", nobodyThere(t)),
		`/^bounces(\+.*)?@example\.com$/`: "lmtp:inet:127.0.0.1:" + inboxPort,
	}})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the mail server's log:\n%s", postfix.Log())
		}
	})
	s := newStack(t)
	s.env = append(s.env, "SMTP_HOST=127.0.0.1", fmt.Sprintf("SMTP_PORT=%d", postfix.Plain()), "SMTP_CA_FILE="+postfix.CAFile(),
		"SMTP_FROM=noreply@example.com", "MAIL_BOUNCES=bounces@example.com")
	pool := s.pool()
	_, admin := s.api("api")
	_, own := admin.organization(t, "Reported")
	s.relay("relay")
	work := []string{"worker", "--queue", "mail", "--queue", "maintenance"}

	// The first worker takes no reports, so that they wait at the mail server.
	sender := s.process("sender", nil, work...)
	mail := own.submit(t, "mail.send", `{"to":["gone1@mx.test","gone2@mx.test"],"bcc":["gone3@mx.test"],"subject":"x","text":"x"}`).ID
	own.done(t, mail, time.Minute)
	must(t, "reports wait", postfix.AwaitLog(within(t, time.Minute), regexp.MustCompile(`postfix/lmtp.*status=deferred`), recipients))
	sender.kill()

	for i := range kills {
		tx, err := pool.Begin(t.Context())
		must(t, "begin", err)
		_, err = tx.Exec(t.Context(), `SELECT FROM mail_messages WHERE id = $1 FOR UPDATE`, mail)
		must(t, "hold the mail", err)
		victim := s.process(fmt.Sprintf("victim-%d", i), []string{"LMTP_LISTEN=" + inbox}, work...)
		must(t, "a report is being written down", eventually(within(t, time.Minute), writing(pool)))
		victim.kill()
		must(t, "let the mail go", tx.Rollback(t.Context()))
		if n := bounced(t, pool, mail); n.recipients > 0 || n.facts > 0 {
			t.Errorf("a dead worker wrote down %+v", n)
		}
	}

	s.process("survivor", []string{"LMTP_LISTEN=" + inbox}, work...)
	// A minute is what the mail server waits where it finds a mail's file still held by the delivery that broke off.
	must(t, "all is written down", eventually(within(t, 2*time.Minute), func(context.Context) error {
		if n := bounced(t, pool, mail); n.recipients < recipients {
			return fmt.Errorf("there are %+v", n)
		}
		return nil
	}))
	must(t, "the mail server has told all", postfix.Drain(within(t, time.Minute)))
	if n, want := bounced(t, pool, mail), (counts{recipients, recipients, recipients, recipients}); n != want {
		t.Errorf("written down: %+v, want %+v", n, want)
	}
}

// writing tells whether somebody waits for the lock of a mail.
func writing(pool *pgxpool.Pool) func(context.Context) error {
	return func(ctx context.Context) error {
		var n int
		err := pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%mail_messages%FOR UPDATE%'`).Scan(&n)
		if err == nil && n == 0 {
			err = fmt.Errorf("nobody does")
		}
		return err
	}
}

// counts are what is known of bounces.
type counts struct{ recipients, events, facts, suppressions int }

func bounced(t *testing.T, pool *pgxpool.Pool, mail string) (c counts) {
	t.Helper()
	must(t, "count bounces", pool.QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM mail_recipients WHERE message_id = $1 AND bounced_at IS NOT NULL),
		(SELECT count(*) FROM mail_events WHERE message_id = $1 AND type = 'bounced'),
		(SELECT count(*) FROM outbox WHERE subject = $1::text AND type = 'mail.bounced'),
		(SELECT count(*) FROM mail_suppressions WHERE message_id = $1)`, mail).Scan(&c.recipients, &c.events, &c.facts, &c.suppressions))
	return c
}
