package mail

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

// Class is what a refusal means for the mail, and for those that come after it.
type Class string

// The classes of a refusal.
const (
	// Channel is a fault between us and the server, or of the settings: no mail's and no recipient's. The mail
	// was not sent, and waits until the channel is well.
	Channel Class = "channel"
	// Deferred is "not now" for this recipient: greylisting, a full disk at the other end.
	Deferred Class = "deferred"
	// Rejected is "never" for this address.
	Rejected Class = "rejected"
	// Blocked is "not this", by the server's policy or for the content. It says nothing against the address.
	Blocked Class = "blocked"
	// TooLarge is a mail over the server's limit. Without its attachments it may go.
	TooLarge Class = "too_large"
	// Unknown is a connection that was lost between the end of the mail and the server's answer to it (RFC 1047):
	// the mail was accepted or it was not, and only somebody else can tell.
	Unknown Class = "unknown"
)

// The steps of a submission at which it can be refused.
const (
	StepBreaker = "breaker" // not tried, because the channel was ill a moment ago
	StepConnect = "connect" // up to the server's greeting
	StepTLS     = "tls"
	StepHello   = "hello"
	StepAuth    = "auth"
	StepMail    = "mail"
	StepRcpt    = "rcpt"
	StepData    = "data" // the command, before the server asked for the content
	StepBody    = "body" // the content, before its end was on the way
	StepDot     = "dot"  // the end of the content, and the answer to it
)

// Refusal is a mail that was not accepted, or, where its Class is Unknown, one that may not have been.
type Refusal struct {
	Class Class
	Step  string
	// Code is the server's, such as 450, or 0 where it gave none.
	Code int
	// Enhanced is the status of RFC 3463 such as "5.1.1", or "".
	Enhanced string
	// Reply is what the server said, without controls and at most 500 characters of it. It may name the recipient.
	Reply string
	// Suppress says that the address doesn't exist, so that no further mail should go there.
	Suppress bool
	// Until is when the channel is tried again, where the breaker refused.
	Until time.Time
	// Cause is the error below, where there was no reply.
	Cause error
}

// Error gives the step and what was said, as in "rcpt: 450 4.2.0 Greylisted".
func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString(r.Step)
	b.WriteString(":")
	if r.Code != 0 {
		fmt.Fprintf(&b, " %d", r.Code)
	}
	for _, part := range []string{r.Enhanced, r.Reply} {
		if part != "" {
			b.WriteString(" " + part)
		}
	}
	if r.Cause != nil {
		b.WriteString(" " + r.Cause.Error())
	}
	return b.String()
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// classify tells what an error at a step of a submission means. Before somebody has logged in, a server that
// refuses to relay speaks of our login, though it names the recipient.
func classify(step string, err error, authenticated bool) *Refusal {
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) {
		r := &Refusal{Class: Channel, Step: step, Cause: err}
		if step == StepDot {
			r.Class = Unknown
		}
		return r
	}
	r := &Refusal{Step: step, Code: reply.Code, Enhanced: enhanced(reply), Reply: printable(reply.Message)}
	said := strings.ToLower(r.Reply)
	for _, rule := range rules {
		if rule.matches(r, said, authenticated) {
			r.Class, r.Suppress = rule.class, rule.suppress
			return r
		}
	}
	// Only what RFC 5321 doesn't know as a refusal comes here: 2xx and 3xx where they make no sense.
	r.Class = Channel
	if step == StepDot {
		r.Class = Unknown
	}
	return r
}

// enhanced is the status code of a reply. One of another class than the reply, which some servers send, is
// worth nothing, as RFC 2034 (section 4) wants them to agree.
func enhanced(reply *smtp.SMTPError) string {
	e := reply.EnhancedCode
	if e[0] != reply.Code/100 || e[1] < 0 || e[1] > 999 || e[2] < 0 || e[2] > 999 {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
}

const maxReply = 500

// printable makes one line of a reply that can be shown and stored: servers say what they like.
func printable(reply string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(reply, "�") {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			r = ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029':
			continue
		}
		if n++; n > maxReply {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// hide replaces secrets in what a server said: some repeat the line that they didn't understand.
func (r *Refusal) hide(secrets []string) *Refusal {
	for _, s := range secrets {
		if utf8.RuneCountInString(s) >= 4 {
			r.Reply = strings.ReplaceAll(r.Reply, s, "…")
		}
	}
	return r
}
