package letter

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

//go:embed templates
var files embed.FS

// shapes are the data of the product's own templates.
var shapes = map[string]reflect.Type{
	"invoice":          reflect.TypeFor[Invoice](),
	"reminder":         reflect.TypeFor[Reminder](),
	"deal_won":         reflect.TypeFor[DealWon](),
	"webhook_disabled": reflect.TypeFor[WebhookDisabled](),
	"report_ready":     reflect.TypeFor[ReportReady](),
}

var meanings = map[string]string{
	"invoice":          "Brings a customer an invoice that has been sent.",
	"reminder":         "Asks a customer for what is overdue, in the words that it is given as text.",
	"deal_won":         "Tells the organization of a deal that it won.",
	"report_ready":     "Says that a report was made, and where it is.",
	"webhook_disabled": "Tells the organization that nothing is sent to a receiver of its webhooks any more.",
}

// Meaning says in a sentence what a template of the product's own is for, "" if there is none of the name.
func Meaning(name string) string { return meanings[name] }

// StandardNames lists the product's own templates, in the order of the alphabet.
func StandardNames() []string { return slices.Sorted(maps.Keys(shapes)) }

// Standard gives a template of the product's own, false if there is none of the name.
func Standard(name string) (*Parsed, bool) {
	p, ok := standard()[name]
	return p, ok
}

// Source is what the template was parsed from.
func (p *Parsed) Source() Template { return p.source }

// Sample is an example of the data of a template of the product's own, nil if there is none of the name.
func Sample(name string) json.RawMessage {
	data, err := files.ReadFile("templates/" + name + ".json")
	if _, ok := shapes[name]; !ok || err != nil {
		return nil
	}
	return data
}

// They are read when the first is needed, and are right, as tests see to it.
var standard = sync.OnceValue(func() map[string]*Parsed {
	parsed := make(map[string]*Parsed, len(shapes))
	for name := range shapes {
		p, err := Parse(standardSource(name))
		if err != nil {
			panic(fmt.Sprintf("read template %s: %v", name, err))
		}
		parsed[name] = p
	}
	return parsed
})

const bodyMark = "{{/* body */}}\n"

// standardSource puts a template together: what is its own in what all have.
func standardSource(name string) Template {
	subject, body, _ := strings.Cut(file(name+".txt"), "\n\n")
	return Template{
		Name:    name,
		Subject: strings.TrimPrefix(subject, "Subject: "),
		Text:    strings.Replace(file("layout.txt"), bodyMark, body, 1),
		HTML:    strings.Replace(file("layout.html"), bodyMark, file(name+".html"), 1),
	}
}

func file(name string) string {
	content, err := files.ReadFile("templates/" + name)
	if err != nil {
		panic(fmt.Sprintf("read template: %v", err))
	}
	return string(content)
}
