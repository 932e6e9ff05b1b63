package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sample reads a report under testdata with the line ends that SMTP has.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "reports", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
}

func parseReport(t testing.TB, raw []byte) Report {
	t.Helper()
	r, err := ParseReport(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReportsAreUnderstood(t *testing.T) {
	t.Parallel()
	const back = "bounces+ticket@example.com"
	rows := []struct {
		name string
		want Report
	}{
		{"postfix-550", Report{
			Kind: ReportDelivery, MessageID: "4jXKk96hrCz3S@mail.example.com", ReportingMTA: "mail.example.com",
			EnvelopeID: "0199d0f0-7c1e-7a4e-8d0e-5b0e2d9f0a11.1", QueueID: "4jXKk91234z3R",
			Recipients: []ReportedRecipient{{Original: "nobody@bounce.test", Final: "nobody@bounce.test", Action: "failed",
				Status: "5.1.1", Diagnostic: "550 5.1.1 <nobody@bounce.test>: no such user", RemoteMTA: "127.0.0.1"}},
			Original: Original{MessageID: "0199d0f0-7c1e-7a4e-8d0e-5b0e2d9f0a11@example.com", ReturnPath: back,
				ListUnsubscribe: "<https://example.com/u/abc>"}}},
		{"postfix-relayed", Report{
			Kind: ReportDelivery, MessageID: "B2@mail.example.com", ReportingMTA: "mail.example.com", EnvelopeID: "e-7", QueueID: "B1",
			Recipients: []ReportedRecipient{{Original: "asha@example.org", Final: "asha@example.org", Action: "relayed", Status: "2.0.0",
				Diagnostic: "250 2.0.0 OK: queued", RemoteMTA: "mx.example.org"}},
			Original: Original{MessageID: "e@example.com"}}},
		{"postfix-expired", Report{
			Kind: ReportDelivery, MessageID: "B3@mail.example.com", ReportingMTA: "mail.example.com", QueueID: "B3",
			Recipients: []ReportedRecipient{{Final: "full@example.org", Action: "failed", Status: "4.2.0",
				Diagnostic: "450 4.2.0 <full@example.org>: try again later", RemoteMTA: "mx.example.org"}},
			Original: Original{MessageID: "e@example.com"}}},
		{"exim-550", Report{
			Kind: ReportDelivery, MessageID: "E1uXyz-0001ab-CD@mx.example.net", ReportingMTA: "mx.example.net",
			Recipients: []ReportedRecipient{{Final: "gone@example.net", Action: "failed", Status: "5.0.0",
				Diagnostic: "550 5.1.1 <gone@example.net>: Recipient address rejected: User unknown", RemoteMTA: "mail.example.net"}},
			Original: Original{MessageID: "inv-1@example.com", ReturnPath: back}}},
		{"exchange-online", Report{
			Kind: ReportDelivery, MessageID: "c86b0a14-46ef-4afe-41fb-e16f14a13492@AM6PR0402.eurprd04.prod.outlook.com",
			ReportingMTA: "AM6PR0402MB1234.eurprd04.prod.outlook.com",
			Recipients: []ReportedRecipient{{Final: "Ravi.Kumar@contoso.example", Action: "failed", Status: "5.1.10",
				Diagnostic: "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient Ravi.Kumar@contoso.example not found by SMTP address lookup"}},
			Original: Original{MessageID: "inv-2@example.com", ReturnPath: back}}},
		{"gmail-multiline", Report{
			Kind: ReportDelivery, MessageID: "5b024e22.1c69fb81.a1a22.fcaa.GMR@mx.google.com", ReportingMTA: "googlemail.com",
			Recipients: []ReportedRecipient{{Final: "nobody.at.all@gmail.com", Action: "failed", Status: "5.1.1",
				Diagnostic: "550-5.1.1 The email account that you tried to reach does not exist. Please try " +
					"550-5.1.1 double-checking the recipient's email address for typos or 550-5.1.1 unnecessary spaces. " +
					"For more information, go to 550 5.1.1  https://support.google.com/mail/?p=NoSuchUser - gsmtp",
				RemoteMTA: "gmail-smtp-in.l.google.com. (2a00:1450:400c:c0c::1a, the server for the domain gmail.com.)"}},
			Original: Original{MessageID: "inv-3@example.com"}}},
		{"outlook-full", Report{
			Kind: ReportDelivery, MessageID: "a0xtAEHLB0000d09e@BLU004-OMC3S13.hotmail.example", ReportingMTA: "BLU004-OMC3S13.hotmail.example",
			Recipients: []ReportedRecipient{{Final: "full@example.jp", Action: "failed", Status: "5.2.2",
				Diagnostic: "550 5.2.2 <full@example.jp>... Mailbox Full"}},
			Original: Original{MessageID: "inv-4@example.com", ReturnPath: back}}},
		{"several", Report{
			Kind: ReportDelivery, MessageID: "several@list.example.org", ReportingMTA: "list.example.org", EnvelopeID: "e-9",
			Recipients: []ReportedRecipient{
				{Original: "team+2Bsales@example.org", Final: "a@example.org", Action: "delivered", Status: "2.1.5"},
				{Original: "team+2Bsales@example.org", Final: "b@example.org", Action: "failed", Status: "5.1.1"},
				{Original: "team+2Bsales@example.org", Final: "c@example.org", Action: "delayed", Status: "4.4.1"}}}},
		{"global", Report{
			Kind: ReportDelivery, MessageID: "global@example.de", ReportingMTA: "example.de",
			Recipients: []ReportedRecipient{{Original: "jürgen@example.de", Final: "jürgen@example.de", Action: "failed", Status: "5.1.1",
				Diagnostic: "550 5.1.1 Empfänger unbekannt"}},
			Original: Original{MessageID: "inv-5@example.com"}}},
		{"qmail", Report{
			Kind: ReportDelivery,
			Recipients: []ReportedRecipient{
				{Final: "nobody@qmail.example.in", Action: "failed", Status: "5.1.1", Diagnostic: "Sorry, no mailbox here by that name. (#5.1.1)"},
				{Final: "far@example.net", Action: "failed", Status: "5.7.1",
					Diagnostic: "550 5.7.1 <far@example.net>: blocked by policy Giving up on 192.0.2.17."}},
			Original: Original{MessageID: "inv-6@example.com", ReturnPath: back}}},
		{"arf-yahoo", Report{
			Kind: ReportFeedback, MessageID: "20261120034502.1.arf@yahoo.example",
			Feedback: Feedback{Type: "abuse", MailFrom: back, RcptTo: "asha@yahoo.example", ArrivalDate: "Thu, 19 Nov 2026 20:45:02 -0700"},
			Original: Original{MessageID: "inv-7@example.com", ReturnPath: back, ListUnsubscribe: "<https://example.com/u/abc>"}}},
		{"arf-redacted", Report{
			Kind: ReportFeedback, MessageID: "jmrp-1@hotmail.example",
			Feedback: Feedback{Type: "abuse", RcptTo: "redacted-5f3dcc3b5aa7@hotmail.example", ArrivalDate: "Fri, 20 Nov 2026 03:40:00 +0000"},
			Original: Original{MessageID: "inv-8@example.com",
				ListUnsubscribe: "<https://example.com/u/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz>"}}},
		{"arf-not-spam", Report{
			Kind: ReportFeedback, MessageID: "ns-1@example.net", Feedback: Feedback{Type: "not-spam", MailFrom: back},
			Original: Original{MessageID: "inv-9@example.com"}}},
		{"vacation", Report{Kind: ReportOther, MessageID: "vac-1@example.org"}},
		{"forwarded", Report{Kind: ReportOther, MessageID: "fwd-1@example.org", Original: Original{MessageID: "inner@example.net"}}},
		{"truncated", Report{
			Kind: ReportDelivery, MessageID: "cut@example.net", ReportingMTA: "example.net",
			Recipients: []ReportedRecipient{{Final: "one@example.net", Action: "failed", Status: "5.7.26",
				Diagnostic: "550-5.7.26 This mail is unauthenticated"}}}},
	}
	files, err := filepath.Glob("testdata/reports/*.eml")
	if err != nil || len(files) != len(rows) {
		t.Errorf("there are %d samples and %d expectations (%v)", len(files), len(rows), err)
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			raw := sample(t, row.name)
			got := parseReport(t, raw)
			if diff := cmp.Diff(row.want, got, cmpopts.IgnoreUnexported(Report{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			unix := parseReport(t, bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")))
			if got.Digest() != unix.Digest() {
				t.Errorf("with other line ends it is another report: %+v", unix)
			}
		})
	}
}

// TestVerdicts: hard or soft is a matter of the status' class, never of the action.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	rows := []struct {
		action, status, diagnostic string
		want                       Verdict
	}{
		{"delivered", "2.1.5", "", VerdictDelivered},
		{"relayed", "2.0.0", "250 2.0.0 ok", VerdictDelivered},
		{"relayed", "", "", VerdictDelivered},
		{"expanded", "2.0.0", "", VerdictDelivered},
		{"delivered", "5.1.1", "", VerdictNone},
		{"failed", "2.0.0", "250 ok", VerdictNone},
		{"delayed", "4.4.1", "", VerdictDelayed},
		{"delayed", "5.1.1", "", VerdictDelayed},
		{"", "5.1.1", "", VerdictNone},
		{"exploded", "5.1.1", "", VerdictNone},

		{"failed", "4.2.0", "450 4.2.0 try again", VerdictSoft}, // given up on after days
		{"failed", "4.4.1", "", VerdictSoft},
		{"failed", "4.7.1", "", VerdictSoft},
		{"failed", "5.1.0", "", VerdictHard},
		{"failed", "5.1.1", "", VerdictHard},
		{"failed", "5.1.2", "", VerdictHard},
		{"failed", "5.1.3", "", VerdictHard},
		{"failed", "5.1.6", "", VerdictHard},
		{"failed", "5.1.10", "", VerdictHard},
		{"failed", "5.1.7", "", VerdictBlocked}, // the sender's address
		{"failed", "5.1.8", "", VerdictBlocked},
		{"failed", "5.2.0", "", VerdictHard},
		{"failed", "5.2.1", "", VerdictHard},
		{"failed", "5.2.2", "550 5.2.2 full", VerdictSoft},
		{"failed", "5.2.3", "", VerdictBlocked},
		{"failed", "5.2.4", "", VerdictSoft},
		{"failed", "5.3.4", "", VerdictBlocked},
		{"failed", "5.3.0", "", VerdictSoft},
		{"failed", "5.4.4", "", VerdictHard},
		{"failed", "5.4.1", "550 5.4.1 Recipient address rejected: Access denied", VerdictHard},
		{"failed", "5.4.310", "", VerdictHard},
		{"failed", "5.4.7", "", VerdictSoft},
		{"failed", "5.4.6", "", VerdictSoft},
		{"failed", "5.5.0", "550 5.5.0 mailbox unavailable", VerdictHard},
		{"failed", "5.5.2", "", VerdictSoft},
		{"failed", "5.6.1", "", VerdictBlocked},
		{"failed", "5.7.1", "", VerdictBlocked},
		{"failed", "5.7.26", "", VerdictBlocked},
		{"failed", "5.7.515", "", VerdictBlocked},
		{"failed", "5.9.9", "", VerdictSoft},

		// What says no more than the class is judged by the reply.
		{"failed", "5.0.0", "550 5.1.1 User unknown", VerdictHard},
		{"failed", "5.0.0", "550-5.1.1 no 550 5.1.1 such", VerdictHard},
		{"failed", "5.0.0", "550 #5.1.0 Address rejected", VerdictHard},
		{"failed", "5.0.0", "550 5.7.1 go away", VerdictBlocked},
		{"failed", "5.0.0", "451 4.3.0 later", VerdictSoft},
		{"failed", "5.0.0", "421 later", VerdictSoft},
		{"failed", "5.0.0", "550 : User unknown", VerdictHard},
		{"failed", "5.0.0", "550 Blocked, see spamhaus", VerdictBlocked},
		{"failed", "5.0.0", "554 no", VerdictBlocked},
		{"failed", "5.0.0", "552 over quota", VerdictSoft},
		{"failed", "5.0.0", "556 no mail here", VerdictHard},
		{"failed", "5.0.0", "550 5.10.15.20 is not welcome", VerdictHard}, // an address of a host is no status
		{"failed", "5.0.0", "", VerdictSoft},
		{"failed", "", "550 5.1.1 User unknown", VerdictHard},
		{"failed", "", "no idea", VerdictSoft},
		{"failed", "", "", VerdictSoft},
		{"failed", "5.1.1", "450 4.2.0 busy", VerdictHard}, // the report's own is telling enough
	}
	for _, row := range rows {
		r := ReportedRecipient{Action: row.action, Status: row.status, Diagnostic: row.diagnostic}
		if got := r.Verdict(); got != row.want {
			t.Errorf("%s %q %q is %q, want %q", row.action, row.status, row.diagnostic, got, row.want)
		}
	}
}

func TestOutcomeIsThatOfTheAddress(t *testing.T) {
	t.Parallel()
	one := func(address, action, status string) ReportedRecipient {
		return ReportedRecipient{Final: address, Action: action, Status: status}
	}
	rows := []struct {
		name  string
		about []ReportedRecipient
		want  Verdict
	}{
		{"named", []ReportedRecipient{one("b@x", "delivered", "2.0.0"), one("a@x", "failed", "5.1.1")}, VerdictHard},
		{"none is named", []ReportedRecipient{one("b@x", "failed", "5.1.1"), one("c@x", "delivered", "2.0.0")}, VerdictDelivered},
		{"a forwarding", []ReportedRecipient{one("b@x", "failed", "5.1.1")}, VerdictHard},
		{"all of a list", []ReportedRecipient{one("b@x", "failed", "5.1.1"), one("c@x", "failed", "5.1.1")}, VerdictHard},
		{"some of a list", []ReportedRecipient{one("b@x", "failed", "5.1.1"), one("c@x", "failed", "4.2.2")}, VerdictSoft},
		{"twice", []ReportedRecipient{one("a@x", "failed", "5.7.1"), one("a@x", "failed", "5.1.1")}, VerdictBlocked},
		{"odd ones don't count", []ReportedRecipient{one("b@x", "", ""), one("c@x", "failed", "5.1.1")}, VerdictHard},
		{"nothing", []ReportedRecipient{one("a@x", "", "")}, VerdictNone},
		{"nobody", nil, VerdictNone},
	}
	for _, row := range rows {
		if _, got := (Report{Recipients: row.about}).Outcome("a@x"); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func TestComplaintsAreTold(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"abuse": true, "fraud": true, "opt-out": true, "not-spam": false, "virus": false,
		"auth-failure": false, "other": false, "": false} {
		if got := (Feedback{Type: kind}).Complaint(); got != want {
			t.Errorf("%q is a complaint: %v, want %v", kind, got, want)
		}
	}
}

func TestRecipientsAreRecognised(t *testing.T) {
	t.Parallel()
	r := ReportedRecipient{Original: "Team+2BSales@Example.org", Final: "b@example.org"}
	for address, want := range map[string]bool{"team+sales@example.org": true, "team+2bsales@example.org": true,
		"B@example.org": true, "c@example.org": false, "": false} {
		if got := r.Names(address); got != want {
			t.Errorf("names %q: %v, want %v", address, got, want)
		}
	}
}

func TestXtext(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "plain": "plain", "a+2Bb": "a+b", "a+2bb": "a+2bb", "+": "+", "a+2": "a+2",
		"a+3Db+20c": "a=b c", "++2B": "++"} {
		if got := unquoteXtext(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{`j\x{FC}rgen`: "jürgen", `\x{`: `\x{`, `\x{D800}`: `\x{D800}`, `\x{110000}`: `\x{110000}`,
		`\x{zz}a\x{41}`: `\x{zz}aA`} {
		if got := unquoteUnitext(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// TestDigestSurvivesTheWay: servers add headers, and the same report may come by two ways.
func TestDigestSurvivesTheWay(t *testing.T) {
	t.Parallel()
	raw := sample(t, "postfix-550")
	first := parseReport(t, raw).Digest()
	again := append([]byte("Received: from a by b; Fri, 20 Nov 2026 09:15:09 +0530\r\nX-Spam-Status: No\r\n"), raw...)
	if got := parseReport(t, again).Digest(); got != first {
		t.Error("a header of the way makes it another report")
	}
	for _, change := range [][2]string{{"Message-Id: <4jXKk96hrCz3S", "Message-Id: <other"}, {"Date: Fri", "Date: Sat"},
		{"Action: failed", "Action: delayed"}, {"Status: 5.1.1", "Status: 5.1.2"}, {"Final-Recipient: rfc822; nobody", "Final-Recipient: rfc822; somebody"}} {
		other := bytes.Replace(raw, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(other, raw) || parseReport(t, other).Digest() == first {
			t.Errorf("%s makes no difference", change[0])
		}
	}
}

func TestAReaderThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection lost")
	raw := sample(t, "postfix-550")
	for _, n := range []int{0, 10, 500, 1500} {
		r := io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(broken))
		if _, err := ParseReport(r); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestNothingIsReadWithoutBound: a message may be as long and as odd as it likes.
func TestNothingIsReadWithoutBound(t *testing.T) {
	t.Parallel()
	endless := func(s string) io.Reader { return &repeat{text: s} }
	nested := "Content-Type: multipart/mixed; boundary=b0\n\n"
	for i := range 1000 {
		nested += fmt.Sprintf("--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n", i, i+1)
	}
	head := "Content-Type: multipart/report; boundary=x\n\n"
	status := head + "--x\nContent-Type: message/delivery-status\n\n"
	for name, r := range map[string]io.Reader{
		"one line":          endless("a"),
		"short headers":     endless("a:\n"),
		"one folded header": io.MultiReader(strings.NewReader("Subject: a\n"), endless(" b\n")),
		"body":              io.MultiReader(strings.NewReader("Subject: a\n\n"), endless("Hi. This is the body\n")),
		"preamble":          io.MultiReader(strings.NewReader(head), endless("preamble\n")),
		"parts":             io.MultiReader(strings.NewReader(head), endless("--x\n\n\n")),
		"headers of a part": io.MultiReader(strings.NewReader(head+"--x\n"), endless("a:\n")),
		"recipients":        io.MultiReader(strings.NewReader(status), endless("Final-Recipient: rfc822; a@b\nAction: failed\n\n")),
		"one group":         io.MultiReader(strings.NewReader(status), endless("Final-Recipient: rfc822; a@b\n")),
		"one value":         io.MultiReader(strings.NewReader(status+"Action: failed\nDiagnostic-Code: smtp; "), endless("a")),
		"folded value":      io.MultiReader(strings.NewReader(status+"Action: failed\nDiagnostic-Code: smtp; 550\n"), endless(" a\n")),
		"names":             io.MultiReader(strings.NewReader(status), &counter{}),
		"qmail":             io.MultiReader(strings.NewReader("\nHi. This is the\n\n"), endless("<a@b>:\nno\n\n")),
		"nesting":           strings.NewReader(nested),
		"empty":             strings.NewReader(""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counted := &counting{r: r}
			got, err := ParseReport(counted)
			if err != nil {
				t.Fatal(err)
			}
			if counted.n > maxReportBytes {
				t.Errorf("%d bytes were read", counted.n)
			}
			if len(got.Recipients) > maxReportGroups {
				t.Errorf("%d recipients were kept", len(got.Recipients))
			}
			for _, r := range got.Recipients {
				if len(r.Diagnostic) > maxFieldValue {
					t.Errorf("%d bytes of a diagnostic were kept", len(r.Diagnostic))
				}
			}
		})
	}
}

// repeat gives the same text for ever.
type repeat struct {
	text string
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

// counter gives fields of ever new names.
type counter struct {
	n    int
	rest []byte
}

func (c *counter) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		c.n++
		c.rest = fmt.Appendf(nil, "Action-%d: failed\n", c.n)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
