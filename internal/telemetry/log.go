// Package telemetry is how the product tells what it does, and what for: logs.
package telemetry

import (
	"io"
	"log/slog"
)

// Log formats.
const (
	Text = "text"
	JSON = "json"
)

// NewLog makes a logger that writes lines of a format from a level on.
func NewLog(w io.Writer, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == JSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
