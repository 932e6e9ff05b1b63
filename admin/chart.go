package admin

import (
	"encoding/json"
	"fmt"
	"html/template"
	"time"
)

// A chart is figures over time, for the part "chart".
type chart struct {
	Title, Unit string
	At          []time.Time
	Series      []series
	Stacked     bool // areas on top of each other
}

// A series is a line of a chart: a value for each time, nil where none is known.
type series struct {
	Name   string
	Values []*float64
	Bars   bool
}

// Last is the newest value that is known.
func (s series) Last() template.HTML {
	for i := len(s.Values) - 1; i >= 0; i-- {
		if s.Values[i] != nil {
			return number(*s.Values[i])
		}
	}
	return ""
}

// JSON is what the script draws.
func (c chart) JSON() (string, error) {
	type line struct {
		Name   string     `json:"name"`
		Values []*float64 `json:"values"`
		Bars   bool       `json:"bars"`
	}
	out := struct {
		Unit    string  `json:"unit"`
		At      []int64 `json:"at"`
		Series  []line  `json:"series"`
		Stacked bool    `json:"stacked"`
	}{Unit: c.Unit, At: make([]int64, len(c.At)), Stacked: c.Stacked}
	for i, at := range c.At {
		out.At[i] = at.Unix()
	}
	for _, s := range c.Series {
		if len(s.Values) != len(c.At) {
			return "", fmt.Errorf("chart %s: %d values of %s at %d times", c.Title, len(s.Values), s.Name, len(c.At))
		}
		out.Series = append(out.Series, line(s))
	}
	data, err := json.Marshal(out)
	return string(data), err
}

// A chartRow is a line of the table below a chart.
type chartRow struct {
	At     string
	Values []template.HTML
}

// Rows are the figures, newest first.
func (c chart) Rows() (rows []chartRow) {
	for i := len(c.At) - 1; i >= 0; i-- {
		row := chartRow{At: c.At[i].UTC().Format("01-02 15:04:05")}
		for _, s := range c.Series {
			if i < len(s.Values) && s.Values[i] != nil {
				row.Values = append(row.Values, number(*s.Values[i]))
			} else {
				row.Values = append(row.Values, dash)
			}
		}
		rows = append(rows, row)
	}
	return rows
}
