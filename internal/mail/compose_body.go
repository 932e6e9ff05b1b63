package mail

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// encodedLine is how long a line of an encoded body is at most (RFC 2045, 6.7 and 6.8).
const encodedLine = 76

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// encodeText encodes a text for a body by whichever encoding is shorter: English stays legible, and an Indian script
// takes four bytes for three, not nine. All ends of lines become CRLF.
func encodeText(s string) (encoding string, body []byte) {
	s = lineEnds.Replace(s)
	escaped := 0
	for i := range len(s) {
		if mustEscape(s[i]) {
			escaped++
		}
	}
	if 6*escaped > len(s) {
		return "base64", encodeBase64([]byte(strings.ReplaceAll(s, "\n", "\r\n")))
	}
	return "quoted-printable", encodeQuoted(s)
}

func mustEscape(c byte) bool { return c < ' ' && c != '\n' && c != '\t' || c > '~' || c == '=' }

// encodeQuoted is quoted-printable with two escapes that the standard library's writer lacks: of a dot and of the F of
// "From " at the beginning of a line, which careless servers change (RFC 2049, 3).
func encodeQuoted(s string) []byte {
	const hexDigits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+len(s)/8)
	column := 0
	for i := range len(s) {
		c := s[i]
		if c == '\n' {
			b, column = append(b, '\r', '\n'), 0
			continue
		}
		last := i+1 == len(s) || s[i+1] == '\n'
		escape := mustEscape(c) || last && (c == ' ' || c == '\t')
		width := 1
		if escape {
			width = 3
		}
		// The soft line break takes the last place, and a character of several bytes stays on one line, so that a
		// body can be read as it is sent.
		if column+width+following(s[i:])+1 > encodedLine {
			b, column = append(b, '=', '\r', '\n'), 0
		}
		if column == 0 && (c == '.' || strings.HasPrefix(s[i:], "From ")) {
			escape, width = true, 3
		}
		if escape {
			b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
		column += width
	}
	if column > 0 {
		// The mail ends with a line's end, and the text doesn't.
		b = append(b, '=', '\r', '\n')
	}
	return b
}

// following is what the rest of a character takes of a line.
func following(s string) int {
	if !utf8.RuneStart(s[0]) {
		return 0
	}
	_, size := utf8.DecodeRuneInString(s)
	return 3 * (size - 1)
}

func encodeBase64(content []byte) []byte {
	const perLine = encodedLine / 4 * 3
	lines := (len(content) + perLine - 1) / perLine
	b := make([]byte, 0, base64Size(len(content)))
	for i := range lines {
		b = base64.StdEncoding.AppendEncode(b, content[i*perLine:min((i+1)*perLine, len(content))])
		b = append(b, '\r', '\n')
	}
	return b
}

// base64Size is how many bytes n become, with the ends of lines.
func base64Size(n int) int {
	encoded := base64.StdEncoding.EncodedLen(n)
	return encoded + 2*((encoded+encodedLine-1)/encodedLine)
}
