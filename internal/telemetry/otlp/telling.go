package otlp

import (
	"context"
	"log/slog"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/payaid/payaid/internal/telemetry"
)

// telling exports, and tells the log now and then that it can't: a collector that is away loses spans once a second.
type telling struct {
	next  sdk.SpanExporter
	leave func() // takes leave of the collector
	log   *slog.Logger
	lines telemetry.Sparse
	lost  int // since the log was told; the batcher exports one batch at a time
}

// ExportSpans implements sdk.SpanExporter.
func (t *telling) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := t.next.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	t.lost += len(spans)
	if _, due := t.lines.Tell("lost"); due {
		t.log.Warn("spans can't be sent to the collector and are lost; see OTEL_EXPORTER_OTLP_ENDPOINT",
			"spans", t.lost, "error", err)
		t.lost = 0
	}
	return nil // the library would write it to the standard error
}

// Shutdown implements sdk.SpanExporter.
func (t *telling) Shutdown(context.Context) error {
	t.leave()
	return nil
}
