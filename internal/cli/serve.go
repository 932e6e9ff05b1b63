package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/payaid/payaid/api"
)

// drainTime is how long requests may go on after the process has stopped taking new ones.
const drainTime = 15 * time.Second

// serve answers until ctx ends. Then readiness goes first, while requests are still taken: whoever spreads them has the
// pause to notice. After it waits and streams end, and other requests have drainTime.
func serve(ctx context.Context, server *api.Server, listener net.Listener, pause time.Duration, log *slog.Logger) error {
	h := &http.Server{
		Handler:           server.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		// Above the longest wait that a client may ask for. Streams set their own.
		WriteTimeout:   90 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	server.Leave()
	if pause > 0 {
		log.Info("api leaves", "in_ms", pause.Milliseconds())
		if err := waitFor(pause, served); err != nil {
			return err
		}
		if err := letNobodyBegin(listener); err != nil {
			log.Debug("connections that begin at the end may be reset", "error", err)
		} else if err := waitFor(lastConnections, served); err != nil {
			return err
		}
	}
	server.Drain()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := h.Shutdown(stopping); err != nil {
		log.Warn("api cut off requests", "error", err)
		return h.Close()
	}
	log.Info("api stopped")
	return nil
}

// waitFor lets time pass while requests are served.
func waitFor(d time.Duration, served <-chan error) error {
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case err := <-served:
		return fmt.Errorf("serve the API: %w", err)
	case <-over.C:
		return nil
	}
}
