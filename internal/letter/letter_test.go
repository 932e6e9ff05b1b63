package letter_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/payaid/payaid/internal/letter"
)

const things = `{"name":"A & B <i>","n":118000,"big":12345678901234567890,"part":18.50,"zero":0.0,"list":["a","b","c"],
	"object":{"x":1},"none":null,"yes":true,"day":"2026-04-01","moment":"2026-03-31T20:00:00Z","long":"one\r\ntwo\n\n \nthree",
	"hindi":"नमस्ते दुनिया","link":"https://payaid.example/a?b=1&c=2","script":"javascript:alert(1)","pay":"upi://pay?pa=x@y","tel":"tel:+9120"}`

func render(t *testing.T, of letter.Template, data string) (letter.Letter, error) {
	t.Helper()
	made, err := letter.Parse(of)
	if err != nil {
		return letter.Letter{}, err
	}
	return made.Render(json.RawMessage(data))
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`{{rupees 11800000}}`:                                 "₹1,18,000.00",
		`{{rupees 5}} {{rupees 50}}`:                          "₹0.05 ₹0.50",
		`{{.n | rupees}}`:                                     "₹1,180.00",
		`{{number .n}}`:                                       "1,18,000",
		`{{number -5}}`:                                       "-5",
		`{{date .day}}`:                                       "1 April 2026",
		`{{shortdate .day}}`:                                  "01 Apr 2026",
		`{{date .moment}}`:                                    "1 April 2026", // of India
		`{{upper .name}}`:                                     "A & B <I>",
		`{{lower "ÀB"}}`:                                      "àb",
		`{{title "don't stop, एक दो"}}`:                       "Don't Stop, एक दो",
		`{{trim "  x "}}`:                                     "x",
		`{{truncate 5 "abcdef"}}`:                             "abcd…",
		`{{truncate 6 "abcdef"}}`:                             "abcdef",
		`{{truncate 1 .hindi}}`:                               "…",
		`{{.name | truncate 4}}`:                              "A &…",
		`{{join ", " .list}}`:                                 "a, b, c",
		`{{concat "a" 1 true .none .n}}`:                      "a1true118000",
		`{{plural 1 "day" "days"}}`:                           "1 day",
		`{{plural .n "day" "days"}}`:                          "118000 days",
		`{{default "x" .none}}`:                               "x",
		`{{.name | default "x"}}`:                             "A & B <i>",
		`{{default "x" 0}}`:                                   "0",
		`{{len .hindi}} {{len .list}}`:                        "13 3",
		`{{index .list 2}}`:                                   "c",
		`{{index .object "x"}}`:                               "1",
		`{{has . "none"}} {{has . "nil"}}`:                    "true false",
		`{{add .n 2}} {{sub 1 3}}`:                            "118002 -2",
		`{{range $i, $l := lines .long}}{{$i}}{{$l}};{{end}}`: "0one;1two;2;3 ;4three;",
		`{{range paragraphs .long}}[{{.}}]{{end}}`:            "[one\ntwo][three]",
		`{{if and (gt .n 3) (lt .part 19) (eq .part 18.5) (not .none)}}yes{{end}}`: "yes",
		`{{if or .zero (ne .name "x") }}yes{{end}}`:                                "yes",
		`{{if or false (index .list 0) (rupees "never asked")}}yes{{end}}`:         "yes",
		`{{if ge .big 1e19}}{{.big}}{{end}}`:                                       "12345678901234567890",
		`{{if lt .day "2026-04-02"}}before{{end}}`:                                 "before",
		`{{.zero}} {{.part}} {{1.50}} {{.none}}|`:                                  "0 18.50 1.5 |",
		`{{range .none}}x{{else}}none{{end}}`:                                      "none",
		`{{range $k, $v := .object}}{{$k}}={{$v}}{{end}}`:                          "x=1",
		`{{range .list}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}`:               "a",
		`{{with .object}}{{.x}}{{$.n}}{{end}}{{/* nothing */}}`:                    "1118000",
		`{{$s := "a"}}{{range .list}}{{$s = concat $s .}}{{end}}{{$s}}`:            "aabc",
		`{{(index .list 0) | upper}}`:                                              "A",
		`{{eq 1 1.0 }}{{eq "1" 1}}{{eq .none .none}}`:                              "truefalsetrue",
		`{{eq 2 1 2}}`: "true",
	} {
		l, err := render(t, letter.Template{Subject: "x", Text: source}, things)
		if err != nil || l.Text != want {
			t.Errorf("%s gives %q, %v; want %q", source, l.Text, err, want)
		}
	}
}

