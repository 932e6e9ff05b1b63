package cli

import (
	"strings"
	"testing"
	"time"
)

func traceDefaults(change func(*traceSettings)) traceSettings {
	s := traceSettings{OTLPProtocol: "http/protobuf", OTLPTimeout: "10000", SamplerArg: "1"}
	if change != nil {
		change(&s)
	}
	return s
}

func TestTraceSettings(t *testing.T) {
	t.Parallel()
	var p problems
	off := traceDefaults(nil).check(&p)
	if off.URL != "" || openTraces(off, "payaid-api", nil) != nil || statementsOf(nil) != nil {
		t.Errorf("without an endpoint there is %+v", off)
	}
	o := traceDefaults(func(s *traceSettings) {
		s.OTLPEndpoint, s.SamplerArg, s.OTLPTimeout = "http://collector:4318/", "0.25", "500"
		s.OTLPHeaders, s.ResourceAttributes = "api-key=a%20key, tenant=x", "deployment.environment.name=prod"
	}).check(&p)
	if o.URL != "http://collector:4318/v1/traces" || o.Ratio != 0.25 || o.Timeout != 500*time.Millisecond ||
		o.Headers["api-key"] != "a key" || o.Headers["tenant"] != "x" || o.Attributes["deployment.environment.name"] != "prod" {
		t.Errorf("got %+v", o)
	}
	whole := traceDefaults(func(s *traceSettings) {
		s.OTLPEndpoint, s.OTLPTracesEndpoint = "http://collector:4318", "https://traces.example.com/in"
	}).check(&p)
	if whole.URL != "https://traces.example.com/in" {
		t.Errorf("got %s", whole.URL)
	}
	if err := p.err(); err != nil {
		t.Error(err)
	}
}

// What is wrong names its setting, and shows no secret.
func TestTraceSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*traceSettings){
		"OTEL_EXPORTER_OTLP_ENDPOINT":        func(s *traceSettings) { s.OTLPEndpoint = "grpc://user:hunter2@collector" },
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": func(s *traceSettings) { s.OTLPTracesEndpoint = "collector:4318" },
		"OTEL_EXPORTER_OTLP_PROTOCOL":        func(s *traceSettings) { s.OTLPProtocol = "grpc" },
		"OTEL_EXPORTER_OTLP_HEADERS":         func(s *traceSettings) { s.OTLPHeaders = "key=hunter2%0d" },
		"OTEL_EXPORTER_OTLP_TIMEOUT":         func(s *traceSettings) { s.OTLPTimeout = "10s" },
		"OTEL_EXPORTER_OTLP_CERTIFICATE":     func(s *traceSettings) { s.OTLPCertificate = "/nowhere/ca.pem" },
		"OTEL_TRACES_SAMPLER_ARG":            func(s *traceSettings) { s.SamplerArg = "1.5" },
		"OTEL_RESOURCE_ATTRIBUTES":           func(s *traceSettings) { s.ResourceAttributes = "hunter2" },
	} {
		var p problems
		traceDefaults(change).check(&p)
		if err := p.err(); err == nil || !strings.Contains(err.Error(), name+":") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
