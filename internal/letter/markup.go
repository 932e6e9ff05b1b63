package letter

import (
	"bytes"
	"regexp"
	"text/template/parse"
)

// What escaping (html/template) takes for HTML grows with the square of a piece without a value in it, in two
// ways. It copies all that follows for every < that is text; and in an element whose inside is no HTML it looks
// for the element's end among all ends that follow, at every word. Both are measured in nanoseconds, as if the
// whole piece were of the worst kind wherever the part has such an element.
const (
	maxLoose   = 200         // of < that are text, outside of such elements
	maxEscape  = 250_000_000 // ns for a part
	copyByte   = 3           // ns for a byte that is copied
	lookAtEnd  = 10          // ns for an end that is looked at
	wordMarks  = `<>"'(/`    // what words of HTML, of styles and of attributes begin or end with
	tooMuchFor = "is too much HTML without a value in it for a part with a "
)

var (
	scripting = regexp.MustCompile(`(?i)<(script|textarea)`)
	inTitle   = regexp.MustCompile(`(?i)<title`)
	special   = regexp.MustCompile(`(?i)<(style|title|meta)`)
	loose     = regexp.MustCompile(`<([^A-Za-z/!]|/[^A-Za-z]|!([^-]|-[^-])|(/|!-?)?$)`)
)

// A markup adds up what the pieces of a part cost to escape.
type markup struct {
	loose          int
	title, special bool
	copied, looked int
	largest        *parse.TextNode
	most           int
}

// piece looks at HTML without a value in it. The body of a range is escaped twice.
func (w *walk) piece(n *parse.TextNode, p place) {
	if found := scripting.FindSubmatchIndex(n.Text); found != nil {
		w.refuseAt(int(n.Pos)+found[0], "%s isn't taken: no mail program runs scripts or shows forms as they are meant", n.Text[found[2]:found[3]])
	}
	m := &w.markup
	if m.loose += len(loose.FindAllIndex(n.Text, maxLoose+1)); m.loose > maxLoose {
		w.refuse(n, "has more than %d < that begin no tag; write &lt; for them", maxLoose)
	}
	m.title = m.title || inTitle.Match(n.Text)
	m.special = m.special || special.Match(n.Text)
	words := 0
	for _, mark := range []byte(wordMarks) {
		words += bytes.Count(n.Text, []byte{mark})
	}
	copied := copyByte * bytes.Count(n.Text, []byte("<")) * len(n.Text) << p.ranges
	looked := lookAtEnd * bytes.Count(n.Text, []byte("</")) * words << p.ranges
	m.copied, m.looked = m.copied+copied, m.looked+looked
	if m.largest == nil || copied+looked > m.most {
		m.largest, m.most = n, copied+looked
	}
}

// pieces judges them together.
func (w *walk) pieces() {
	switch m := &w.markup; {
	case m.title && m.copied > maxEscape:
		w.refuse(m.largest, tooMuchFor+"title; leave the title out")
	case m.special && m.looked > maxEscape:
		w.refuse(m.largest, tooMuchFor+"style or meta; write styles into the tags")
	}
}
