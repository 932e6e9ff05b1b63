package mail

import (
	"encoding/base64"
	"fmt"
	"net/mail"
	"strings"
)

const (
	// maxLine is how long a line of a header is where it can be folded (RFC 5322, 2.1.1; RFC 2047, 2).
	maxLine = 76
	// maxWord leaves room for a header's name before the first word of it. RFC 2047 would allow 75.
	maxWord = 60
)

// fold writes a field of a header, with its tokens on as many lines as it takes. A token is never divided.
func fold(name string, tokens ...string) string {
	var b strings.Builder
	b.WriteString(name + ":")
	column := b.Len()
	for i, token := range tokens {
		if i > 0 && column+1+len(token) > maxLine {
			b.WriteString("\r\n")
			column = 0
		}
		b.WriteString(" " + token)
		column += 1 + len(token)
	}
	b.WriteString("\r\n")
	return b.String()
}

// words are the tokens of a text, encoded by RFC 2047 where it can't stand as it is.
func words(s string) []string {
	if s == "" {
		return nil
	}
	if needsWords(s) {
		return encodedWords(s)
	}
	return strings.Split(s, " ")
}

// needsWords says whether a text would come out differently at the other end: because it isn't ASCII, looks as if it
// were encoded, has spaces that folding or trimming takes away, or a word that is too long for a line.
func needsWords(s string) bool {
	if strings.Contains(s, "=?") || strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") || strings.Contains(s, "  ") {
		return true
	}
	for word := range strings.SplitSeq(s, " ") {
		if len(word) > maxWord {
			return true
		}
	}
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0
}

// encodedWords encodes a text as words of at most maxWord characters, by whichever of the two encodings is shorter. No
// character is divided between two words (RFC 2047, 5), and where it has spaces it is divided behind one: some programs
// put a space between the words of a name, which does less harm there.
func encodedWords(s string) []string {
	escaped := 0
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != ' ' {
			escaped++
		}
	}
	prefix, encode := "=?utf-8?q?", wordQ
	if 2*escaped > len(s)/3 {
		prefix, encode = "=?utf-8?b?", base64.StdEncoding.EncodeToString
	}
	room := maxWord - len(prefix) - len("?=")
	var words []string
	var word string
	for _, r := range s {
		if len(encode([]byte(word+string(r)))) > room {
			cut := len(word)
			if space := strings.LastIndexByte(word, ' '); space >= 0 {
				cut = space + 1
			}
			words = append(words, prefix+encode([]byte(word[:cut]))+"?=")
			word = word[cut:]
		}
		word += string(r)
	}
	return append(words, prefix+encode([]byte(word))+"?=")
}

// wordQ escapes all but letters and digits, which is right in a subject, a name and between quotes.
func wordQ(s []byte) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case isAlphanumeric(c):
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('_')
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// mailboxes are the tokens of a list of addresses.
func mailboxes(list ...mail.Address) []string {
	var tokens []string
	for i, a := range list {
		if i > 0 {
			tokens[len(tokens)-1] += ","
		}
		if a.Name == "" {
			tokens = append(tokens, a.Address)
			continue
		}
		tokens = append(append(tokens, phrase(a.Name)...), "<"+a.Address+">")
	}
	return tokens
}

// spaces makes one of each run of spaces in a name, and none at its ends, as programs do when they read one.
func spaces(name string) string {
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == ' ' }), " ")
}

// phrase are the tokens of a name: between quotes where it has more than letters, digits and spaces.
func phrase(name string) []string {
	if needsWords(name) || len(name) > maxWord {
		return encodedWords(name)
	}
	for i := range len(name) {
		if !isAlphanumeric(name[i]) && name[i] != ' ' {
			return []string{`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`}
		}
	}
	return strings.Split(name, " ")
}
