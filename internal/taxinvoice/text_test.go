package taxinvoice

import (
	"encoding/binary"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/gst"
)

func TestFonts(t *testing.T) {
	t.Parallel()
	var sum int64
	err := fs.WalkDir(files, "fonts", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		sum += info.Size()
		return err
	})
	if err != nil || sum > 4_000_000 {
		t.Errorf("%d bytes, %v", sum, err)
	}
	w := newWardrobe()
	for _, f := range families {
		for _, weight := range []weight{plain, bold} {
			face := w.face(f.file(weight))
			if n := glyphsOf(t, f.file(weight)); n > lastPrivate-firstPrivate {
				t.Errorf("%s has %d glyphs, more than there are private codes", f.file(weight).name, n)
			}
			if face.Upem() != 1000 {
				t.Errorf("%s counts in parts of %d", f.file(weight).name, face.Upem())
			}
		}
	}
}

func glyphsOf(t *testing.T, f *fontFile) rune {
	t.Helper()
	data, err := files.ReadFile("fonts/" + f.name + ".ttf")
	if err != nil {
		t.Fatal(err)
	}
	maxp := binary.BigEndian.Uint32(tableRecord(data, "maxp")[8:])
	return rune(binary.BigEndian.Uint16(data[maxp+4:]))
}

// TestFontsAreForgotten: one is kept while it is used, and not for ever.
func TestFontsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := file("NotoSansOlChiki-Regular")
		first := f.read()
		for range 3 {
			time.Sleep(keptFor - time.Second)
			if f.read() != first {
				t.Error("it is read again while it is used")
			}
		}
		time.Sleep(keptFor + time.Second)
		f.mu.Lock()
		if f.kept != nil {
			t.Error("it is kept though nobody uses it")
		}
		f.mu.Unlock()
		if f.read() == first {
			t.Error("it isn't read again")
		}
		time.Sleep(keptFor + time.Second)
	})
}

// TestUnknown: a character that no font has is seen, and can be searched for.
func TestUnknown(t *testing.T) {
	t.Parallel()
	set := newTypesetter()
	box, ok := set.fonts.face(families[0].plain).GlyphDataOutline(0)
	if !ok || len(box.Segments) == 0 {
		t.Fatal("the box is empty")
	}
	for _, r := range "🙏中\U0010FFFD\uE000" {
		l := set.line(string(r), text)
		words := encoder{}.words(l)
		if len(words) != 1 || words[0].says != string(r) || l.runs[0].glyphs[0].GlyphID != 0 || l.width < 2 {
			t.Errorf("%c is %+v", r, words)
		}
	}
	v := sample(t, 1)
	v.Notes = "Thanks 🙏 中文 👨‍👩‍👧."
	if got := strings.Join(read(t, drawn(t, v)), " "); !strings.Contains(got, v.Notes) {
		t.Error(got)
	}
}

// TestLines: no line is longer than it may be, nothing is lost between them, and words are cut only where they must.
func TestLines(t *testing.T) {
	t.Parallel()
	set := newTypesetter()
	for _, row := range []struct {
		text  string
		width float64
		lines []string
	}{
		{"", 100, []string{""}},
		{"one two three", 1000, []string{"one two three"}},
		{"one two three", 40, []string{"one two ", "three"}},
		{"one\n\ntwo\r\nthree", 100, []string{"one", "", "two", "three"}},
		{"a\tb\x00\x1b", 100, []string{"a b\uFFFD\uFFFD"}},
		{"bad \xff\xfe bytes", 100, []string{"bad \uFFFD bytes"}},
		{"abcdefghijklmnop", 30, []string{"abcdef", "ghijkl", "mnop"}},
		{"क्षत्रिय राज्य", 30, []string{"क्षत्रिय ", "राज्य"}},
	} {
		lines := set.lines(row.text, text, row.width)
		if len(lines) != len(row.lines) {
			t.Errorf("%q has %d lines, want %q", row.text, len(lines), row.lines)
			continue
		}
		for i, l := range lines {
			if got := said(l); got != row.lines[i] {
				t.Errorf("line %d of %q is %q, want %q", i, row.text, got, row.lines[i])
			}
		}
	}
}

// said is what the words of a line say, from left to right.
func said(l line) string {
	var b strings.Builder
	for _, w := range (encoder{}).words(l) {
		if w.says != "" {
			b.WriteString(w.says)
			continue
		}
		for _, p := range w.pieces {
			b.WriteString(string(p.codes))
		}
	}
	return b.String()
}

