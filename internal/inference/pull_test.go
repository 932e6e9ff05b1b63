package inference

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/ollama/ollama/api"

	"github.com/payaid/payaid/internal/localstack/faults"
)

func unheard(int64, int64) error { return nil }

func pullCode(err error) string {
	var e *PullError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

func TestLayersAddUp(t *testing.T) {
	t.Parallel()
	var l layers
	for i, step := range []struct {
		status, digest                          string
		total, completed, wantDone, wantOfTotal int64
		news                                    bool
	}{
		{"pulling manifest", "", 0, 0, 0, 0, true},
		{"pulling a", "a", 100, 0, 0, 100, true},
		{"pulling a", "a", 100, 60, 60, 100, true},
		{"pulling a", "a", 100, 60, 60, 100, false},
		{"pulling a", "a", 100, 40, 60, 100, false}, // taken back
		{"pulling a", "a", 100, 101, 100, 100, true},
		{"pulling b", "b", 50, 10, 110, 150, true},
		{"verifying sha256 digest", "", 0, 0, 110, 150, true},
	} {
		news := l.add(api.ProgressResponse{Status: step.status, Digest: step.digest, Total: step.total, Completed: step.completed})
		if news != step.news || l.done != step.wantDone || l.total != step.wantOfTotal {
			t.Errorf("step %d: %d of %d, news %t; want %+v", i, l.done, l.total, news, step)
		}
	}
}

func TestRefusedPull(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		`pull model manifest: Get "https://registry.ollama.ai/v2/library/mistral/manifests/7b": dial tcp: lookup registry.ollama.ai: no such host`: PullUnreachable,
		"pull model manifest: 503: <html>":                                                                                 PullUnreachable,
		"max retries exceeded: Get \"https://r2.example/x?X-Amz-Signature=hunter2\": EOF":                                  PullUnreachable,
		"pull model manifest: file does not exist":                                                                         PullNoSuchModel,
		"write /models/blobs/sha256-1-partial: no space left on device":                                                    PullDiskFull,
		"insecure protocol http":                                                                                           PullInsecure,
		"pull model manifest: Get \"https://h/v2\": http: server gave HTTP response to HTTPS client":                       PullInsecure,
		"digest mismatch, file must be downloaded again: want sha256:1, got sha256:2":                                      PullDamaged,
		"pull model manifest: 412: The model you are attempting to pull requires a newer version of Ollama that may be in": PullOllamaTooOld,
		"open /models/manifests: permission denied":                                                                        PullFailed,
	} {
		if got := refusedPull(said); got.Code != want || got.Detail == "" {
			t.Errorf("%s: %+v, want %s", said, got, want)
		}
	}
}

// TestPullThatStalls has the registry go silent: Ollama then repeats how far it is for ever.
func TestPullThatStalls(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.stall = 200 * time.Millisecond
	r.ollama.Next(func(w http.ResponseWriter, req *http.Request, _ http.HandlerFunc) {
		for req.Context().Err() == nil {
			_, _ = io.WriteString(w, `{"status":"pulling 1","digest":"sha256:1","total":100,"completed":7}`+"\n")
			w.(http.Flusher).Flush()
			<-time.After(20 * time.Millisecond)
		}
	})
	begun := time.Now()
	_, err := r.Pull(t.Context(), Pull{Model: "m"}, unheard)
	if took := time.Since(begun); pullCode(err) != PullStalled || took < 200*time.Millisecond || took > 10*time.Second {
		t.Errorf("%v after %v, want %s", err, took, PullStalled)
	}
}

func TestPullThatBreaksOff(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faults.Fault{
		"refused": faults.Reset, "empty": faults.Status(200, ""), "no success": faults.Status(200, `{"status":"pulling manifest"}`+"\n")} {
		r := newRig(t, nil)
		r.ollama.Next(f)
		if _, err := r.Pull(t.Context(), Pull{Model: "m"}, unheard); pullCode(err) != PullAway {
			t.Errorf("%s: %v, want %s", name, err, PullAway)
		}
	}
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r.ollama.Next(func(w http.ResponseWriter, req *http.Request, pass http.HandlerFunc) {
		cancel()
		faults.Hang(w, req, pass)
	})
	if _, err := r.Pull(ctx, Pull{Model: "m"}, unheard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the end of the context", err)
	}
	mine := errors.New("nobody listens")
	r.ollama.Next(faults.Status(200, `{"status":"pulling 1","digest":"sha256:1","total":9,"completed":7}`+"\n"))
	if _, err := r.Pull(t.Context(), Pull{Model: "m"}, func(int64, int64) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("%v, want %v", err, mine)
	}
	if _, err := r.Pull(t.Context(), Pull{Model: "../x"}, unheard); pullCode(err) != PullInvalidModelName {
		t.Errorf("%v, want %s", err, PullInvalidModelName)
	}
}

// TestPullEndsMisconfiguration has a breaker open whose probe missed the model, and would look again in a minute.
func TestPullEndsMisconfiguration(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	b := r.board.get(Ollama, "mistral:7b")
	b.calls(5, Unavailable)
	b.startProbeNow()
	b.endProbe(&failure{class: Misconfigured})
	if s := b.status(); s.State != stateOpen || s.LastClass != Misconfigured || time.Until(s.NextProbe) < 5*time.Second {
		t.Fatalf("the breaker is %+v", s)
	}
	r.run(t)
	r.ollama.Only("/api/pull").Next(faults.Status(200, `{"status":"success"}`+"\n"))
	got, err := r.Pull(t.Context(), Pull{Model: "mistral:7b"}, unheard)
	if err != nil || got.Model != "mistral:7b" || got.Size == 0 || got.Digest == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if s := r.await(t, Ollama, "mistral:7b", stateHalfOpen); s.LastClass != "" {
		t.Errorf("the last failure is still %s", s.LastClass)
	}
	r.mustAnswer(t, score(), Ollama)
}
