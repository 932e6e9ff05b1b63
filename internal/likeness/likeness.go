// Package likeness tells which failures have one cause, by what they say without what changes from one time to the
// next.
package likeness

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// What one cause words otherwise each time: ids, numbers, names of the moment. The order counts, as what is left of one
// must not look like another.
var changing = []struct {
	what *regexp.Regexp
	mark string
}{
	{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>?#]*)[?#][^\s"'<>]*`), "$1"}, // what a URL asks
	{regexp.MustCompile(`[\pL\pN._%+-]+@[\pL\pN-]+(\.[\pL\pN-]+)*`), "*"},
	{regexp.MustCompile(`"(?:[^"\\\n]|\\.)*"`), "*"},
	{regexp.MustCompile("`[^`\n]*`"), "*"},
	{regexp.MustCompile(`(^|[\s(\[=:,])'[^'\n]*'`), "$1*"}, // no apostrophe begins like that
	{regexp.MustCompile(`\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b`), "*"},
	{regexp.MustCompile(`\b[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?)?`), "*"},
	{regexp.MustCompile(`\[[0-9a-fA-F:.]*:[0-9a-fA-F:.%a-z]*\](:[0-9]+)?`), "*"},                         // an address of version 6
	{regexp.MustCompile(`\b[0-9]+(\.[0-9]+)*(ns|µs|us|ms|s|m|h|d)([0-9.]+(ns|µs|us|ms|s|m|h))*\b`), "*"}, // 1h2m3.5s
	{regexp.MustCompile(`\b(0[xX][0-9a-fA-F]+|[0-9a-fA-F]*[0-9][0-9a-fA-F]*)\b`), "*"},
	{regexp.MustCompile(`[0-9]+`), "*"},
	{regexp.MustCompile(`(^|[\s(\[=:,])[-+]\*`), "$1*"},
	{regexp.MustCompile(`\*([.,:/_+-]?\*)+`), "*"}, // a time, an address, a version
	{regexp.MustCompile(`\s+`), " "},
}

// maxNormal is how much of a message tells its cause; what comes later is detail.
const maxNormal = 400

// Normal is a message without what changes from one time to the next: numbers, ids, hex, what stands in quotes,
// addresses, what URLs ask, durations. Of a panic it is the first line and where it happened.
func Normal(message string) string {
	message = placed(strings.ToValidUTF8(message, "*"))
	for _, c := range changing {
		message = c.what.ReplaceAllString(message, c.mark)
	}
	message = strings.TrimSpace(message)
	if runes := []rune(message); len(runes) > maxNormal {
		message = string(runes[:maxNormal-1]) + "…"
	}
	return message
}

// ourFrame finds a function of ours in a stack.
var ourFrame = regexp.MustCompile(`(?m)^github\.com/payaid/payaid/(\S+)\(`)

// placed is a message without the stack of a panic, but with the function in which it happened.
func placed(message string) string {
	first, stack, found := strings.Cut(message, "\ngoroutine ")
	if !found {
		return message
	}
	// Above the panic are those who caught it.
	if _, below, found := strings.Cut(stack, "\npanic("); found {
		stack = below
	}
	if at := ourFrame.FindStringSubmatch(stack); at != nil {
		return first + " in " + at[1]
	}
	return first
}

// Of is what failures of one cause share, 16 hexadecimal digits: the kind of job, the code, and the message
// without what changes.
func Of(kind, code, message string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + code + "\x00" + Normal(message)))
	return hex.EncodeToString(sum[:8])
}
