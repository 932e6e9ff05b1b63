package cli

import (
	"log/slog"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry/otlp"
)

// traceSettings have the names that OpenTelemetry gives them.
type traceSettings struct {
	OTLPEndpoint       string `name:"otel-exporter-otlp-endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"OpenTelemetry collector that is sent traces, such as http://collector:4318; /v1/traces is added. Set it for every process. Nothing is traced unless set."`
	OTLPTracesEndpoint string `name:"otel-exporter-otlp-traces-endpoint" env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" help:"The same as a whole address, over it."`
	OTLPProtocol       string `name:"otel-exporter-otlp-protocol" env:"OTEL_EXPORTER_OTLP_PROTOCOL" default:"http/protobuf" help:"How traces are sent: http/protobuf alone."`
	OTLPHeaders        string `name:"otel-exporter-otlp-headers" env:"OTEL_EXPORTER_OTLP_HEADERS" secret:"" help:"Headers for the collector, such as a key, by commas: NAME=VALUE."`
	OTLPCertificate    string `name:"otel-exporter-otlp-certificate" env:"OTEL_EXPORTER_OTLP_CERTIFICATE" placeholder:"FILE" help:"Certificates (PEM) of those who vouch for the collector, in place of the system's."`
	OTLPTimeout        string `name:"otel-exporter-otlp-timeout" env:"OTEL_EXPORTER_OTLP_TIMEOUT" default:"10000" help:"Milliseconds that the collector has to answer. Nobody waits for it."`
	ServiceName        string `name:"otel-service-name" env:"OTEL_SERVICE_NAME" help:"Name of the process in traces (payaid-api, payaid-relay, payaid-worker)."`
	ResourceAttributes string `name:"otel-resource-attributes" env:"OTEL_RESOURCE_ATTRIBUTES" help:"What else traces say of the process, by commas: NAME=VALUE."`
	SamplerArg         string `name:"otel-traces-sampler-arg" env:"OTEL_TRACES_SAMPLER_ARG" default:"1" help:"Part of the traces that is recorded, 0 to 1. A client's traceparent can keep its request out, but not let it in."`
}

const maxTraceTimeout = 60_000

// check gives options without a URL where nothing is traced.
func (s traceSettings) check(p *problems) otlp.Options {
	o := otlp.Options{Service: s.ServiceName, Version: version(), Proxy: http.ProxyFromEnvironment}
	o.Ratio = p.decimal("OTEL_TRACES_SAMPLER_ARG", s.SamplerArg, 0, 1)
	o.Timeout = time.Duration(p.number("OTEL_EXPORTER_OTLP_TIMEOUT", s.OTLPTimeout, 1, maxTraceTimeout)) * time.Millisecond
	o.Attributes = p.pairs("OTEL_RESOURCE_ATTRIBUTES", s.ResourceAttributes)
	o.Headers = p.pairs("OTEL_EXPORTER_OTLP_HEADERS", s.OTLPHeaders)
	for name, value := range o.Headers {
		if textproto.TrimString(name) == "" || strings.ContainsFunc(name+value, func(r rune) bool { return r < ' ' || r > '~' }) {
			p.add("OTEL_EXPORTER_OTLP_HEADERS", "holds a character that no header has")
		}
	}
	if s.OTLPProtocol != "http/protobuf" {
		p.add("OTEL_EXPORTER_OTLP_PROTOCOL", "want http/protobuf (collectors take it on port 4318), got %q", s.OTLPProtocol)
	}
	switch {
	case s.OTLPTracesEndpoint != "":
		o.URL = p.url("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", s.OTLPTracesEndpoint, "http", "https")
	case s.OTLPEndpoint != "":
		if o.URL = p.url("OTEL_EXPORTER_OTLP_ENDPOINT", s.OTLPEndpoint, "http", "https"); o.URL != "" {
			o.URL = strings.TrimRight(o.URL, "/") + "/v1/traces"
		}
	}
	o.RootCAs = p.authorities("OTEL_EXPORTER_OTLP_CERTIFICATE", s.OTLPCertificate)
	return o
}

// pairs reads NAME=VALUE, …, with values in percent encoding as in W3C Baggage. What it says does not repeat the values.
func (p *problems) pairs(name, list string) map[string]string {
	if strings.TrimSpace(list) == "" {
		return nil
	}
	out := make(map[string]string)
	for one := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(one, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || key == "" || err != nil {
			p.add(name, "want NAME=VALUE, by commas")
			continue
		}
		out[key] = value
	}
	return out
}

// openTraces prepares to send the traces of one part of the product.
func openTraces(o otlp.Options, service string, log *slog.Logger) *otlp.Traces {
	if o.Service == "" {
		o.Service = service
	}
	o.Log = log
	return otlp.Open(o)
}

// statementsOf traces what is asked of Postgres, where anything is traced.
func statementsOf(t *otlp.Traces) pgx.QueryTracer {
	if t == nil {
		return nil
	}
	return store.Spans{}
}
