package letter

import (
	"bytes"
	"regexp"
	"text/template/parse"
)

// What escaping (html/template) can take for a piece of HTML without a value in it: it looks at all that follows
// at every < that begins no tag, and at every word of an element whose inside is no HTML. Its time grows with the
// square of these.
const (
	maxLoose = 200      // of < that begin no tag, in a part
	maxPiece = 16 << 10 // bytes of a piece, where the part has an element whose inside is no HTML
	maxMarks = 1000     // of < in such a piece
)

var (
	scripting = regexp.MustCompile(`(?i)<(script|textarea)`)
	special   = regexp.MustCompile(`(?i)<(style|title|meta)`)
	loose     = regexp.MustCompile(`<([^A-Za-z/!]|/[^A-Za-z]|!([^-]|-[^-])|(/|!-?)?$)`)
)

// markup looks at a piece of HTML without a value in it.
func (w *walk) markup(n *parse.TextNode) {
	if found := scripting.FindSubmatchIndex(n.Text); found != nil {
		w.refuseAt(int(n.Pos)+found[0], "%s isn't taken: no mail program runs scripts or shows forms as they are meant", n.Text[found[2]:found[3]])
	}
	if w.loose += len(loose.FindAllIndex(n.Text, maxLoose+1)); w.loose > maxLoose {
		w.refuse(n, "has more than %d < that begin no tag; write &lt; for them", maxLoose)
	}
	w.special = w.special || special.Match(n.Text)
	if len(n.Text) > maxPiece || bytes.Count(n.Text, []byte("<")) > maxMarks {
		w.dense = n
	}
}

// markupWhole is called after the last piece.
func (w *walk) markupWhole() {
	if w.special && w.dense != nil {
		w.refuse(w.dense, "has a piece of more than 16 KiB or %d tags without a value in it; that is too much beside a style, title or meta", maxMarks)
	}
}
