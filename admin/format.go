package admin

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// functions are what templates can do besides showing values:
//
//	{{when .At}}        a time; {{ago .At}} how long ago it was, or until it is. Both take nil, which is a dash.
//	{{duration .D}}     a time.Duration, or seconds as a float; {{between .From .To}} from one time to another
//	{{milliseconds .N}} the same, of milliseconds
//	{{bytes .N}} {{number .N}} {{percent .Share}} {{hundredths .Share}} {{money .Paise}}
//	{{short .ID}}       the end of a long id, which is what differs; the whole as its title
//	{{json .Raw}}       a value as a tree that folds
//	{{badge .State}}    a state, by colour, shape and word
//	{{icon "jobs"}}
//	{{live "jobs"}}     attributes of the part of a page that is fetched again when such things change
//	{{dict "A" 1}}      several values for a template of parts.html
//	{{list "a" "b"}}    several values in a row
//	{{text .Pointer}}   a *string, or a dash
//	{{path .ID}}        an id as one segment of a path
//	{{pairs .Raw}}      the fields of a JSON object, in a line; {{tone .State}} the colour of a state
//	{{rupees .Nano}}    billionths of a rupee; {{spark .Trend}} a line as wide as a word; {{deref .Bool}} a *bool
//	{{plain .Pointer}}   a *string as a string; {{some .N}} whether a number is more than nothing; {{add .N .M}}
//	{{outcome .State}}   a state of an attempt, of which all that is not known went wrong
//	{{anchor "x" .V}}     the id of an element, which is the same for the same values whenever the page is made
var functions = template.FuncMap{
	"when": when, "ago": ago, "duration": duration, "milliseconds": milliseconds, "bytes": bytesOf, "number": number,
	"percent": percent, "money": money, "short": short, "json": jsonTree, "badge": badge, "icon": icon, "live": liveAttributes,
	"dict": dict, "list": list, "last": func(way []crumb) int { return len(way) - 1 }, "text": text, "path": pathEscape,
	"pairs": pairs, "tone": tone, "rupees": rupees, "spark": spark, "sparks": sparks, "bulkreason": bulkReason, "deref": deref,
	"plain": plain, "some": some, "add": func(a, b int64) int64 { return a + b }, "outcome": outcome,
	"hundredths": hundredths, "anchor": anchor, "between": between,
}

const dash = template.HTML(`<span class="none" aria-label="none">–</span>`)

// timeOf reads what shapes have: a time, a pointer to one, or RFC 3339.
func timeOf(v any) (t time.Time, ok bool) {
	switch v := v.(type) {
	case time.Time:
		t = v
	case *time.Time:
		if v != nil {
			t = *v
		}
	case string:
		t, _ = time.Parse(time.RFC3339Nano, v)
	case *string:
		if v != nil {
			t, _ = time.Parse(time.RFC3339Nano, *v)
		}
	}
	return t, !t.IsZero()
}

// when is a time in UTC, which the script turns into the reader's own.
func when(v any) template.HTML {
	t, ok := timeOf(v)
	if !ok {
		return dash
	}
	t = t.UTC()
	exact := t.Format("2006-01-02T15:04:05.000Z")
	return template.HTML(`<time class="when" datetime="` + exact + `" title="` + exact + `">` + t.Format("2006-01-02 15:04:05") + ` UTC</time>`)
}

// ago is how long ago a time was, which the script keeps true.
func ago(v any) template.HTML {
	t, ok := timeOf(v)
	if !ok {
		return dash
	}
	exact := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return template.HTML(`<time class="ago" datetime="` + exact + `" title="` + exact + `">` + since(time.Since(t)) + `</time>`)
}

func since(d time.Duration) string {
	switch {
	case d < -time.Second:
		return "in " + rough(-d)
	case d < time.Second:
		return "now"
	}
	return rough(d) + " ago"
}

// rough is a duration as people say it.
func rough(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + " d"
}

// floatOf reads the numbers that shapes have.
func floatOf(v any) (n float64, ok bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int32:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case *int:
		if v != nil {
			return float64(*v), true
		}
	case *int64:
		if v != nil {
			return float64(*v), true
		}
	case *uint64:
		if v != nil {
			return float64(*v), true
		}
	case *float64:
		if v != nil {
			return *v, !math.IsNaN(*v) && !math.IsInf(*v, 0)
		}
	}
	return 0, false
}

// duration is how long something took: a time.Duration, or seconds.
func duration(v any) template.HTML {
	if d, ok := v.(time.Duration); ok {
		return took(d)
	}
	if n, ok := floatOf(v); ok {
		return took(time.Duration(n * float64(time.Second)))
	}
	return dash
}

// between is how long it was from one time to another, a dash where one is not known. Clocks of two machines differ, so
// that it may seem to be less than nothing, which it was not.
func between(from, to any) template.HTML {
	begin, begun := timeOf(from)
	end, ended := timeOf(to)
	if !begun || !ended {
		return dash
	}
	return took(max(end.Sub(begin), 0))
}

