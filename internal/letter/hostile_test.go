package letter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/letter"
)

// longest is how long a template of a stranger may keep a processor, without what else the processor does
// meanwhile: most take some milliseconds, the worst 200 ms.
const longest = time.Second * slowness

// processorTime is what this thread has had of processors.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	const ofThread = 1 // RUSAGE_THREAD of Linux
	var used syscall.Rusage
	if err := syscall.Getrusage(ofThread, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func repeat(what string, most int) string { return strings.Repeat(what, most/len(what)) }

// numbered has n elements.
func numbered(n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]"
}

// Each is written to take a machine's time or memory. Whether it is refused when it is read, when it is rendered
// or not at all: it ends soon, and gives little.
func TestHostileTemplatesEnd(t *testing.T) {
	const k64 = letter.MaxSource
	big := `{"s":"` + strings.Repeat("x", 60_000) + `"}`
	many := `{"l":` + numbered(32_000) + `}`
	double := `{{$s = concat $s $s}}`
	for name, h := range map[string]struct{ html, data string }{
		"a billion rounds":                 {`{{range 1000000000}}{{end}}`, `{}`},
		"a billion rounds by a variable":   {`{{$n := 1000000000}}{{range $n}}{{end}}`, `{}`},
		"a billion rounds by a sum":        {`{{range add 500000000 500000000}}{{end}}`, `{}`},
		"rounds by the data":               {`{{range .n}}{{end}}`, `{"n":1000000000}`},
		"rounds by a length":               {`{{range len .s}}{{range len $.s}}{{end}}{{end}}`, big},
		"loops of loops":                   {`{{range .l}}{{range $.l}}{{end}}{{end}}`, many},
		"loops of loops of loops":          {`{{range .l}}{{range $.l}}{{range $.l}}{{end}}{{end}}{{end}}`, many},
		"a loop of much":                   {`{{range .l}}` + repeat(`{{$.l|len}}`, 60_000) + `{{end}}`, many},
		"a thousand loops":                 {repeat(`{{range .l}}{{end}}`, k64), many},
		"a loop of lines":                  {`{{range $.s | lines}}{{range lines $.s}}{{end}}{{end}}`, `{"s":"` + strings.Repeat(`\n`, 30_000) + `"}`},
		"a loop over keys":                 {`{{range .l}}{{range $.o}}{{end}}{{end}}`, `{"l":` + numbered(5_000) + `,"o":{` + manyKeys(5_000) + `}}`},
		"a wide format":                    {`{{printf "%1000000000d" 1}}`, `{}`},
		"a width from the data":            {`{{printf "%*d" 1000000000 1}}`, `{}`},
		"a text that doubles":              {`{{$s := "xxxxxxxxxxxxxxxx"}}` + strings.Repeat(double, 60), `{}`},
		"a text that doubles in a loop":    {`{{$s := "xxxxxxxxxxxxxxxx"}}{{range .l}}{{$s = concat $s $s}}{{end}}`, many},
		"a text that multiplies":           {`{{join .s .l}}`, `{"s":"` + strings.Repeat("x", 20_000) + `","l":` + numbered(20_000) + `}`},
		"a long text again and again":      {`{{range .l}}{{upper $.s}}{{end}}`, `{"s":"` + strings.Repeat("x", 30_000) + `","l":` + numbered(16_000) + `}`},
		"a long text compared":             {`{{range .l}}{{if eq $.s $.s $.s}}{{end}}{{end}}`, `{"s":"` + strings.Repeat("x", 30_000) + `","l":` + numbered(16_000) + `}`},
		"a long text in a style":           {`{{range .l}}<p style="color:{{$.s}}">{{end}}`, `{"s":"` + strings.Repeat("x", 30_000) + `","l":` + numbered(16_000) + `}`},
		"a long text in a script":          {`<script>{{range .l}}{{$.s}};{{end}}</script>`, `{"s":"` + strings.Repeat("x", 30_000) + `","l":` + numbered(16_000) + `}`},
		"a long text in a link":            {`{{range .l}}<a href="{{$.s}}">{{end}}`, `{"s":":` + strings.Repeat("x", 30_000) + `","l":` + numbered(16_000) + `}`},
		"a long text in a set of sources":  {`{{range .l}}<img srcset="{{$.s}}">{{end}}`, `{"s":"` + strings.Repeat("x,", 15_000) + `","l":` + numbered(16_000) + `}`},
		"a long text in a name":            {`{{range .l}}<p {{$.s}}>{{end}}`, `{"s":"` + strings.Repeat("x", 30_000) + `","l":` + numbered(16_000) + `}`},
		"itself":                           {`{{define "html"}}{{template "html"}}{{end}}{{template "html"}}`, `{}`},
		"itself by a block":                {`{{block "x" .}}{{template "x" .}}{{end}}`, `{}`},
		"itself, twice":                    {`{{define "a"}}{{template "b"}}{{template "b"}}{{end}}{{define "b"}}{{template "a"}}{{template "a"}}{{end}}{{template "a"}}`, `{}`},
		"calls":                            {`{{call .f}}`, `{"f":1}`},
		"deep if":                          {repeat(`{{if .x}}`, k64), `{}`},
		"deep if that ends":                {strings.Repeat(`{{if .x}}`, 3_000) + strings.Repeat(`{{end}}`, 3_000), `{"x":1}`},
		"deep range that ends":             {strings.Repeat(`{{range .x}}`, 2_000) + strings.Repeat(`{{end}}`, 2_000), `{"x":[1]}`},
		"deep else":                        {`{{if .x}}` + repeat(`{{else if .x}}`, 60_000) + `{{end}}`, `{"x":false}`},
		"deep with":                        {strings.Repeat(`{{with .x}}`, 3_000) + strings.Repeat(`{{end}}`, 3_000), `{"x":1}`},
		"deep parentheses":                 {`{{` + strings.Repeat("(", 30_000) + "1" + strings.Repeat(")", 30_000) + `}}`, `{}`},
		"parentheses left open":            {`{{` + repeat("(", 60_000), `{}`},
		"a long chain":                     {`{{` + repeat(".x", 60_000) + `}}`, `{"x":1}`},
		"a long chain in a loop":           {`{{range .l}}{{if $` + repeat(".x", 7_000) + `}}{{end}}{{end}}`, many},
		"a long pipe":                      {`{{1` + repeat("|len", 60_000) + `}}`, `{}`},
		"many arguments":                   {`{{range .l}}{{if and` + repeat(" 1", 7_000) + `}}{{end}}{{end}}`, many},
		"many variables":                   {repeat(`{{$x := 1}}`, k64), `{}`},
		"many variables in a loop":         {`{{range .l}}` + repeat(`{{$x := 1}}`, 20_000) + `{{end}}`, many},
		"many breaks":                      {`{{range .l}}` + repeat(`{{if .}}{{break}}{{end}}`, 60_000) + `{{end}}`, many},
		"many tags":                        {repeat(`<p a=b>`, k64), `{}`},
		"many branches of tags":            {repeat(`<p {{if .x}}a=b{{else}}c{{end}}>`, k64), `{"x":1}`},
		"deep template literals":           {"<script>" + repeat("`${", 60_000), `{}`},
		"deep template literals in twos":   {`<a onclick="` + strings.Repeat("`${{{if .x}}{{end}}", 1_500) + `">`, `{}`},
		"many literals in an attribute":    {`<a onclick="` + repeat("`${", 60_000), `{}`},
		"an open script":                   {"<script>" + repeat("</", 60_000), `{}`},
		"an open area":                     {"<textarea>" + repeat("</tex", 60_000), `{}`},
		"marks of less":                    {repeat("<", k64), `{}`},
		"marks of less and a space":        {repeat("< ", k64), `{}`},
		"marks of less and an end":         {repeat("</", k64), `{}`},
		"marks of less and an exclamation": {repeat("<!", k64), `{}`},
		"marks of less and a dash":         {repeat("<!-", k64), `{}`},
		"few marks of less":                {strings.Repeat("<", 200) + repeat("x", 60_000), `{}`},
		"a title":                          {"<title>" + repeat("<", 16_000) + "</title>", `{}`},
		"titles of tags":                   {"<title>" + repeat("<a", 16_000) + "</title>", `{}`},
		"titles":                           {strings.Repeat("<title>"+repeat("<a", 16_000)+"{{1}}", 3) + "</title>", `{}`},
		"titles in loops":                  {`{{range .l}}{{range .l}}` + strings.Repeat("<title>"+repeat("<a", 16_000)+"{{1}}", 3) + "</title>{{end}}{{end}}", many},
		"ends in styles in loops":          {`{{range .l}}{{range .l}}` + strings.Repeat("<style>"+repeat("/**/</", 15_000)+"</style>{{1}}", 4) + "{{end}}{{end}}", many},
		"ends in a style":                  {"<style>" + repeat("</", 16_000) + "</style>", `{}`},
		"texts in a style":                 {"<style>" + repeat("''", 16_000) + "</style>", `{}`},
		"addresses in a style":             {"<style>" + repeat("url()", 16_000) + "</style>", `{}`},
		"comments in a style":              {"<style>" + repeat("/**/", 16_000) + "</style>", `{}`},
		"comments and ends in a style":     {"<style>" + repeat("/**/</", 16_000) + "</style>", `{}`},
		"comments in a long style":         {"<style>" + repeat("/**/", 60_000) + "</style>", `{}`},
		"titles of few tags":               {strings.Repeat("<title>"+repeat("<a", 1_900)+repeat("x", 14_000)+"{{1}}", 4) + "</title>", `{}`},
		"ends in a long style":             {"<style>" + repeat("''</", 60_000) + "</style>", `{}`},
		"ends in a style's attributes":     {"<style " + repeat("a='</' ", 60_000) + ">x</style>", `{}`},
		"ends in a meta's attributes":      {"<meta " + repeat("a='</' ", 60_000) + ">", `{}`},
		"ends after metas":                 {repeat("<meta>", 30_000) + repeat("</a>", 30_000), `{}`},
		"ends after metas, fewer":          {repeat("<meta>", 10_000) + repeat("</a>", 10_000), `{}`},
		"a title in a long letter":         {"<title>x</title>" + repeat("<a"+repeat("x", 98), 60_000), `{}`},
		"metas":                            {repeat("<meta></a>", 60_000), `{}`},
		"metas of a piece":                 {repeat("<meta></a>", 16_000), `{}`},
		"metas in loops":                   {`{{range .l}}{{range .l}}` + strings.Repeat(repeat("<meta></a>", 16_000)+"{{1}}", 3) + "{{end}}{{end}}", many},
		"tags":                             {repeat("<a></a>", 60_000), `{}`},
		"tags of a letter":                 {repeat("<a>", 60_000), `{}`},
		"an open style":                    {"<style>" + repeat("/*", 60_000), `{}`},
		"an open title":                    {"<title>" + repeat("</tit", 60_000), `{}`},
		"open comments":                    {repeat("<!--", 60_000), `{}`},
		"slashes in a script":              {"<script>" + repeat("a/", 60_000), `{}`},
		"spaces in a script":               {"<script>" + repeat("a ", 60_000) + "/x/</script>", `{}`},
		"regular expressions":              {"<script>" + repeat("/[/", 60_000), `{}`},
		"words in a script":                {"<script>" + repeat("a\n", 60_000), `{}`},
		"open attributes":                  {"<p " + repeat("a=", 60_000), `{}`},
		"entities":                         {`<p title="` + repeat("&amp", 60_000) + `">`, `{}`},
		"much text":                        {repeat("word ", k64), `{}`},
		"much output":                      {`{{range .l}}` + repeat("word ", 60_000) + `{{end}}`, many},
		"too much":                         {repeat("word ", 2*k64), `{}`},
		"deep data":                        {`{{.x}}`, `{"x":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`},
		"a number without end":             {`{{if gt .x 1}}{{number .x}}{{end}}`, `{"x":1e999999999}`},
		"a number of many digits":          {`{{range .l}}{{if lt $.x 1}}{{end}}{{end}}`, `{"x":` + strings.Repeat("9", 30_000) + `,"l":` + numbered(16_000) + `}`},
		"an exponent in the template":      {`{{1e308}}{{-1e-300}}{{0x1p1000}}`, `{}`},
		"a complex number":                 {`{{1i}}`, `{}`},
		"an overflow":                      {`{{range 99999999999999999999}}{{end}}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for _, part := range []string{"html", "text"} {
				from := letter.Template{Subject: "x", Text: "x"}
				if part == "html" {
					from.HTML = h.html
				} else {
					from.Text = h.html
				}
				start := processorTime(t)
				made, err := letter.Parse(from)
				if err == nil {
					var l letter.Letter
					l, err = made.Render(json.RawMessage(h.data))
					if len(l.HTML) > letter.MaxOutput || len(l.Text) > letter.MaxOutput {
						t.Errorf("%s: %d bytes", part, len(l.HTML)+len(l.Text))
					}
				}
				took := processorTime(t) - start
				if took > longest {
					t.Errorf("%s: took %v", part, took)
				}
				t.Logf("%s: %v: %.300v", part, took, err)
				checkPlain(t, err)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `"k%d":1`, i)
	}
	return b.String()
}

// checkPlain holds an error to words that the template's writer knows.
func checkPlain(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var ofTemplate *letter.Error
	var ofData *letter.DataError
	if !errors.As(err, &ofTemplate) && !errors.As(err, &ofData) {
		t.Errorf("an error of another kind: %v", err)
	}
	for _, inner := range []string{"interface", "map[", "[]", "reflect", "int64", "state", "template:", "_write", "_each", "letter.", "nil "} {
		if strings.Contains(err.Error(), inner) {
			t.Errorf("the error speaks of %q: %v", inner, err)
		}
	}
}
