package otlp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack/collector"
	"github.com/payaid/payaid/internal/telemetry/trace"
)

// lines are what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func open(t *testing.T, url string, change ...func(*Options)) (*Traces, *lines) {
	t.Helper()
	l := &lines{}
	o := Options{URL: url + "/v1/traces", Ratio: 1, Service: "test", Version: "1", Timeout: time.Second, Log: slog.New(slog.NewTextHandler(l, nil))}
	for _, c := range change {
		c(&o)
	}
	return Open(o), l
}

// record makes a span in a trace of its own.
func record(tr *Traces, n int) {
	_, s := tr.Tracer().Begin(context.Background(), "", trace.Consumer, "step", fmt.Sprint(n))
	s.End()
}

func TestCloseSendsWhatWaits(t *testing.T) {
	t.Parallel()
	c := collector.Start(t)
	tr, _ := open(t, c.URL(), func(o *Options) {
		o.Headers = map[string]string{"Api-Key": "secret"}
		o.Attributes = map[string]string{"deployment.environment.name": "test"}
	})
	for n := range 3 * atOnce {
		record(tr, n)
	}
	tr.Close()
	spans := c.Spans()
	if len(spans) != 3*atOnce || spans[0].Service != "test" || spans[0].Name != "step 0" || c.Header("Api-Key") != "secret" {
		t.Errorf("%d spans came, the first is %+v", len(spans), spans[0])
	}
}

func TestOffIsNothing(t *testing.T) {
	t.Parallel()
	off := Open(Options{})
	if off != nil || off.Tracer() != nil {
		t.Error("without a URL something is traced")
	}
	off.Close()
}

// A collector that hangs holds nobody up, costs bounded memory, and is given up at the end.
func TestACollectorThatHangs(t *testing.T) {
	t.Parallel()
	c := collector.Start(t)
	release := make(chan struct{})
	c.Break(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	tr, _ := open(t, c.URL(), func(o *Options) { o.Timeout = time.Hour })
	began := time.Now()
	for n := range 20 * queued {
		record(tr, n)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%d spans took %s", 20*queued, took)
	}
	began = time.Now()
	tr.Close()
	if took := time.Since(began); took > flushIn+10*time.Second {
		t.Errorf("the end took %s", took)
	}
	close(release)
}

func TestACollectorThatIsAway(t *testing.T) {
	t.Parallel()
	tr, log := open(t, "http://user:password@127.0.0.1:1")
	for n := range 3 * atOnce {
		record(tr, n)
	}
	tr.Close()
	if n := log.count("spans can't be sent"); n != 1 {
		t.Errorf("the log was told %d times:\n%s", n, log.text.String())
	}
	if log.count("password") > 0 {
		t.Errorf("the log shows a password:\n%s", log.text.String())
	}
}

func TestABusyCollectorIsAskedOnceMore(t *testing.T) {
	t.Parallel()
	c := collector.Start(t)
	var asked sync.Once
	c.Break(func(w http.ResponseWriter, _ *http.Request) {
		asked.Do(func() { c.Break(nil) })
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	tr, _ := open(t, c.URL(), func(o *Options) { o.Timeout = 10 * time.Second })
	record(tr, 1)
	tr.Close()
	if n := len(c.Spans()); n != 1 {
		t.Errorf("%d spans came", n)
	}
}

// Of the ratio, a client's wish and links.
func TestSampling(t *testing.T) {
	t.Parallel()
	const client = "00-ffffffffffffffffffffffffffffffff-b7ad6b7169203331-01" // the last to be admitted by any ratio
	never, _ := open(t, "http://127.0.0.1:1", func(o *Options) { o.Ratio = 0 })
	always, _ := open(t, "http://127.0.0.1:1")
	defer never.Close()
	defer always.Close()
	if never.Tracer().Serve(t.Context(), client, "GET").Traced() {
		t.Error("a client forced its request to be recorded")
	}
	if never.Tracer().Serve(t.Context(), "", "GET").Traced() {
		t.Error("ratio 0 records")
	}
	if _, s := never.Tracer().Continue(t.Context(), client, trace.Consumer, "work", ""); !s.Traced() {
		t.Error("what another process of ours recorded ends here")
	}
	if _, s := never.Tracer().Begin(t.Context(), client, trace.Consumer, "work", ""); !s.Traced() {
		t.Error("a retry of what is recorded is not")
	}
	if _, s := never.Tracer().Begin(t.Context(), "", trace.Consumer, "work", ""); s.Traced() {
		t.Error("a schedule is recorded at ratio 0")
	}
	if !always.Tracer().Serve(t.Context(), client, "GET").Traced() {
		t.Error("ratio 1 doesn't record")
	}
}

// What links to a trace asks first whether somebody keeps it.
func TestKeeps(t *testing.T) {
	t.Parallel()
	const low, high = "00000000000000000000000000000001", "ffffffffffffffffffffffffffffffff"
	if (Options{Ratio: 1}).Keeps() != nil {
		t.Error("somebody keeps traces that go nowhere")
	}
	for ratio, want := range map[float64][2]bool{1: {true, true}, 0.5: {true, false}, 0: {false, false}} {
		keeps := Options{URL: "http://x/v1/traces", Ratio: ratio}.Keeps()
		if got := [2]bool{keeps(low), keeps(high)}; got != want || keeps("no id") {
			t.Errorf("of %g: got %v, want %v", ratio, got, want)
		}
	}
}
