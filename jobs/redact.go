package jobs

import "regexp"

// What identifies a person in what people wrote down: models don't need it, so they don't get it. Numbers are
// those that are dialled in India, and all that begin with a plus.
var identifying = []struct {
	what *regexp.Regexp
	mark string
}{
	{regexp.MustCompile(`[\pL\pN._%+-]+@[\pL\pN-]+(\.[\pL\pN-]+)*`), "[email]"}, // or an address for payments
	{regexp.MustCompile(`(?i)\b[0-9]{2}[a-z]{5}[0-9]{4}[a-z][0-9a-z]{3}\b`), "[GSTIN]"},
	{regexp.MustCompile(`\+[0-9][0-9 ().-]{6,18}[0-9]|\b(?:0|91[ -]?)?[6-9][0-9]{4}[ -]?[0-9]{5}\b`), "[phone]"},
}

// shown is of a text of the records what a model may see: so many characters, nobody's address among them.
func shown(s string, most int) string {
	for _, i := range identifying {
		s = i.what.ReplaceAllString(s, i.mark)
	}
	return clip(s, most)
}

func shownOf(s *string, most int) string {
	if s == nil {
		return ""
	}
	return shown(*s, most)
}
