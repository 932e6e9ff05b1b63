package letter

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// functions are what a template may call beside and, or and not. Each pays for what it looks at, so that none can
// be the lever of a small template; none takes a format, whose widths have no end.
func (w *work) functions() map[string]any {
	return map[string]any{
		callEach: w.each, callWrite: w.write,

		"eq": w.eq, "ne": w.ne,
		"lt": w.order(func(c int) bool { return c < 0 }), "le": w.order(func(c int) bool { return c <= 0 }),
		"gt": w.order(func(c int) bool { return c > 0 }), "ge": w.order(func(c int) bool { return c >= 0 }),
		"add": w.add, "sub": w.sub,

		"has": w.has, "index": w.index, "len": w.length, "default": w.byDefault,

		"upper": w.text("upper", strings.ToUpper), "lower": w.text("lower", strings.ToLower),
		"title": w.text("title", titleCase), "trim": w.text("trim", strings.TrimSpace),
		"concat": w.concat, "join": w.join, "truncate": w.truncate, "plural": w.plural,
		"lines": w.split("lines", lines), "paragraphs": w.split("paragraphs", paragraphs),

		"rupees": w.rupees, "number": w.number,
		"date": w.day("date", "2 January 2006"), "shortdate": w.day("shortdate", "02 Jan 2006"),
	}
}

// text is a function from a text to a text.
func (w *work) text(name string, change func(string) string) func(any) (any, error) {
	return func(v any) (any, error) {
		s, err := w.textOf(name, v)
		if err != nil {
			return nil, err
		}
		return short(change(s))
	}
}

// textOf takes what can be written, as a text.
func (w *work) textOf(name string, v any) (string, error) {
	v = constant(v)
	if err := w.look(v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case decimal:
		return string(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", complain("%s takes texts, not %s", name, kind(v))
}

func short(s string) (any, error) {
	if len(s) > maxText {
		return nil, complain("a text grows longer than 64 KiB")
	}
	return s, nil
}

// titleCase gives every word a capital, and leaves the rest of it.
func titleCase(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		before := inWord
		inWord = unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || before && (r == '\'' || r == '’')
		if inWord && !before {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

func (w *work) concat(values ...any) (any, error) {
	var b strings.Builder
	for _, v := range values {
		s, err := w.textOf("concat", v)
		if err != nil {
			return nil, err
		}
		if b.WriteString(s); b.Len() > maxText {
			break
		}
	}
	return short(b.String())
}

func (w *work) join(between, list any) (any, error) {
	separator, err := w.textOf("join", between)
	if err != nil {
		return nil, err
	}
	elements, ok := list.([]any)
	if !ok {
		return nil, complain("join takes a text and a list, not %s", kind(constant(list)))
	}
	var b strings.Builder
	for i, element := range elements {
		s, err := w.textOf("join", element)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString(separator)
		}
		if b.WriteString(s); b.Len() > maxText {
			break
		}
	}
	return short(b.String())
}

func (w *work) truncate(most, v any) (any, error) {
	n, ok := constant(most).(int64)
	if !ok || n < 1 {
		return nil, complain("truncate takes a number of characters, and then the text")
	}
	s, err := w.textOf("truncate", v)
	if err != nil || int64(utf8.RuneCountInString(s)) <= n {
		return s, err
	}
	for i := range s {
		if n--; n == 0 {
			return strings.TrimRightFunc(s[:i], unicode.IsSpace) + "…", nil
		}
	}
	return s, nil
}

func (w *work) plural(count, one, many any) (any, error) {
	n, ok := constant(count).(int64)
	if !ok {
		return nil, complain("plural takes a whole number and two texts: plural .days \"day\" \"days\"")
	}
	noun := many
	if n == 1 {
		noun = one
	}
	s, err := w.textOf("plural", noun)
	if err != nil {
		return nil, err
	}
	return short(strconv.FormatInt(n, 10) + " " + s)
}

// split is a function from a text to a list of texts.
func (w *work) split(name string, parts func(string) []string) func(any) (any, error) {
	return func(v any) (any, error) {
		s, err := w.textOf(name, v)
		if err != nil {
			return nil, err
		}
		var list []any
		for _, part := range parts(strings.ReplaceAll(s, "\r\n", "\n")) {
			list = append(list, part)
		}
		return list, w.spend(len(list))
	}
}

func lines(s string) []string { return strings.Split(s, "\n") }

// paragraphs are what blank lines part.
func paragraphs(s string) (found []string) {
	var paragraph []string
	for _, l := range append(strings.Split(s, "\n"), "") {
		switch blank := strings.TrimSpace(l) == ""; {
		case !blank:
			paragraph = append(paragraph, strings.TrimRightFunc(l, unicode.IsSpace))
		case len(paragraph) > 0:
			found, paragraph = append(found, strings.Join(paragraph, "\n")), nil
		}
	}
	return found
}

// India has one time, without summers.
var india = time.FixedZone("IST", 5*60*60+30*60)

// day writes a date, or the day in India of a time.
func (w *work) day(name, layout string) func(any) (any, error) {
	return func(v any) (any, error) {
		s, ok := v.(string)
		if !ok {
			return nil, complain("%s takes a date such as 2026-04-01, not %s", name, kind(constant(v)))
		}
		if err := w.look(s); err != nil {
			return nil, err
		}
		if t, err := time.Parse(time.DateOnly, s); err == nil {
			return t.Format(layout), nil
		}
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t.In(india).Format(layout), nil
		}
		return nil, complain("%s takes a date such as 2026-04-01, not %q", name, excerpt(s))
	}
}
