package localstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func startSink(t *testing.T, dir string) *Sink {
	t.Helper()
	s, err := StartSink(t.Context(), SinkOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

const mail = "Subject: Rechnung\r\n\r\n₹ 500\r\n.a line that begins with a dot\r\n"

func TestTheSinkKeepsMailAcrossARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "mail")
	s := startSink(t, dir)
	for i := range 2 {
		to := []string{fmt.Sprintf("someone%d@example.com", i), "another@example.com"}
		if err := smtp.SendMail(s.Addr(), nil, "me@example.com", to, []byte(mail)); err != nil {
			t.Fatal(err)
		}
	}
	addr := s.Addr()
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("it takes connections after it was stopped")
	}

	s = startSink(t, dir)
	if s.Addr() != addr {
		t.Errorf("the second start is at %s, the first was at %s", s.Addr(), addr)
	}
	got := s.Messages()
	if len(got) != 2 {
		t.Fatalf("%d messages, want 2", len(got))
	}
	if got[0].From != "me@example.com" || strings.Join(got[0].To, " ") != "someone1@example.com another@example.com" {
		t.Errorf("the newest has the envelope %+v", got[0])
	}
	body, err := os.ReadFile(got[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	if string(body) != mail || got[0].Size != len(mail) {
		t.Errorf("the message came as %q, of size %d", body, got[0].Size)
	}
	if content, err := s.Content(got[0].ID); err != nil || string(content) != mail || got[0].Subject != "Rechnung" {
		t.Errorf("the message is shown as %q (%v), with the subject %q", content, err, got[0].Subject)
	}
	if _, err := s.Content("../" + got[0].ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a message that isn't there: %v", err)
	}
	info, err := os.Stat(got[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("its file has mode %o", info.Mode().Perm())
	}
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"Subject: =?utf-8?q?=E2=82=B9_500?=\r\n\r\nx":        "₹ 500",
		"Subject: =?utf-8?b?4oK5?= =?utf-8?b?NTAw?=\r\n\r\n": "₹500",
		"Subject: a\r\n b\r\n\r\n":                           "a b",
		"Subject: \xff\r\n\r\n":                              "\uFFFD",
		"To: a@example.in\r\n\r\n":                           "",
		"no header at all":                                   "",
		"":                                                   "",
	} {
		if got := subjectOf([]byte(body)); got != want {
			t.Errorf("%q: got %q, want %q", body, got, want)
		}
	}
}

func TestTheSinkSpeaksAsAMailServerDoes(t *testing.T) {
	t.Parallel()
	s := startSink(t, testDir(t))
	conn, err := textproto.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// All at once, as PIPELINING allows.
	err = conn.PrintfLine("EHLO me\r\nMAIL FROM:<जन@example.com> BODY=8BITMIME SMTPUTF8 SIZE=100\r\nRCPT TO:<b@example.com>\r\nDATA")
	if err != nil {
		t.Fatal(err)
	}
	expect := func(code int) string {
		t.Helper()
		_, text, err := conn.ReadResponse(code)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	expect(220)
	extensions := expect(250)
	for _, name := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 26214400", "ENHANCEDSTATUSCODES"} {
		if !strings.Contains(extensions, name) {
			t.Errorf("%s is not announced: %s", name, extensions)
		}
	}
	expect(250)
	expect(250)
	expect(354)
	if err := conn.PrintfLine("Subject: x\r\n\r\n."); err != nil {
		t.Fatal(err)
	}
	answer := expect(250)
	if got := s.Messages(); len(got) != 1 || !strings.HasSuffix(answer, "queued as "+got[0].ID) || got[0].From != "जन@example.com" {
		t.Errorf("the answer is %q, the messages are %+v", answer, got)
	}
	// The connection stays open: a client's idle one must not hold up Stop.
}

func TestTheSinkRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := startSink(t, testDir(t))
	large := strings.Repeat(strings.Repeat("x", 998)+"\r\n", maxSinkMessage/1000+1)
	err := smtp.SendMail(s.Addr(), nil, "a@example.com", []string{"b@example.com"}, []byte(large))
	if err == nil || !strings.Contains(err.Error(), "552") {
		t.Errorf("%d bytes: %v, want 552", len(large), err)
	}
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages are kept", n)
	}
}

func TestTheSinkForgetsTheOldest(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	s := startSink(t, dir)
	if s.limit != 1000 {
		t.Errorf("it keeps %d messages, want 1000", s.limit)
	}
	s.limit = 10
	for i := range s.limit + 5 {
		if _, err := s.keep(fmt.Sprint(i), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	got := s.Messages()
	if len(got) != s.limit || got[0].From != fmt.Sprint(s.limit+4) || got[len(got)-1].From != "5" {
		t.Errorf("%d messages from %s to %s", len(got), got[len(got)-1].From, got[0].From)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.[ej]*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2*s.limit {
		t.Errorf("%d files, want %d", len(files), 2*s.limit)
	}
}

// A message without its second file was never acknowledged.
func TestTheSinkDropsHalfAMessage(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	half := filepath.Join(dir, "0197.json")
	if err := os.WriteFile(half, []byte(`{"id":"0197"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSink(t, dir)
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages, want none", n)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("the half is still there: %v", err)
	}
}

func TestTheSinkSaysWhenItCannotKeepAMessage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "mail")
	s := startSink(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := smtp.SendMail(s.Addr(), nil, "a@example.com", []string{"b@example.com"}, []byte(mail))
	if err == nil || !strings.HasPrefix(err.Error(), "451") {
		t.Errorf("a message that can't be stored is answered %v, want 451", err)
	}
}
