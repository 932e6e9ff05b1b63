package api

import (
	"strings"
	"unicode"
)

// blank reports whether nobody would see anything of a text: it has nothing but space, marks of formatting such
// as the zero-width space (U+200B), and characters that Unicode has renderers ignore (UAX #44,
// Default_Ignorable_Code_Point).
func blank(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsSpace(r) && r != brailleBlank &&
			!unicode.In(r, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
	})
}

// brailleBlank is a pattern without dots, which Unicode counts as a symbol.
const brailleBlank = '\u2800'
