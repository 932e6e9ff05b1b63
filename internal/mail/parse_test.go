package mail

import (
	"bytes"
	"cmp"
	"encoding/json"
	"mime"
	"net/mail"
	"os/exec"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// parsed is what Python reads in a mail.
type parsed struct {
	Subject     string          `json:"subject"`
	Date        string          `json:"date"`
	MessageID   string          `json:"message_id"`
	From        []parsedAddress `json:"from"`
	ReplyTo     []parsedAddress `json:"reply_to"`
	To          []parsedAddress `json:"to"`
	Cc          []parsedAddress `json:"cc"`
	Text        *string         `json:"text"`
	HTML        *string         `json:"html"`
	Files       []parsedFile    `json:"files"`
	Shape       string          `json:"shape"`
	Names       []string        `json:"names"`
	Unsubscribe string          `json:"unsubscribe"`
	Defects     []string        `json:"defects"`
}

type parsedAddress struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

type parsedFile struct {
	Filename    string            `json:"filename"`
	Type        string            `json:"type"`
	Params      map[string]string `json:"params"`
	Disposition string            `json:"disposition"`
	ContentID   string            `json:"content_id"`
	Content     []byte            `json:"content"`
}

// parse reads mails with Python's email package.
func parse(t *testing.T, mails ...[]byte) []parsed {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatalf("find python3, which reads what we compose: %v; install it (apt-get install python3)", err)
	}
	input, err := json.Marshal(mails)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/parse.py")
	cmd.Stdin = bytes.NewReader(input)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("parse %d mails: %v\n%s", len(mails), err, problems.String())
	}
	var read []parsed
	if err := json.Unmarshal(out, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// asked is what a parser must read in a message.
func asked(m Message) parsed {
	ends := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n")
	text := ends.Replace(m.Text)
	want := parsed{
		Subject:     m.Subject,
		Date:        m.Date.UTC().Format("2006-01-02T15:04:05+00:00"),
		MessageID:   "<" + m.ID + "@" + domainOf(mustCanonical(m.From.Address)) + ">",
		From:        askedAddresses([]mail.Address{m.From}),
		ReplyTo:     askedAddresses(m.ReplyTo),
		To:          askedAddresses(m.To),
		Cc:          askedAddresses(m.Cc),
		Text:        &text,
		Files:       []parsedFile{},
		Unsubscribe: m.Unsubscribe,
		Defects:     []string{},
	}
	if m.HTML != "" {
		html := ends.Replace(m.HTML)
		want.HTML = &html
	}
	// Images come first, as they are within what the files stand beside.
	for _, disposition := range []string{"inline", "attachment"} {
		for _, a := range m.Attachments {
			if (a.ContentID != "") != (disposition == "inline") {
				continue
			}
			kind, params, _ := mime.ParseMediaType(cmp.Or(a.ContentType, "application/octet-stream"))
			want.Files = append(want.Files, parsedFile{Filename: a.Filename, Type: kind, Params: params,
				Disposition: disposition, ContentID: a.ContentID, Content: append([]byte{}, a.Content...)})
		}
	}
	return want
}

func askedAddresses(list []mail.Address) []parsedAddress {
	want := []parsedAddress{}
	for _, a := range list {
		want = append(want, parsedAddress{Name: spaces(a.Name), Address: mustCanonical(a.Address)})
	}
	return want
}

func mustCanonical(address string) string {
	c, err := canonical(address)
	if err != nil {
		panic(err)
	}
	return c
}

// diff compares what was read with what was asked, the shape and the order of headers aside.
func diff(m Message, got parsed) string {
	want := asked(m)
	got.Shape, got.Names = "", nil
	if m.Text == "" && m.HTML != "" {
		want.Text = got.Text
	}
	return gocmp.Diff(want, got)
}

// TestAnotherParserReadsWhatWasAsked: Python's email package knows nothing of how we compose.
func TestAnotherParserReadsWhatWasAsked(t *testing.T) {
	t.Parallel()
	mails := make([][]byte, len(corpus))
	for i, c := range corpus {
		mails[i] = compose(t, c.Message)
	}
	for i, got := range parse(t, mails...) {
		if d := diff(corpus[i].Message, got); d != "" {
			t.Errorf("%s: asked (-), read (+)\n%s\n%.3000s", corpus[i].name, d, mails[i])
		}
	}
}

func compose(t *testing.T, m Message) []byte {
	t.Helper()
	start := time.Now()
	b, err := m.Compose()
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("composing took %v", took)
	}
	return b
}
