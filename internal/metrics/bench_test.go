package metrics

import (
	"testing"
	"time"
)

// What a request costs more where somebody watches.
func BenchmarkRequest(b *testing.B) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	r := Request{Method: "GET", Route: "/api/contacts/{id}", Status: 200, Took: 3 * time.Millisecond, TraceID: trace}
	for name, sampled := range map[string]func(string) bool{"plain": nil, "with a trace": func(string) bool { return true }} {
		b.Run(name, func(b *testing.B) {
			m := newMetrics(b, func(c *Config) { c.Sampled = sampled })
			b.ReportAllocs()
			for b.Loop() {
				m.Request(r)
			}
		})
	}
}

func BenchmarkAttempt(b *testing.B) {
	m := newMetrics(b)
	b.ReportAllocs()
	for b.Loop() {
		m.Attempt(Attempt{Kind: "ai.chat", Outcome: "succeeded", Wait: time.Millisecond, Took: time.Second})
	}
}
