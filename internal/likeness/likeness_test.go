package likeness_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/likeness"
)

// What changes from one failure to the next, and words that don't.
var (
	changes = rapid.OneOf(
		rapid.Map(rapid.Int(), func(n int) string { return fmt.Sprint(n) }),
		rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`),
		rapid.StringMatching(`0x[0-9a-f]{1,16}`),
		rapid.StringMatching(`[0-9a-f]{7}[0-9]`),
		rapid.StringMatching(`"[a-zA-Z0-9 @.?/-]{0,20}"`),
		rapid.StringMatching(`'[a-zA-Z0-9 @.?/-]{1,20}'`),
		rapid.StringMatching("`[a-zA-Z0-9 @.?/-]{0,20}`"),
		rapid.StringMatching(`[a-z][a-z0-9.]{0,8}@[a-z]{1,8}\.(com|in)`),
		rapid.StringMatching(`[0-9]{1,3}(\.[0-9]{1,2})?(ms|s|m|h)([0-9]{1,2}s)?`),
		rapid.StringMatching(`[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(:[0-9]{2,5})?`),
		rapid.StringMatching(`\[[0-9a-f]{1,4}::[0-9a-f]{1,4}\](:[0-9]{2,5})?`),
		rapid.StringMatching(`20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z`),
	)
	words = rapid.StringMatching(`(dial|tcp|the|server|refused|it|don't|lost connection|upstream|jobs|model)`)
)

// Two messages that differ in such things alone have one fingerprint; different codes and kinds never do.
func TestFingerprintsAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var one, two strings.Builder
		for range rapid.IntRange(1, 6).Draw(t, "parts") {
			word := words.Draw(t, "word")
			fmt.Fprintf(&one, "%s %s: ", word, changes.Draw(t, "one"))
			fmt.Fprintf(&two, "%s %s: ", word, changes.Draw(t, "two"))
		}
		query := rapid.StringMatching(`(\?[a-z]{1,5}=[a-zA-Z0-9%&=-]{0,20})?`)
		one.WriteString("https://api.example.com/v1/chat" + query.Draw(t, "first query"))
		two.WriteString("https://api.example.com/v1/chat" + query.Draw(t, "second query"))
		a, b := likeness.Of("ai.chat", "internal", one.String()), likeness.Of("ai.chat", "internal", two.String())
		if a != b {
			t.Fatalf("%q and %q\nare %q and %q", one.String(), two.String(), likeness.Normal(one.String()), likeness.Normal(two.String()))
		}
		if a == likeness.Of("ai.chat", "timeout", one.String()) || a == likeness.Of("ai.completion", "internal", one.String()) {
			t.Fatal("another code or kind has the same fingerprint")
		}
	})
}

var sixteenHex = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Whatever the message is, it has a fingerprint, and what is left of it is the same when it is taken again.
func TestFingerprintsOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.OneOf(rapid.String(), rapid.StringMatching("[a-z0-9 .:?\"'`@\\[\\]*/-]{0,80}")).Draw(t, "message")
		if f := likeness.Of("k", "c", message); !sixteenHex.MatchString(f) {
			t.Fatalf("%q", f)
		}
		if n := likeness.Normal(message); strings.ContainsAny(n, "0123456789") {
			t.Fatalf("%q keeps a number: %q", message, n)
		}
	})
}

func TestNormal(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		`dial tcp 10.0.0.7:11434: connect: connection refused`:                        `dial tcp *: connect: connection refused`,
		`dial tcp [::1]:11434: connect: connection refused`:                           `dial tcp *: connect: connection refused`,
		`Get "https://x.example/a?key=1": context deadline exceeded (after 1m2.5s)`:   `Get *: context deadline exceeded (after *)`,
		`job 0197aaaa-0000-7000-8000-000000000001 isn't the organization's`:           `job * isn't the organization's`,
		`the mail to asha@example.com wasn't taken: 550 5.1.1 <a@b.in>: no such user`: `the mail to * wasn't taken: * * <*>: no such user`,
		`invoice INV-2026/27-0001 is draft`:                                           `invoice INV-* is draft`,
		`model "mistral:7b" not found`:                                                `model * not found`,
		"panic: oh no\ngoroutine 7 [running]:\nruntime/debug.Stack()\n\t/x\npanic({0x1, 0x2})\n\t/y\ngithub.com/payaid/payaid/jobs.sendMail.Run(...)\n": `panic: oh no in jobs.sendMail.Run`,
	} {
		if got := likeness.Normal(message); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", message, got, want)
		}
	}
	if a, b := likeness.Of("k", "c", "no such user"), likeness.Of("k", "c", "connection refused"); a == b {
		t.Error("different messages have one fingerprint")
	}
}
