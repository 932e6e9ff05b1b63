package inference

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// readable is text of a model as a database takes it: U+0000 has no place in one.
func readable(text string) string { return strings.ReplaceAll(text, "\x00", "\uFFFD") }

// errUnkeepable is what is wrong with documents that are JSON, and that no database keeps.
var errUnkeepable = errors.New(`it holds \u0000, half of a surrogate pair, or a number beyond the range of a double`)

// keepable checks a valid document for what Postgres refuses, or would write out with a hundred thousand digits.
func keepable(doc json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			break // its end
		}
		if n, ok := token.(json.Number); ok {
			if _, err := n.Float64(); err != nil {
				return errUnkeepable
			}
		}
	}
	if wholeEscapes(string(doc)) {
		return nil
	}
	return errUnkeepable
}

// wholeEscapes says that every \u of a document stands for a character, and for none that is U+0000.
func wholeEscapes(doc string) bool {
	for {
		_, rest, found := strings.Cut(doc, `\`)
		if !found || len(rest) < 5 {
			return true
		}
		doc = rest[1:]
		if rest[0] != 'u' {
			continue
		}
		unit := codeUnit(rest[1:5])
		doc = rest[5:]
		switch {
		case unit == 0 || unit >= 0xDC00 && unit < 0xE000:
			return false
		case unit >= 0xD800 && unit < 0xDC00:
			if len(doc) < 6 || doc[:2] != `\u` || codeUnit(doc[2:6])&0xFC00 != 0xDC00 {
				return false
			}
			doc = doc[6:]
		}
	}
}

func codeUnit(hex string) uint64 {
	unit, _ := strconv.ParseUint(hex, 16, 16) // four digits, as the document is valid
	return unit
}
