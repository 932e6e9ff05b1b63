package taxinvoice

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"codeberg.org/go-pdf/fpdf"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
)

// A4, in points.
const pageWidth, pageHeight = 595.28, 841.89

// A page is what stands on it, in points from its upper left corner.
type page struct {
	shades []rectangle // beneath all else
	stamp  line        // across the middle, beneath the text
	rules  []rectangle
	texts  []placed
}

type rectangle struct {
	x, y, width, height float64
	gray                int
}

// placed is a line whose left end is at x, and its baseline at y.
type placed struct {
	line
	x, y float64
}

// About is what the file says of itself.
type about struct {
	title, author string
	made          time.Time
}

// draw writes pages as a file.
func draw(pages []page, fonts *wardrobe, a about) ([]byte, error) {
	f := fpdf.New("P", "pt", "A4", "")
	f.SetCatalogSort(true)
	f.SetMargins(0, 0, 0)
	f.SetAutoPageBreak(false, 0)
	f.SetLang("en-IN")
	f.SetTitle(utf16Text(a.title), false)
	f.SetAuthor(utf16Text(a.author), false)
	f.SetCreator("PayAid", false)
	f.SetProducer("PayAid", false)
	f.SetCreationDate(a.made.UTC())
	f.SetModificationDate(a.made.UTC())
	d := drawing{Fpdf: f, codes: encoder{}, fonts: fonts}
	// A font has to be added before it is used, and with all that it will be used for.
	for _, p := range pages {
		for _, t := range p.texts {
			d.codes.words(t.line)
		}
	}
	if err := d.addFonts(); err != nil {
		return nil, err
	}
	for _, p := range pages {
		d.page(p)
	}
	var b bytes.Buffer
	if err := f.Output(&b); err != nil {
		return nil, fmt.Errorf("write the file: %w", err)
	}
	return b.Bytes(), nil
}

type drawing struct {
	*fpdf.Fpdf
	codes encoder
	fonts *wardrobe
	face  *font.Face // set last, in this size
	size  float64
}

func (d *drawing) addFonts() error {
	byName := func(a, b *font.Face) int { return cmp.Compare(d.fonts.files[a].name, d.fonts.files[b].name) }
	for _, face := range slices.SortedFunc(maps.Keys(d.codes), byName) {
		f := d.fonts.files[face]
		data, err := d.codes[face].bytes(f)
		if err != nil {
			return err
		}
		d.AddUTF8FontFromBytes(f.name, "", data)
	}
	return nil
}

func (d *drawing) page(p page) {
	d.AddPage()
	for _, r := range p.shades {
		d.rectangle(r)
	}
	if len(p.stamp.runs) > 0 {
		d.TransformBegin()
		d.TransformRotate(45, pageWidth/2, pageHeight/2)
		d.outline(placed{line: p.stamp, x: (pageWidth - p.stamp.width) / 2, y: pageHeight/2 + p.stamp.size/3})
		d.TransformEnd()
	}
	for _, r := range p.rules {
		d.rectangle(r)
	}
	for _, t := range p.texts {
		d.line(t)
	}
	d.face = nil
}

func (d *drawing) rectangle(r rectangle) {
	d.SetFillColor(r.gray, r.gray, r.gray)
	d.Rect(r.x, r.y, r.width, r.height, "F")
}

func (d *drawing) line(t placed) {
	d.SetTextColor(t.gray, t.gray, t.gray)
	for _, w := range d.codes.words(t.line) {
		if w.face != d.face || t.size != d.size {
			d.SetFont(d.fonts.files[w.face].name, "", t.size)
			d.face, d.size = w.face, t.size
		}
		if w.says != "" {
			d.RawWriteStr("/Span <</ActualText <" + fmt.Sprintf("%X", utf16Text(w.says)) + ">>> BDC\n")
		}
		for _, p := range w.pieces {
			d.Text(t.x+p.x, t.y-p.y, string(p.codes))
		}
		if w.says != "" {
			d.RawWriteStr("EMC\n")
		}
	}
}

// outline draws a line as shapes, which nobody who searches or copies the page's text comes upon.
func (d *drawing) outline(t placed) {
	d.SetFillColor(t.gray, t.gray, t.gray)
	for _, r := range t.runs {
		scale := t.size / float64(r.face.Upem())
		for _, g := range r.glyphs {
			at := func(p opentype.SegmentPoint) (x, y float64) {
				return t.x + float64(p.X)*scale, t.y - float64(p.Y)*scale
			}
			shape, _ := r.face.GlyphDataOutline(g.GlyphID)
			for _, s := range shape.Segments {
				d.segment(s, at)
			}
			d.DrawPath("F")
			t.x += t.points(int32(g.Advance))
		}
	}
}

// segment draws what TrueType outlines consist of.
func (d *drawing) segment(s opentype.Segment, at func(opentype.SegmentPoint) (x, y float64)) {
	x, y := at(s.Args[0])
	switch s.Op {
	case opentype.SegmentOpMoveTo:
		d.MoveTo(x, y)
	case opentype.SegmentOpLineTo:
		d.LineTo(x, y)
	case opentype.SegmentOpQuadTo:
		toX, toY := at(s.Args[1])
		d.CurveTo(x, y, toX, toY)
	}
}

// utf16Text writes text as PDF's own strings have it (ISO 32000-1, 7.9.2.2).
func utf16Text(text string) string {
	var b strings.Builder
	b.WriteString("\xFE\xFF")
	for _, u := range utf16.Encode([]rune(text)) {
		b.Write([]byte{byte(u >> 8), byte(u)})
	}
	return b.String()
}
