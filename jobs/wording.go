package jobs

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// counted is a number with its noun: "1 deal", "2 deals".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// forDays is how long something has been so.
func forDays(n int) string {
	if n <= 0 {
		return "since today"
	}
	return "for " + counted(n, "day")
}

// listed joins what there is to a sentence: "a, b and c".
func listed(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + s[size:] + "."
}
