package mail

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestTheSameMessageGivesTheSameBytes, in another zone and from another slice too, as another process would have it.
func TestTheSameMessageGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	for _, c := range corpus {
		first := compose(t, c.Message)
		again := c.Message
		again.Date = again.Date.UTC().Add(400 * time.Millisecond)
		again.To, again.Attachments = slices.Clone(again.To), slices.Clone(again.Attachments)
		if second := compose(t, again); !bytes.Equal(first, second) {
			t.Errorf("%s: composed as\n%s\nand as\n%s", c.name, first, second)
		}
		again.ID = "0199f3a2-7c11-7000-8000-000000000000"
		if bytes.Equal(first, compose(t, again)) {
			t.Errorf("%s: another ID made no difference", c.name)
		}
	}
}

// TestAMailWithinAnother: who forwards one of ours in another has the boundaries of both in one mail.
func TestAMailWithinAnother(t *testing.T) {
	t.Parallel()
	one, other := plain(func(*Message) {}), plain(func(m *Message) { m.ID = "0199f3a2-7c11-7000-8000-000000000000" })
	for _, kind := range []string{"mixed", "alternative", "related"} {
		if a, b := one.multipart(kind, nil).boundary, other.multipart(kind, nil).boundary; a == b {
			t.Errorf("both have %q about their parts", a)
		}
	}
}

func TestComposeLeavesTheMessageAlone(t *testing.T) {
	t.Parallel()
	list := func() []mail.Address { return []mail.Address{{Name: "A  B", Address: "a@B.example"}} }
	m := plain(func(m *Message) {
		m.To, m.Cc, m.ReplyTo, m.HTML = list(), list(), list(), "<p>"
		m.Attachments = []Attachment{{Filename: "x"}}
	})
	compose(t, m)
	for _, got := range [][]mail.Address{m.To, m.Cc, m.ReplyTo} {
		if !slices.Equal(got, list()) {
			t.Errorf("addresses became %v", got)
		}
	}
	if got := m.Attachments[0].ContentType; got != "" {
		t.Errorf("the content type became %q", got)
	}
}

// TestNothingChangesOnTheWay: what servers are known to change isn't in any mail.
func TestNothingChangesOnTheWay(t *testing.T) {
	t.Parallel()
	for _, c := range corpus {
		b := compose(t, c.Message)
		if fault := wireFault(b); fault != "" {
			t.Errorf("%s: %s in\n%.3000s", c.name, fault, b)
		}
	}
}

// wireFault says what of a mail a server might change, or refuse.
func wireFault(b []byte) string {
	if !bytes.HasSuffix(b, []byte("\r\n")) {
		return "no end of the last line"
	}
	inBody := false
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\r\n"), "\r\n") {
		inBody = inBody || line == ""
		limit := encodedLine
		if _, token, _ := strings.Cut(line, " "); !inBody && !strings.Contains(token, " ") && strings.Contains(token, "<") {
			limit = 998 // an address, an id or a URL can't be divided
		}
		if strings.HasPrefix(line, "Content-Type: ") {
			limit = 998
		}
		switch {
		case strings.ContainsAny(line, "\r\n"):
			return fmt.Sprintf("line %d has a bare CR or LF", i)
		case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }):
			return fmt.Sprintf("line %d isn't printable ASCII", i)
		case len(line) > limit:
			return fmt.Sprintf("line %d has %d characters", i, len(line))
		case strings.TrimRight(line, " \t") != line:
			return fmt.Sprintf("line %d ends with a space", i)
		case strings.HasPrefix(line, ".") || inBody && strings.HasPrefix(line, "From "):
			return fmt.Sprintf("line %d begins with a dot or From", i)
		}
	}
	return ""
}

func TestShapes(t *testing.T) {
	t.Parallel()
	file := Attachment{Filename: "a.pdf", ContentType: "application/pdf"}
	image := Attachment{ContentType: "image/png", ContentID: "a"}
	for want, change := range map[string]func(m *Message){
		"text/plain": func(*Message) {},
		"multipart/alternative(text/plain, text/html)": func(m *Message) { m.HTML = "<p>x" },
		"multipart/mixed(text/plain, application/pdf)": func(m *Message) { m.Attachments = []Attachment{file} },
		"multipart/alternative(text/plain, multipart/related(text/html, image/png))": func(m *Message) {
			m.Text, m.HTML, m.Attachments = "", "<p>x", []Attachment{image}
		},
		"multipart/mixed(multipart/alternative(text/plain, multipart/related(text/html, image/png)), application/pdf, application/pdf)": func(m *Message) {
			m.HTML, m.Attachments = "<p>x", []Attachment{file, image, file}
		},
	} {
		if got := parse(t, compose(t, plain(change)))[0].Shape; got != want {
			t.Errorf("composed as %s, want %s", got, want)
		}
	}
}