// The catalogue has what there is, and its examples are templates.
func TestCatalogueIsTrue(t *testing.T) {
	t.Parallel()
	for _, f := range letter.Functions() {
		source := "{{" + f.Call + "}}"
		if strings.HasPrefix(f.Call, "range ") {
			source += "{{end}}"
		}
		if _, err := letter.Parse(letter.Template{Subject: "x", Text: source}); err != nil || !strings.Contains(f.Call, f.Name+" ") || f.Meaning == "" {
			t.Errorf("%+v: %v", f, err)
		}
	}
	for _, name := range letter.StandardNames() {
		if letter.Meaning(name) == "" {
			t.Errorf("nobody says what %s is for", name)
		}
	}
}

// Values are escaped by where they stand, and what is not safe there is an error that names it.
func TestHTMLIsEscaped(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`<p>{{.name}}</p>`:                          `<p>A &amp; B &lt;i&gt;</p>`,
		`<p title="{{.name}}">`:                     `<p title="A &amp; B &lt;i&gt;">`,
		`<a href="{{.link}}">`:                      `<a href="https://payaid.example/a?b=1&amp;c=2">`,
		`<a href="https://x.example/?q={{.name}}">`: `<a href="https://x.example/?q=A%20%26%20B%20%3ci%3e">`,
		`<a href="{{.pay}}">{{.pay}}</a>`:           `<a href="upi://pay?pa=x@y">upi://pay?pa=x@y</a>`,
		`<a href="{{.tel}}">`:                       `<a href="tel:&#43;9120">`,
		`<p>{{.script}}</p>`:                        `<p>javascript:alert(1)</p>`,
		`<p>ZgotmplZ {{"ZgotmplZ"}}</p>`:            `<p>ZgotmplZ ZgotmplZ</p>`,
		`<style>p{color:{{"red"}}}</style>`:         `<style>p{color:red}</style>`,
	} {
		l, err := render(t, letter.Template{Subject: "x", HTML: source}, things)
		if err != nil || l.HTML != want {
			t.Errorf("%s gives %q, %v; want %q", source, l.HTML, err, want)
		}
	}
}

// An error says where it is and what is wrong, for somebody who has never seen Go.
func TestErrorsAreForWriters(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"a\n  {{.nmae}}":                      `html: line 2, column 5: {{.nmae}}: the data have no "nmae"`,
		"नमस्ते {{.object.y}}":                `html: line 1, column 17: {{.object.y}}: the data have no "y"`,
		"{{.none.x}}":                         `html: line 1, column 8: {{.none.x}}: there is no "x" in null`,
		"{{.name.x}}":                         `html: line 1, column 8: {{.name.x}}: "x" is asked of what is no object`,
		"{{.list}}":                           "html: line 1, column 3: {{.list}} is a list; only texts and numbers can be written",
		"{{.}}":                               "html: line 1, column 3: {{.}} is an object; only texts and numbers can be written",
		"{{range .n}}{{end}}":                 "html: line 1, column 9: {{.n}} is a number; range goes through a list or an object",
		"{{rupees .name}}":                    "html: line 1, column 3: rupees takes a whole number of paise, not a text",
		"{{rupees 1.5}}":                      "html: line 1, column 3: rupees takes a whole number of paise, not a number",
		"{{date .n}}":                         "html: line 1, column 3: date takes a date such as 2026-04-01, not a number",
		`{{date "tomorrow"}}`:                 `html: line 1, column 3: date takes a date such as 2026-04-01, not "tomorrow"`,
		"{{index .list 3}}":                   "html: line 1, column 3: index: the list has 3 elements, and none at 3",
		`{{index .object "y"}}`:               `html: line 1, column 3: index: the object has no "y"`,
		"{{add .n .name}}":                    "html: line 1, column 3: add takes two whole numbers",
		"{{add 9223372036854775807 1}}":       "html: line 1, column 3: a sum is too large",
		"{{if gt .n .name}}{{end}}":           "html: line 1, column 6: a number and a text can't be put in order",
		"{{if eq .list .list}}{{end}}":        "html: line 1, column 6: lists and objects can't be compared",
		"{{upper}}":                           "html: line 1, column 3: upper takes 1 values, not 0",
		"{{upper .name .name}}":               "html: line 1, column 3: upper takes 1 values, not 2",
		"{{eq .n}}":                           "html: line 1, column 3: eq takes at least 2 values, not 1",
		"{{.name | .n}}":                      "html: line 1, column 11: {{.n}}: can't be worked out",
		"{{":                                  "html: line 1: unclosed action",
		"a\n{{if .n}}":                        "html: line 2: unexpected EOF",
		"{{end}}":                             "html: line 1: unexpected {{end}}",
		"{{$x}}":                              `html: line 1: undefined variable "$x"`,
		"\n{{nothing .n}}":                    "html: line 2, column 3: there is no function nothing; there are add, and,",
		"{{html .name}}":                      "html: line 1, column 3: there is no function html; there are",
		`{{template "x"}}`:                    "html: line 1, column 12: define, block and template aren't taken: a template is one piece",
		`{{define "x"}}1{{end}}`:              "html: line 1, column 15: define, block and template aren't taken",
		"<p {{if .yes}}title='a{{end}}>":      "html: line 1, column 9: the branches of if, with or range leave the HTML at different places",
		"<a href={{.link}}":                   "html: the HTML ends inside a tag",
		"<p title=\"{{.name}}":                "html: the HTML ends inside a tag, quotes, a script or a style",
		"<p a=b'c>{{.name}}":                  "html: the HTML is broken: \"'\" in unquoted attr: \"b'c\"",
		"<script>1</script>":                  "html: line 1, column 1: script isn't taken",
		`<a href="{{.script}}">{{.link}}</a>`: "html: a link can begin with http:, https:, mailto:, tel: or upi: alone; look at {{.script}}",
		`<p style="width:{{.script}}">`:       "html: a link can begin with",
		`<p style="width:{{.name}}">`:         "html: a value isn't safe where it stands, in a style or in the name of a tag or attribute",
		`{{"a\x00b" | upper}}{{"\x01"}}`:      "html: a value has the control character U+0001, which no mail can have",
		`{{"\xff"}}`:                          "html: a value has the control character that is no Unicode",
		` {{.none}} `:                         "html: is blank with these data, and so is the text",
	} {
		_, err := render(t, letter.Template{Subject: "x", HTML: source}, things)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s gives %v; want %s", source, err, want)
		}
		checkPlain(t, err)
	}
}