func milliseconds(v any) template.HTML {
	if n, ok := floatOf(v); ok {
		return took(time.Duration(n * float64(time.Millisecond)))
	}
	return dash
}

func took(d time.Duration) template.HTML {
	switch a := d.Abs(); {
	case a == 0:
		return "0 ms"
	case a < time.Millisecond:
		return template.HTML(strconv.Itoa(int(d/time.Microsecond)) + " µs")
	case a < 10*time.Millisecond:
		return template.HTML(strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms")
	case a < time.Second:
		return template.HTML(strconv.Itoa(int(d/time.Millisecond)) + " ms")
	case a < time.Minute:
		return template.HTML(strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s")
	case a < time.Hour && d%time.Minute < time.Second:
		return template.HTML(fmt.Sprintf("%d min", int(d.Minutes())))
	case a < time.Hour:
		return template.HTML(fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60))
	case a < 48*time.Hour && d%time.Hour < time.Minute:
		return template.HTML(fmt.Sprintf("%d h", int(d.Hours())))
	case a < 48*time.Hour:
		return template.HTML(fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60))
	}
	return template.HTML(fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24))
}

func bytesOf(v any) template.HTML {
	n, ok := floatOf(v)
	if !ok {
		return dash
	}
	for _, unit := range []string{"B", "kB", "MB", "GB", "TB"} {
		if math.Abs(n) < 1000 || unit == "TB" {
			if unit == "B" || n >= 100 {
				return template.HTML(strconv.FormatFloat(n, 'f', 0, 64) + " " + unit)
			}
			return template.HTML(strconv.FormatFloat(n, 'f', 1, 64) + " " + unit)
		}
		n /= 1000
	}
	return dash
}

// number is a count with its thousands apart, or a figure with at most two decimals.
func number(v any) template.HTML {
	n, ok := floatOf(v)
	if !ok {
		return dash
	}
	if n != math.Trunc(n) {
		return template.HTML(strings.TrimRight(strings.TrimRight(strconv.FormatFloat(n, 'f', 2, 64), "0"), "."))
	}
	return template.HTML(apart(strconv.FormatFloat(n, 'f', 0, 64), 3))
}

// apart sets separators into digits: a first group of three from the right, and then groups of some.
func apart(digits string, group int) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	out, width := "", 3
	for len(digits) > width {
		out = "," + digits[len(digits)-width:] + out
		digits, width = digits[:len(digits)-width], group
	}
	return sign + digits + out
}

// percent is a share of 1.
func percent(v any) template.HTML {
	n, ok := floatOf(v)
	if !ok {
		return dash
	}
	decimals := 1
	if n == 0 || n == 1 {
		decimals = 0
	}
	return template.HTML(strconv.FormatFloat(100*n, 'f', decimals, 64) + " %")
}

// money is paise as rupees, in lakhs and crores.
func money(v any) template.HTML {
	n, ok := floatOf(v)
	if !ok {
		return dash
	}
	text := strconv.FormatFloat(n/100, 'f', 2, 64)
	whole, paise, _ := strings.Cut(text, ".")
	return template.HTML("₹" + apart(whole, 2) + "." + paise)
}

// short is the end of an id, which is where UUIDv7 of the same minute differ.
func short(v any) template.HTML {
	id := plain(v)
	if id == "" {
		return dash
	}
	shown := id
	if utf8.RuneCountInString(id) > 14 {
		runes := []rune(id)
		shown = "…" + string(runes[len(runes)-12:])
	}
	return template.HTML(`<code class="id" title="` + template.HTMLEscapeString(id) + `">` + template.HTMLEscapeString(shown) + `</code>`)
}

func text(v any) template.HTML {
	if s := plain(v); s != "" {
		return template.HTML(template.HTMLEscapeString(s))
	}
	return dash
}

func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case *string:
		if v == nil {
			return ""
		}
		return *v
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(v)
}

// some reports whether a number is there and more than nothing.
func some(v any) bool {
	n, ok := floatOf(v)
	return ok && n > 0
}

// anchor is the id of an element, by which the script opens again what somebody had opened before a part of the page was
// fetched anew. It is the same for the same values, in whatever order they are shown.
func anchor(what string, values ...any) string {
	h := fnv.New64a()
	for _, v := range values {
		_, _ = fmt.Fprintf(h, "%s\x00", plain(v))
	}
	return what + "-" + strconv.FormatUint(h.Sum64(), 36)
}

func deref(b *bool) bool { return b != nil && *b }

func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict takes names and values in turn")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

func list(values ...any) []any { return values }

// liveAttributes mark the part of a page that is fetched anew when one of the things changes.
func liveAttributes(things string) template.HTMLAttr {
	return template.HTMLAttr(`id="live" data-live="` + template.HTMLEscapeString(things) + `"`)
}
