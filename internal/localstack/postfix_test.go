package localstack

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// submit logs in and sends one mail.
func submit(t *testing.T, p *Postfix, to string) error {
	t.Helper()
	c, err := smtp.DialStartTLS(loopback(p.Submission()), &tls.Config{RootCAs: p.Roots(), ServerName: "localhost"})
	if err != nil {
		return err
	}
	defer c.Close()
	name, password := p.Login()
	if err := c.Auth(sasl.NewPlainClient("", name, password)); err != nil {
		return err
	}
	return c.SendMail("a@sender.test", []string{to}, strings.NewReader("Message-ID: <"+to+">\r\nSubject: x\r\n\r\nx\r\n"))
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestPostfixTakesMailAndSaysSo(t *testing.T) {
	t.Parallel()
	p := NewPostfix(t, PostfixOptions{Replies: map[string]string{`/^odd@/`: "550 5.7.1 odd"}})
	if err := submit(t, p, "b@recipient.test"); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{"nobody@x.test": "User unknown", "odd@x.test": "odd", "grey@x.test": "Greylisted"} {
		if err := submit(t, p, to); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", to, err, want)
		}
	}
	if err := p.Drain(testContext(t)); err != nil {
		t.Fatal(err)
	}
	got := p.Accepted()
	if len(got) != 1 || got[0].MessageID != "b@recipient.test" || got[0].From != "a@sender.test" || got[0].Status != "sent" ||
		got[0].To != "b@recipient.test" || got[0].QueueID == "" {
		t.Errorf("accepted %+v", got)
	}
	if err := p.AwaitLog(testContext(t), regexp.MustCompile(`NOQUEUE: reject:`), 3); err != nil {
		t.Error(err)
	}
}

func TestPostfixComesBackAfterAKill(t *testing.T) {
	t.Parallel()
	p := NewPostfix(t, PostfixOptions{})
	if err := submit(t, p, "before@recipient.test"); err != nil {
		t.Fatal(err)
	}
	before := p.Pid()
	p.Kill()
	if err := p.WaitReady(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if p.Pid() == before {
		t.Error("the process is the one that was killed")
	}
	if err := submit(t, p, "after@recipient.test"); err != nil {
		t.Fatal(err)
	}
	if err := p.Drain(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := p.Accepted(); len(got) != 2 {
		t.Errorf("accepted %+v", got)
	}
}

// TestPostfixLeavesADeferredMailToItself: a mail that is taken up while its last delivery still holds its file isn't
// looked at again for a minute, so there is more than a moment between the two.
func TestPostfixLeavesADeferredMailToItself(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := nobody.Addr().(*net.TCPAddr).Port
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	p := NewPostfix(t, PostfixOptions{Transports: map[string]string{`/@closed\.test$/`: fmt.Sprintf("lmtp:inet:127.0.0.1:%d", closed)}})
	if err := submit(t, p, "a@closed.test"); err != nil {
		t.Fatal(err)
	}
	if err := p.AwaitLog(testContext(t), regexp.MustCompile(`status=deferred`), 3); err != nil {
		t.Fatal(err)
	}
	stamp := regexp.MustCompile(`(?m)^(\w+ +\d+ [\d:]{8}) .*(status=deferred|\(queue active\))`)
	var deferred time.Time
	for _, m := range stamp.FindAllStringSubmatch(p.Log(), -1) {
		at, err := time.Parse(time.Stamp, m[1])
		switch {
		case err != nil:
			t.Fatal(err)
		case m[2] == "status=deferred":
			deferred = at
		case !deferred.IsZero() && at.Sub(deferred) < 2*time.Second:
			t.Errorf("taken up %s after it was deferred, want 2s or more by a clock of whole seconds", at.Sub(deferred))
		}
	}
}
