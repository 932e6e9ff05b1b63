package admin

import (
	"html/template"
	"net/http"
	"net/url"
	"time"

	"github.com/payaid/payaid/operator"
)

// A failuresPage is what went wrong, by cause.
type failuresPage struct {
	operator.FailureList
	Query  url.Values
	Narrow bool
	Tabs   []failureTab
	Left   int // groups that are not shown
}

// failed finds the jobs that a line counts as failed: those of its cause, within what the page is narrowed to.
func (p failuresPage) failed(fingerprint string) url.Values {
	q := url.Values{"status": {"failed"}, "fingerprint": {fingerprint}}
	for _, name := range []string{"queue", "organization_id"} {
		if value := p.Query.Get(name); value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// FailedJobs is the list of them.
func (p failuresPage) FailedJobs(fingerprint string) string {
	return "/admin/jobs?" + p.failed(fingerprint).Encode()
}

// RetryFields are the fields of a form that asks what it would do to retry them.
func (p failuresPage) RetryFields(fingerprint string) map[string]string {
	fields := map[string]string{"action": "retry"}
	for name, values := range p.failed(fingerprint) {
		fields[name] = values[0]
	}
	return fields
}

// A failureTab is a link to another window.
type failureTab struct {
	Window, Title, Path string
	At                  bool
}

var failureWindows = []struct{ window, title string }{{"1h", "Last hour"}, {"24h", "Last day"}, {"7d", "Last week"}}

// failures shows what went wrong, grouped by its cause.
func (p *Pages) failures(r *request) error {
	names := []string{"kind", "queue", "organization_id"}
	query := r.filters(append(names, "window", "order")...)
	data := failuresPage{Query: r.URL.Query()}
	if err := r.client.Get(r.Context(), "/api/admin/failures", query, &data.FailureList); err != nil {
		return err
	}
	for _, name := range names {
		data.Narrow = data.Narrow || data.Query.Get(name) != ""
	}
	for _, w := range failureWindows {
		data.Tabs = append(data.Tabs, failureTab{w.window, w.title, r.with(data.Query, "window", w.window), w.window == data.Window})
	}
	data.Left = data.Groups - len(data.Data)
	return r.render(http.StatusOK, "failures", "Failures", data)
}

// sparks draws a group's failures over the window.
func sparks(parts []operator.FailurePart) template.HTML {
	values := make([]int64, len(parts))
	for i, p := range parts {
		values[i] = p.Attempts
	}
	return sparkline(values)
}

// A failurePage is one group of failures.
type failurePage struct {
	operator.FailureDetail
	Chart chart
	Tabs  []failureTab
}

// failure shows a group of failures, and the newest of them.
func (p *Pages) failure(r *request) error {
	var data failurePage
	fingerprint := r.PathValue("fingerprint")
	if err := r.client.Get(r.Context(), "/api/admin/failures/"+pathEscape(fingerprint), r.filters("window"), &data.FailureDetail); err != nil {
		return err
	}
	line := series{Name: "failed attempts", Bars: true}
	for _, part := range data.Parts {
		n := float64(part.Attempts)
		line.Values = append(line.Values, &n)
		data.Chart.At = append(data.Chart.At, part.At)
	}
	data.Chart.Title, data.Chart.Series = "Failures over time", []series{line}
	for _, w := range failureWindows {
		data.Tabs = append(data.Tabs, failureTab{w.window, w.title, r.with(r.URL.Query(), "window", w.window), w.window == data.Window})
	}
	return r.renderAt(http.StatusOK, "failure", []crumb{{Title: "Failures", Path: "/admin/failures"}, {Title: data.Kind + " " + data.Code}}, data)
}

// fieldTime is a moment that a form gave, nil for none.
func fieldTime(given string) (*time.Time, error) {
	if given == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, timeField(given))
	return &t, err
}
