package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// deliveryBounds are of one attempt, from a receiver next door to one that takes all the time that it is given.
var deliveryBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20}

// attemptCodes are what became of attempts at deliveries.
var attemptCodes = []string{"succeeded", "status", "timeout", "connect", "dns", "tls", "protocol", "redirect", "gone", "refused_address",
	"invalid_url", "invalid_secret", "cancelled"}

// endStatuses are how deliveries end.
var endStatuses = []string{"succeeded", "failed"}

type webhookMetrics struct {
	attempts, ended *prometheus.CounterVec
	took            *prometheus.HistogramVec
}

func newWebhookMetrics() webhookMetrics {
	w := webhookMetrics{
		attempts: counters("webhook_attempts_total", "Attempts at deliveries, by what became of them: succeeded is an answer of 2xx, status any other.", "outcome"),
		ended:    counters("webhook_deliveries_ended_total", "Deliveries that ended with an attempt. Those that are given up without one, as their endpoint is disabled or deleted, are not among them.", "status"),
		took:     histograms("webhook_attempt_duration_seconds", "How long attempts at deliveries took, by whether there was an answer.", deliveryBounds, "answered"),
	}
	for _, code := range attemptCodes {
		w.attempts.WithLabelValues(code)
	}
	for _, status := range endStatuses {
		w.ended.WithLabelValues(status)
	}
	for _, answered := range []string{"true", "false"} {
		w.took.WithLabelValues(answered)
	}
	return w
}

func (w webhookMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{w.attempts, w.ended, w.took}
}

// Delivery counts one attempt at a delivery: "" is success, else the code of what went wrong. Codes of which the
// package doesn't know are "other".
func (m *Metrics) Delivery(code string, answered bool, took time.Duration, traceID string) {
	outcome := code
	if code == "" {
		outcome = "succeeded"
	}
	if !slices.Contains(attemptCodes, outcome) {
		outcome = other
	}
	label := "false"
	if answered {
		label = "true"
	}
	m.webhook.attempts.WithLabelValues(outcome).Inc()
	observe(m.webhook.took.WithLabelValues(label), took.Seconds(), m.exemplar(traceID))
}

// DeliveryEnded counts a delivery that ended with an attempt.
func (m *Metrics) DeliveryEnded(status string) {
	if !slices.Contains(endStatuses, status) {
		status = other
	}
	m.webhook.ended.WithLabelValues(status).Inc()
}
