package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// submissionTo is the usual way in: STARTTLS and a login.
func submissionTo(pf *localstack.Postfix) Config {
	name, password := pf.Login()
	return Config{Host: "localhost", Port: pf.Submission(), RootCAs: pf.Roots(), User: name, Password: password,
		Hello: "client.test", Connections: 1, CommandTimeout: 30 * time.Second, SubmissionTimeout: 30 * time.Second}
}

// mailOf is a mail that can be found in the server's log.
func mailOf(id string) []byte {
	return []byte("From: a@sender.test\r\nMessage-ID: <" + id + ">\r\nSubject: x\r\n\r\nText\r\n")
}

// drain waits until the server's log has all that it did.
func drain(t *testing.T, pf *localstack.Postfix) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := pf.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

// taken is how often the server accepted a mail.
func taken(t *testing.T, pf *localstack.Postfix, id string) (n int) {
	t.Helper()
	drain(t, pf)
	for _, m := range pf.Accepted() {
		if m.MessageID == id {
			n++
		}
	}
	return n
}

func TestPostfixTakesMailBothWays(t *testing.T) {
	t.Parallel()
	pf := localstack.TestPostfix(t)
	for name, change := range map[string]func(*Config){
		"starttls":      func(*Config) {},
		"implicit":      func(c *Config) { c.ImplicitTLS, c.Port = true, pf.Implicit() },
		"another name":  func(c *Config) { c.Host, c.ServerName = "127.0.0.1", "localhost" },
		"without login": func(c *Config) { c.User, c.Password, c.Port = "", "", pf.Plain() },
	} {
		c := submissionTo(pf)
		change(&c)
		p := newPool(t, c)
		id := "both-ways-" + strings.ReplaceAll(name, " ", "-") + "@sender.test"
		got, err := p.Send(t.Context(), Envelope{ID: "x", From: "bounces@sender.test", To: "b@recipient.test"}, mailOf(id), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if taken(t, pf, id) != 1 {
			t.Errorf("%s: taken %d times", name, taken(t, pf, id))
		}
		if i := slices.IndexFunc(pf.Accepted(), func(m localstack.PostfixMail) bool { return m.QueueID == got.QueueID }); i < 0 || !got.DSN ||
			pf.Accepted()[i].MessageID != id {
			t.Errorf("%s: the receipt is %+v", name, got)
		}
	}
}

// TestAFaultOfTheChannelIsNoMailsFault has the settings be wrong in each way that Postfix knows.
func TestAFaultOfTheChannelIsNoMailsFault(t *testing.T) {
	t.Parallel()
	pf := localstack.TestPostfix(t)
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	for name, c := range map[string]struct {
		change func(*Config)
		step   string
		code   int
		cause  any
		atOnce bool // opens the breaker
	}{
		"wrong password":   {func(c *Config) { c.Password = "wrong-password" }, StepAuth, 535, nil, true},
		"untrusted":        {func(c *Config) { c.RootCAs = nil }, StepTLS, 0, &authority, true},
		"untrusted at 465": {func(c *Config) { c.RootCAs, c.ImplicitTLS, c.Port = nil, true, pf.Implicit() }, StepTLS, 0, &authority, true},
		"wrong name":       {func(c *Config) { c.ServerName = "mail.other.test" }, StepTLS, 0, &hostname, true},
		"TLS too early":    {func(c *Config) { c.ImplicitTLS = true }, StepTLS, 0, &record, true},
		"TLS too late":     {func(c *Config) { c.Port, c.CommandTimeout = pf.Implicit(), 300*time.Millisecond }, StepConnect, 0, nil, false},
		"no login":         {func(c *Config) { c.User, c.Password = "", "" }, StepRcpt, 554, nil, false},
		"no login offered": {func(c *Config) { c.Port = pf.Plain() }, StepAuth, 0, nil, true},
	} {
		config := submissionTo(pf)
		c.change(&config)
		p := newPool(t, config)
		committed := 0
		id := "channel-" + strings.ReplaceAll(name, " ", "-") + "@sender.test"
		_, err := p.Send(t.Context(), envelope("b@recipient.test"), mailOf(id), func(context.Context) error { committed++; return nil })
		r := wantRefusal(t, err, Channel, c.step)
		if r.Code != c.code || c.cause != nil && !errors.As(err, c.cause) || r.Suppress {
			t.Errorf("%s: %+v", name, r)
		}
		if committed > 0 && c.step != StepRcpt {
			t.Errorf("%s: committed without a connection", name)
		}
		if open := p.Status().State == stateOpen; open != c.atOnce {
			t.Errorf("%s: open is %v, want %v", name, open, c.atOnce)
		}
		if strings.Contains(fmt.Sprint(p.Status(), err), config.Password) && config.Password != "" {
			t.Errorf("%s: the password is shown", name)
		}
		if taken(t, pf, id) != 0 {
			t.Errorf("%s: the mail was taken", name)
		}
	}
}

func TestAWrongPasswordIsShownToTheServerOnce(t *testing.T) {
	t.Parallel()
	pf := localstack.NewPostfix(t, localstack.PostfixOptions{})
	c := submissionTo(pf)
	c.Password, c.Connections = "wrong-password", 8
	p := newPool(t, c)
	var sending sync.WaitGroup
	for range 20 {
		sending.Go(func() {
			_, err := send(t, p, "b@recipient.test")
			var r *Refusal
			if !errors.As(err, &r) || r.Class != Channel {
				t.Errorf("got %v", err)
			}
		})
	}
	sending.Wait()
	drain(t, pf)
	failed := regexp.MustCompile(`SASL PLAIN authentication failed`)
	if n := len(failed.FindAllString(pf.Log(), -1)); n != 1 {
		t.Errorf("it was tried %d times:\n%s", n, pf.Log())
	}
}

func TestWhatPostfixSaysOfARecipientAndNobodyElseSuffers(t *testing.T) {
	t.Parallel()
	pf := localstack.NewPostfix(t, localstack.PostfixOptions{Replies: map[string]string{
		`/^plain550@/`: "550 go away", `/^later@/`: "452 4.3.1 Insufficient system storage", `/^sender@/`: "450 4.1.8 Sender address rejected: Domain not found"}})
	c := submissionTo(pf)
	c.Pause = time.Millisecond // faults of the channel are among them
	p := newPool(t, c)
	for i, want := range []struct {
		to       string
		class    Class
		code     int
		enhanced string
		suppress bool
	}{
		{"grey", Deferred, 450, "4.2.0", false},
		{"busy", Deferred, 451, "4.3.0", false},
		{"crowded", Deferred, 452, "4.5.3", false},
		{"later", Channel, 452, "4.3.1", false},
		{"drop", Channel, 421, "4.7.0", false},
		{"sender", Channel, 450, "4.1.2", false}, // its own mend of our 4.1.8: it speaks to a recipient
		{"nobody", Rejected, 550, "5.1.1", true},
		{"full", Rejected, 552, "5.2.2", false},
		{"blocked", Blocked, 554, "5.7.1", false},
	} {
		to := want.to + "@recipient.test"
		id := want.to + "@refused.test"
		_, err := p.Send(t.Context(), envelope(to), mailOf(id), nil)
		r := wantRefusal(t, err, want.class, StepRcpt)
		if r.Code != want.code || r.Enhanced != want.enhanced || r.Suppress != want.suppress {
			t.Errorf("%s: %+v", to, r)
		}
		innocent := fmt.Sprintf("after-%d@sender.test", i)
		if _, err := p.Send(t.Context(), envelope("b@recipient.test"), mailOf(innocent), nil); err != nil {
			t.Errorf("after %s: %v", to, err)
		}
		if n, m := taken(t, pf, id), taken(t, pf, innocent); n != 0 || m != 1 {
			t.Errorf("%s was taken %d times, and the one after it %d times", to, n, m)
		}
	}
	drain(t, pf)
	if strings.Contains(pf.Log(), "nested") || strings.Contains(pf.Log(), "improper command") {
		t.Errorf("the server complains:\n%s", pf.Log())
	}
}

func TestManyRefusalsDoNotSlowTheServer(t *testing.T) {
	t.Parallel()
	pf := localstack.TestPostfix(t)
	p := newPool(t, submissionTo(pf))
	for range 3 * refusedInARow {
		begin := time.Now()
		_, err := p.Send(t.Context(), envelope("nobody@recipient.test"), mailOf("x@sender.test"), nil)
		wantRefusal(t, err, Rejected, StepRcpt)
		// With ten errors on one connection Postfix waits for a second before each answer, and then for more.
		if took := time.Since(begin); took > 10*time.Second {
			t.Fatalf("a refusal took %v", took)
		}
	}
	drain(t, pf)
	if strings.Contains(pf.Log(), "too many errors") {
		t.Error("the server lost its patience")
	}
}

func TestAMailThatIsTooLargeForPostfix(t *testing.T) {
	t.Parallel()
	large := append(mailOf("large@sender.test"), bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), 3000)...)
	for step, settings := range map[string]map[string]string{
		StepMail: {"message_size_limit": "100000"},
		StepDot:  {"message_size_limit": "100000", "smtpd_discard_ehlo_keywords": "size"},
	} {
		pf := localstack.NewPostfix(t, localstack.PostfixOptions{Settings: settings})
		p := newPool(t, submissionTo(pf))
		_, err := p.Send(t.Context(), envelope("b@recipient.test"), large, nil)
		wantRefusal(t, err, TooLarge, step)
		if _, err := p.Send(t.Context(), envelope("b@recipient.test"), mailOf("small@sender.test"), nil); err != nil {
			t.Error(err)
		}
		if taken(t, pf, "large@sender.test") != 0 || taken(t, pf, "small@sender.test") != 1 {
			t.Errorf("%s: taken %+v", step, pf.Accepted())
		}
		if kept := p.queue.all(); len(kept) != 1 || kept[0].mails != 2 {
			t.Errorf("%s: %d connections were kept", step, len(kept))
		} else {
			kept[0].close()
		}
	}
}

