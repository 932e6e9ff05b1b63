package mail

import (
	"regexp"
	"slices"
	"strings"
)

// A Verdict is what a delivery report means for the address.
type Verdict string

const (
	// VerdictNone means that the report doesn't say, or contradicts itself.
	VerdictNone Verdict = ""
	// VerdictDelivered is: in the mailbox, or handed to a server that will not report any more.
	VerdictDelivered Verdict = "delivered"
	// VerdictDelayed is: not yet, and it is still being tried.
	VerdictDelayed Verdict = "delayed"
	// VerdictSoft is a failure that may pass: a full mailbox, a server that was away for too long.
	VerdictSoft Verdict = "soft"
	// VerdictHard is a failure that will come again: there is no such address.
	VerdictHard Verdict = "hard"
	// VerdictBlocked is a failure that is not the address's: policy, reputation, size or content.
	VerdictBlocked Verdict = "blocked"
)

// Verdict judges by the class of the status, not by the action alone: a server that gave up on a soft failure
// says "failed" with a status of 4. The status is taken from the reply of the refusing server where the report
// has none or only x.0.0, as Exim does always.
func (r ReportedRecipient) Verdict() Verdict {
	switch r.Action {
	case "delivered", "relayed", "expanded":
		if r.Status != "" && r.Status[0] != '2' {
			return VerdictNone
		}
		return VerdictDelivered
	case "delayed":
		return VerdictDelayed
	case "failed":
		return judge(r.Why(), replyCode(r.Diagnostic), r.Diagnostic)
	}
	return VerdictNone
}

// Outcome judges a delivery report for the address that a mail was sent to. Where it is about several, those that
// name the address count, and else all of them, as the address stood for them: an alias, a list. What reached
// anybody was delivered; the gravest verdict needs everybody's.
func (r Report) Outcome(address string) (ReportedRecipient, Verdict) {
	about := r.Recipients
	if named := slices.DeleteFunc(slices.Clone(about), func(one ReportedRecipient) bool { return !one.Names(address) }); len(named) > 0 {
		about = named
	}
	best, verdict := ReportedRecipient{}, VerdictNone
	for _, one := range about {
		if v := one.Verdict(); v != VerdictNone && (verdict == VerdictNone || slices.Index(mildest, v) < slices.Index(mildest, verdict)) {
			best, verdict = one, v
		}
	}
	return best, verdict
}

var mildest = []Verdict{VerdictDelivered, VerdictDelayed, VerdictSoft, VerdictBlocked, VerdictHard}

// replyAtStart is a reply of SMTP: its code and, where there is one, the enhanced code. qmail and others put
// a number sign before that.
var replyAtStart = regexp.MustCompile(`^[#(\s]*([245][0-9]{2})(?:[ -]+#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[^.0-9]|$))?`)

// Why is the most telling status of a report: its own, unless that says no more than the class and the reply
// that it quotes says more. It is "" where neither says anything.
func (r ReportedRecipient) Why() string {
	vague := r.Status == "" || strings.HasSuffix(r.Status, ".0.0")
	reply := replyAtStart.FindStringSubmatch(r.Diagnostic)
	if !vague || reply == nil {
		return r.Status
	}
	if reply[2] != "" {
		return reply[2]
	}
	return reply[1][:1] + ".0.0"
}

func replyCode(diagnostic string) string {
	if m := replyAtStart.FindStringSubmatch(diagnostic); m != nil {
		return m[1]
	}
	return ""
}

// judge reads a status by RFC 3463 and by what large providers make of it. What it does not know is soft: three
// of those in a row keep an address for a while, and a wrong guess costs nobody an invoice.
func judge(status, code, text string) Verdict {
	switch {
	case strings.HasPrefix(status, "2"):
		return VerdictNone
	case !strings.HasPrefix(status, "5"):
		return VerdictSoft
	}
	subject, detail, _ := strings.Cut(status[2:], ".")
	switch subject {
	case "0":
		return judgeReply(code, text)
	case "1": // the address
		return pick(detail, VerdictHard, VerdictBlocked, "7", "8") // those are about the sender's
	case "2": // the mailbox: full, list trouble; a message too long for it
		if detail == "3" {
			return VerdictBlocked
		}
		return pick(detail, VerdictHard, VerdictSoft, "2", "4")
	case "3": // the system: 5.3.4 is a message too big for it
		return pick(detail, VerdictSoft, VerdictBlocked, "4")
	case "4": // the way: no such host; Exchange Online says 5.4.1 of recipients, and 5.4.31x of their domains
		return pick(detail, VerdictSoft, VerdictHard, "1", "4", "310", "312")
	case "5": // the protocol; Outlook.com says 5.5.0 of mailboxes
		return pick(detail, VerdictSoft, VerdictHard, "0")
	case "6", "7": // content, policy
		return VerdictBlocked
	}
	return VerdictSoft
}

// pick is usual, or other for the details that are listed.
func pick(detail string, usual, other Verdict, details ...string) Verdict {
	for _, d := range details {
		if d == detail {
			return other
		}
	}
	return usual
}

// policyInText are words by which servers without enhanced codes refuse a sender.
var policyInText = regexp.MustCompile(`(?i)spam|block|black ?list|policy|reputation|\b[a-z]*bl\b|\bspf\b|dkim|dmarc|abuse|denied|virus`)

// judgeReply judges a refusal without an enhanced code, by the code of RFC 5321, section 4.2.3.
func judgeReply(code, text string) Verdict {
	if policyInText.MatchString(text) {
		return VerdictBlocked
	}
	switch code {
	case "550", "551", "553", "556":
		return VerdictHard
	case "554":
		return VerdictBlocked
	}
	return VerdictSoft
}
