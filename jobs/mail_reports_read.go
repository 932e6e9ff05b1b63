package jobs

import (
	"strings"
	"time"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
)

// What a report says of an address, as events and timelines have it.
const (
	classHard      = "hard"
	classSoft      = "soft"
	classPolicy    = "policy"
	classComplaint = "complaint"
)

// A saying is what a report means for one recipient.
type saying struct {
	event  string // in the timeline
	detail map[string]any
	marks  store.ReportedMail
	class  string // of what is bad; "" for the rest
	status string
	action string
	why    string // for the list of suppressions
}

// read finds out what a report says of a recipient; false when nothing that can be believed.
func (n *mailNews) read(to store.MailRecipient) (saying, bool) {
	if to.SendingAt == nil {
		return saying{}, false // nobody can have had a mail that was never sent
	}
	age := time.Since(*to.SendingAt)
	switch n.report.Kind {
	case mail.ReportDelivery:
		if age > bounceWithin || !n.fits(to.Address) {
			return saying{}, false
		}
		return readDelivery(n.report, to.Address)
	case mail.ReportFeedback:
		if age > complaintWithin {
			return saying{}, false
		}
		return readFeedback(n.report.Feedback), true
	}
	return saying{}, false
}

// fits says whether a delivery report is about this mail. Return paths get about with mails; what bounces after
// somebody else wrote under one shows another Message-ID, and names other addresses.
func (n *mailNews) fits(address string) bool {
	id, _, _ := strings.Cut(n.report.Original.MessageID, "@")
	if strings.EqualFold(id, n.mail.ID) {
		return true
	}
	for _, one := range n.report.Recipients {
		if one.Names(address) {
			return true
		}
	}
	return false
}

func readDelivery(r mail.Report, address string) (saying, bool) {
	about, verdict := r.Outcome(address)
	s := saying{status: about.Why(), action: about.Action, why: about.Diagnostic, detail: make(map[string]any)}
	switch verdict {
	case mail.VerdictDelivered:
		s.event, s.marks.Delivered = "delivered", true
	case mail.VerdictDelayed:
		s.event = "delayed"
	case mail.VerdictHard:
		s.event, s.marks.Bounced, s.class = "bounced", true, classHard
	case mail.VerdictSoft:
		s.event, s.marks.Bounced, s.class = "bounced", true, classSoft
	case mail.VerdictBlocked:
		s.event, s.marks.Bounced, s.class = "bounced", true, classPolicy
	default:
		return s, false
	}
	for name, value := range map[string]string{"class": s.class, "action": about.Action, "status": s.status, "reply": about.Diagnostic,
		"remote_mta": about.RemoteMTA, "reporting_mta": r.ReportingMTA, "queue_id": r.QueueID} {
		if value != "" {
			s.detail[name] = value
		}
	}
	return s, true
}

func readFeedback(f mail.Feedback) saying {
	s := saying{event: "feedback", action: f.Type, detail: map[string]any{"feedback": f.Type}}
	if f.Complaint() {
		s.event, s.marks.Complained, s.class = "complained", true, classComplaint
		s.why = "feedback: " + f.Type
	}
	return s
}

// fact gives the fact that tells of a saying; nil: nobody needs to know.
func (s saying) fact(m store.Mail, position int) events.Fact {
	switch {
	case s.marks.Delivered:
		return events.MailDelivered{MessageID: m.ID, Recipient: position, Stream: m.Stream, Action: s.action, Version: m.Version}
	case s.marks.Bounced:
		return events.MailBounced{MessageID: m.ID, Recipient: position, Stream: m.Stream, Class: s.class, Status: s.status, Version: m.Version}
	case s.marks.Complained:
		return events.MailComplained{MessageID: m.ID, Recipient: position, Stream: m.Stream, Feedback: s.action, Version: m.Version}
	}
	return nil
}
