package letter_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/payaid/payaid/internal/letter"
)

// Whatever a stranger writes, it ends, gives little, and what is wrong with it is said in plain kinds of errors.
func FuzzTemplate(f *testing.F) {
	for _, name := range letter.StandardNames() {
		made, _ := letter.Standard(name)
		f.Add(made.Source().Subject, made.Source().Text, string(letter.Sample(name)))
		f.Add("x", made.Source().HTML, string(letter.Sample(name)))
	}
	for _, source := range []string{
		"{{range $i, $l := lines .long}}{{$i}}{{else}}{{break}}{{end}}", "{{with .object}}{{.x}}{{else with $.n}}{{end}}", "{{(index .list 0) | upper}}",
		`<a href="{{.link}}" title={{.name}} onclick="x({{.n}})" style="color:{{.name}}">`, "<style>{{.name}}</style><title>{{.name}}</title><!--{{.n}}-->",
		`{{define "x"}}{{template "x" .}}{{end}}`, `{{truncate 3 (concat .name .list)}}`, "{{$x := 1e309}}{{-0x1p-2}}{{'a'}}{{nil}}", "<<<<a <b {{.name}}=c>`${",
		`<img srcset="{{.link}} 2x, {{.name}}">`, `<meta content="0;url={{.link}}" http-equiv=refresh>`, "{{range .list}}{{range $.list}}{{.}}{{end}}{{continue}}{{end}}",
	} {
		f.Add(source, source, things)
	}
	f.Fuzz(func(t *testing.T, subject, body, data string) {
		for _, from := range []letter.Template{{Subject: subject, HTML: body}, {Subject: "x", Text: body}} {
			start := time.Now()
			l, err := render(t, from, data)
			// Above what the worst of the known take on a busy machine.
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if len(l.HTML) > letter.MaxOutput || len(l.Text) > letter.MaxOutput || utf8.RuneCountInString(l.Subject) > letter.MaxSubject {
				t.Errorf("%d, %d and %d bytes", len(l.Subject), len(l.Text), len(l.HTML))
			}
			if !utf8.ValidString(l.Subject + l.Text + l.HTML) {
				t.Error("the letter is no Unicode")
			}
			l.Warnings()
			var ofTemplate *letter.Error
			var ofData *letter.DataError
			if err != nil && !errors.As(err, &ofTemplate) && !errors.As(err, &ofData) {
				t.Errorf("an error of another kind: %v", err)
			}
			if ofTemplate != nil && (ofTemplate.Detail == "" || !utf8.ValidString(ofTemplate.Detail)) {
				t.Errorf("the error says %q", ofTemplate.Detail)
			}
		}
	})
}

// Data that nobody has looked at are fit or not; where they are, the letter is written.
func FuzzFit(f *testing.F) {
	for _, name := range letter.StandardNames() {
		f.Add(name, string(letter.Sample(name)))
	}
	f.Fuzz(func(t *testing.T, name, data string) {
		made, ok := letter.Standard(name)
		fit, faults := letter.Fit(name, json.RawMessage(data))
		if !ok || len(faults) > 0 {
			return
		}
		if _, err := made.Render(fit); err != nil {
			t.Errorf("%s of %s: %v", name, fit, err)
		}
	})
}