// TestHeadersAreThese: nothing tells which program or machine sent it.
func TestHeadersAreThese(t *testing.T) {
	t.Parallel()
	m := plain(func(m *Message) {
		m.ReplyTo, m.Cc = m.To, m.To
		m.Unsubscribe, m.Stream = "https://mail.rao.example/u/x", "reminders"
	})
	got := parse(t, compose(t, m))[0].Names
	want := []string{"Date", "Message-ID", "From", "Reply-To", "To", "Cc", "Subject", "Auto-Submitted", "List-Unsubscribe",
		"List-Unsubscribe-Post", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
	if !slices.Equal(got, want) {
		t.Errorf("headers are %q, want %q", got, want)
	}
	b := string(compose(t, m))
	for _, line := range []string{"Auto-Submitted: auto-generated", "MIME-Version: 1.0",
		"List-Unsubscribe: <https://mail.rao.example/u/x>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"} {
		if !strings.Contains(b, "\r\n"+line+"\r\n") {
			t.Errorf("no line %q in\n%s", line, b)
		}
	}
}

// TestUnsubscribingOnThisMachine needs no certificate.
func TestUnsubscribingOnThisMachine(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"http://127.0.0.1:8080/u/x", "http://localhost/u/x", "http://[::1]:8080/u/x"} {
		m := plain(func(m *Message) { m.Unsubscribe = u })
		if b := compose(t, m); !strings.Contains(string(b), "\r\nList-Unsubscribe: <"+u+">\r\n") {
			t.Errorf("no link to %s in\n%s", u, b)
		}
	}
}

func TestTextIsMadeOfHTML(t *testing.T) {
	t.Parallel()
	m := plain(func(m *Message) { m.Text, m.HTML = "", "<p>Dear Asha,</p><p>it is &#8377;&nbsp;42.</p>" })
	got := parse(t, compose(t, m))[0]
	if want := "Dear Asha,\r\n\r\nit is ₹\u00a042.\r\n"; got.Text == nil || *got.Text != want {
		t.Errorf("the text is %q, want %q", *got.Text, want)
	}
}

// injections would begin a header, end one, or end a mail, if they were let through.
var injections = []string{"x\r\nBcc: victim@elsewhere.example", "x\nBcc: victim@elsewhere.example", "x\rBcc: v@e.example",
	"x\r\n\r\nbody", "x\r\n.\r\nMAIL FROM:<a@b.in>", "x\x00y", "x\x1by", "x\x7fy", "x\u0085y", "x\u2028y", "x\ty", "x\xffy", "\r\n"}

