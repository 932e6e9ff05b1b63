package admin

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/payaid/payaid/operator"
)

// workPages are those of queues, who works them, kinds and the clock.
func workPages() []page {
	const get, post = http.MethodGet, http.MethodPost
	return []page{
		{method: get, pattern: "/admin/queues", handle: (*Pages).queues, nav: "queues"},
		{method: post, pattern: "/admin/queues/all/pause", handle: actOn("/api/admin/queues/pause", "/admin/queues", "All queues are paused."), nav: "queues"},
		{method: post, pattern: "/admin/queues/all/resume", handle: actOn("/api/admin/queues/resume", "/admin/queues", "All queues are worked again."), nav: "queues"},
		{method: get, pattern: "/admin/queues/{name}", handle: (*Pages).queue, nav: "queues"},
		{method: post, pattern: "/admin/queues/{name}/pause", handle: actOn("/api/admin/queues/{name}/pause", "/admin/queues", "The queue is paused."), nav: "queues"},
		{method: post, pattern: "/admin/queues/{name}/resume", handle: actOn("/api/admin/queues/{name}/resume", "/admin/queues", "The queue is worked again."), nav: "queues"},
		{method: get, pattern: "/admin/workers", handle: (*Pages).workers, nav: "workers"},
		{method: get, pattern: "/admin/kinds", handle: (*Pages).kinds, nav: "kinds"},
		{method: get, pattern: "/admin/kinds/{name}", handle: (*Pages).kind, nav: "kinds"},
		{method: get, pattern: "/admin/schedules", handle: (*Pages).schedules, nav: "schedules"},
		{method: post, pattern: "/admin/schedules/{name}/run", handle: actOn("/api/admin/schedules/{name}/run", "/admin/schedules", "It starts within a second or two."), nav: "schedules"},
		{method: post, pattern: "/admin/schedules/{name}/pause", handle: actOn("/api/admin/schedules/{name}/pause", "/admin/schedules", "The clock leaves it alone."), nav: "schedules"},
		{method: post, pattern: "/admin/schedules/{name}/resume", handle: actOn("/api/admin/schedules/{name}/resume", "/admin/schedules", "The clock starts it again."), nav: "schedules"},
	}
}

// actOn answers a form that does one thing, and goes back to where it came from.
func actOn(path, back, done string) func(*Pages, *request) error {
	return func(_ *Pages, r *request) error {
		to := strings.ReplaceAll(path, "{name}", pathEscape(r.PathValue("name")))
		if err := r.client.Do(r.Context(), http.MethodPost, to, nil, nil); err != nil {
			return err
		}
		return r.back(back, done)
	}
}

// A queueLine is a queue with small pictures of its last hour.
type queueLine struct {
	operator.Queue
	Depth, Ended template.HTML
}

type queuesPage struct {
	Queues []queueLine
	At     time.Time
	Paused int
}

func (p *Pages) queues(r *request) error {
	var list operator.QueueList
	if err := r.client.Get(r.Context(), "/api/admin/queues", nil, &list); err != nil {
		return err
	}
	data := queuesPage{At: list.GeneratedAt}
	for _, q := range list.Data {
		line := queueLine{Queue: q}
		depth, ended := make([]*int64, len(q.Trend)), make([]*int64, len(q.Trend))
		for i, t := range q.Trend {
			depth[i], ended[i] = t.Available, t.Ended
		}
		line.Depth, line.Ended = sparkOf("due, last hour", depth), sparkOf("attempts a minute, last hour", ended)
		data.Queues = append(data.Queues, line)
		if q.PausedAt != nil {
			data.Paused++
		}
	}
	return r.render(http.StatusOK, "queues", "Queues", data)
}

