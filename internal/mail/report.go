package mail

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/emersion/go-message"
)

// What is read of a message that came back. The rest of it is not looked at: what matters stands in front of
// the returned original, and of the original only its header counts.
const (
	maxReportBytes  = 1 << 20
	maxReportLines  = 20000 // each costs a few hundred bytes of memory while a header is read
	maxReportHeader = 256 << 10
	maxReportDepth  = 5
	maxReportParts  = 50
	maxReportGroups = 100 // recipients of one report
)

// ReportKind says what came to the address for reports.
type ReportKind string

const (
	// ReportOther is whatever nobody can act on: answers of people and of their holiday programs, and
	// reports in forms that nobody specified.
	ReportOther ReportKind = "other"
	// ReportDelivery is a delivery status notification, RFC 3464, or one of qmail's.
	ReportDelivery ReportKind = "delivery"
	// ReportFeedback is feedback about a message from its recipient's provider, RFC 5965.
	ReportFeedback ReportKind = "feedback"
)

// A Report is a message that says what became of another one. All text in it is the sender's, whoever that is:
// cut to a sane length, without control characters, and not to be trusted.
type Report struct {
	Kind ReportKind
	// MessageID is the report's own.
	MessageID string
	// EnvelopeID is the ENVID that was given with the message, decoded from xtext; "" where the report has none.
	EnvelopeID   string
	ReportingMTA string
	// QueueID is the one at the server that reports, where it is a Postfix.
	QueueID string
	// Recipients are those that a delivery report is about.
	Recipients []ReportedRecipient
	// Feedback is what a ReportFeedback says.
	Feedback Feedback
	// Original is what the report shows of the message that it is about.
	Original Original

	date string
}

// A ReportedRecipient is what a delivery report says of one recipient.
type ReportedRecipient struct {
	// Original is the address that the message was sent to, Final the one that the reporting server had, which
	// differs after an alias or a forwarding. Either may be "".
	Original, Final string
	// Action is failed, delayed, delivered, relayed or expanded, in lower case.
	Action string
	// Status is the enhanced code, such as 5.1.1, without the remark that may follow it, or "".
	Status string
	// Diagnostic is the reply of the server that refused, on one line and without its type.
	Diagnostic string
	RemoteMTA  string
}

// Feedback is the machine's part of a feedback report. Providers leave out or redact the recipients as they
// please, so nothing may depend on them.
type Feedback struct {
	// Type is abuse, fraud, not-spam, virus, other or a newer one, in lower case.
	Type string
	// MailFrom is the return path of the original message, without angle brackets.
	MailFrom    string
	RcptTo      string
	ArrivalDate string
}

// Original is what a report shows of the header of the message that it is about.
type Original struct {
	// MessageID and ReturnPath are without angle brackets.
	MessageID  string
	ReturnPath string
	// ListUnsubscribe is the whole field, which may hold several addresses.
	ListUnsubscribe string
}

// Complaint says whether the recipient does not want such mail. A provider that reports a virus, a failed
// authentication, or that a message was no spam after all, does not say that.
func (f Feedback) Complaint() bool {
	switch f.Type {
	case "abuse", "fraud", "opt-out":
		return true
	}
	return false
}

// ParseReport reads a message that came to the address for reports. What is no report, or none that can be
// understood, is ReportOther; an error says that r failed. It reads no more than the first megabyte, keeps far
// less, and believes nothing: whoever knows the address can send such a message.
func ParseReport(r io.Reader) (Report, error) {
	source := &boundedReader{r: r, bytes: maxReportBytes, lines: maxReportLines}
	p := reportParser{report: Report{Kind: ReportOther}}
	entity, err := message.ReadWithOptions(source, &message.ReadOptions{MaxHeaderBytes: maxReportHeader})
	if usable(err) {
		p.report.MessageID = bare(entity.Header.Get("Message-Id"))
		p.report.date = clean(entity.Header.Get("Date"))
		p.part(entity, 0)
	}
	if source.err != nil {
		return Report{}, source.err
	}
	return p.report, nil
}

// Digest is the same for the same report, by whatever way it comes, and however often. Headers that servers add
// on the way have no part in it.
func (r Report) Digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", r)
	return hex.EncodeToString(h.Sum(nil))
}

// usable tells the errors of go-message after which there is something to read from those after which there
// is nothing: an unknown charset or encoding leaves the part as it came.
func usable(err error) bool {
	return err == nil || message.IsUnknownCharset(err) || message.IsUnknownEncoding(err)
}

// reportParser gathers what the parts of a message say. The first part of a sort counts.
type reportParser struct {
	report   Report
	parts    int
	original bool // seen
}

func (p *reportParser) part(e *message.Entity, depth int) {
	if p.parts++; p.parts > maxReportParts {
		return
	}
	kind := typeOf(e)
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		p.children(e, depth)
	case kind == "message/delivery-status" || kind == "message/global-delivery-status":
		if p.report.Kind == ReportOther {
			p.deliveryStatus(e.Body)
		}
	case kind == "message/feedback-report":
		if p.report.Kind == ReportOther {
			p.feedback(e.Body)
		}
	case isOriginal(kind):
		if !p.original {
			p.original = true
			p.returned(e.Body)
		}
	case kind == "text/plain" && depth == 0:
		p.plain(e.Body)
	}
}

// children goes through a multipart. Messages within messages are somebody's text, not ours to act on, so only
// multiparts are entered.
func (p *reportParser) children(e *message.Entity, depth int) {
	parts := e.MultipartReader()
	if parts == nil || depth >= maxReportDepth {
		return
	}
	for p.parts < maxReportParts {
		child, err := parts.NextPart()
		if !usable(err) {
			return // the end, or a message that was cut off
		}
		p.part(child, depth+1)
	}
}

// typeOf is the content type in lower case. A type whose parameters are broken counts by its name.
func typeOf(e *message.Entity) string {
	value := e.Header.Get("Content-Type")
	if value == "" {
		return "text/plain"
	}
	if kind, _, err := mime.ParseMediaType(value); err == nil {
		return kind
	}
	kind, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

func isOriginal(kind string) bool {
	switch kind {
	case "message/rfc822", "message/rfc822-headers", "text/rfc822-headers", "message/global", "message/global-headers":
		return true
	}
	return false
}

// returned reads the header of the message that came back.
func (p *reportParser) returned(r io.Reader) {
	header := nextBlock(bufio.NewReader(r))
	p.report.Original = Original{
		MessageID:       bare(header.get("message-id")),
		ReturnPath:      bare(header.get("return-path")),
		ListUnsubscribe: header.get("list-unsubscribe"),
	}
}
