package mail

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/emersion/go-smtp"
)

// What the inbox answers. No answer says why: what is wrong here is nobody's business there.
var (
	errNoSuchAddress = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such address"}
	errComeAgain     = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Come again later"}
	errTooLongLine   = &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "Too long a line"}
	errNoLMTP        = &smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "This is a server of LMTP"}
)

// A delivery is the messages of one connection, one after the other.
type delivery struct {
	inbox *Inbox
	ctx   context.Context
	from  *visitor
	to    []string
}

// Mail implements smtp.Session. The sender says nothing: anybody may write any.
func (d *delivery) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt implements smtp.Session.
func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	ctx, cancel := context.WithTimeout(d.ctx, takePatience)
	defer cancel()
	ok, err := d.inbox.Reports.Expects(ctx, to)
	switch {
	case err != nil:
		d.inbox.Log.Warn("a mail report can't be taken now", "error", err)
		return errComeAgain
	case !ok:
		return errNoSuchAddress
	}
	d.to = append(d.to, to)
	return nil
}

// Data implements smtp.Session, for a protocol that this server doesn't speak.
func (d *delivery) Data(io.Reader) error { return errNoLMTP }

// LMTPData implements smtp.LMTPSession. Nothing is acted on before the message's end was seen.
func (d *delivery) LMTPData(r io.Reader, status smtp.StatusCollector) (err error) {
	d.from.begin() // until Reset, which comes after the answers
	defer func() {
		if p := recover(); p != nil {
			d.inbox.Log.Error("a mail report made its reader panic", "panic", p, "stack", string(debug.Stack()))
			err = errComeAgain
		}
	}()
	report, err := ParseReport(r)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		return unreadable(err)
	}
	for _, to := range d.to {
		status.SetStatus(to, d.take(to, report))
	}
	return nil
}

// unreadable tells messages that would be too large the next time as well from connections that broke.
func unreadable(err error) error {
	if refused := (*smtp.SMTPError)(nil); errors.As(err, &refused) {
		return refused
	}
	if errors.Is(err, smtp.ErrTooLongLine) {
		return errTooLongLine
	}
	return errComeAgain
}

func (d *delivery) take(to string, r Report) error {
	if r.Kind == ReportOther {
		return nil
	}
	ctx, cancel := context.WithTimeout(d.ctx, takePatience)
	defer cancel()
	if err := d.inbox.Reports.Take(ctx, to, r); err != nil {
		d.inbox.Log.Warn("a mail report can't be taken now", slog.String("report", string(r.Kind)), "error", err)
		return errComeAgain
	}
	return nil
}

// Reset implements smtp.Session.
func (d *delivery) Reset() {
	d.to = nil
	d.from.end()
}

// Logout implements smtp.Session.
func (d *delivery) Logout() error { return nil }
