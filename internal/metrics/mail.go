package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sendBounds are of one mail, from a connection that stands to a server that takes its time.
var sendBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// sendOutcomes are what a mail server's answers mean.
var sendOutcomes = []string{"accepted", "deferred", "rejected", "blocked", "too_large", "channel", "unknown"}

type mailMetrics struct {
	sends *prometheus.CounterVec
	took  prometheus.Histogram
}

func newMailMetrics() mailMetrics {
	m := mailMetrics{
		sends: counters("mail_sends_total", "Recipients that were tried, by what the mail server's answer means.", "outcome"),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "mail_send_duration_seconds",
			Help: "How long submitting one mail took, the wait for a connection included.", Buckets: sendBounds}),
	}
	for _, outcome := range sendOutcomes {
		m.sends.WithLabelValues(outcome)
	}
	return m
}

func (m mailMetrics) all() []prometheus.Collector { return []prometheus.Collector{m.sends, m.took} }

// Send counts one try to submit a mail to one recipient. What is no answer of the mail server is "other".
func (m *Metrics) Send(outcome string, took time.Duration) {
	label := other
	for _, one := range sendOutcomes {
		if one == outcome {
			label = one
		}
	}
	m.mail.sends.WithLabelValues(label).Inc()
	m.mail.took.Observe(took.Seconds())
}

type relayMetrics struct {
	published, fenced, uncertain prometheus.Counter
	looked                       prometheus.Gauge
}

func newRelayMetrics() relayMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	return relayMetrics{
		published: counter("relay_events_published_total", "Events that this process published."),
		fenced:    counter("relay_fenced_total", "Publishes that were refused, as another relay had written."),
		uncertain: counter("relay_uncertain_total", "Publishes whose outcome was open, and was looked up."),
		looked: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "relay_active_timestamp_seconds",
			Help: "When this process last reached the stream as the active relay; 0: never."}),
	}
}

func (r relayMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{r.published, r.fenced, r.uncertain, r.looked}
}

// Published counts events that the active relay stored in the stream; 0 for a look at it.
func (m *Metrics) Published(n int) {
	m.relay.published.Add(float64(n))
	m.relay.looked.SetToCurrentTime()
}

// Fenced counts a publish that was refused, as another relay had written.
func (m *Metrics) Fenced() { m.relay.fenced.Inc() }

// Uncertain counts a publish whose outcome was open.
func (m *Metrics) Uncertain() { m.relay.uncertain.Inc() }
