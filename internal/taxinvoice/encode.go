package taxinvoice

import (
	"math"
	"unicode"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/shaping"
)

// An encoding gives the glyphs of one font the codes that stand for them in the file. A character that is one
// glyph keeps its own, which is what readers take it for; other glyphs get private ones.
type encoding struct {
	glyphs  map[rune]font.GID // by code
	private map[font.GID]rune
}

// Private codes are those of the Private Use Area. It has more than any of the fonts has glyphs.
const firstPrivate, lastPrivate = '\uE000', '\uF8FF'

func newEncoding() *encoding {
	return &encoding{glyphs: map[rune]font.GID{}, private: map[font.GID]rune{}}
}

func (e *encoding) own(r rune, g font.GID) rune {
	e.glyphs[r] = g
	return r
}

func (e *encoding) code(g font.GID) rune {
	r, ok := e.private[g]
	if !ok {
		r = firstPrivate + rune(len(e.private))
		e.private[g], e.glyphs[r] = r, g
	}
	return r
}

// A word is glyphs of one font, and where they stand. Its codes say what it says, or says does.
type word struct {
	face   *font.Face
	says   string
	pieces []piece
}

// A piece is codes that follow each other with the widths that the font has for them. It begins at (x, y), which
// is to the right of the line's beginning and above its baseline.
type piece struct {
	x, y  float64
	codes []rune
}

// An encoder turns set lines into words, and knows what each font is used for.
type encoder map[*font.Face]*encoding

func (e encoder) words(l line) []word {
	var words []word
	x := 0.0
	for _, r := range l.runs {
		for len(r.glyphs) > 0 {
			n := r.wordLength()
			w, width := e.word(l.style, r, r.glyphs[:n], x)
			words = append(words, w)
			x += width
			r.glyphs = r.glyphs[n:]
		}
	}
	return words
}

// wordLength is how many glyphs the first word has. Those that stand for themselves are one, with their spaces.
func (r run) wordLength() int {
	open := 0 // glyphs since the last space
	for i, g := range r.glyphs {
		switch {
		case r.isSpace(g):
			open = i + 1
		case !r.standsForItself(g) && open > 0:
			return open
		case !r.standsForItself(g):
			return r.shapedLength()
		}
	}
	return len(r.glyphs)
}

// shapedLength is that of a shaped word: up to the next space. From right to left it is that of one cluster, as
// readers turn such a line around, which they may also do to what a whole word says.
func (r run) shapedLength() int {
	if r.toLeft {
		return min(max(r.glyphs[0].GlyphsCount(), 1), len(r.glyphs))
	}
	for i, g := range r.glyphs {
		if r.isSpace(g) {
			return i
		}
	}
	return len(r.glyphs)
}

func (r run) isSpace(g shaping.Glyph) bool {
	return g.RunesCount() == 1 && r.text[g.TextIndex()] == ' ' && g.GlyphID != 0 && g.GlyphID != font.EmptyGlyph
}

func (r run) standsForItself(g shaping.Glyph) bool {
	c := r.text[g.TextIndex()]
	if r.toLeft || g.RunesCount() != 1 || g.GlyphsCount() != 1 || c > math.MaxUint16 || c >= firstPrivate && c <= lastPrivate || !unicode.IsPrint(c) {
		return r.isSpace(g)
	}
	own, ok := r.face.NominalGlyph(c)
	return ok && own == g.GlyphID
}

// word encodes some glyphs of a run, the first of them at x.
func (e encoder) word(s style, r run, glyphs []shaping.Glyph, x float64) (w word, width float64) {
	w.face = r.face
	codes, ok := e[r.face]
	if !ok {
		codes = newEncoding()
		e[r.face] = codes
	}
	begin, end := len(r.text), 0
	pen, from := math.Inf(-1), x
	for _, g := range glyphs {
		begin, end = min(begin, g.TextIndex()), max(end, g.TextIndex()+g.RunesCount())
		if g.GlyphID == font.EmptyGlyph { // a space that the font doesn't have
			x += s.points(int32(g.Advance))
			continue
		}
		var code rune
		if r.standsForItself(g) {
			code = codes.own(r.text[g.TextIndex()], g.GlyphID)
		} else {
			code = codes.code(g.GlyphID)
		}
		at := piece{x: x + s.points(int32(g.XOffset)), y: s.points(int32(g.YOffset))}
		// Where the reader's pen is by the font's widths alone.
		if n := len(w.pieces) - 1; n >= 0 && math.Abs(pen-at.x) < s.size/100 && math.Abs(w.pieces[n].y-at.y) < s.size/100 {
			w.pieces[n].codes = append(w.pieces[n].codes, code)
		} else {
			at.codes = []rune{code}
			w.pieces = append(w.pieces, at)
			pen = at.x
		}
		pen += math.Round(float64(r.face.HorizontalAdvance(g.GlyphID))*1000/float64(r.face.Upem())) / 1000 * s.size
		x += s.points(int32(g.Advance))
	}
	for _, g := range glyphs {
		if !r.standsForItself(g) {
			w.says = string(r.text[begin:end])
		}
	}
	return w, x - from
}
