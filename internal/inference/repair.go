package inference

import (
	"encoding/json"
	"strings"
)

// maxCandidates bounds how many places of a text are tried as the start of a
// document.
const maxCandidates = 32

// repair finds the JSON document in a model's answer that accept likes. It
// takes away what stands around the document, such as prose and code fences,
// drops commas before a closing bracket, and adds the closing brackets that are
// missing at the end. It never invents: a valid text is returned as it is, or
// not at all, and a document that was cut inside a string, a number or a pair
// is not completed.
func repair(text string, accept func(json.RawMessage) bool) (json.RawMessage, bool) {
	if json.Valid([]byte(text)) {
		doc := json.RawMessage(text)
		return doc, accept(doc)
	}
	from := 0
	for range maxCandidates {
		at := strings.IndexAny(text[from:], "{[")
		if at < 0 {
			return nil, false
		}
		from += at
		if doc, ok := document(text[from:]); ok && accept(doc) {
			return doc, true
		}
		from++
	}
	return nil, false
}

// document reads one object or array at the start of text, and gives it in
// valid form.
func document(text string) (json.RawMessage, bool) {
	var out strings.Builder
	var open []byte // the closing brackets that are due, the innermost last
	inString := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case inString && c == '\\' && i+1 < len(text):
			out.WriteByte(c)
			i++
			c = text[i]
		case c == '"':
			inString = !inString
		case inString:
		case c == '{':
			open = append(open, '}')
		case c == '[':
			open = append(open, ']')
		case c == ',' && closes(text[i+1:], len(open)):
			continue
		case c == '}' || c == ']':
			if open[len(open)-1] != c {
				return nil, false
			}
			open = open[:len(open)-1]
		}
		out.WriteByte(c)
		if len(open) == 0 {
			return valid(out.String())
		}
	}
	if inString || endsInDigit(text) {
		return nil, false
	}
	for i := len(open) - 1; i >= 0; i-- {
		out.WriteByte(open[i])
	}
	return valid(out.String())
}

// endsInDigit says that text may have been cut inside a number.
func endsInDigit(text string) bool {
	return text[len(text)-1] >= '0' && text[len(text)-1] <= '9'
}

// closes says whether rest goes on with a closing bracket or ends, so that a comma before it has nothing to separate.
func closes(rest string, depth int) bool {
	rest = strings.TrimLeft(rest, " \t\r\n")
	return depth > 0 && (rest == "" || rest[0] == '}' || rest[0] == ']')
}

func valid(doc string) (json.RawMessage, bool) {
	if !json.Valid([]byte(doc)) {
		return nil, false
	}
	return json.RawMessage(doc), true
}