// sparkOf draws values as a small line, which is broken where one is not known.
func sparkOf(name string, values []*int64) template.HTML {
	const width, height = 120, 24
	most := int64(1)
	for _, v := range values {
		if v != nil {
			most = max(most, *v)
		}
	}
	var path strings.Builder
	pen := "M"
	for i, v := range values {
		if v == nil {
			pen = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1fh.1", pen, float64(i)*width/float64(max(1, len(values)-1)), height-1-float64(*v)*(height-2)/float64(most))
		pen = "L"
	}
	if path.Len() == 0 {
		return dash
	}
	return template.HTML(fmt.Sprintf(`<svg class="spark" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s: %d at most" fill="none" stroke="currentColor" stroke-width="1.5"><path d="%s"/></svg>`,
		width, height, width, height, template.HTMLEscapeString(name), most, path.String()))
}

// ranges are those that charts can be about.
var ranges = []string{"1h", "6h", "24h", "7d", "30d", "90d"}

func rangeOf(r *request, otherwise string) string {
	for _, one := range ranges {
		if r.FormValue("range") == one {
			return one
		}
	}
	return otherwise
}

type queuePage struct {
	operator.QueueDetail
	Ranges []string
	Charts []chart
}

func (p *Pages) queue(r *request) error {
	data := queuePage{Ranges: ranges}
	path := "/api/admin/queues/" + pathEscape(r.PathValue("name"))
	if err := r.client.Get(r.Context(), path, url.Values{"range": {rangeOf(r, "1h")}}, &data.QueueDetail); err != nil {
		return err
	}
	data.Charts = queueCharts(data.Points)
	return r.renderAt(http.StatusOK, "queue", []crumb{{"Queues", "/admin/queues"}, {Title: data.Name}}, data)
}

func queueCharts(points []operator.QueuePoint) []chart {
	at, works := make([]time.Time, len(points)), make([]*operator.QueueWork, len(points))
	available, running, later, oldest := make([]*float64, len(points)), make([]*float64, len(points)), make([]*float64, len(points)), make([]*float64, len(points))
	for i, p := range points {
		at[i], works[i] = p.At, p.Work
		available[i], running[i], later[i] = floating(p.Available, 1), floating(p.Running, 1), floating(p.Later, 1)
		oldest[i] = floating(p.OldestMS, 1000)
	}
	return append([]chart{
		{Title: "Depth", Unit: "jobs", At: at, Series: []series{{Name: "due", Values: available}, {Name: "running", Values: running}, {Name: "later", Values: later}}},
		{Title: "Oldest that waits", Unit: "s", At: at, Series: []series{{Name: "oldest", Values: oldest}}},
	}, workCharts(at, works)...)
}

// workCharts draw what became of attempts, how long they took, and how many went wrong.
func workCharts(at []time.Time, works []*operator.QueueWork) []chart {
	line := func(name string, of func(*operator.QueueWork) *float64) series {
		s := series{Name: name, Values: make([]*float64, len(works))}
		for i, w := range works {
			if w != nil {
				s.Values[i] = of(w)
			}
		}
		return s
	}
	count := func(name string, of func(*operator.QueueWork) int64) series {
		return line(name, func(w *operator.QueueWork) *float64 { n := of(w); return floating(&n, 1) })
	}
	return []chart{
		{Title: "Attempts that ended", Unit: "a step", At: at, Series: []series{
			count("succeeded", func(w *operator.QueueWork) int64 { return w.Succeeded }),
			count("put off", func(w *operator.QueueWork) int64 { return w.Waiting }),
			count("failed", func(w *operator.QueueWork) int64 { return w.Failed + w.Lost }),
			count("tried again", func(w *operator.QueueWork) int64 { return w.Retried }),
		}},
		{Title: "Wait until taken", Unit: "ms", At: at, Series: []series{
			line("p50", func(w *operator.QueueWork) *float64 { return w.WaitP50MS }), line("p95", func(w *operator.QueueWork) *float64 { return w.WaitP95MS })}},
		{Title: "Run", Unit: "ms", At: at, Series: []series{
			line("p50", func(w *operator.QueueWork) *float64 { return w.RunP50MS }), line("p95", func(w *operator.QueueWork) *float64 { return w.RunP95MS })}},
		{Title: "Attempts that went wrong", Unit: "share", At: at, Series: []series{line("errors", func(w *operator.QueueWork) *float64 { return w.ErrorRate })}},
	}
}

func floating(v *int64, by float64) *float64 {
	if v == nil {
		return nil
	}
	f := float64(*v) / by
	return &f
}

func (p *Pages) workers(r *request) error {
	var list operator.WorkerList
	if err := r.client.Get(r.Context(), "/api/admin/workers", nil, &list); err != nil {
		return err
	}
	return r.render(http.StatusOK, "workers", "Workers", list)
}

func (p *Pages) kinds(r *request) error {
	var list operator.KindList
	if err := r.client.Get(r.Context(), "/api/admin/kinds", nil, &list); err != nil {
		return err
	}
	return r.render(http.StatusOK, "kinds", "Kinds", list)
}

type kindPage struct {
	operator.KindDetail
	Ranges []string
	Charts []chart
}

func (p *Pages) kind(r *request) error {
	data := kindPage{Ranges: ranges}
	path := "/api/admin/kinds/" + pathEscape(r.PathValue("name"))
	if err := r.client.Get(r.Context(), path, url.Values{"range": {rangeOf(r, "24h")}}, &data.KindDetail); err != nil {
		return err
	}
	at, works := make([]time.Time, len(data.Points)), make([]*operator.QueueWork, len(data.Points))
	for i, one := range data.Points {
		at[i], works[i] = one.At, one.Work
	}
	for i, c := range workCharts(at, works) {
		if i != 1 { // how long jobs waited is counted by queue
			data.Charts = append(data.Charts, c)
		}
	}
	return r.renderAt(http.StatusOK, "kind", []crumb{{"Kinds", "/admin/kinds"}, {Title: data.Name}}, data)
}

func (p *Pages) schedules(r *request) error {
	var list operator.ScheduleList
	if err := r.client.Get(r.Context(), "/api/admin/schedules", nil, &list); err != nil {
		return err
	}
	return r.render(http.StatusOK, "schedules", "Schedules", list)
}