// anything is texts of the kinds that trouble typesetters, each of a few scripts.
func anything() *rapid.Generator[string] {
	signs := rapid.RuneFrom([]rune(" \n\t-.,/()\\\r\u00a0\u00ad\u1680\u200b\u200c\u200d\u200e\u200f\u202e\u2066\u2069\ufeff\ufffd\uffff\ue000🙏👨"))
	plain := rapid.RuneFrom([]rune("abcXYZ 0123₹éß"))
	texts := []*rapid.Generator[string]{
		rapid.StringOfN(rapid.Rune(), 0, 20, -1),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
	}
	for _, script := range []*unicode.RangeTable{unicode.Devanagari, unicode.Tamil, unicode.Malayalam, unicode.Arabic, unicode.Mn} {
		texts = append(texts, rapid.StringOfN(rapid.OneOf(rapid.RuneFrom(nil, script), signs, plain), 0, 300, -1))
	}
	return rapid.OneOf(texts...)
}

// TestNothingIsLost: every line keeps to its width, by a letter, and says in its runs all characters that the text has.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := newTypesetter()
		given := anything().Draw(t, "text")
		width := rapid.Float64Range(60, 500).Draw(t, "width")
		var runes int
		for _, l := range set.lines(given, text, width) {
			for _, r := range l.runs {
				seen := map[int]bool{}
				for _, g := range r.glyphs {
					if !seen[g.TextIndex()] {
						runes += g.RunesCount()
					}
					seen[g.TextIndex()] = true
				}
			}
			if words := (encoder{}).words(l); l.width > width+text.size && len(words) > 0 && graphemes(said(l)) > 1 {
				t.Fatalf("%q is %.1f wide, may be %.1f", said(l), l.width, width)
			}
		}
		if want := len([]rune(strings.ReplaceAll(presentable(given), "\n", ""))); runes != want {
			t.Fatalf("%q: %d characters were set, of %d", given, runes, want)
		}
	})
}

// graphemes is about how many things to see there are in a text.
func graphemes(text string) (n int) {
	for _, r := range text {
		if !unicode.In(r, unicode.Mn, unicode.Mc, unicode.Me, unicode.Cf, unicode.Zs) {
			n++
		}
	}
	return n
}

// TestAnyInvoice: whatever the texts and amounts, there is a file, and it is whole.
func TestAnyInvoice(t *testing.T) {
	t.Parallel()
	paise := rapid.Int64Range(0, 1<<53)
	party := rapid.Custom(func(t *rapid.T) Party {
		s := anything()
		return Party{Name: s.Draw(t, "name"), Contact: s.Draw(t, "contact"), Address: s.Draw(t, "address"), State: s.Draw(t, "state"),
			GSTIN: s.Draw(t, "gstin")}
	})
	item := rapid.Custom(func(t *rapid.T) Item {
		return Item{Description: anything().Draw(t, "description"), HSNSAC: anything().Draw(t, "hsn"), Quantity: gst.Quantity(paise.Draw(t, "quantity")),
			Unit: anything().Draw(t, "unit"), UnitPrice: paise.Draw(t, "price"), Rate: gst.Rate(rapid.Int32Range(0, 10000).Draw(t, "rate")),
			Amount: paise.Draw(t, "amount"), CGST: paise.Draw(t, "cgst"), SGST: paise.Draw(t, "sgst"), IGST: paise.Draw(t, "igst"), Total: paise.Draw(t, "total")}
	})
	rapid.Check(t, func(r *rapid.T) {
		v := Invoice{Stage: Stage(rapid.IntRange(0, 2).Draw(r, "stage")), Number: anything().Draw(r, "number"), IssueDate: anything().Draw(r, "date"),
			Supplier: party.Draw(r, "supplier"), Customer: party.Draw(r, "customer"), Place: gst.State{Name: anything().Draw(r, "place"), Code: "96"},
			Supply: gst.Supply(rapid.IntRange(0, 1).Draw(r, "supply")), Items: rapid.SliceOfN(item, 0, 2).Draw(r, "items"),
			Subtotal: paise.Draw(r, "subtotal"), CGST: paise.Draw(r, "cgst"), Total: paise.Draw(r, "total"), Notes: anything().Draw(r, "notes")}
		b, err := v.PDF()
		if err != nil {
			r.Fatal(err)
		}
		// A second reader is slow to start: now and then is enough.
		if rapid.IntRange(0, 4).Draw(r, "read") == 0 {
			poppler(t, b, "pdfinfo")
			poppler(t, b, "pdftotext")
		}
	})
}

func FuzzText(f *testing.F) {
	for _, text := range append([]string{"", "\xff", "a\u202eb", "e\u0301", strings.Repeat("﷽", 50)}, described...) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v := sample(t, 1)
		v.Customer.Name, v.Notes, v.Items[0].Description = text, text, text
		if len(text) < 20_000 {
			drawn(t, v)
		}
	})
}

func BenchmarkPDF(b *testing.B) {
	for name, n := range map[string]int{"5 items": 5, "200 items": 200} {
		v := sample(b, n)
		for i := range v.Items {
			v.Items[i].Description = described[i%2]
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				drawn(b, v)
			}
		})
	}
}
