package monitoring

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is no name of a series, in the order in which it has to go: texts may hold anything, and what stands in braces
// or behind "by" are labels.
var (
	texts     = regexp.MustCompile("\"(?:\\\\.|[^\"\\\\])*\"|'(?:\\\\.|[^'\\\\])*'|`[^`]*`")
	remarks   = regexp.MustCompile(`#[^\n]*`)
	matchers  = regexp.MustCompile(`\{[^{}]*\}`)
	spans     = regexp.MustCompile(`\[[^\[\]]*\]`)
	groupings = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)`)
	functions = regexp.MustCompile(`\b[a-zA-Z_]\w*\s*\(`)
	numbers   = regexp.MustCompile(`(?i)\b(?:0x[0-9a-f]+|[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+|ms|[smhdwy])?(?:[0-9]+(?:ms|[smhdwy]))*|inf|nan)\b`)
	names     = regexp.MustCompile(`[a-zA-Z_:][\w:]*`)
)

var words = map[string]bool{"and": true, "or": true, "unless": true, "bool": true, "offset": true, "atan2": true,
	"by": true, "without": true, "on": true, "ignoring": true, "group_left": true, "group_right": true, "start": true, "end": true}

// seriesIn are the names of the series that an expression asks for.
func seriesIn(expr string) []string {
	found := make(map[string]bool)
	expr = remarks.ReplaceAllString(texts.ReplaceAllString(expr, " "), " ")
	for _, gone := range []*regexp.Regexp{matchers, spans, groupings} {
		expr = gone.ReplaceAllString(expr, " ")
	}
	// The sum of "sum by (le) (x)" has its arguments apart.
	expr = functions.ReplaceAllString(expr, "(")
	expr = regexp.MustCompile(`\b(sum|min|max|avg|count|topk|bottomk|quantile|group|stddev|stdvar|count_values|limitk)\b\s*\(`).ReplaceAllString(expr, "(")
	expr = numbers.ReplaceAllString(expr, " ")
	for _, name := range names.FindAllString(expr, -1) {
		if !words[name] && !aggregations[name] {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

var aggregations = map[string]bool{"sum": true, "min": true, "max": true, "avg": true, "count": true, "topk": true,
	"bottomk": true, "quantile": true, "group": true, "stddev": true, "stdvar": true, "count_values": true}

func TestSeriesIn(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`up`: "up",
		`sum by (le, job) (rate(a_bucket{route=~"/x|b_total{}",m!='c'}[5m]))`:          "a_bucket",
		`sum(rate(a_total[1h])) by (b) / on (c) group_left (d) e_total offset 5m`:      "a_total e_total",
		`histogram_quantile(0.95, sum without (x) (rate(h_bucket[$__rate_interval])))`: "h_bucket",
		`a:b:rate5m > 14.4 * 0.001 and a:b:rate1h > 1e-3`:                              "a:b:rate1h a:b:rate5m",
		`time() - max(x_seconds > 0) # and y_total`:                                    "x_seconds",
		`absent(a) or absent(b) unless c == bool 1`:                                    "a b c",
		`predict_linear(free[6h], 86400) < 0 and free / size < 0.4`:                    "free size",
		`topk(10, count by (x) (y{z="}"}))`:                                            "y",
		`{__name__="a"} + max_over_time(b[1d:5m] @ end())`:                             "b",
		`rate_total + sum_total{sum="sum"}`:                                            "rate_total sum_total",
		`1h30m + 0x1f + Inf + NaN + ms`:                                                "ms",
		"label_replace(a, \"b\", `c)`, \"d\", \"\\\"e\")":                              "a",
		`max by (schedule) (schedule_overdue_seconds) > 900`:                           "schedule_overdue_seconds",
	} {
		if got := strings.Join(seriesIn(expr), " "); got != want {
			t.Errorf("%s: got %q, want %q", expr, got, want)
		}
	}
}
