package mail

import (
	"html"
	"strings"
	"unicode"
)

// textOf is what an HTML body says, for those who read text: its lines and paragraphs, links with where they go, what
// images stand for. It takes anything for HTML, and knows as much of it as mails use.
func textOf(source string) string {
	var t textWriter
	for source != "" {
		open := strings.IndexByte(source, '<')
		if open < 0 {
			t.text(source)
			break
		}
		t.text(source[:open])
		source = source[open:]
		tag, rest, ok := nextTag(source)
		if !ok {
			t.text("<")
			source = source[1:]
			continue
		}
		source = rest
		if !tag.closes && unread[tag.name] {
			source = after(source, "</"+tag.name)
			_, source, _ = strings.Cut(source, ">")
			continue
		}
		t.tag(tag)
	}
	return t.String()
}

// unread are elements whose content isn't part of the text.
var unread = map[string]bool{"script": true, "style": true, "title": true, "template": true}

// blocks are elements that begin and end a line, with how many ends of lines are about them: two make a paragraph.
var blocks = map[string]int{
	"address": 1, "article": 1, "blockquote": 2, "body": 1, "center": 1, "dd": 1, "div": 1, "dl": 2, "dt": 1,
	"footer": 1, "form": 1, "h1": 2, "h2": 2, "h3": 2, "h4": 2, "h5": 2, "h6": 2, "header": 1, "hr": 2, "li": 1,
	"main": 1, "ol": 2, "p": 2, "pre": 2, "section": 1, "table": 2, "tr": 1, "ul": 2,
}

type tag struct {
	name       string // lower-case; "" for a comment or a declaration
	closes     bool
	attributes string
}

// attribute is the value of an attribute that mails have between quotes or without.
func (t tag) attribute(name string) string {
	rest := t.attributes
	for rest != "" {
		rest = strings.TrimLeftFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || r == '/' })
		end := strings.IndexFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || r == '=' || r == '/' })
		if end < 0 {
			return ""
		}
		found := strings.EqualFold(rest[:end], name)
		value := ""
		rest = strings.TrimLeftFunc(rest[end:], unicode.IsSpace)
		if strings.HasPrefix(rest, "=") {
			value, rest = attributeValue(strings.TrimLeftFunc(rest[1:], unicode.IsSpace))
		}
		if found {
			return strings.TrimSpace(html.UnescapeString(value))
		}
	}
	return ""
}

func attributeValue(s string) (value, rest string) {
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		value, rest, _ = strings.Cut(s[1:], s[:1])
		return value, rest
	}
	if end := strings.IndexFunc(s, unicode.IsSpace); end >= 0 {
		return s[:end], s[end:]
	}
	return s, ""
}

// nextTag reads the tag that s begins with, if it does.
func nextTag(s string) (t tag, rest string, ok bool) {
	if strings.HasPrefix(s, "<!--") {
		return tag{}, after(s, "-->"), true
	}
	if strings.HasPrefix(s, "<!") || strings.HasPrefix(s, "<?") {
		return tag{}, after(s, ">"), true
	}
	s = s[1:]
	s, t.closes = strings.CutPrefix(s, "/")
	if s == "" || !isAlphanumeric(s[0]) || s[0] <= '9' {
		return tag{}, "", false
	}
	end := strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '>' || r == '/' })
	if end < 0 {
		return tag{}, "", true
	}
	t.name = strings.ToLower(s[:end])
	quote := byte(0)
	for i := end; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			t.attributes = s[end:i]
			return t, s[i+1:], true
		}
	}
	return tag{}, "", true
}

// after is what follows the first mark in s, in any case; nothing where there is none.
func after(s, mark string) string {
	for i := range len(s) - len(mark) + 1 {
		if strings.EqualFold(s[i:i+len(mark)], mark) {
			return s[i+len(mark):]
		}
	}
	return ""
}

// A textWriter collapses spaces and the ends of lines as a browser does.
type textWriter struct {
	b       strings.Builder
	ends    int  // ends of lines to be written before the next word
	space   bool // a space to be written before it
	inLine  bool // something stands on the line
	pre     bool
	href    string
	hrefAt  int // where the link's text began
	prefix  string
	started bool
}

// String gives the text with an end of the last line.
func (t *textWriter) String() string {
	if !t.started {
		return ""
	}
	return t.b.String() + "\n"
}

func (t *textWriter) text(source string) {
	s := html.UnescapeString(source)
	if t.pre {
		for i, line := range strings.Split(lineEnds.Replace(s), "\n") {
			if i > 0 {
				t.ends++
			}
			t.word(line)
		}
		return
	}
	for i, word := range strings.FieldsFunc(s, isHTMLSpace) {
		if i > 0 || isHTMLSpace(rune(s[0])) {
			t.space = true
		}
		t.word(word)
	}
	if s != "" && isHTMLSpace(rune(s[len(s)-1])) {
		t.space = true
	}
}

// isHTMLSpace leaves out the space that doesn't break.
func isHTMLSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' }

func (t *textWriter) word(s string) {
	if s == "" {
		return
	}
	if t.ends > 0 {
		if t.started {
			t.b.WriteString(strings.Repeat("\n", t.ends))
		}
		t.ends, t.inLine = 0, false
	}
	if t.space && t.inLine {
		t.b.WriteByte(' ')
	}
	t.b.WriteString(t.prefix + s)
	t.space, t.prefix, t.inLine, t.started = false, "", true, true
}

func (t *textWriter) tag(tag tag) {
	if n, ok := blocks[tag.name]; ok {
		t.ends, t.prefix = max(t.ends, n), ""
	}
	switch tag.name {
	case "br":
		t.ends++
	case "pre":
		t.pre = !tag.closes
	case "li":
		if !tag.closes {
			t.prefix = "- "
		}
	case "td", "th":
		if !tag.closes && t.inLine && t.ends == 0 {
			t.word(" ")
			t.space = true
		}
	case "hr":
		t.word("----")
		t.ends = 2
	case "img":
		t.text(tag.attribute("alt"))
	case "a":
		t.link(tag)
	}
}

// link writes where a link goes behind its text, unless that says it already.
func (t *textWriter) link(tag tag) {
	if !tag.closes {
		t.href, t.hrefAt = tag.attribute("href"), t.b.Len()
		return
	}
	href := t.href
	t.href = ""
	shown, mailto := strings.CutPrefix(href, "mailto:")
	if !mailto && !strings.HasPrefix(href, "https://") && !strings.HasPrefix(href, "http://") {
		return
	}
	if strings.Contains(t.b.String()[t.hrefAt:], shown) {
		return
	}
	t.space = true
	t.word("(" + shown + ")")
}
