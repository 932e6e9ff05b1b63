// Package registry serves a tiny model to tests as the registries of models do (OCI distribution, as far as
// Ollama uses it), over HTTP on this machine.
package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack/tinygguf"
)

// Registry has one model, which no Ollama of the tests has under any name.
type Registry struct {
	server   *httptest.Server
	manifest []byte
	blobs    map[string][]byte

	mu     sync.Mutex
	delay  time.Duration
	starts []string
	sent   int
	left   chan struct{}
}

// piece is what is sent between two delays.
const piece = 64 << 10

// New starts a registry, which ends with the test.
func New(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{blobs: map[string][]byte{}, left: make(chan struct{}, 64)}
	var model bytes.Buffer
	if err := tinygguf.Write(&model, tinygguf.Options{Layers: 2}); err != nil {
		t.Fatal(err)
	}
	const template = "{{- range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant:"
	layers := []map[string]any{
		r.blob("application/vnd.ollama.image.model", model.Bytes()),
		r.blob("application/vnd.ollama.image.template", []byte(template)),
		r.blob("application/vnd.ollama.image.params", []byte(`{"num_predict":64,"num_thread":1,"stop":["user:"],"temperature":0.7}`)),
	}
	config, err := json.Marshal(map[string]any{"model_format": "gguf", "model_family": "llama", "model_families": []string{"llama"},
		"model_type": "1.5M", "file_type": "F16", "architecture": "amd64", "os": "linux",
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{layers[0]["digest"], layers[1]["digest"], layers[2]["digest"]}}})
	if err != nil {
		t.Fatal(err)
	}
	r.manifest, err = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": r.blob("application/vnd.docker.container.image.v1+json", config), "layers": layers})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/library/tiny/manifests/latest", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(r.manifest) })
	mux.HandleFunc("GET /v2/library/tiny/blobs/{digest}", r.redirect)
	mux.HandleFunc("GET /storage/{digest}", r.store)
	r.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		r.Slow(0)
		r.server.CloseClientConnections()
		r.server.Close()
	})
	return r
}

func (r *Registry) blob(kind string, content []byte) map[string]any {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	r.blobs[digest] = content
	return map[string]any{"mediaType": kind, "digest": digest, "size": len(content)}
}

// Model is the name by which Ollama pulls it.
func (r *Registry) Model() string { return r.Host() + "/library/tiny:latest" }

// Host is the address, for names of models that it doesn't have.
func (r *Registry) Host() string { return strings.TrimPrefix(r.server.URL, "http://") }

// Size is the bytes of the model with all that belongs to it.
func (r *Registry) Size() (n int64) {
	for _, b := range r.blobs {
		n += int64(len(b))
	}
	return n
}

// Slow has it pause after each 64 KiB.
func (r *Registry) Slow(delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = delay
}

// Starts are the ranges that were asked for.
func (r *Registry) Starts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.starts...)
}

// Sent is how many bytes of blobs went out.
func (r *Registry) Sent() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent
}

// Left receives once for each time somebody went away in the middle of a blob.
func (r *Registry) Left() <-chan struct{} { return r.left }

// redirect sends to the storage. Ollama 0.17 relies on being sent away, and follows those to the same host by
// itself and then misses the address, so that this is no redirect to HTTP.
func (r *Registry) redirect(w http.ResponseWriter, req *http.Request) {
	content, ok := r.blobs[req.PathValue("digest")]
	switch {
	case !ok:
		http.NotFound(w, req)
	case req.Method == http.MethodHead:
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	default:
		w.Header().Set("Location", r.server.URL+"/storage/"+req.PathValue("digest"))
	}
}

func (r *Registry) store(w http.ResponseWriter, req *http.Request) {
	content, ok := r.blobs[req.PathValue("digest")]
	if !ok {
		http.NotFound(w, req)
		return
	}
	r.mu.Lock()
	r.starts = append(r.starts, req.Header.Get("Range"))
	r.mu.Unlock()
	http.ServeContent(&slow{w, r, req}, req, "", time.Time{}, bytes.NewReader(content))
}

type slow struct {
	http.ResponseWriter
	registry *Registry
	request  *http.Request
}

func (s *slow) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		next := p[:min(piece, len(p))]
		m, err := s.ResponseWriter.Write(next)
		s.ResponseWriter.(http.Flusher).Flush()
		s.registry.mu.Lock()
		delay := s.registry.delay
		s.registry.sent += m
		s.registry.mu.Unlock()
		n, p = n+m, p[len(next):]
		if err == nil && delay > 0 {
			select {
			case <-time.After(delay):
			case <-s.request.Context().Done():
				err = s.request.Context().Err()
			}
		}
		if err != nil {
			s.registry.left <- struct{}{}
			return n, err
		}
	}
	return n, nil
}
