package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers GET /metrics, GET /livez and GET /readyz, and nothing else. Who may ask is up to the network: the figures hold
// nothing of tenants, and there is no key to keep.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		// Two servers of Prometheus may ask, and somebody who looks; not a thousand strangers.
		MaxRequestsInFlight: 8, EnableOpenMetrics: true,
	}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintln(w, `{"status":"ok"}`)
	})
	mux.HandleFunc("GET /readyz", m.readyz)
	return mux
}

// readyz is 200 where the process does its work, and 503 with what is in the way otherwise.
func (m *Metrics) readyz(w http.ResponseWriter, r *http.Request) {
	status, answer := http.StatusOK, map[string]string{"status": "ok"}
	if m.config.Ready != nil {
		if err := m.config.Ready(r.Context()); err != nil {
			status, answer = http.StatusServiceUnavailable, map[string]string{"status": "not_ready", "detail": err.Error()}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// stopWithin is how long a scrape may go on after the process is told to stop.
const stopWithin = 2 * time.Second

// Serve answers on a listener until ctx ends.
func (m *Metrics) Serve(ctx context.Context, listener net.Listener, log *slog.Logger) error {
	h := &http.Server{Handler: m.Handler(log), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the metrics: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := h.Shutdown(stopping); err != nil {
		return h.Close()
	}
	return nil
}
