package mail

import (
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

// reply is what go-smtp makes of a server's answer.
func reply(text string) error {
	var code int
	var e smtp.EnhancedCode
	first, rest, _ := strings.Cut(text, " ")
	fmt.Sscan(first, &code)
	if n, _ := fmt.Sscanf(rest, "%d.%d.%d ", &e[0], &e[1], &e[2]); n == 3 {
		_, rest, _ = strings.Cut(rest, " ")
	} else {
		e = smtp.EnhancedCode{}
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: e, Message: rest}
}

func TestRepliesByTheirMeaning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step     string
		reply    string
		stranger bool // before a login
		class    Class
		suppress bool
	}{
		{step: StepConnect, reply: "421 4.3.2 Service shutting down", class: Channel},
		{step: StepConnect, reply: "554 5.7.1 no entry", class: Channel},
		{step: StepHello, reply: "550 5.7.1 go away", class: Channel},
		{step: StepTLS, reply: "454 4.7.0 TLS not available due to local problem", class: Channel},
		{step: StepAuth, reply: "535 5.7.8 Error: authentication failed", class: Channel},
		{step: StepAuth, reply: "454 4.7.0 Temporary authentication failure", class: Channel},
		{step: StepAuth, reply: "534 5.7.9 mechanism too weak", class: Channel},
		{step: StepMail, reply: "530 5.7.0 Must issue a STARTTLS command first", class: Channel},
		{step: StepMail, reply: "530 5.7.1 Authentication required", class: Channel},
		{step: StepMail, reply: "503 5.5.1 Error: nested MAIL command", class: Channel},
		{step: StepMail, reply: "452 4.3.1 Insufficient system storage", class: Channel},
		{step: StepMail, reply: "450 4.7.1 Error: too much mail from 172.18.0.4", class: Channel},
		{step: StepMail, reply: "550 5.1.8 Sender unknown", class: Channel},
		{step: StepMail, reply: "552 5.3.4 Message size exceeds fixed limit", class: TooLarge},
		{step: StepMail, reply: "552 too big", class: TooLarge},
		{step: StepRcpt, reply: "421 4.7.0 slow down", class: Channel},
		{step: StepRcpt, reply: "450 4.2.0 <b@x>: Recipient address rejected: Greylisted", class: Deferred},
		{step: StepRcpt, reply: "450 4.7.1 Greylisted", class: Deferred},
		{step: StepRcpt, reply: "451 4.3.0 <b@x>: Temporary lookup failure", class: Deferred},
		{step: StepRcpt, reply: "451 local error in processing", class: Deferred},
		{step: StepRcpt, reply: "452 4.5.3 Error: too many recipients", class: Deferred},
		{step: StepRcpt, reply: "452 4.3.1 no space", class: Channel},
		{step: StepRcpt, reply: "450 4.1.8 <a@s>: Sender address rejected: Domain not found", class: Channel},
		{step: StepRcpt, reply: "553 5.7.1 <a@s>: Sender address rejected: not owned by user u", class: Channel},
		{step: StepRcpt, reply: "554 5.7.1 <b@x>: Relay access denied", class: Channel},
		{step: StepRcpt, reply: "554 5.7.1 <client[10.0.0.1]>: Client host rejected: Access denied", class: Channel},
		{step: StepRcpt, reply: "554 5.7.1 no", stranger: true, class: Channel},
		{step: StepRcpt, reply: "554 5.7.1 no", class: Blocked},
		{step: StepRcpt, reply: "550 5.1.1 <b@x>: User unknown", class: Rejected, suppress: true},
		{step: StepRcpt, reply: "550 5.1.1 <b@x>: User unknown", stranger: true, class: Rejected, suppress: true},
		{step: StepRcpt, reply: "550 5.1.2 bad domain", class: Rejected, suppress: true},
		{step: StepRcpt, reply: "501 5.1.3 Bad recipient address syntax", class: Rejected, suppress: true},
		{step: StepRcpt, reply: "556 5.1.10 null MX", class: Rejected, suppress: true},
		{step: StepRcpt, reply: "550 5.1.7 bad sender", class: Channel},
		{step: StepRcpt, reply: "552 5.2.2 Mailbox full", class: Rejected},
		{step: StepRcpt, reply: "552 mailbox full", class: Rejected},
		{step: StepRcpt, reply: "550 5.2.1 disabled", class: Rejected},
		{step: StepRcpt, reply: "550 no such user", class: Rejected},
		{step: StepRcpt, reply: "554 transaction failed", class: Blocked},
		{step: StepRcpt, reply: "550 5.7.515 Access denied", class: Blocked},
		{step: StepRcpt, reply: "550 4.1.1 of two minds", class: Rejected},
		{step: StepRcpt, reply: "501 5.5.4 Bad parameter", class: Blocked},
		{step: StepRcpt, reply: "555 5.5.4 Unsupported option", class: Channel},
		{step: StepRcpt, reply: "504 5.5.2 <a@localhost>: Recipient address rejected: need fully-qualified address", class: Rejected},
		{step: StepRcpt, reply: "504 5.5.4 Parameter not implemented", class: Channel},
		{step: StepRcpt, reply: "530 5.7.0 log in", class: Channel},
		{step: StepData, reply: "503 5.5.1 no valid recipients", class: Channel},
		{step: StepData, reply: "554 5.5.1 Error: no valid recipients", class: Channel},
		{step: StepData, reply: "451 4.7.1 later", class: Deferred},
		{step: StepDot, reply: "421 4.3.0 closing", class: Channel},
		{step: StepDot, reply: "451 4.3.0 queue file write error", class: Deferred},
		{step: StepDot, reply: "452 4.3.1 disk full", class: Channel},
		{step: StepDot, reply: "552 5.3.4 too large", class: TooLarge},
		{step: StepDot, reply: "552 5.2.3 over the administrator's limit", class: TooLarge},
		{step: StepDot, reply: "552 too large", class: TooLarge},
		{step: StepDot, reply: "550 5.7.1 spam", class: Blocked},
		{step: StepDot, reply: "550 5.6.0 content rejected", class: Blocked},
		{step: StepDot, reply: "554 failed", class: Blocked},
		{step: StepDot, reply: "550 5.1.1 no such user after all", class: Rejected, suppress: true},
		{step: StepDot, reply: "354 again?", class: Unknown},
		{step: StepRcpt, reply: "354 what?", class: Channel},
	} {
		got := classify(c.step, reply(c.reply), !c.stranger)
		if got.Class != c.class || got.Suppress != c.suppress {
			t.Errorf("%s: %s: %s, suppress %v; want %s, %v", c.step, c.reply, got.Class, got.Suppress, c.class, c.suppress)
		}
	}
}

