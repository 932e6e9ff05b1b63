package letter

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Above these, mail programs show a part alone: Gmail clips HTML at 102 kB, and few show longer subjects in a list.
const (
	clippedAt   = 102_000
	wideSubject = 78
)

var (
	takenOut   = regexp.MustCompile(`(?i)<(script|iframe|form|object|embed|link|base|video|audio|svg)[\s>/]`)
	handler    = regexp.MustCompile(`(?i)<[a-z][^>]*\son[a-z]+\s*=`)
	scriptLink = regexp.MustCompile(`(?i)(?:href|src|action)\s*=\s*["']?\s*(?:javascript|vbscript|data):`)
	relative   = regexp.MustCompile(`(?i)(?:href|src)\s*=\s*(?:"(?:[^":#?]*)"|'(?:[^':#?]*)')`)
	bareImage  = regexp.MustCompile(`(?i)<img(?:\s[^>]*)?>`)
	described  = regexp.MustCompile(`(?i)\salt\s*=`)
)

// Warnings say what readers may not see as it is meant, though the letter can be sent.
func (l Letter) Warnings() []string {
	found := []string{}
	if n := len(l.HTML); n > clippedAt {
		found = append(found, fmt.Sprintf("The HTML has %d bytes; Gmail shows the first %d.", n, clippedAt))
	}
	if utf8.RuneCountInString(l.Subject) > wideSubject {
		found = append(found, fmt.Sprintf("The subject has more than %d characters; many mail programs cut it off.", wideSubject))
	}
	var names []string
	for _, m := range takenOut.FindAllStringSubmatch(l.HTML, -1) {
		if name := strings.ToLower(m[1]); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		found = append(found, "Mail programs take out or ignore "+strings.Join(names, ", ")+".")
	}
	if handler.MatchString(l.HTML) || scriptLink.MatchString(l.HTML) {
		found = append(found, "No mail program runs scripts, neither of attributes nor of links.")
	}
	if relative.MatchString(l.HTML) {
		found = append(found, "A link or image has no https://; a mail has no address that it could be relative to.")
	}
	for _, image := range bareImage.FindAllString(l.HTML, -1) {
		if !described.MatchString(image) {
			found = append(found, "An image has no alt text; many mail programs show that in its place.")
			break
		}
	}
	if l.Text == "" {
		found = append(found, "There is no text; it is made from the HTML.")
	}
	return found
}
