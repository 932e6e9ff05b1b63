// Package otlp brings spans to an OpenTelemetry collector, by OTLP over HTTP. A collector that is slow or away slows
// nobody: spans wait in memory, a bounded number of them, and beyond that are left out.
//
// The usual exporter is not used, as it links all of gRPC: 10 MB of program for one POST.
package otlp

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/payaid/payaid/internal/telemetry/trace"
)

// Options say where spans go, and of how many traces.
type Options struct {
	URL     string            // that is posted to, "": nothing is traced
	Headers map[string]string // of each POST
	RootCAs *x509.CertPool    // nil: the system's
	Timeout time.Duration     // of a POST; 0: 10 s
	// Proxy chooses the proxy; nil is none.
	Proxy func(*http.Request) (*url.URL, error)
	// Ratio is the part of traces that is recorded, 0 to 1.
	Ratio float64
	// Service and Version name the process, Attributes say more about it.
	Service, Version string
	Attributes       map[string]string
	Log              *slog.Logger
}

// Keeps gives what tells whether a trace is recorded, by its id; nil where nothing is traced.
func (o Options) Keeps() func(traceID string) bool {
	if o.URL == "" {
		return nil
	}
	ratio := sdk.TraceIDRatioBased(o.Ratio)
	return func(traceID string) bool {
		id, err := oteltrace.TraceIDFromHex(traceID)
		return err == nil && ratio.ShouldSample(sdk.SamplingParameters{TraceID: id}).Decision == sdk.RecordAndSample
	}
}

// Bounds of what waits to be sent: some 4 MB.
const (
	queued  = 4096
	atOnce  = 512
	every   = time.Second
	flushIn = 5 * time.Second
)

// Traces are the spans of a process on their way. nil is none.
type Traces struct {
	tracer   *trace.Tracer
	provider *sdk.TracerProvider
	log      *slog.Logger
}

// Open prepares to send; it connects when there is something to send. Without a URL it gives nil.
func Open(o Options) *Traces {
	if o.URL == "" {
		return nil
	}
	to := newClient(o)
	exporter := &telling{next: otlptrace.NewUnstarted(to), leave: to.http.CloseIdleConnections, log: o.Log}
	ratio := sdk.TraceIDRatioBased(o.Ratio)
	provider := sdk.NewTracerProvider(
		sdk.WithResource(resource.NewSchemaless(o.resource()...)),
		sdk.WithSampler(sdk.ParentBased(following{ratio})),
		sdk.WithRawSpanLimits(limits),
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(queued), sdk.WithMaxExportBatchSize(atOnce),
			sdk.WithBatchTimeout(every), sdk.WithExportTimeout(o.timeout())))
	admits := func(id oteltrace.TraceID) bool {
		return ratio.ShouldSample(sdk.SamplingParameters{TraceID: id}).Decision == sdk.RecordAndSample
	}
	return &Traces{tracer: trace.NewTracer(provider, admits), provider: provider, log: o.Log}
}

// Tracer makes spans; nil of no Traces.
func (t *Traces) Tracer() *trace.Tracer {
	if t == nil {
		return nil
	}
	return t.tracer
}

// Close sends what waits, within five seconds.
func (t *Traces) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushIn)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last spans were not sent", "error", err)
	}
}

// limits keep one span small, whatever it is about.
var limits = sdk.SpanLimits{AttributeValueLengthLimit: 2048, AttributeCountLimit: 64, EventCountLimit: 8,
	LinkCountLimit: 8, AttributePerEventCountLimit: 8, AttributePerLinkCountLimit: 8}

func (o Options) timeout() time.Duration {
	if o.Timeout == 0 {
		return 10 * time.Second
	}
	return o.Timeout
}

// resource says which process it is, by the names of OpenTelemetry's semantic conventions.
func (o Options) resource() []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("service.name", o.Service),
		attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", uuid.NewString()),
		attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.name", "opentelemetry"),
	}
	for name, value := range o.Attributes {
		list = append(list, attribute.String(name, value))
	}
	return list
}

// following records roots that are linked to what is recorded, and of the others a part.
type following struct{ sdk.Sampler }

// ShouldSample implements sdk.Sampler.
func (f following) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	for _, link := range p.Links {
		if link.SpanContext.IsSampled() {
			return sdk.SamplingResult{Decision: sdk.RecordAndSample}
		}
	}
	return f.Sampler.ShouldSample(p)
}

// Description implements sdk.Sampler.
func (f following) Description() string { return fmt.Sprintf("Following{%s}", f.Sampler.Description()) }