// What may be is taken, and one more is refused.
func TestLimits(t *testing.T) {
	t.Parallel()
	nested := func(of string, n int) string { return strings.Repeat(of, n) + strings.Repeat("{{end}}", n) }
	const title, style, ends = "<title>x</title>", "<style>x</style>", "<b>'</b>"
	for _, row := range []struct{ taken, refused, want string }{
		{nested("{{range $.list}}", 2), nested("{{range .list}}", 3), "range stands in a range that stands in a range; 2 in each other are the most"},
		{nested("{{if .n}}", 20), nested("{{if .n}}", 21), "is nested more than 20 deep"},
		{"{{" + strings.Repeat("(", 19) + "1" + strings.Repeat(")", 19) + "}}", "{{" + strings.Repeat("(", 22) + "1" + strings.Repeat(")", 22) + "}}", "is nested more than 20 deep"},
		{strings.Repeat("{{1}}", 2_600), strings.Repeat("{{1}}", 2_700), "consists of more than 8000 pieces"},
		{strings.Repeat("< ", 200), strings.Repeat("< ", 201), "has more than 200 < that begin no tag; write &lt; for them"},
		{title + strings.Repeat("<b>"+strings.Repeat("x", 97), 400), title + strings.Repeat("<b>xx", 10_000), "is too much HTML without a value in it for a part with a title"},
		{style + strings.Repeat(ends, 500), style + strings.Repeat(ends, 4_000), "is too much HTML without a value in it for a part with a style or meta"},
		{strings.Repeat(ends, 8_000), `<META a="x">` + strings.Repeat(ends, 4_000), "is too much HTML without a value in it for a part with a style or meta"},
		{strings.Repeat("x", letter.MaxSource-1), strings.Repeat("x", letter.MaxSource+1), "is longer than 64 KiB"},
		{`{{$s := "x"}}` + strings.Repeat("{{$s = concat $s $s}}", 16) + "{{len $s}}", `{{$s := "x"}}` + strings.Repeat("{{$s = concat $s $s}}", 17) + "{{len $s}}", "a text grows longer than 64 KiB"},
		{strings.Repeat("{{range .list}}"+strings.Repeat("x", 20_000)+"{{end}}", 3), "{{range .list}}{{range $.list}}" + strings.Repeat("x", 30_000) + "{{end}}{{end}}", "makes more than 256 KiB of these data"},
	} {
		if _, err := render(t, letter.Template{Subject: "x", HTML: row.taken + "."}, things); err != nil {
			t.Errorf("%.60s of %d is refused: %v", row.taken, len(row.taken), err)
		}
		if _, err := render(t, letter.Template{Subject: "x", HTML: row.refused + "."}, things); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%.60s of %d: %v, want %s", row.refused, len(row.refused), err, row.want)
		}
	}
}

// What counts the steps is not for templates to call.
func TestInnerFunctionsAreRefused(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"{{_write 0 1}}", "{{range _each -1000000 0 .l}}{{end}}", "{{1 | _write 0}}", "{{_html_template_htmlescaper 1}}", "{{_eval_args_ 1}}"} {
		_, err := letter.Parse(letter.Template{Subject: "x", Text: source})
		if err == nil || !strings.Contains(err.Error(), "there is no function _") {
			t.Errorf("%s gives %v", source, err)
		}
	}
}

