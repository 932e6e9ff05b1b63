package jobs

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A receiver is somebody else's server.
type receiver struct {
	URL string

	mu   sync.Mutex
	hits []hit
	now  int // under way
	most int // under way at a time
}

type hit struct {
	id     string
	at     time.Time
	header http.Header
	body   string
}

// answers is a receiver that answers as it is told to.
func (s *webhookSite) answers(answer http.HandlerFunc) *receiver {
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.hits = append(r.hits, hit{id: q.Header.Get("Webhook-Id"), at: time.Now(), header: q.Header, body: string(body)})
		r.now++
		r.most = max(r.most, r.now)
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.now--
		}()
		answer(w, q)
	}))
	s.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	r.URL = server.URL + "/hook?token=secret"
	return r
}

func (r *receiver) got() []hit {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]hit{}, r.hits...)
}

// different is how many events came, repeats counted once.
func (r *receiver) different() int {
	ids := make(map[string]bool)
	for _, h := range r.got() {
		ids[h.id] = true
	}
	return len(ids)
}

func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, strings.ToLower(http.StatusText(code)))
	}
}

// reached waits until a receiver has said that it was asked.
func (s *webhookSite) reached(arrived <-chan struct{}) {
	s.t.Helper()
	select {
	case <-arrived:
	case <-time.After(webhookPatience):
		s.t.Fatal("the receiver was not asked")
	}
}

// hangs is a receiver that doesn't answer before the test ends, or whoever asks gives up.
func hangs(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }

func header(t *testing.T, raw []byte) (h http.Header) {
	t.Helper()
	if err := json.Unmarshal(raw, &h); err != nil {
		t.Fatalf("headers %s: %v", raw, err)
	}
	return h
}
