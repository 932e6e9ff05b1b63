package admin

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// misleads reports whether a character is not seen and changes how others are: what overrides the direction of writing
// (Unicode Technical Report 36, section 2.10), so that "exe.fdp" is read where "pdf.exe" stands, and controls.
// The marks that right-to-left scripts need are none of them.
func misleads(r rune) bool {
	switch {
	case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, r == 0x7F:
		return true
	}
	return r < ' ' && r != '\t' && r != '\n' && r != '\r'
}

var textarea = []byte("<textarea")

// visible writes misleading characters in the texts of a page as JSON does, \u202e. They come from data alone. In tags and
// in fields, whose text is sent again, they stay.
func visible(page []byte) []byte {
	if bytes.IndexFunc(page, misleads) < 0 {
		return page
	}
	var out bytes.Buffer
	for len(page) > 0 {
		text := bytes.IndexByte(page, '<')
		if text < 0 {
			text = len(page)
		}
		writeVisible(&out, page[:text])
		page = page[text:]
		end := bytes.IndexByte(page, '>') + 1
		if bytes.HasPrefix(page, textarea) {
			end = bytes.Index(page, []byte("</textarea>"))
		}
		if end <= 0 {
			end = len(page)
		}
		out.Write(page[:end])
		page = page[end:]
	}
	return out.Bytes()
}

func writeVisible(out *bytes.Buffer, text []byte) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if misleads(r) {
			fmt.Fprintf(out, `\u%04x`, r)
		} else {
			out.Write(text[:size])
		}
		text = text[size:]
	}
}
