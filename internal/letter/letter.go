// Package letter writes mails from templates and data: the product's own templates, and those of an organization,
// whose users are strangers. A template of theirs is taken if it is a template, and ends soon whatever it says.
package letter

import (
	"encoding/json"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	html "html/template"
	"text/template/parse"

	text "text/template"
)

// What a template may be at most. Gmail shows the first 102 kB of a mail, so none needs more than Rendered.
const (
	MaxSource  = 64 << 10  // bytes of text or HTML of a template
	MaxHeading = 2000      // characters of the subject of a template
	MaxData    = 64 << 10  // bytes of the JSON that a letter is made from
	MaxOutput  = 256 << 10 // bytes of text or HTML of a letter
	MaxSubject = 250       // characters of the subject of a letter
)

// Unsubscribe is the field of a letter's data with the link by which its reader unsubscribes: null where there is
// none, also where the data leave it out.
const Unsubscribe = "unsubscribe_url"

// A Template is the source of a letter, in the language of Go's text/template without definitions and with the
// functions of [Functions] alone. HTML is escaped by where a value stands (html/template). One of Text and HTML
// may be empty: what mails the letter makes the text of the HTML where there is none.
type Template struct {
	Name, Subject, Text, HTML string
}

// A Letter is what a template says about its data: a subject of one line, and a text, an HTML or both.
type Letter struct {
	Subject, Text, HTML string
}

// A Parsed is a template that can be rendered, by several goroutines at once.
type Parsed struct {
	source  Template
	parts   [3]*sheet // subject, text, HTML; nil where there is none
	presses sync.Pool
}

// A sheet is one part of a template: checked, and changed so that it counts its steps.
type sheet struct {
	part   string
	source string
	tree   *parse.Tree
	weight int      // of all that stands in no loop
	values []string // how each value that is written is called in the source
}

const (
	partSubject = "subject"
	partText    = "text"
	partHTML    = "html"
)

// Parse reads a template. What is wrong with it is an *[Error].
func Parse(t Template) (*Parsed, error) {
	p := &Parsed{source: t}
	if strings.TrimSpace(t.Subject) == "" {
		return nil, &Error{Part: partSubject, Detail: "must not be blank"}
	}
	if strings.TrimSpace(t.Text) == "" && strings.TrimSpace(t.HTML) == "" {
		return nil, &Error{Part: partHTML, Detail: "must not be blank where there is no text either"}
	}
	for i, part := range []struct{ name, source string }{{partSubject, t.Subject}, {partText, t.Text}, {partHTML, t.HTML}} {
		if strings.TrimSpace(part.source) == "" {
			continue
		}
		sheet, err := read(part.name, part.source)
		if err != nil {
			return nil, err
		}
		p.parts[i] = sheet
	}
	r, err := p.press()
	if err != nil {
		return nil, err
	}
	return p, p.escape(r)
}

// Render writes the letter that the template makes of data, a JSON object. Unfit data are a *[DataError], and
// what can't be made of them is an *[Error].
func (p *Parsed) Render(data json.RawMessage) (Letter, error) {
	values, err := readData(data)
	if err != nil {
		return Letter{}, err
	}
	if _, found := values[Unsubscribe]; !found {
		values[Unsubscribe] = nil // any template may ask for it, whoever gives the data
	}
	r, err := p.press()
	if err != nil {
		return Letter{}, err
	}
	defer p.presses.Put(r)
	r.work.begin()
	var l Letter
	for i, out := range []*string{&l.Subject, &l.Text, &l.HTML} {
		if p.parts[i] == nil {
			continue
		}
		if *out, err = r.print(p.parts[i], values); err != nil {
			return Letter{}, err
		}
	}
	if l.Subject, err = tidySubject(l.Subject); err != nil {
		return Letter{}, err
	}
	if strings.TrimSpace(l.Text) == "" && strings.TrimSpace(l.HTML) == "" {
		return Letter{}, &Error{Part: partHTML, Detail: "is blank with these data, and so is the text"}
	}
	return l, nil
}

