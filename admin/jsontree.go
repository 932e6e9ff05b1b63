package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
)

const (
	mostNodes = 2000      // of a tree; a larger value is shown as text
	mostDepth = 40        // of a tree
	mostText  = 256 << 10 // bytes of a value that a page shows
	openDepth = 3         // what lies deeper is folded at first
	openItems = 30        // what has more is folded at first
)

// jsonTree shows a value as a tree that folds, without a script. Numbers keep all of their digits and objects their
// order. A value that is too large for a tree is shown as text, and one that is too large for a page is cut.
func jsonTree(v any) (template.HTML, error) {
	data, ok, err := rawOf(v)
	if err != nil {
		return "", err
	}
	if !ok {
		return dash, nil
	}
	t := tree{d: json.NewDecoder(bytes.NewReader(data)), out: &strings.Builder{}}
	t.d.UseNumber()
	body := ""
	if len(data) <= mostText && t.value(0, "") == nil {
		body = `<div class="tree">` + t.out.String() + `</div>`
	} else {
		body = plainJSON(data)
	}
	return template.HTML(`<div class="json">` + copyButton("Copy JSON") + body + `</div>`), nil
}

func rawOf(v any) (data []byte, ok bool, err error) {
	switch v := v.(type) {
	case nil:
		return nil, false, nil
	case json.RawMessage:
		data = v
	case *json.RawMessage:
		if v == nil {
			return nil, false, nil
		}
		data = *v
	default:
		if data, err = json.Marshal(v); err != nil {
			return nil, false, fmt.Errorf("show a value: %w", err)
		}
	}
	return data, len(data) > 0 && string(data) != "null", nil
}

// plainJSON is a value as indented text. One that is no JSON at all is shown as it is.
func plainJSON(data []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, data, "", "  ") != nil {
		b.Reset()
		b.Write(data)
	}
	text, note := strings.ToValidUTF8(b.String(), "\uFFFD"), ""
	if len(text) > mostText {
		note = `<p class="hint">The first ` + strconv.Itoa(mostText>>10) + ` KB of ` + string(bytesOf(len(data))) + `. The API has all of it.</p>`
		text = strings.ToValidUTF8(text[:mostText], "")
	}
	return `<pre class="text" tabindex="0">` + template.HTMLEscapeString(text) + `</pre>` + note
}

var errLarge = fmt.Errorf("too large for a tree")

// A tree writes nested lists as it reads.
type tree struct {
	d     *json.Decoder
	out   *strings.Builder
	nodes int
}

// value writes the next value; label is what stands before it, as HTML.
func (t *tree) value(depth int, label string) error {
	if t.nodes++; t.nodes > mostNodes || depth > mostDepth {
		return errLarge
	}
	token, err := t.d.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Delim:
		return t.composite(depth, label, token == '{')
	case string:
		return t.leaf(label, "s", strconv.Quote(token), token)
	case json.Number:
		return t.leaf(label, "n", token.String(), "")
	case bool:
		return t.leaf(label, "l", strconv.FormatBool(token), "")
	}
	return t.leaf(label, "l", "null", "")
}

const foldedText = 400 // characters of a text that are shown in a line

func (t *tree) leaf(label, class, shown, whole string) error {
	if whole != "" && (len(whole) > foldedText || strings.Contains(whole, "\n")) {
		// Texts are read as they are, with their lines.
		t.out.WriteString(`<div class="leaf">` + label + `<pre class="text" tabindex="0">` + template.HTMLEscapeString(whole) + `</pre></div>`)
		return nil
	}
	if class == "s" {
		quoted, err := json.Marshal(whole)
		if err != nil {
			return err
		}
		shown = unescapedHTML.Replace(string(quoted))
	}
	t.out.WriteString(`<div class="leaf">` + label + `<span class="` + class + `">` + template.HTMLEscapeString(shown) + `</span></div>`)
	return nil
}

// unescapedHTML undoes what json.Marshal does for scripts in pages; html/template's escaping is ours.
var unescapedHTML = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

func (t *tree) composite(depth int, label string, object bool) error {
	begin, end := "[", "]"
	if object {
		begin, end = "{", "}"
	}
	outer := t.out
	t.out = &strings.Builder{}
	items := 0
	for ; t.d.More(); items++ {
		inner := ""
		if object {
			key, err := t.d.Token()
			if err != nil {
				return err
			}
			inner = `<span class="k">` + template.HTMLEscapeString(plain(key)) + `</span>: `
		}
		if err := t.value(depth+1, inner); err != nil {
			return err
		}
	}
	if _, err := t.d.Token(); err != nil && err != io.EOF {
		return err
	}
	inside := t.out.String()
	t.out = outer
	if items == 0 {
		t.out.WriteString(`<div class="leaf">` + label + begin + end + `</div>`)
		return nil
	}
	open := ""
	if depth < openDepth && items <= openItems {
		open = " open"
	}
	t.out.WriteString(`<details` + open + `><summary>` + label + begin + ` <span class="count">` + strconv.Itoa(items) + `</span> ` + end + `</summary><div class="in">` + inside + `</div></details>`)
	return nil
}

// copyButton copies the text that follows it; it needs the script, and is not there without.
func copyButton(title string) string {
	return `<button type="button" class="copy quiet" data-copy hidden title="` + title + `">` + string(icon("copy")) + `<span class="sr">` + title + `</span></button>`
}
