package jobs

import (
	"context"
	netmail "net/mail"
	"time"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/internal/ticket"
)

// Mailer submits mail to the owner's server.
type Mailer interface {
	// Send submits a composed mail to one recipient. commit has returned nil before the content is sent, and
	// nothing is sent when it fails. A *mail.Refusal says what the server's no means.
	Send(ctx context.Context, e mail.Envelope, content []byte, commit func(context.Context) error) (mail.Receipt, error)
}

// Mailing is what mail.send needs beside the database.
type Mailing struct {
	Mailer Mailer          // nil: no server is configured, and mail waits
	From   netmail.Address // whose mail it is to servers; its name stands where the organization has none
	// Bounces is the address to which what can't be delivered comes back, with a ticket as its extension; the zero
	// value: it comes back to From, where nobody but people reads it.
	Bounces   ticket.Bounces
	Tickets   *ticket.Maker
	PublicURL string // where links in mails lead, without a slash at its end; "": mails have none
	// Evidence is how long a report may take that tells whether the server took a mail of which nobody knows.
	Evidence time.Duration
	// Receipts asks for a report of success of every mail, at the cost of one coming in for each going out. Without
	// it only those have one that are held where nobody knows.
	Receipts bool
	Rate     MailRate
}

// A MailRate bounds how many mails an organization may send, counted by recipients.
type MailRate struct {
	Limiter *ratelimit.Limiter // nil: as many as it likes
	Limit   int                // within the limiter's window
}

const (
	// A mail is tried for as long as mail servers do.
	mailLifetime = 3 * 24 * time.Hour
	// noServerPause is after what a mail for which there is no server looks again.
	noServerPause = time.Minute
)

// mailBackoff is after the given number of tries that a server answered "not now". Greylisting wants five minutes.
func mailBackoff(tries int) time.Duration {
	d := 5 * time.Minute
	for range tries - 1 {
		if d = d * 3 / 2; d > 4*time.Hour {
			return 4 * time.Hour
		}
	}
	return d
}