func TestALostConnectionIsUnknownOnlyAfterTheDot(t *testing.T) {
	t.Parallel()
	for _, step := range steps {
		for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, errors.New("x"), textproto.ProtocolError("short response: 2")} {
			want := Channel
			if step == StepDot {
				want = Unknown
			}
			if got := classify(step, err, true); got.Class != want || !errors.Is(got, err) {
				t.Errorf("%v at %s is %+v, want %s", err, step, got, want)
			}
		}
	}
}

var steps = []string{StepConnect, StepTLS, StepHello, StepAuth, StepMail, StepRcpt, StepData, StepBody, StepDot}

func TestEveryCodeHasAClass(t *testing.T) {
	t.Parallel()
	classes := map[Class]bool{Channel: true, Deferred: true, Rejected: true, Blocked: true, TooLarge: true, Unknown: true}
	for _, step := range steps {
		for code := 100; code < 1000; code++ {
			for subject := -1; subject <= 8; subject++ {
				e := smtp.EnhancedCode{code / 100, subject, 1}
				if subject < 0 {
					e = smtp.EnhancedCode{}
				}
				for _, authenticated := range []bool{true, false} {
					got := classify(step, &smtp.SMTPError{Code: code, EnhancedCode: e, Message: "x"}, authenticated)
					switch {
					case !classes[got.Class]:
						t.Fatalf("%d %v at %s has class %q", code, e, step, got.Class)
					case got.Class == Unknown && (step != StepDot || code/100 == 4 || code/100 == 5):
						t.Fatalf("%d %v at %s is unknown, though the server has answered", code, e, step)
					case got.Suppress && (code/100 != 5 || subject != 1):
						t.Fatalf("%d %v at %s suppresses", code, e, step)
					}
				}
			}
		}
	}
}

func TestRepliesAreMadeFitToShow(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"first\nsecond":                          "first second",
		"tab\there \x1b[31mred\x00":              "tab here [31mred",
		"a\xffb":                                 "a�b",
		"\u202eevil\u2066 \u2028x":               "evil x",
		strings.Repeat("é", 600):                 strings.Repeat("é", 500),
		"  spaced  ":                             "spaced",
		strings.Repeat("\x01", 9999) + "the end": "the end",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%.30q) = %q, want %q", in, got, want)
		}
	}
}

func TestAReplyDoesNotRepeatThePassword(t *testing.T) {
	t.Parallel()
	d := &dialer{Config: Config{User: "u", Password: "hunter2-secret"}}
	for _, said := range []string{"bad line: AUTH PLAIN AHUAaHVudGVyMi1zZWNyZXQ=", "bad aHVudGVyMi1zZWNyZXQ=", "no hunter2-secret here"} {
		r := classify(StepAuth, reply("535 5.7.8 "+said), false).hide(d.secrets())
		if strings.Contains(r.Error(), "hunter2") || strings.Contains(r.Error(), "aHVudGVy") {
			t.Errorf("%q is repeated as %q", said, r.Error())
		}
	}
}

func TestQueueIDs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2.0.0 Ok: queued as 4jXKk96hrCz3S":   "4jXKk96hrCz3S",
		"OK: queued as 0197-abc.":             "0197-abc",
		"OK id=1rABcD-000123-45":              "1rABcD-000123-45",
		"2.0.0 Message accepted for delivery": "",
		"queued as <script>":                  "",
	} {
		if got := queueID(in); got != want {
			t.Errorf("queue id of %q is %q, want %q", in, got, want)
		}
	}
}

// FuzzClassify looks for replies that have no class, that can't be shown, or that say of an answered mail that
// nobody knows what became of it.
func FuzzClassify(f *testing.F) {
	f.Add(3, 550, 5, 1, 1, "no such user", true)
	f.Add(8, 250, 2, 0, 0, "Ok: queued as \x00", false)
	f.Fuzz(func(t *testing.T, step, code, a, b, c int, text string, authenticated bool) {
		s := steps[uint(step)%uint(len(steps))]
		r := classify(s, &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: text}, authenticated)
		if r.Class == "" || !utf8.ValidString(r.Error()) || utf8.RuneCountInString(r.Reply) > maxReply {
			t.Errorf("%+v", r)
		}
		if r.Class == Unknown && (code >= 400 && code < 600 || s != StepDot) {
			t.Errorf("unknown, though answered: %+v", r)
		}
		if strings.ContainsFunc(r.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("controls in %q", r.Error())
		}
		queueID(r.Reply)
		_ = r.forPeople()
		_ = r.ours()
	})
}
