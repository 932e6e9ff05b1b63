package jobs

import "regexp"

// What identifies a person in what people wrote down: models don't need it, so they don't get it. Words may stand
// right beside it, as in Ph9845012345; digits may not, as it is another number then.
var identifying = []struct {
	what *regexp.Regexp
	mark string
}{
	{regexp.MustCompile(`[\pL\pN._%+-]+@[\pL\pN-]+(\.[\pL\pN-]+)*`), "[email]"}, // or an address for payments
	{regexp.MustCompile(`(?i)[0-9]{2}[a-z]{5}[0-9]{4}[a-z][0-9a-z]{3}`), "[GSTIN]"},
	{regexp.MustCompile(`\b[A-Z]{5}[0-9]{4}[A-Z]\b`), "[PAN]"},
	{regexp.MustCompile(`\+[0-9][0-9 ().-]{6,18}[0-9]`), "[phone]"},
	{apart(`(?:(?:0|0?0?91)[ .-]?)?(?:` + mobile + `)`), "$1[phone]$2"},
	{apart(landline), "$1[phone]$2"},
}

// Numbers that are dialled in India, as people group their digits.
const (
	mobile = `[6-9][0-9]{4}[ .-]?[0-9]{5}|[6-9][0-9]{2}[ .-][0-9]{3}[ .-]?[0-9]{4}|[6-9][0-9]{3}[ .-][0-9]{3}[ .-]?[0-9]{3}|` +
		`[6-9][0-9][ .-][0-9]{4}[ .-]?[0-9]{4}|[6-9][0-9]{3}[ .-][0-9]{6}`
	landline = `\(?0[1-9][0-9]{1,3}\)?[ -]?[2-7][0-9]{2,3}[ -]?[0-9]{3,4}`
)

// apart finds a number that doesn't go on to either side.
func apart(number string) *regexp.Regexp {
	return regexp.MustCompile(`(^|[^0-9])(?:` + number + `)($|[^0-9])`)
}

// shown is of a text of the records what a model may see: so many characters, nobody's address among them.
func shown(s string, most int) string {
	for _, i := range identifying {
		// Twice, as two numbers may have one space between them, which goes with the first.
		s = i.what.ReplaceAllString(i.what.ReplaceAllString(s, i.mark), i.mark)
	}
	return clip(s, most)
}

func shownOf(s *string, most int) string {
	if s == nil {
		return ""
	}
	return shown(*s, most)
}
