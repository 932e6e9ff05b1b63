package webhook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/payaid/payaid/internal/telemetry/trace"
)

// An attempt is a step of its trace that names the host and what came back, and nothing that is the receiver's secret.
func TestAttemptsAreTraced(t *testing.T) {
	t.Parallel()
	var seen http.Header
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprint(w, "hunter2 of the answer")
	}))
	defer receiver.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	// Its port may be another test's by now, the same one of an address that nobody uses is not.
	nobody := strings.Replace(gone.URL, "127.0.0.1", "127.7.7.7", 1)
	recorder := tracetest.NewSpanRecorder()
	tracer := trace.NewTracer(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)), func(otel.TraceID) bool { return true })
	client := NewClient(Config{Policy: Policy{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, UserAgent: "test"})
	defer client.Close()
	ctx, work := tracer.Begin(t.Context(), "", trace.Consumer, "work", "webhook.deliver")
	for _, to := range []string{receiver.URL + "/path-of-hunter2?token=hunter2", nobody + "/hunter2", "https://hunter2@example.com/"} {
		client.Send(ctx, Request{URL: to, ID: "evt", EventType: "contact.created", Secrets: []string{NewSecret()},
			Headers: map[string]string{"Authorization": "Bearer hunter2"}, Body: []byte(`{"data":"hunter2"}`)})
	}
	work.End()
	var got []string
	for _, s := range recorder.Ended() {
		if s.SpanKind() != otel.SpanKindClient {
			continue
		}
		line := s.Name() + " " + s.Status().Description
		for _, a := range s.Attributes() {
			if a.Key == "http.response.status_code" || a.Key == "server.address" {
				line += " " + a.Value.String()
			}
		}
		got = append(got, line)
		if text := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status()); strings.Contains(text, "hunter2") {
			t.Errorf("a secret of the receiver is traced: %s", text)
		}
		if s.Parent().SpanID() != recorder.Ended()[len(recorder.Ended())-1].SpanContext().SpanID() {
			t.Errorf("%s is no part of the work", s.Name())
		}
	}
	want := []string{"POST status 127.0.0.1 418", "POST connect 127.7.7.7", "POST invalid_url example.com"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if seen.Get("Traceparent") != "" {
		t.Error("the receiver is told of our trace")
	}
}