func TestInjectionsAreRefused(t *testing.T) {
	t.Parallel()
	second := Attachment{Filename: "a.pdf", ContentType: "application/pdf"}
	attached := func(change func(*Attachment, string)) func(m *Message, s string) {
		return func(m *Message, s string) {
			m.HTML = "<p>x"
			m.Attachments = []Attachment{second, second}
			change(&m.Attachments[1], s)
		}
	}
	for field, inject := range map[string]func(m *Message, s string){
		"subject":                    func(m *Message, s string) { m.Subject = s },
		"from":                       func(m *Message, s string) { m.From.Name = s },
		"to/1":                       func(m *Message, s string) { m.To = append(m.To, mail.Address{Name: s, Address: "a@b.in"}) },
		"cc/0":                       func(m *Message, s string) { m.Cc = []mail.Address{{Address: s + "@b.in"}} },
		"cc/1":                       func(m *Message, s string) { m.Cc = []mail.Address{m.From, {Address: "a@b.in" + s}} },
		"to/0":                       func(m *Message, s string) { m.To[0].Address = "a@b.in>" + s },
		"reply_to":                   func(m *Message, s string) { m.ReplyTo = []mail.Address{{Name: s, Address: "a@b.in"}} },
		"reply_to/1":                 func(m *Message, s string) { m.ReplyTo = []mail.Address{m.From, {Name: s, Address: "a@b.in"}} },
		"id":                         func(m *Message, s string) { m.ID = s },
		"unsubscribe":                func(m *Message, s string) { m.Unsubscribe = "https://a.b/" + s },
		"attachments/1/filename":     attached(func(a *Attachment, s string) { a.Filename = s }),
		"attachments/1/content_type": attached(func(a *Attachment, s string) { a.ContentType = "text/plain; x=\"" + s + "\"" }),
		"attachments/1/content_id":   attached(func(a *Attachment, s string) { a.ContentID = s }),
	} {
		for _, s := range injections {
			m := plain(func(m *Message) { inject(m, s) })
			if field == "attachments/1/content_type" && s == "x\ty" {
				continue // a tab may stand between quotes there, and is refused as part of others below
			}
			b, err := m.Compose()
			var refused *FieldError
			if !errors.As(err, &refused) || refused.Field != field || refused.Detail == "" || b != nil {
				t.Errorf("%q in %s: composed %q, error %v", s, field, b, err)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	attach := func(a Attachment) func(m *Message) {
		return func(m *Message) { m.HTML, m.Attachments = "<p>", []Attachment{a} }
	}
	file := func(name string) func(m *Message) { return attach(Attachment{Filename: name}) }
	kind := func(s string) func(m *Message) { return attach(Attachment{Filename: "x", ContentType: s}) }
	for _, c := range []struct {
		field, why string
		change     func(m *Message)
	}{
		{"from", "is missing", func(m *Message) { m.From = mail.Address{} }},
		{"from", "is missing", func(m *Message) { m.From = mail.Address{Name: "Asha"} }},
		{"from", "has no @", func(m *Message) { m.From.Address = "asha" }},
		{"from", "more than 255", func(m *Message) { m.From.Name = strings.Repeat("x", 256) }},
		{"id", "letters", func(m *Message) { m.ID = "" }},
		{"id", "letters", func(m *Message) { m.ID = "a@b" }},
		{"id", "letters", func(m *Message) { m.ID = ".a" }},
		{"date", "is missing", func(m *Message) { m.Date = time.Time{} }},
		{"subject", "more than 1000", func(m *Message) { m.Subject = strings.Repeat("न", 1001) }},
		{"to", "more addresses", func(m *Message) { m.To = slices.Repeat(m.To, 2000) }},
		{"text", "UTF-8", func(m *Message) { m.Text = "\xff" }},
		{"html", "UTF-8", func(m *Message) { m.HTML = "\xff" }},
		{"unsubscribe", "https", func(m *Message) { m.Unsubscribe = "http://a.in/" }},
		{"unsubscribe", "https", func(m *Message) { m.Unsubscribe = "mailto:a@b.in" }},
		{"unsubscribe", "https", func(m *Message) { m.Unsubscribe = "https:///x" }},
		{"unsubscribe", "https", func(m *Message) { m.Unsubscribe = "https://a.in/>,<https://b.in/" }},
		{"unsubscribe", "https", func(m *Message) { m.Unsubscribe = "https://a.in/" + strings.Repeat("x", 900) }},
		{"attachments/0/filename", "is missing", file("")},
		{"attachments/0/filename", "path", file("../../etc/passwd")},
		{"attachments/0/filename", "path", file(`C:\a`)},
		{"attachments/0/filename", "path", file("..")},
		{"attachments/0/filename", "space", file("a.pdf ")},
		{"attachments/0/filename", "direction", file("invoice\u202efdp.exe")},
		{"attachments/0/filename", "more than 255", file(strings.Repeat("न", 256))},
		{"attachments/0/content_type", "media type", kind("pdf")},
		{"attachments/0/content_type", "media type", kind("application/")},
		{"attachments/0/content_type", "media type", kind("a/b; c")},
		{"attachments/0/content_type", "media type", kind("a/b/c")},
		{"attachments/0/content_type", "mails within mails", kind("multipart/mixed; boundary=x")},
		{"attachments/0/content_type", "mails within mails", kind("Message/RFC822")},
		{"attachments/0/content_type", "filename", kind("text/plain; name=x")},
		{"attachments/0/content_type", "200", kind("text/plain; x=" + strings.Repeat("y", 200))},
		{"attachments/0/content_type", "printable", kind("text/plain; x=\"\t\"")},
		{"attachments/0/content_type", "printable", kind("text/plain; x=न")},
		{"attachments/0/content_id", "letters", attach(Attachment{ContentID: "a b"})},
		{"attachments/0/content_id", "letters", attach(Attachment{ContentID: "a>"})},
		{"attachments/0/content_id", "letters", attach(Attachment{ContentID: strings.Repeat("a", 101)})},
		{"attachments/0/content_id", "there is none", func(m *Message) { m.Attachments = []Attachment{{ContentID: "a"}} }},
		{"attachments/1/content_id", "another", func(m *Message) {
			m.HTML, m.Attachments = "<p>", []Attachment{{ContentID: "a"}, {ContentID: "a"}}
		}},
		{"attachments", "25 MB", attach(Attachment{Filename: "x", Content: make([]byte, 19<<20)})},
		{"text", "25 MB", func(m *Message) { m.Text = strings.Repeat("=", 20<<20) }},
		{"html", "25 MB", func(m *Message) { m.HTML = strings.Repeat("é", 13<<20) }},
	} {
		b, err := plain(c.change).Compose()
		var refused *FieldError
		if !errors.As(err, &refused) || refused.Field != c.field || !strings.Contains(refused.Detail, c.why) || b != nil {
			t.Errorf("want that %s %q, got %v", c.field, c.why, err)
		}
	}
}

// TestLargestMailIsComposed: what is within the bound isn't refused by the estimate.
func TestLargestMailIsComposed(t *testing.T) {
	t.Parallel()
	m := file("big.bin", "", strings.Repeat("x", 18<<20))
	if b := compose(t, m); len(b) > MaxSize || len(b) < 24<<20 {
		t.Errorf("it has %d bytes", len(b))
	}
}

// TestBodiesDecode: any text comes out of either encoding as it went in, ends of lines aside.
func TestBodiesDecode(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{"a", "word ", "From ", ".", " ", "\t", "\n", "\r\n", "\r", "=", "=\n", "न", "é", "😀",
		"\x00", "\u0085", strings.Repeat("x", 74), strings.Repeat("y", 75), strings.Repeat("न", 24)})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 60).Draw(t, "pieces"), "")
		want := strings.ReplaceAll(lineEnds.Replace(text), "\n", "\r\n")
		encoding, body := encodeText(text)
		decoders := map[string][]byte{encoding: body, "quoted-printable": encodeQuoted(lineEnds.Replace(text))}
		for encoding, body := range decoders {
			var r io.Reader = quotedprintable.NewReader(bytes.NewReader(body))
			if encoding == "base64" {
				r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body))
			}
			got, err := io.ReadAll(r)
			if err != nil || string(got) != want {
				t.Fatalf("%q as %s is %q, which is read as %q, %v", text, encoding, body, got, err)
			}
			if len(body) > 0 {
				if fault := wireFault(append([]byte("Subject: x\r\n\r\n"), body...)); fault != "" {
					t.Fatalf("%q as %s: %s in %q", text, encoding, fault, body)
				}
			}
			if encoding == "quoted-printable" {
				checkCharacters(t, body)
			}
		}
	})
}

