package mail

import (
	"bufio"
	"cmp"
	"io"
	"regexp"
	"strings"
)

// deliveryStatus reads RFC 3464: a block about the message, then one for each recipient. Servers that put
// both into one block are understood as well.
func (p *reportParser) deliveryStatus(r io.Reader) {
	in := bufio.NewReader(r)
	for b := nextBlock(in); b != nil; b = nextBlock(in) {
		p.aboutMessage(b)
		if about := aboutRecipient(b); about != (ReportedRecipient{}) && len(p.report.Recipients) < maxReportGroups {
			p.report.Recipients = append(p.report.Recipients, about)
		}
	}
	if len(p.report.Recipients) > 0 {
		p.report.Kind = ReportDelivery
	}
}

func (p *reportParser) aboutMessage(b block) {
	first := func(into *string, value string) {
		if *into == "" {
			*into = value
		}
	}
	first(&p.report.EnvelopeID, clean(unquoteXtext(b.get("original-envelope-id"))))
	_, mta := typed(b.get("reporting-mta"))
	first(&p.report.ReportingMTA, mta)
	first(&p.report.QueueID, b.get("x-postfix-queue-id"))
}

func aboutRecipient(b block) ReportedRecipient {
	if b.get("final-recipient") == "" && b.get("original-recipient") == "" && b.get("action") == "" {
		return ReportedRecipient{}
	}
	_, diagnostic := typed(b.get("diagnostic-code"))
	_, remote := typed(b.get("remote-mta"))
	return ReportedRecipient{
		Original:   typedAddress(b.get("original-recipient")),
		Final:      typedAddress(b.get("final-recipient")),
		Action:     firstWord(b.get("action")),
		Status:     enhancedAtStart.FindString(b.get("status")),
		Diagnostic: diagnostic,
		RemoteMTA:  remote,
	}
}

var enhancedAtStart = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

func firstWord(s string) string {
	words := strings.Fields(strings.ToLower(s))
	if len(words) == 0 {
		return ""
	}
	return strings.Trim(words[0], "();,")
}

// Names says whether the report is about an address, as the message was sent to it or as the server had it at
// last. Servers that pass on what they were given leave it in xtext.
func (r ReportedRecipient) Names(address string) bool {
	return strings.EqualFold(r.Original, address) || strings.EqualFold(r.Final, address) ||
		strings.EqualFold(unquoteXtext(r.Original), address)
}

// feedback reads RFC 5965, section 3. A report that does not say of what type it is, is none.
func (p *reportParser) feedback(r io.Reader) {
	b := nextBlock(bufio.NewReader(r))
	kind := firstWord(b.get("feedback-type"))
	if kind == "" {
		return
	}
	p.report.Kind = ReportFeedback
	p.report.Feedback = Feedback{
		Type:        kind,
		MailFrom:    bare(b.get("original-mail-from")),
		RcptTo:      bare(b.get("original-rcpt-to")),
		ArrivalDate: cmp.Or(b.get("arrival-date"), b.get("received-date")), // the second is its older name
	}
	p.report.EnvelopeID = clean(unquoteXtext(b.get("original-envelope-id")))
}
