package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Request is an answered request.
type Request struct {
	Method string // of HTTP's own
	Route  string // the pattern, "-" where no route is meant
	Status int
	Took   time.Duration
	// Lasting says that its client chose how long it took: it is counted, and its time is not.
	Lasting bool
	TraceID string
}

// mostRoutes is more than there are. The API names its own patterns alone; this is the net under it.
const mostRoutes = 250

// The bounds of a request: answers take milliseconds, and clients give up after ten seconds.
var requestBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

type httpMetrics struct {
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	routes   *set
}

func newHTTPMetrics() httpMetrics {
	return httpMetrics{
		requests: counters("http_requests_total", "Requests that were answered, by method, route and class of the status.",
			"method", "route", "status"),
		took: histograms("http_request_duration_seconds",
			"How long answers took, without those whose clients chose how long: streams, and waits for a job.",
			requestBounds, "method", "route"),
		routes: &set{most: mostRoutes},
	}
}

func (h httpMetrics) all() []prometheus.Collector { return []prometheus.Collector{h.requests, h.took} }

// Request counts an answered request.
func (m *Metrics) Request(r Request) {
	method, route := methodLabel(r.Method), other
	if r.Route != "-" && r.Route != "" {
		route = m.http.routes.of(r.Route)
	}
	m.http.requests.WithLabelValues(method, route, statusClass(r.Status)).Inc()
	if !r.Lasting {
		observe(m.http.took.WithLabelValues(method, route), r.Took.Seconds(), m.exemplar(r.TraceID))
	}
}

func methodLabel(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return method
	}
	return other
}

func statusClass(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	case 5:
		return "5xx"
	}
	return other
}
