package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An Attempt is one attempt of a job, as it ended.
type Attempt struct {
	Kind    string
	Outcome string
	// Wait is from when it was due until it began, Took from there to its end. Lost says that nobody knows them.
	Wait, Took time.Duration
	Lost       bool
	TraceID    string
}

// outcomes are those of attempts, so that each is there from the beginning: what comes into being with its first
// failure shows no increase.
var outcomes = []string{"succeeded", "failed", "retried", "waiting", "cancelled", "returned", "lost"}

// attemptBounds are of each queue: models take a second to five minutes, an invalidation a millisecond, and a backup
// as long as it takes.
var attemptBounds = map[string][]float64{
	"ai":          {0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300},
	"mail":        {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
	"cache":       {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5},
	"webhook":     {0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
	"maintenance": {0.05, 0.25, 1, 5, 15, 60, 300, 900, 1800, 3600},
}

// waitBounds reach from a queue that is idle to one that is stuck.
var waitBounds = []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 300, 900, 3600}

type jobMetrics struct {
	attempts *prometheus.CounterVec
	took     map[string]*prometheus.HistogramVec // by queue
	waited   *prometheus.HistogramVec
}

func newJobMetrics(kinds map[string]string) jobMetrics {
	j := jobMetrics{
		attempts: counters("job_attempts_total", "Attempts of jobs that ended, by queue, kind and outcome.", "queue", "kind", "outcome"),
		took:     make(map[string]*prometheus.HistogramVec),
		waited: histograms("job_wait_seconds", "From when an attempt was due until it began, by queue. What a client put off is due later.",
			waitBounds, "queue"),
	}
	for kind, queue := range kinds {
		for _, outcome := range outcomes {
			j.attempts.WithLabelValues(queue, kind, outcome)
		}
		if j.took[queue] == nil {
			bounds, fit := attemptBounds[queue]
			if !fit {
				bounds = attemptBounds["maintenance"]
			}
			// Each queue has bounds of its own, so it is a vector of its own within the one family.
			j.took[queue] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace,
				Name: "job_attempt_duration_seconds", Help: "How long attempts of jobs took. The bounds are those of the queue.",
				ConstLabels: prometheus.Labels{"queue": queue}, Buckets: bounds}, []string{"kind"})
			j.waited.WithLabelValues(queue)
		}
		j.took[queue].WithLabelValues(kind)
	}
	return j
}

func (j jobMetrics) all() []prometheus.Collector {
	list := []prometheus.Collector{j.attempts, j.waited}
	for _, one := range j.took {
		list = append(list, one)
	}
	return list
}

// Attempt counts an attempt of a job. Kinds that the process doesn't know are all "other".
func (m *Metrics) Attempt(a Attempt) {
	queue, known := m.config.Kinds[a.Kind]
	if !known {
		m.jobs.attempts.WithLabelValues(other, other, outcomeLabel(a.Outcome)).Inc()
		return
	}
	m.jobs.attempts.WithLabelValues(queue, a.Kind, outcomeLabel(a.Outcome)).Inc()
	if a.Lost {
		return
	}
	m.jobs.waited.WithLabelValues(queue).Observe(a.Wait.Seconds())
	observe(m.jobs.took[queue].WithLabelValues(a.Kind), a.Took.Seconds(), m.exemplar(a.TraceID))
}

func outcomeLabel(outcome string) string {
	for _, one := range outcomes {
		if one == outcome {
			return one
		}
	}
	return other
}
