package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/ticket"
)

// mail connects and logs in as for a mail, and sends none.
func (d *doctor) mail(ctx context.Context, m mailServer) {
	const check = "mail"
	if m.server.Host == "" {
		d.say(uneasy, check, "set SMTP_HOST and SMTP_FROM; until then mails wait", "no mail server is configured here")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	pool, err := mail.New(m.server)
	if err == nil {
		err = pool.Check(ctx)
	}
	if err != nil {
		d.say(broken, check, mailRemedy(err), "%s: %v", m.describe(), err)
		return
	}
	login := "without a login"
	if m.server.User != "" {
		login = "and takes the login"
	}
	d.say(fine, check, "", "%s answers %s; whether it delivers, a mail alone can tell", m.describe(), login)
}

// links looks for what readers unsubscribe by. A sink's mail has nobody to read it.
func (d *doctor) links(m mailServer, publicURL string) {
	const check = "mail links"
	switch {
	case m.server.Host == "":
	case publicURL == "":
		d.say(uneasy, check, linkRemedy, "mails have no link to unsubscribe (PUBLIC_URL is not set here)")
	default:
		d.say(fine, check, "", "readers unsubscribe at %s", publicURL)
	}
}

// reports asks whoever takes reports for its greeting.
func (d *doctor) reports(ctx context.Context, bounces ticket.Bounces, in inbox) {
	const check = "mail reports"
	if bounces.IsZero() {
		d.say(uneasy, check, "set MAIL_BOUNCES and LMTP_LISTEN, and have the mail server deliver the one to the other",
			"what can't be delivered comes back to SMTP_FROM, where nobody counts it (MAIL_BOUNCES is not set here)")
		return
	}
	if in.listen == "" {
		d.say(uneasy, check, "set LMTP_LISTEN where a worker of the queue mail runs", "%s has reports come back, and LMTP_LISTEN is not set here", bounces)
		return
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", in.listen)
	if err != nil {
		d.say(broken, check, "start `payaid worker --queue mail` with LMTP_LISTEN; until then the mail server keeps what it has to report", "%v", err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	greeting, err := bufio.NewReader(io.LimitReader(conn, 1000)).ReadString('\n')
	if err != nil || !strings.HasPrefix(greeting, "220 ") || !strings.Contains(greeting, "LMTP") {
		d.say(broken, check, "see what else listens there, or set another LMTP_LISTEN", "%s answers %q, which is not our LMTP", in.listen, strings.TrimSpace(greeting))
		return
	}
	_, _ = io.WriteString(conn, "QUIT\r\n")
	d.say(fine, check, "", "taken at %s; whether the mail server delivers %s there, a bounce alone can tell", in.listen, bounces)
}

// mailRemedy says what to mend where a mail server can't be used.
func mailRemedy(err error) string {
	var (
		refusal *mail.Refusal
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		expired x509.CertificateInvalidError
		noTLS   tls.RecordHeaderError
		nobody  *net.DNSError
	)
	switch {
	case errors.As(err, &name):
		return "set SMTP_SERVER_NAME to a name that the certificate is for"
	case errors.As(err, &unknown):
		return "set SMTP_CA_FILE to the certificate of the authority that signed the server's, or give the server one that the system trusts"
	case errors.As(err, &expired):
		return "renew the server's certificate, and see to the clocks"
	case errors.As(err, &noTLS):
		return "SMTP_SECURE=true is for ports that begin with TLS (465); for 587 set it to false"
	case errors.As(err, &nobody):
		return "check SMTP_HOST: there is no such name from here"
	case !errors.As(err, &refusal):
		return "check the SMTP_ settings"
	}
	switch refusal.Step {
	case mail.StepTLS:
		return "turn STARTTLS on at the server, or use its port for TLS (SMTP_PORT=465 and SMTP_SECURE=true); SMTP_ALLOW_PLAINTEXT=true does without"
	case mail.StepAuth:
		return "check SMTP_USER and SMTP_PASS, and that the server lets this user log in"
	case mail.StepHello:
		return "set SMTP_HELO to this machine's full name"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer: check SMTP_PORT and SMTP_SECURE (a port that begins with TLS says nothing before it), and firewalls between"
	}
	return "start the mail server, check SMTP_HOST and SMTP_PORT"
}
