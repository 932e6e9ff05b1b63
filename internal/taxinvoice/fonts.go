package taxinvoice

import (
	"embed"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/language"
)

// The fonts are Noto's, under the SIL Open Font License (fonts/OFL.txt), unchanged.
//
//go:embed fonts
var files embed.FS

// A fontFile is one of the embedded fonts. It is read when a text needs it, and kept for the next ones: reading
// takes milliseconds. What was read takes megabytes, which a process that draws nothing can do without.
type fontFile struct {
	name   string
	mu     sync.Mutex
	kept   *font.Font // nil: not read, or forgotten
	forget *time.Timer
}

// A font is forgotten when nobody has used it for so long.
const keptFor = time.Minute

func file(name string) *fontFile { return &fontFile{name: name} }

func (f *fontFile) read() *font.Font {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept != nil {
		f.forget.Reset(keptFor)
		return f.kept
	}
	f.kept = readFont(f.name)
	f.forget = time.AfterFunc(keptFor, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.kept = nil
	})
	return f.kept
}

// readFont panics, as a font that is part of the program is there and whole, or no test has passed.
func readFont(name string) *font.Font {
	f, err := files.Open("fonts/" + name + ".ttf")
	if err != nil {
		panic(fmt.Sprintf("open font %s: %v", name, err))
	}
	face, err := font.ParseTTF(f.(font.Resource))
	if err != nil {
		panic(fmt.Sprintf("read font %s: %v", name, err))
	}
	return face.Font
}

// A family is what one script is set in. Where bold is nil, plain text stands in.
type family struct {
	script      language.Script
	plain, bold *fontFile
}

// The first is for what no other has: Latin, Greek, Cyrillic, signs, and the box of characters that are in none.
var families = []family{
	{language.Latin, file("NotoSans-Regular"), file("NotoSans-Bold")},
	{language.Devanagari, file("NotoSansDevanagari-Regular"), file("NotoSansDevanagari-Bold")},
	{language.Bengali, file("NotoSansBengali-Regular"), nil},
	{language.Gujarati, file("NotoSansGujarati-Regular"), nil},
	{language.Gurmukhi, file("NotoSansGurmukhi-Regular"), nil},
	{language.Kannada, file("NotoSansKannada-Regular"), nil},
	{language.Malayalam, file("NotoSansMalayalam-Regular"), nil},
	{language.Oriya, file("NotoSansOriya-Regular"), nil},
	{language.Tamil, file("NotoSansTamil-Regular"), nil},
	{language.Telugu, file("NotoSansTelugu-Regular"), nil},
	{language.Arabic, file("NotoNaskhArabic-Regular"), nil},
	{language.Meetei_Mayek, file("NotoSansMeeteiMayek-Regular"), nil},
	{language.Ol_Chiki, file("NotoSansOlChiki-Regular"), nil},
}

func (f family) file(w weight) *fontFile {
	if w == bold && f.bold != nil {
		return f.bold
	}
	return f.plain
}

// A weight is how heavy text looks.
type weight int

const (
	plain weight = iota
	bold
)

// A wardrobe hands out the faces that one document uses. A face isn't safe for concurrent use; the font is.
type wardrobe struct {
	faces  map[*fontFile]*font.Face
	files  map[*font.Face]*fontFile
	weight weight
	script language.Script
}

func newWardrobe() *wardrobe {
	return &wardrobe{faces: map[*fontFile]*font.Face{}, files: map[*font.Face]*fontFile{}}
}

func (w *wardrobe) face(f *fontFile) *font.Face {
	face, ok := w.faces[f]
	if !ok {
		face = font.NewFace(f.read())
		w.faces[f], w.files[face] = face, f
	}
	return face
}

// SetScript implements shaping.FontmapScript.
func (w *wardrobe) SetScript(s language.Script) { w.script = s }

// ResolveFace implements shaping.Fontmap: the font of the script if it has the character, then the first, then
// that of the character's own script. No other is read for it.
func (w *wardrobe) ResolveFace(r rune) *font.Face {
	first := w.face(families[0].file(w.weight))
	for _, script := range []language.Script{w.script, families[0].script, language.LookupScript(r)} {
		i := slices.IndexFunc(families, func(f family) bool { return f.script == script })
		if i < 0 {
			continue
		}
		face := w.face(families[i].file(w.weight))
		if _, ok := face.NominalGlyph(r); ok {
			return face
		}
	}
	return first
}
