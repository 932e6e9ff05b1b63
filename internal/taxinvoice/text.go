package taxinvoice

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
	"github.com/go-text/typesetting/language"
	"github.com/go-text/typesetting/shaping"
)

// A style is how text looks: its size in points, its weight, and how light it is, from 0 for black to 255.
type style struct {
	size   float64
	weight weight
	gray   int
}

func (s style) bold() style         { s.weight = bold; return s }
func (s style) pale() style         { s.gray = 95; return s }
func (s style) of(pt float64) style { s.size = pt; return s }

// A line is text that has been set, in points. Its height is that of its tallest script.
type line struct {
	style
	width, ascent, height float64
	rightToLeft           bool // as a whole
	runs                  []run
}

// A run is a piece of a line in one font, its glyphs from left to right.
type run struct {
	face   *font.Face
	text   []rune // of the paragraph
	glyphs []shaping.Glyph
	toLeft bool
}

// The shaper counts in hundredths of the font's size. Its numbers hold a paragraph of a million wide letters.
const em = 100

// A typesetter breaks texts into lines.
type typesetter struct {
	fonts   *wardrobe
	split   shaping.Segmenter
	shaper  shaping.HarfbuzzShaper
	wrapper shaping.LineWrapper
}

func newTypesetter() *typesetter { return &typesetter{fonts: newWardrobe()} }

// The characters of Latin stand for themselves, without ligatures and pairs, which keeps text plain in the file.
var unadorned = []shaping.FontFeature{
	{Tag: opentype.MustNewTag("kern")}, {Tag: opentype.MustNewTag("liga")}, {Tag: opentype.MustNewTag("clig")},
}

// lines sets text in lines of at most the width, broken between words, and within those that are too long. A
// text always has one line at least.
func (t *typesetter) lines(text string, s style, width float64) []line {
	var lines []line
	for paragraph := range strings.SplitSeq(presentable(text), "\n") {
		lines = append(lines, t.paragraph([]rune(paragraph), s, width)...)
	}
	return lines
}

// line sets text in one line, however long.
func (t *typesetter) line(text string, s style) line {
	return t.paragraph([]rune(strings.ReplaceAll(presentable(text), "\n", " ")), s, 1e6)[0]
}

// How far Noto Sans reaches above and below the baseline, in parts of its size.
const latinAscent, latinDescent = 1.069, 0.293

func (t *typesetter) paragraph(text []rune, s style, width float64) []line {
	if len(text) == 0 {
		return []line{{style: s, ascent: latinAscent * s.size, height: (latinAscent + latinDescent) * s.size}}
	}
	direction := directionOf(text)
	t.fonts.weight = s.weight
	inputs := t.split.Split(shaping.Input{Text: text, RunEnd: len(text), Direction: direction,
		Size: em << 6, Language: language.NewLanguage("en")}, t.fonts)
	shaped := make([]shaping.Output, len(inputs))
	for i, in := range inputs {
		if in.Script == language.Latin || in.Script == language.Common {
			in.FontFeatures = unadorned
		}
		shaped[i] = t.shaper.Shape(in) // the wrapper knows spaces by their extents
	}
	most := int(width / s.size * em)
	set, _ := t.wrapper.WrapParagraph(shaping.WrapConfig{Direction: direction}, most, text, shaping.NewSliceIterator(shaped))
	lines := make([]line, len(set))
	for i, l := range set {
		lines[i] = lineOf(l, text, s)
		lines[i].rightToLeft = direction == di.DirectionRTL
	}
	return lines
}

func lineOf(set shaping.Line, text []rune, s style) line {
	slices.SortStableFunc(set, func(a, b shaping.Output) int { return cmp.Compare(a.VisualIndex, b.VisualIndex) })
	// The baselines of texts beside each other are one, whatever their scripts.
	l := line{style: s, ascent: latinAscent * s.size}
	descent := latinDescent * s.size
	for _, out := range set {
		l.width += s.points(int32(out.Advance))
		l.ascent = max(l.ascent, s.points(int32(out.LineBounds.Ascent)))
		descent = max(descent, -s.points(int32(out.LineBounds.Descent)))
		l.runs = append(l.runs, run{face: out.Face, text: text, glyphs: slices.Clone(out.Glyphs),
			toLeft: out.Direction == di.DirectionRTL})
	}
	l.height = l.ascent + descent
	return l
}

// points is how long on the page the 64 parts of the shaper's units are.
func (s style) points(parts int32) float64 { return float64(parts) / 64 / em * s.size }

// directionOf is that of the first letter that has one (rule P2 of the Unicode Bidirectional Algorithm).
func directionOf(text []rune) di.Direction {
	for _, r := range text {
		if unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko) && unicode.IsLetter(r) {
			return di.DirectionRTL
		}
		if unicode.IsLetter(r) {
			break
		}
	}
	return di.DirectionLTR
}

// presentable gives text its lines, and replaces what is no character.
func presentable(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' || r == '\u0085' || r == '\v' || r == '\f':
			return '\n'
		case unicode.IsControl(r):
			return '\uFFFD'
		}
		return r
	}, text)
}
