// Package collector is an OpenTelemetry collector inside a test: it takes traces by OTLP over HTTP, and shows them.
package collector

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A Span is one step of a trace as it came. Ids are in hexadecimal digits.
type Span struct {
	Service           string
	Trace, ID, Parent string // Parent is "" for a root
	Name              string
	Kind              string // server, client, producer, consumer, internal
	Attributes        map[string]string
	Links             []string // traceparents without flags: trace-span
	Failed            string   // why, "" if it didn't
	Began             uint64
}

// Collector takes spans until its test ends.
type Collector struct {
	server *httptest.Server

	mu      sync.Mutex
	spans   []Span
	text    strings.Builder
	headers http.Header
	changed chan struct{}
	fault   http.HandlerFunc
}

// Start starts one.
func Start(tb testing.TB) *Collector {
	c := &Collector{changed: make(chan struct{})}
	c.server = httptest.NewServer(http.HandlerFunc(c.serve))
	tb.Cleanup(c.server.Close)
	return c
}

// URL is what OTEL_EXPORTER_OTLP_ENDPOINT is for it.
func (c *Collector) URL() string { return c.server.URL }

// Break lets a handler answer in place of the collector; nil mends it.
func (c *Collector) Break(with http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = with
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	fault := c.fault
	c.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	data, err := read(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = r.Header.Clone()
	c.text.WriteString(protojson.Format(data))
	for _, of := range data.ResourceSpans {
		service := attributes(of.GetResource().GetAttributes())["service.name"]
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, spanOf(service, s))
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func read(r *http.Request) (*tracepb.TracesData, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return nil, fmt.Errorf("%s %s of %q is not OTLP", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, fmt.Errorf("unpack spans: %w", err)
		}
		body = unpacked
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("read spans: %w", err)
	}
	data := &tracepb.TracesData{}
	if err := proto.Unmarshal(raw, data); err != nil {
		return nil, fmt.Errorf("decode spans: %w", err)
	}
	return data, nil
}

func spanOf(service string, s *tracepb.Span) Span {
	out := Span{
		Service: service, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId),
		Parent: hex.EncodeToString(s.ParentSpanId), Name: s.Name, Attributes: attributes(s.Attributes),
		Kind: strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")), Began: s.StartTimeUnixNano,
	}
	for _, l := range s.Links {
		out.Links = append(out.Links, hex.EncodeToString(l.TraceId)+"-"+hex.EncodeToString(l.SpanId))
	}
	if s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		out.Failed = s.Status.Message
	}
	return out
}

func attributes(list []*common.KeyValue) map[string]string {
	out := make(map[string]string)
	for _, kv := range list {
		switch v := kv.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[kv.Key] = v.StringValue
		default:
			out[kv.Key] = strings.Trim(kv.Value.String(), `"`)
			_, out[kv.Key], _ = strings.Cut(out[kv.Key], ":")
		}
	}
	return out
}

// Spans are all that came, in the order of their beginnings.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.spans)
	slices.SortStableFunc(list, func(a, b Span) int {
		if a.Began < b.Began {
			return -1
		}
		return 1
	})
	return list
}

// Text is all that came, as JSON, for who looks for what must not be there.
func (c *Collector) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// Header is a header of the last request.
func (c *Collector) Header(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers.Get(name)
}

// Until waits until the spans are as wanted, and gives them. It fails the test when ctx ends before.
func (c *Collector) Until(ctx context.Context, tb testing.TB, what string, wanted func([]Span) bool) []Span {
	tb.Helper()
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		spans := c.Spans()
		if wanted(spans) {
			return spans
		}
		select {
		case <-changed:
		case <-ctx.Done():
			tb.Fatalf("the collector waited for %s in vain; it has\n%s", what, Trees(spans))
		}
	}
}

// Trees draws the spans as trees by their parents, one line each, with the spans that roots are linked to.
func Trees(spans []Span) string {
	var b strings.Builder
	known := make(map[string]bool)
	for _, s := range spans {
		known[s.ID] = true
	}
	for _, s := range spans {
		if !known[s.Parent] {
			fmt.Fprintf(&b, "trace %s\n", s.Trace)
			draw(&b, spans, s, "  ")
		}
	}
	return b.String()
}

func draw(b *strings.Builder, spans []Span, s Span, indent string) {
	fmt.Fprintf(b, "%s%s  [%s %s %s]", indent, s.Name, s.Service, s.Kind, s.ID)
	if s.Failed != "" {
		fmt.Fprintf(b, " FAILED %s", s.Failed)
	}
	for _, l := range s.Links {
		fmt.Fprintf(b, " linked to %s", l)
	}
	b.WriteString("\n")
	for _, child := range spans {
		if child.Parent == s.ID {
			draw(b, spans, child, indent+"  ")
		}
	}
}
