package admin

import (
	"net/http"
	"net/url"
	"time"

	"github.com/payaid/payaid/operator"
)

// An aiPage is how models do.
type aiPage struct {
	operator.AIOverview
	Step    string // of the charts: minute, hour
	Charts  []chart
	Calls   []operator.AICall // the newest; the overview's counts are Counts
	Counts  []operator.AICallCount
	Hour    int64 // attempts of the last hour
	Vain    int64 // of these, without an answer
	Only    string
	Current string // this page without what narrows it
}

const newestCalls = "15"

// ai shows how models do, what they cost and what they save.
func (p *Pages) ai(r *request) error {
	data := aiPage{Step: "minute", Only: r.FormValue("organization"), Current: "/admin/ai"}
	if r.FormValue("step") == "hour" {
		data.Step = "hour"
	}
	if err := r.client.Get(r.Context(), "/api/admin/ai", r.filters("organization"), &data.AIOverview); err != nil {
		return err
	}
	data.Counts = data.AIOverview.Calls
	for _, c := range data.Counts {
		if c.Provider == "cache" || c.Provider == "rules" {
			continue
		}
		data.Hour += c.Hour
		if c.Outcome != "ok" {
			data.Vain += c.Hour
		}
	}
	var s operator.AISeries
	if err := r.client.Get(r.Context(), "/api/admin/ai/series", url.Values{"step": {data.Step}}, &s); err != nil {
		return err
	}
	data.Charts = aiCharts(s)
	query := r.filters("organization")
	query.Set("limit", newestCalls)
	var calls operator.AICallList
	if err := r.client.Get(r.Context(), "/api/admin/ai/calls", query, &calls); err != nil {
		return err
	}
	data.Calls = calls.Data
	return r.render(http.StatusOK, "ai", "AI", data)
}

// aiCharts draw who answered, how quickly, what was saved and what failed.
func aiCharts(s operator.AISeries) []chart {
	at := make([]time.Time, len(s.Points))
	line := func(value func(operator.AIPoint) *float64) []*float64 {
		values := make([]*float64, len(s.Points))
		for i, p := range s.Points {
			values[i] = value(p)
		}
		return values
	}
	count := func(value func(operator.AIPoint) int64) []*float64 {
		return line(func(p operator.AIPoint) *float64 { n := float64(value(p)); return &n })
	}
	for i, p := range s.Points {
		at[i] = p.At
	}
	return []chart{
		{Title: "Answers by", At: at, Stacked: true, Series: []series{
			{Name: "Ollama", Values: count(func(p operator.AIPoint) int64 { return p.Ollama })},
			{Name: "Groq", Values: count(func(p operator.AIPoint) int64 { return p.Groq })},
			{Name: "cache", Values: count(func(p operator.AIPoint) int64 { return p.Cache })},
			{Name: "rules", Values: count(func(p operator.AIPoint) int64 { return p.Rules })}}},
		{Title: "Latency of answers", Unit: "ms", At: at, Series: []series{
			{Name: "mean", Values: line(func(p operator.AIPoint) *float64 { return p.LatencyMS })}}},
		{Title: "Saved", Unit: "₹", At: at, Series: []series{{Name: "saved", Bars: true,
			Values: line(func(p operator.AIPoint) *float64 { n := float64(p.Saved) / 100; return &n })}}},
		{Title: "Attempts without an answer", At: at, Series: []series{{Name: "attempts", Bars: true,
			Values: count(func(p operator.AIPoint) int64 { return p.Failures })}}},
	}
}

// An aiCallsPage is a part of the list of attempts, and what it was narrowed by.
type aiCallsPage struct {
	Calls  []operator.AICall
	Pager  pager
	Query  url.Values
	Narrow bool
}

// aiCalls lists attempts at models.
func (p *Pages) aiCalls(r *request) error {
	names := []string{"provider", "model", "outcome", "organization", "job"}
	query := r.filters(names...)
	narrow := r.spans(query, "started_after", "started_before") || r.narrowed(names...)
	var list operator.AICallList
	if err := r.client.Get(r.Context(), "/api/admin/ai/calls", query, &list); err != nil {
		return err
	}
	return r.renderAt(http.StatusOK, "ai_calls", []crumb{{Title: "AI", Path: "/admin/ai"}, {Title: "Calls"}},
		aiCallsPage{Calls: list.Data, Pager: r.pager(list.NextCursor), Query: r.URL.Query(), Narrow: narrow})
}

// spans takes times of the query over for the API, and reports whether there are any.
func (r *request) spans(query url.Values, names ...string) (narrow bool) {
	for _, name := range names {
		if at := timeField(r.URL.Query().Get(name)); at != "" {
			query.Set(name, at)
			narrow = true
		}
	}
	return narrow
}

// narrowed reports whether any of these filters is set.
func (r *request) narrowed(names ...string) bool {
	for _, name := range names {
		if r.URL.Query().Get(name) != "" {
			return true
		}
	}
	return false
}

// pullModel has a model fetched, and leads to the job that does it.
func (p *Pages) pullModel(r *request) error {
	var made operator.Submitted
	in := operator.PullModel{Model: r.PostFormValue("model"), Insecure: r.PostFormValue("insecure") != ""}
	if err := r.client.Do(r.Context(), http.MethodPost, "/api/admin/ai/models", in, &made); err != nil {
		return err
	}
	return r.follow(made, "Ollama is told to fetch "+in.Model+". This is the job that does it.")
}

// follow leads to a job that was submitted just now.
func (r *request) follow(made operator.Submitted, text string) error {
	return r.redirect("/admin/jobs/"+pathEscape(made.JobID), text)
}