// A press is a template made ready to run once at a time, with what its functions count by.
type press struct {
	work  *work
	parts map[string]executer
}

type executer interface {
	Execute(w io.Writer, data any) error
}

// press takes a press that is free, or makes one.
func (p *Parsed) press() (*press, error) {
	if r, ok := p.presses.Get().(*press); ok {
		return r, nil
	}
	r := &press{work: &work{}, parts: make(map[string]executer, len(p.parts))}
	functions := r.work.functions()
	for _, s := range p.parts {
		if s == nil {
			continue
		}
		// HTML's escaping writes into the tree.
		var made executer
		var err error
		if s.part == partHTML {
			made, err = html.New(s.part).Option("missingkey=error").Funcs(functions).AddParseTree(s.part, s.tree.Copy())
		} else {
			made, err = text.New(s.part).Option("missingkey=error").Funcs(functions).AddParseTree(s.part, s.tree)
		}
		if err != nil {
			return nil, &Error{Part: s.part, Detail: "is no template"}
		}
		r.parts[s.part] = made
	}
	return r, nil
}

// escape finds what is wrong with the HTML around the values, which only shows when it is executed first. It is
// given no steps to do anything with.
func (p *Parsed) escape(r *press) error {
	s := p.parts[2]
	if s == nil {
		return nil
	}
	r.work.sheet, r.work.left = s, 0
	err := r.parts[partHTML].Execute(&page{}, map[string]any{})
	if wrong := s.escapeError(err); wrong != nil {
		return wrong
	}
	p.presses.Put(r)
	return nil
}

func (r *press) print(s *sheet, values map[string]any) (string, error) {
	r.work.turnTo(s)
	if err := r.work.spend(s.weight); err != nil {
		return "", &Error{Part: s.part, Detail: err.Error()}
	}
	out := page{left: MaxOutput}
	if err := r.parts[s.part].Execute(&out, values); err != nil {
		return "", s.renderError(err)
	}
	written := out.String()
	if c, found := control(written); found {
		return "", &Error{Part: s.part, Detail: "a value has the control character " + c + ", which no mail can have"}
	}
	if s.part == partHTML && strings.Contains(written, refused) && !r.work.marked {
		return "", r.work.unsafe()
	}
	return written, nil
}

// A page takes what is written, up to its length.
type page struct {
	strings.Builder
	left int
}

// Write implements io.Writer.
func (p *page) Write(b []byte) (int, error) {
	if p.left -= len(b); p.left < 0 {
		return 0, errTooLong
	}
	return p.Builder.Write(b)
}

// WriteString implements io.StringWriter.
func (p *page) WriteString(s string) (int, error) { return p.Write([]byte(s)) }

// control finds what makes a mail unfit to be sent: control characters, and bytes that are no UTF-8.
func control(written string) (string, bool) {
	if !utf8.ValidString(written) {
		return "that is no Unicode", true
	}
	i := strings.IndexFunc(written, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' })
	if i < 0 {
		return "", false
	}
	r, _ := utf8.DecodeRuneInString(written[i:])
	return codePoint(r), true
}

// tidySubject takes a subject of one line.
func tidySubject(subject string) (string, error) {
	subject = strings.TrimSpace(subject)
	broken := func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp)
	}
	wrong := func(detail string) (string, error) { return "", &Error{Part: partSubject, Detail: detail} }
	switch i := strings.IndexFunc(subject, broken); {
	case subject == "":
		return wrong("is blank with these data")
	case i >= 0:
		r, _ := utf8.DecodeRuneInString(subject[i:])
		return wrong("has the character " + codePoint(r) + " with these data; a subject is one line")
	case utf8.RuneCountInString(subject) > MaxSubject:
		return wrong("has more than 250 characters with these data; truncate shortens a value")
	}
	return subject, nil
}
