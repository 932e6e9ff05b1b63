package admin

import (
	"encoding/json"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"github.com/payaid/payaid/operator"
)

// A pair is a field of a JSON object, to be shown in a line.
type pair struct{ Name, Value string }

// pairs are the fields of a JSON object by name; nil where it is none.
func pairs(raw json.RawMessage) (list []pair) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	for name, value := range fields {
		shown := string(value)
		var text string
		if json.Unmarshal(value, &text) == nil {
			shown = text
		}
		list = append(list, pair{strings.ReplaceAll(name, "_", " "), shown})
	}
	slices.SortFunc(list, func(a, b pair) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// tone is the colour of a state.
func tone(state string) string { return looks[state].tone }

// rupees shows billionths of a rupee, which are often less than a paisa.
func rupees(nano int64) template.HTML {
	if nano != 0 && nano < 10_000_000 && nano > -10_000_000 {
		return template.HTML("₹" + strconv.FormatFloat(float64(nano)/1e9, 'f', 4, 64))
	}
	return money(nano / 10_000_000)
}

const sparkWidth, sparkHeight = 96, 18

// spark draws how often an index was scanned, step by step. The figures stand on the page of the index.
func spark(points []operator.IndexPoint) template.HTML {
	values := make([]int64, len(points))
	for i, p := range points {
		values[i] = p.Scans
	}
	return sparkline(values)
}

// sparkline draws values, one after the other. It is decoration: the figures stand elsewhere.
func sparkline(values []int64) template.HTML {
	most := int64(1)
	for _, v := range values {
		most = max(most, v)
	}
	if len(values) < 2 {
		return dash
	}
	var b strings.Builder
	for i, v := range values {
		x := float64(i) * sparkWidth / float64(len(values)-1)
		y := 1 + (sparkHeight-2)*(1-float64(v)/float64(most))
		b.WriteString(strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64) + " ")
	}
	return template.HTML(`<svg class="spark" viewBox="0 0 96 18" width="96" height="18" aria-hidden="true" focusable="false"><polyline points="` +
		strings.TrimSpace(b.String()) + `" fill="none" stroke="currentColor" stroke-width="1.25"/></svg>`)
}