// checkCharacters finds a character that is divided between two lines.
func checkCharacters(t *rapid.T, body []byte) {
	for line := range strings.Lines(string(body)) {
		got, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(line)))
		if err != nil || !utf8.Valid(got) {
			t.Fatalf("line %q is read as %q, %v", line, got, err)
		}
	}
}

// FuzzCompose: whatever is composed holds to what is said of every mail, and a boundary ends what it should alone.
func FuzzCompose(f *testing.F) {
	for _, c := range corpus[:20] {
		f.Add(c.Subject, c.From.Name, c.Text, c.HTML, "file.pdf", "application/pdf", []byte("x"))
	}
	f.Add("=?", "a\r\nb", "\r", "<", "a\"b", "text/plain; x=y", []byte("--=_"))
	f.Fuzz(func(t *testing.T, subject, name, text, html, filename, kind string, content []byte) {
		m := plain(func(m *Message) {
			m.Subject, m.From.Name, m.Text, m.HTML = subject, name, text, html
			m.Attachments = []Attachment{{Filename: filename, ContentType: kind, Content: content}}
		})
		b, err := m.Compose()
		var refused *FieldError
		if err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		if fault := wireFault(b); fault != "" {
			t.Fatalf("%s in\n%s", fault, b)
		}
		if bytes.Count(b, []byte("\r\n--"+m.multipart("mixed", nil).boundary)) != 3 {
			t.Fatalf("there is another boundary in\n%s", b)
		}
	})
}
