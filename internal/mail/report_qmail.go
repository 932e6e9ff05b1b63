package mail

import (
	"bufio"
	"io"
	"regexp"
	"strings"
)

// maxPlainLines is how far into a message qmail's form is looked for.
const maxPlainLines = 500

// statusInText finds the enhanced code that qmail writes as (#5.1.1), and that remote servers give after their
// reply code.
var statusInText = regexp.MustCompile(`(?:#|\b[245][0-9]{2}[ -])([245]\.[0-9]{1,3}\.[0-9]{1,3})\b`)

// plain reads a bounce of qmail and of its relatives, which is text by the rules of QSBMF
// (https://cr.yp.to/proto/qsbmf.txt): a paragraph that begins with "Hi. This is the", then one for each address
// that failed, then the message.
func (p *reportParser) plain(r io.Reader) {
	in := bufio.NewReader(r)
	if text := paragraph(in); len(text) == 0 || !strings.HasPrefix(text[0], "Hi. This is the") {
		return
	}
	for text := paragraph(in); len(text) > 0; text = paragraph(in) {
		switch text[0][0] {
		case '-': // what follows is the message
			p.original = true
			p.returned(in)
			return
		case '<':
			address, _, ok := strings.Cut(text[0][1:], ">:")
			if !ok || len(p.report.Recipients) >= maxReportGroups {
				continue
			}
			why := clean(strings.Join(text[1:], " "))
			about := ReportedRecipient{Final: clean(address), Action: "failed", Diagnostic: remoteReply(why)}
			if m := statusInText.FindStringSubmatch(why); m != nil {
				about.Status = m[1]
			}
			p.report.Kind = ReportDelivery
			p.report.Recipients = append(p.report.Recipients, about)
		}
	}
}

// remoteReply cuts off what qmail says before the reply of the remote server.
func remoteReply(s string) string {
	if _, reply, ok := strings.Cut(s, "Remote host said: "); ok {
		return reply
	}
	return s
}

// paragraph reads lines up to an empty one, and skips the empty lines before them. It is empty at the end.
func paragraph(r *bufio.Reader) []string {
	var out []string
	for range maxPlainLines {
		line, err := fieldLine(r)
		switch {
		case line != "":
			out = append(out, line)
		case len(out) > 0:
			return out
		}
		if err != nil {
			return out
		}
	}
	return nil // no form that we know
}
