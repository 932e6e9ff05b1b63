package mail

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxFieldLine  = 4096 // of a line; the rest of it is dropped
	maxFieldValue = 1000 // of a value, in bytes
	maxFields     = 200  // of a block
)

// boundedReader ends as if the message did, when it has given as much as it may. An error of the reader below
// is kept, as those who read through it take it for the end.
type boundedReader struct {
	r     io.Reader
	bytes int
	lines int
	err   error
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.bytes <= 0 || b.lines <= 0 {
		return 0, io.EOF
	}
	if len(p) > b.bytes {
		p = p[:b.bytes]
	}
	n, err := b.r.Read(p)
	b.bytes -= n
	b.lines -= bytes.Count(p[:n], []byte{'\n'})
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// block is fields that stand together, by their names in lower case. Of a name that comes twice, the first
// value counts.
type block map[string]string

func (b block) get(name string) string { return b[name] }

// nextBlock reads fields up to an empty line or the end, and skips the empty lines before them. Lines that are
// no fields are left out: many a server writes its own into such a block. It is nil at the end.
func nextBlock(r *bufio.Reader) block {
	var out block
	name, value := "", ""
	keep := func() {
		if _, twice := out[name]; name != "" && !twice && len(out) < maxFields {
			out[name] = clean(value)
		}
		name, value = "", ""
	}
	for {
		line, err := fieldLine(r)
		switch {
		case line == "" && err == nil && out == nil:
			continue
		case line == "":
			keep()
			return out
		case out == nil:
			out = block{}
		}
		if line[0] == ' ' || line[0] == '\t' { // folded
			if name != "" && len(value) <= maxFieldValue {
				value += " " + strings.TrimSpace(line)
			}
			continue
		}
		keep()
		if n, v, ok := strings.Cut(line, ":"); ok && fieldName(n) {
			name, value = strings.ToLower(strings.TrimRight(n, " \t")), strings.TrimSpace(v)
		}
	}
}

// fieldLine reads a line without its end. What is beyond maxFieldLine of it is dropped.
func fieldLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		piece, more, err := r.ReadLine()
		if room := maxFieldLine - len(line); room > 0 {
			line = append(line, piece[:min(room, len(piece))]...)
		}
		if err != nil || !more {
			return string(line), err
		}
	}
}

func fieldName(s string) bool {
	s = strings.TrimRight(s, " \t")
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// clean makes text of whatever came: valid UTF-8 without controls, cut to a length that fits into a row.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.TrimSpace(s)
	if len(s) > maxFieldValue {
		s = s[:maxFieldValue]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return s
}

// bare takes the angle brackets off an address or a Message-ID.
func bare(s string) string {
	s = clean(s)
	if from := strings.IndexByte(s, '<'); from >= 0 {
		if to := strings.IndexByte(s[from:], '>'); to > 0 {
			s = s[from+1 : from+to]
		}
	}
	return strings.TrimSpace(s)
}

// typed splits "rfc822; someone@example.com" and "smtp; 550 no", as RFC 3464, section 2.1.2 has them.
func typed(s string) (kind, value string) {
	kind, value, ok := strings.Cut(s, ";")
	if !ok {
		return "", strings.TrimSpace(s)
	}
	return strings.ToLower(strings.TrimSpace(kind)), strings.TrimSpace(value)
}

// typedAddress reads an address with its type.
func typedAddress(s string) string {
	kind, address := typed(s)
	address = bare(address)
	if kind == "utf-8" {
		address = clean(unquoteUnitext(address))
	}
	return address
}

// unquoteXtext decodes RFC 3461, section 4. Servers differ in whether they decode before they report, so what
// is no "+" with two hexadecimal digits stays.
func unquoteXtext(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '+' && i+2 < len(s) && upperHex(s[i+1]) && upperHex(s[i+2]) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

func upperHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }

// unquoteUnitext decodes \x{20AC}, as RFC 6533, section 3 has addresses that are not ASCII.
func unquoteUnitext(s string) string {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(s, `\x{`)
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		code, after, ok := strings.Cut(rest, "}")
		n, err := strconv.ParseUint(code, 16, 21)
		if !ok || err != nil || !utf8.ValidRune(rune(n)) {
			out.WriteString(`\x{`)
			s = rest
			continue
		}
		out.WriteRune(rune(n))
		s = after
	}
}
