//go:build deploytest

package deploytest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/smtp"
	"regexp"
	"strings"
	"testing"
	"time"
)

// bounce has a mail come back: another server's report reaches the mail container, which hands it to worker-mail.
func (d *deployed) bounce(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	j, _, err := d.own.submit(ctx, "bounce", `{"kind":"mail.send","input":{"to":["gone@elsewhere.example"],"subject":"deploytest bounce","text":"Hello."}}`)
	if err == nil {
		_, err = d.own.await(ctx, j.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	var back string
	err = eventually(ctx, func(ctx context.Context) error {
		text, err := d.call(ctx, "exec", "-T", "mail", "sh", "-c", "cat $(grep -rl '^Subject: deploytest bounce' /var/mail/all/new)")
		if err != nil {
			return err
		}
		path := regexp.MustCompile(`(?m)^Return-Path: <(bounces\+[^>]+)>`).FindStringSubmatch(text)
		if path == nil {
			return fmt.Errorf("the mail has no return path with a mark:\n%s", text)
		}
		back = path[1]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := sendReport(back); err != nil {
		t.Fatal(err)
	}
	err = eventually(ctx, func(ctx context.Context) error {
		var m struct {
			Recipients []struct {
				BouncedAt *time.Time `json:"bounced_at"`
			} `json:"recipients"`
		}
		if err := d.own.want(ctx, http.StatusOK, http.MethodGet, "/api/mail/"+j.ID, "", &m); err != nil {
			return err
		}
		if len(m.Recipients) != 1 || m.Recipients[0].BouncedAt == nil {
			return errors.New("nothing is known of a bounce")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d.report.add("a bounce", "from port 25 through LMTP to /api/mail in %s", seconds(time.Since(began)))
}

// sendReport tells the sender of a mail, as servers do, that its reader doesn't exist (RFC 3464).
func sendReport(sender string) error {
	text := strings.ReplaceAll(`From: MAILER-DAEMON@elsewhere.example
To: `+sender+`
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="part"

--part
Content-Type: text/plain

That address is not known here.

--part
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.elsewhere.example

Final-Recipient: rfc822; gone@elsewhere.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--part--
`, "\n", "\r\n")
	c, err := smtp.Dial("127.0.0.1:" + smtpPort)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Hello("mx.elsewhere.example"), c.Mail(""), c.Rcpt(sender)); err != nil {
		return fmt.Errorf("report to %s: %w", sender, err)
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	return errors.Join(w.Close(), c.Quit())
}
