package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/payaid/payaid/internal/telemetry/trace"
)

// Envelope is what the server is told about a mail, of which its content knows nothing.
type Envelope struct {
	// ID comes back in reports about the mail (ENVID of RFC 3461); at most 100 characters of printable ASCII.
	ID string
	// From is where reports go; "" is nowhere.
	From string
	// To is the one recipient. A server answers for the content once, not for each recipient.
	To string
	// Success asks for a report of success as well as of failure.
	Success bool
}

// Receipt is the server's word that it will deliver the mail, or report.
type Receipt struct {
	Code int
	// Reply is what it said, as [Refusal.Reply].
	Reply string
	// QueueID is its name for the mail, as its log has it; "" where it didn't tell.
	QueueID string
	// DSN says that it takes requests for reports (RFC 3461), so that Success was heard.
	DSN bool
}

// Send submits one mail, whose whole content is in memory: a mail that breaks off might be taken for a whole one.
//
// Once a connection is in hand, commit is called beside the first commands, or beside the mail before, where it is
// this mail's turn after that: with few connections, the time of a commit would otherwise be lost to the server. The
// content is sent after it has returned nil, and not at all otherwise. So a caller can have written down that the
// mail is being sent before it can have been. Its error is returned wrapped; all others of the server or of the way
// to it are a *Refusal.
//
// Until the content is under way, the end of ctx calls the mail off at once. After that it is given
// Config.StopGrace, as a mail that is cut off there is Unknown.
func (p *Pool) Send(ctx context.Context, e Envelope, content []byte, commit func(context.Context) error) (Receipt, error) {
	if err := e.check(content); err != nil {
		return Receipt{}, err
	}
	ctx, step := trace.Start(ctx, trace.Client, "smtp", "")
	defer step.End()
	receipt, err := p.send(ctx, e, content, commit)
	if step.Traced() {
		p.describe(step, receipt, err)
	}
	return receipt, err
}

func (p *Pool) send(ctx context.Context, e Envelope, content []byte, commit func(context.Context) error) (Receipt, error) {
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return Receipt{}, err
	}
	defer leave()
	if err := p.breaker.refusal(); err != nil {
		return Receipt{}, err
	}
	if err := p.pace.wait(ctx); err != nil {
		return Receipt{}, err
	}
	s := &submission{pool: p, place: p.queue.enter(), envelope: e, content: content}
	defer s.giveBack()
	defer s.settle(ctx, errPanicked)
	receipt, err := s.run(ctx, commit)
	s.settle(ctx, err)
	return receipt, err
}

// errPanicked is how a mail ended whose commit didn't return.
var errPanicked = errors.New("commit panicked")

// calledOff is the refusal of a mail whose context has ended.
func calledOff(ctx context.Context, step string) *Refusal {
	return &Refusal{Class: Channel, Step: step, Cause: context.Cause(ctx)}
}

const maxEnvelope = 100 // RFC 3461, section 4.4

// check keeps out what would be more than an address or a name in a command, or more than a mail in its content.
func (e Envelope) check(content []byte) error {
	if err := plainAddress(e.To); err != nil {
		return &Refusal{Class: Rejected, Step: StepRcpt, Cause: err}
	}
	if e.From != "" {
		if err := plainAddress(e.From); err != nil {
			return fmt.Errorf("return path: %w", err)
		}
	}
	if len(e.ID) > maxEnvelope || strings.ContainsFunc(e.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the envelope's id has to be at most 100 characters of printable ASCII")
	}
	if !lines(content) {
		return errors.New("the content has to be lines that end in CR LF, without either elsewhere")
	}
	return nil
}

// plainAddress refuses what can't stand between angle brackets. Commands take parameters after those, and the
// library looks for line ends alone.
func plainAddress(a string) error {
	at := strings.LastIndexByte(a, '@')
	switch {
	case at <= 0 || at == len(a)-1:
		return errors.New("it is not an address")
	case len(a) > maxAddress:
		return fmt.Errorf("an address has at most %d characters", maxAddress)
	case strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' }):
		return errors.New("an address is ASCII without spaces, controls and angle brackets")
	}
	return nil
}

// lines says whether the content ends its lines as SMTP does. A server that ends them elsewhere as well could be
// made to see a second mail in it.
func lines(content []byte) bool {
	if len(content) > 0 && !bytes.HasSuffix(content, []byte("\r\n")) {
		return false
	}
	ends := bytes.Count(content, []byte("\r\n"))
	return bytes.Count(content, []byte("\r")) == ends && bytes.Count(content, []byte("\n")) == ends
}

var queued = regexp.MustCompile(`(?i)\bqueued as ([0-9A-Za-z._-]{1,64})|\bid=([0-9A-Za-z._-]{1,64})`)

// queueID finds the server's name for a mail in its answer, as Postfix and most others say it, or Exim.
func queueID(reply string) string {
	found := queued.FindStringSubmatch(reply)
	if found == nil {
		return ""
	}
	return strings.TrimRight(found[1]+found[2], ".")
}