// TestKillsLoseAndDoubleNothing kills the server's processes again and again. Whatever Send says of a mail has to be
// what the server's log says of it.
func TestKillsLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	pf := localstack.NewPostfix(t, localstack.PostfixOptions{})
	c := submissionTo(pf)
	c.Connections, c.Pause = 4, 20*time.Millisecond
	c.CommandTimeout, c.SubmissionTimeout = 5*time.Second, 5*time.Second
	p := newPool(t, c)
	const senders, each = 8, 40
	var sending sync.WaitGroup
	var mu sync.Mutex
	unknown, accepted := map[string]int{}, map[string]int{}
	var kills, faults atomic.Int32
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				id := fmt.Sprintf("kill-%d-%d@sender.test", s, i)
				for tries := 0; ; tries++ {
					_, err := p.Send(t.Context(), envelope("b@recipient.test"), mailOf(id), nil)
					var r *Refusal
					if err == nil || errors.As(err, &r) && r.Class == Unknown {
						mu.Lock()
						if err == nil {
							accepted[id]++
						} else {
							unknown[id]++
						}
						mu.Unlock()
						break
					}
					if r == nil || r.Class != Channel {
						t.Errorf("%s: %v", id, err)
						return
					}
					if r.Step != StepBreaker {
						faults.Add(1)
					}
					time.Sleep(5 * time.Millisecond) // the backoff of whoever sends
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { sending.Wait(); close(done) }()
	for killing := true; killing; {
		select {
		case <-done:
			killing = false
		case <-time.After(time.Duration(100+rand.IntN(300)) * time.Millisecond):
			// All of it twice only: it takes longer to come back each time.
			if n := kills.Add(1); n == 5 || n == 15 {
				pf.Kill()
			} else {
				pf.KillWorkers("smtpd")
			}
		}
	}
	if err := pf.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), envelope("b@recipient.test"), mailOf("last@sender.test"), nil); err != nil {
		t.Logf("the last: %v", err)
	}
	compareWithLog(t, pf, accepted, unknown)
	if len(accepted)+len(unknown) != senders*each {
		t.Errorf("%d accepted and %d unknown of %d", len(accepted), len(unknown), senders*each)
	}
	t.Logf("%d kills, %d faults of the channel, %d accepted, %d unknown", kills.Load(), faults.Load(), len(accepted), len(unknown))
}

// compareWithLog holds what was said of mails against what the server took.
func compareWithLog(t *testing.T, pf *localstack.Postfix, accepted, unknown map[string]int) {
	t.Helper()
	taken(t, pf, "") // waits for the log
	counts := map[string]int{}
	for _, m := range pf.Accepted() {
		counts[m.MessageID]++
	}
	for id := range accepted {
		if counts[id] != 1 {
			t.Errorf("%s was said to be accepted, and the server took it %d times", id, counts[id])
		}
	}
	for id := range unknown {
		if counts[id] > 1 {
			t.Errorf("%s is unknown, and the server took it %d times", id, counts[id])
		}
	}
}
