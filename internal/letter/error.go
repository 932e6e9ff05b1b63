package letter

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	html "html/template"
)

// An Error says what is wrong with a template, or with what it makes of its data, in words for whoever wrote it.
type Error struct {
	Part         string // subject, text or html
	Line, Column int    // from 1 on, in characters; 0 where it isn't known
	Detail       string
}

// Error implements error.
func (e *Error) Error() string { return e.Part + ": " + e.Where() }

// Where is the detail after the place in the part, for a reader who knows the part.
func (e *Error) Where() string {
	switch {
	case e.Line == 0:
		return e.Detail
	case e.Column == 0:
		return fmt.Sprintf("line %d: %s", e.Line, e.Detail)
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Detail)
}

// A DataError says what is wrong with the data of a letter.
type DataError struct {
	Pointer string // a JSON pointer (RFC 6901) into the data, "" for the whole
	Detail  string
}

// Error implements error.
func (e *DataError) Error() string { return "data" + e.Pointer + ": " + e.Detail }

// complaint is an error of a function of ours; it is fit for the template's writer.
type complaint string

func (c complaint) Error() string { return string(c) }

func complain(format string, args ...any) error { return complaint(fmt.Sprintf(format, args...)) }

const (
	errTooLong  = complaint("makes more than 256 KiB of these data")
	errTooLarge = complaint("takes too many steps: loops over too much, or too much within loops")
)

// excerpt shortens what an error quotes.
func excerpt(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

func shorten(detail string) string {
	const most = 300
	if utf8.RuneCountInString(detail) <= most {
		return detail
	}
	return string([]rune(detail)[:most]) + "…"
}

func codePoint(r rune) string { return fmt.Sprintf("U+%04X", r) }

// at is an error at a byte of the source.
func (s *sheet) at(pos int, detail string) *Error {
	pos = min(max(pos, 0), len(s.source))
	before := s.source[:pos]
	line := strings.LastIndexByte(before, '\n') + 1
	return &Error{Part: s.part, Line: 1 + strings.Count(before, "\n"), Column: 1 + utf8.RuneCountInString(before[line:]), Detail: detail}
}

// onLine is an error on a line of the source, at a byte of it unless that is negative.
func (s *sheet) onLine(line, column int, detail string) *Error {
	e := &Error{Part: s.part, Line: line, Detail: detail}
	if lines := strings.SplitN(s.source, "\n", line+1); column >= 0 && line >= 1 && line <= len(lines) {
		e.Column = 1 + utf8.RuneCountInString(lines[line-1][:min(column, len(lines[line-1]))])
	}
	return e
}

var ofParser = regexp.MustCompile(`(?s)^template: [a-z]+:([0-9]+): (.*)$`)

// parseError says what the parser found wrong. It knows the line alone, and speaks of the template.
func (s *sheet) parseError(err error) *Error {
	found := ofParser.FindStringSubmatch(err.Error())
	if found == nil {
		return &Error{Part: s.part, Detail: "is no template"}
	}
	line, _ := strconv.Atoi(found[1])
	if strings.Contains(found[2], "multiple definition") {
		found[2] = noDefinitions
	}
	return s.onLine(line, -1, shorten(found[2]))
}

// What html/template finds wrong, without its inner states.
var escapeFaults = map[html.ErrorCode]string{
	html.ErrAmbigContext:      "the HTML before this value leaves open what the value is",
	html.ErrBranchEnd:         "the branches of if, with or range leave the HTML at different places, such as inside and outside of a tag or of quotes",
	html.ErrEndContext:        "the HTML ends inside a tag, quotes, a script or a style",
	html.ErrPartialCharset:    "a regular expression of a script ends in the middle",
	html.ErrPartialEscape:     "a script ends in the middle of an escape",
	html.ErrRangeLoopReentry:  "the body of a range leaves the HTML at another place than where it began, such as inside of a tag or of quotes",
	html.ErrSlashAmbig:        "a / in a script may be a division or a regular expression",
	html.ErrPredefinedEscaper: "html and urlquery aren't needed: values are escaped by where they stand",
}

// escapeError is what is wrong with the HTML around the values, nil if nothing is.
func (s *sheet) escapeError(err error) error {
	var wrong *html.Error
	if !errors.As(err, &wrong) {
		return nil
	}
	detail, known := escapeFaults[wrong.ErrorCode]
	switch {
	case wrong.ErrorCode == html.ErrBadHTML:
		detail = "the HTML is broken: " + shorten(wrong.Description)
	case !known:
		detail = "a value can't stand here in the HTML"
	}
	if wrong.Node != nil {
		return s.at(int(wrong.Node.Position()), detail)
	}
	if wrong.Line > 0 {
		return s.onLine(wrong.Line, -1, detail)
	}
	return &Error{Part: s.part, Detail: detail}
}

var (
	ofExecuter = regexp.MustCompile(`(?s)^template: [a-z]+:([0-9]+):([0-9]+): executing "[a-z]+" at <(.*?)>: (.*)$`)
	noEntry    = regexp.MustCompile(`^map has no entry for key "(.*)"$`)
	ofNil      = regexp.MustCompile(`^nil (?:data; no entry for key "(.*)"|pointer evaluating .*\.(.*))$`)
	noField    = regexp.MustCompile(`^can't evaluate field (.*) in type `)
	wrongArgs  = regexp.MustCompile(`^wrong number of args for ([a-z]+): want (at least )?([0-9]+) got ([0-9]+)$`)
)

// renderError says why the template makes no letter of its data.
func (s *sheet) renderError(err error) *Error {
	var own complaint
	known := errors.As(err, &own)
	found := ofExecuter.FindStringSubmatch(err.Error())
	if found == nil {
		if !known {
			own = "can't be made of these data"
		}
		return &Error{Part: s.part, Detail: string(own)}
	}
	detail := string(own)
	if !known {
		detail = inPlainWords(found[3], found[4])
	}
	line, _ := strconv.Atoi(found[1])
	column, _ := strconv.Atoi(found[2])
	return s.onLine(line, column, detail)
}

// inPlainWords says what text/template says of an expression, without the types that it is made of.
func inPlainWords(expression, said string) string {
	if m := noEntry.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("{{%s}}: the data have no %q", expression, m[1])
	}
	if m := ofNil.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("{{%s}}: there is no %q in null", expression, m[1]+m[2])
	}
	if m := noField.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("{{%s}}: %q is asked of what is no object", expression, m[1])
	}
	if m := wrongArgs.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("%s takes %s%s values, not %s", m[1], m[2], m[3], m[4])
	}
	return "{{" + expression + "}}: can't be worked out"
}
