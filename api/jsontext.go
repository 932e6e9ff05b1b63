package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

const (
	// Postgres parses nested JSON by recursion; this is far below what its stack takes.
	maxDepth = 100
	// 1e1000000 is nine bytes here and a million digits once stored. Written out, the numbers of a body
	// may be this long in all.
	maxExponents = 64 << 10
)

// unstorable finds what is valid JSON and yet can't be stored as jsonb: the character U+0000, half a
// surrogate pair, nesting without measure, and numbers that explode.
func unstorable(body []byte) *Fault {
	at, detail := scan(body)
	if detail == "" {
		return nil
	}
	return &Fault{Pointer: pointerAt(body, at), Detail: detail}
}

// scan walks over valid JSON and gives the offset of the first thing that can't be stored.
func scan(body []byte) (at int, detail string) {
	depth, exponents := 0, 0
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case '"':
			end, detail := scanString(body, i)
			if detail != "" {
				return i, detail
			}
			i = end
		case '{', '[':
			if depth++; depth > maxDepth {
				return i, "is nested deeper than " + strconv.Itoa(maxDepth) + " levels"
			}
		case '}', ']':
			depth--
		case 'e', 'E':
			if i == 0 || body[i-1] < '0' || body[i-1] > '9' {
				continue // of true or false
			}
			if exponents += exponent(body[i+1:]); exponents > maxExponents {
				return i, "the numbers are too long when written out"
			}
		}
	}
	return 0, ""
}

// scanString gives the offset of the closing quote.
func scanString(body []byte, i int) (end int, detail string) {
	for i++; ; i++ {
		switch body[i] {
		case '"':
			return i, ""
		case '\\':
			i++
			if body[i] != 'u' {
				continue
			}
			r := hex4(body[i+1:])
			i += 4
			switch {
			case r == 0:
				return i, `the character \u0000 can't be stored`
			case r >= 0xdc00 && r <= 0xdfff:
				return i, "half a surrogate pair is no character"
			case r >= 0xd800 && r <= 0xdbff:
				if low := i + 1; body[low] != '\\' || body[low+1] != 'u' || hex4(body[low+2:])&0xfc00 != 0xdc00 {
					return i, "half a surrogate pair is no character"
				}
				i += 6
			}
		}
	}
}

func hex4(b []byte) uint64 {
	v, err := strconv.ParseUint(string(b[:4]), 16, 32)
	if err != nil {
		return 0xffff
	}
	return v
}

// exponent reads the digits of an exponent, whatever its sign.
func exponent(b []byte) int {
	if b[0] == '+' || b[0] == '-' {
		b = b[1:]
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		if n = n*10 + int(c-'0'); n > maxExponents {
			return n
		}
	}
	return n
}

// pointerAt gives the JSON pointer (RFC 6901) of the value that holds an offset. It is slow, and only
// asked when there is a fault to report.
func pointerAt(body []byte, offset int) string {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	pointer, _ := locate(d, int64(offset))
	return pointer
}

// locate reads one value and says where within it the offset lies.
func locate(d *json.Decoder, offset int64) (pointer string, found bool) {
	token, err := d.Token()
	if err != nil || d.InputOffset() > offset {
		return "", true
	}
	opening, nested := token.(json.Delim)
	if !nested {
		return "", false
	}
	for i := 0; d.More(); i++ {
		step := strconv.Itoa(i)
		if opening == '{' {
			key, _ := d.Token()
			name, _ := key.(string)
			step = escapePointer(name)
			if d.InputOffset() > offset {
				return "/" + step, true
			}
		}
		if rest, found := locate(d, offset); found {
			return "/" + step + rest, true
		}
	}
	_, err = d.Token()
	return "", err != nil
}

func escapePointer(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}