func TestSubjectIsALine(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		" {{.name}} \n":                 "A & B <i>",
		"{{.long}}":                     "subject: has the character U+000D with these data; a subject is one line",
		"a\nBcc: x@y.example":           "subject: has the character U+000A with these data; a subject is one line",
		"a{{\"\\u2028\"}}b":             "subject: has the character U+2028 with these data; a subject is one line",
		"{{.none}}":                     "subject: is blank with these data",
		"":                              "subject: must not be blank",
		strings.Repeat("ह", 250):        strings.Repeat("ह", 250),
		strings.Repeat("ह", 251):        "subject: has more than 250 characters with these data; truncate shortens a value",
		strings.Repeat("{{/**/}}", 251): "subject: is longer than 2000 characters",
	} {
		l, err := render(t, letter.Template{Subject: source, Text: "x"}, things)
		if err != nil {
			l.Subject = err.Error()
		}
		if l.Subject != want {
			t.Errorf("%q gives %q, want %q", source, l.Subject, want)
		}
	}
	if _, err := letter.Parse(letter.Template{Subject: "x", Text: " ", HTML: "\n"}); err == nil || err.Error() != "html: must not be blank where there is no text either" {
		t.Errorf("a letter without text and HTML gives %v", err)
	}
}

func TestDataAreAnObject(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{}`: "", ` {"a":1} `: "",
		``: "data: are no JSON", `{`: "data: are no JSON", `{"a":}`: "data: are no JSON",
		`null`: "data: must be an object", `[]`: "data: must be an object", `1`: "data: must be an object",
		`{} {}`: "data: are more than one JSON value", `{}x`: "data: are more than one JSON value",
		`{"a":"` + strings.Repeat("x", letter.MaxData) + `"}`: "data: are longer than 64 KiB",
	} {
		_, err := render(t, letter.Template{Subject: "x", Text: "x"}, data)
		if got := cmpError(err); got != want {
			t.Errorf("%.20s gives %q, want %q", data, got, want)
		}
		var ofData *letter.DataError
		if err != nil && !errors.As(err, &ofData) {
			t.Errorf("%.20s gives another kind of error: %v", data, err)
		}
	}
}

func cmpError(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What one rendering has spent, seen or failed at is nothing to the next, nor to those beside it.
func TestRenderingsAreApart(t *testing.T) {
	t.Parallel()
	made, err := letter.Parse(letter.Template{Subject: "{{.s}}", Text: "{{range .l}}{{.}}{{end}}", HTML: `<a href="{{.s}}">{{range .l}}{{.}}{{end}}</a>`})
	if err != nil {
		t.Fatal(err)
	}
	// A value that says what stands for an unsafe one excuses the letter that it is in alone.
	if _, err := made.Render(json.RawMessage(`{"s":"ZgotmplZ","l":[]}`)); err != nil {
		t.Error(err)
	}
	most := strings.TrimSuffix(strings.Repeat("1,", 2_000), ",")
	for _, data := range []string{`{"s":"javascript:x","l":[]}`, `{"s":"x","l":[` + most + `,{}]}`, `{}`} {
		if _, err := made.Render(json.RawMessage(data)); err == nil {
			t.Errorf("%.30s is rendered", data)
		}
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := strings.Repeat(string(rune('a'+i)), 30)
			for range 5 {
				l, err := made.Render(json.RawMessage(`{"s":"` + name + `","l":[` + most + `]}`))
				if err != nil {
					t.Error(err)
				} else if l.Subject != name || !strings.HasPrefix(l.HTML, `<a href="`+name+`">111`) || len(l.Text) != 2_000 {
					t.Errorf("%s: %s", name, l.Subject)
				}
			}
		})
	}
	all.Wait()
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]letter.Letter{
		"":                 {Subject: "x", Text: "x", HTML: `<a href="https://x.example/">x</a><img src="cid:x" alt=""><a href="#x">x</a>`},
		"Gmail":            {Subject: "x", Text: "x", HTML: strings.Repeat("x", 102_001)},
		"subject":          {Subject: strings.Repeat("x", 79), Text: "x"},
		"form, iframe":     {Subject: "x", Text: "x", HTML: `<form><IFRAME src="https://x.example"></form><form>`},
		"runs scripts":     {Subject: "x", Text: "x", HTML: `<p title="x" onclick="y">`},
		"of links":         {Subject: "x", Text: "x", HTML: `<a href=" javascript:x()">`},
		"relative":         {Subject: "x", Text: "x", HTML: `<a href="/x">`},
		"alt":              {Subject: "x", Text: "x", HTML: `<img src="cid:x">`},
		"There is no text": {Subject: "x", HTML: `x`},
	} {
		got := strings.Join(l.Warnings(), "\n")
		if !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%+.60v: %q, want %q", l, got, want)
		}
	}
}
