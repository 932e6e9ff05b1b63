// Package metrics is what Prometheus reads: counters of what this process does, and figures that are looked up when
// it asks. It knows none of the parts that it watches; whoever wires them hands over observations and sources.
//
// Labels come from small sets: the route's pattern, the method, the class of the status, the kind, the queue, the
// provider, the tier of the model. Never an organization, a path, an id or an address: a client must not be able to
// make series. What is not of its set is "other".
package metrics

import (
	"context"
	"log/slog"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/payaid/payaid/internal/telemetry"
)

const namespace = "payaid"

// other stands for what is not of a label's set.
const other = "other"

// A Config says what there is to tell apart.
type Config struct {
	Version string
	// Kinds are the kinds of jobs, with the queue of each.
	Kinds map[string]string
	// Tiers are the configured models, with the tier of each. Clients may name others.
	Tiers map[string]string
	// Sampled tells whether somebody keeps a trace, so that it is worth a link; nil: nobody keeps any.
	Sampled func(traceID string) bool
	// Ready is nil where the process does its work, and otherwise says what is in the way, in words for everybody;
	// no function: it is always ready.
	Ready func(context.Context) error
	// Log hears of sources that fail, now and then.
	Log *slog.Logger
}

// Metrics gathers what one process tells. It is safe for concurrent use.
type Metrics struct {
	config   Config
	registry *prometheus.Registry
	http     httpMetrics
	jobs     jobMetrics
	ai       aiMetrics
	mail     mailMetrics
	relay    relayMetrics
	webhook  webhookMetrics
	slow     *prometheus.CounterVec

	lines telemetry.Sparse // about sources that fail

	mu      sync.Mutex
	sources []*source
}

// New makes the families of a process, with those of the Go runtime and of the process itself.
func New(c Config) *Metrics {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	m := &Metrics{config: c, registry: prometheus.NewRegistry(), http: newHTTPMetrics(), jobs: newJobMetrics(c.Kinds),
		ai: newAIMetrics(), mail: newMailMetrics(), relay: newRelayMetrics(), webhook: newWebhookMetrics(),
		slow: counters("db_slow_queries_total", "Queries that took 100 ms or longer, by pool.", "pool")}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help: "1, with the program's version."}, []string{"version"})
	build.WithLabelValues(c.Version).Set(1)
	m.registry.MustRegister(build, m.slow, sourcesOf{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, list := range [][]prometheus.Collector{m.http.all(), m.jobs.all(), m.ai.all(), m.mail.all(), m.relay.all(), m.webhook.all()} {
		m.registry.MustRegister(list...)
	}
	return m
}

// SlowQueries gives what counts a query of a pool that took long. The pool is told from now on, also without any.
func (m *Metrics) SlowQueries(pool string) (count func()) { return m.slow.WithLabelValues(pool).Inc }

// exemplar is the link to a trace, nil where there is none that leads anywhere.
func (m *Metrics) exemplar(traceID string) prometheus.Labels {
	if m.config.Sampled == nil || traceID == "" || !m.config.Sampled(traceID) {
		return nil
	}
	return prometheus.Labels{"trace_id": traceID}
}

// observe notes a value, with the link to its trace where there is one.
func observe(o prometheus.Observer, seconds float64, link prometheus.Labels) {
	if with, ok := o.(prometheus.ExemplarObserver); ok && link != nil {
		with.ObserveWithExemplar(seconds, link)
		return
	}
	o.Observe(seconds)
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histograms(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: bounds}, labels)
}

// A set bounds what a label may be, to what it saw first.
type set struct {
	most int

	mu    sync.RWMutex
	known map[string]struct{}
}

// of gives the value, or "other" once there are too many, and for what can't be a label.
func (s *set) of(value string) string {
	s.mu.RLock()
	_, known := s.known[value]
	s.mu.RUnlock()
	if known {
		return value
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known = s.known[value]; known {
		return value
	}
	if len(s.known) >= s.most || !utf8.ValidString(value) {
		return other
	}
	if s.known == nil {
		s.known = make(map[string]struct{})
	}
	s.known[value] = struct{}{}
	return value
}
