package backup

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pinged is a service that counts pings, and answers as it is told, in the end with the last.
type pinged struct {
	*httptest.Server
	mu    sync.Mutex
	heard []string
	give  []int
}

func newPinged(t *testing.T, give ...int) *pinged {
	t.Helper()
	p := &pinged{give: give}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.heard = append(p.heard, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		status := p.give[0]
		if len(p.give) > 1 {
			p.give = p.give[1:]
		}
		p.mu.Unlock()
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(p.Close)
	return p
}

// pinger pings an address below the service's, which is a secret.
func pinger(t *testing.T, address string) *Keeper {
	t.Helper()
	k, err := New(Config{Dir: t.TempDir(), PingURL: address})
	if err != nil {
		t.Fatal(err)
	}
	k.pingPause = time.Millisecond
	return k
}

func TestPing(t *testing.T) {
	t.Parallel()
	p := newPinged(t, 200)
	k := pinger(t, p.URL+"/canary/?create=1")
	m := Manifest{Name: "payaid_20260101_020000", Bytes: 5 << 20, Host: "one", Tables: []Table{{Name: "a", Rows: 3}}}
	if err := k.PingGood(t.Context(), m, nil); err != nil {
		t.Error(err)
	}
	if err := k.PingGood(t.Context(), m, &Verification{State: Passed, RestoreSeconds: 12.4}); err != nil {
		t.Error(err)
	}
	fault := &Fault{Code: DiskFull, Detail: "the disk is full", Remedy: "make room"}
	if err := k.PingFailed(t.Context(), fmt.Errorf("make backup x: %w", fault)); err != nil {
		t.Error(err)
	}
	if err := k.PingFailed(t.Context(), errors.New("password=canary")); err != nil {
		t.Error(err)
	}
	want := []string{
		"POST /canary?create=1 payaid_20260101_020000: 5120 KiB, 1 tables, 3 rows, made on one",
		"POST /canary?create=1 payaid_20260101_020000: 5120 KiB, 1 tables, 3 rows, made on one; restored for a try in 12 s",
		"POST /canary/fail?create=1 disk_full: the disk is full; make room",
		"POST /canary/fail?create=1 internal: the log of the worker says why",
	}
	if !slices.Equal(p.heard, want) {
		t.Errorf("heard\n%s", strings.Join(p.heard, "\n"))
	}
	if err := pinger(t, "").PingFailed(t.Context(), fault); err != nil {
		t.Error(err)
	}
}

// A ping that goes wrong says so, in bounded time, and never by showing the address.
func TestPingThatGoesWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		give []int
		want string // "": it went well in the end
		asks int
	}{
		"passing trouble":     {[]int{500, 429, 204}, "", 3},
		"lasting trouble":     {[]int{503}, "503", 3},
		"nobody knows us":     {[]int{404}, "404", 1},
		"it leads elsewhere":  {[]int{302}, "302", 1},
		"it is there at once": {[]int{200}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPinged(t, c.give...)
			err := pinger(t, p.URL+"/canary").PingFailed(t.Context(), errors.New("x"))
			if len(p.heard) != c.asks || (err == nil) != (c.want == "") || !strings.Contains(fmt.Sprint(err), c.want) && c.want != "" {
				t.Errorf("asked %d times, got %v", len(p.heard), err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("it shows the address: %v", err)
			}
		})
	}
	for _, address := range []string{"http://127.0.0.1:1/canary", "http://canary.invalid/canary", "http://[canary"} {
		if err := pinger(t, address).PingFailed(t.Context(), errors.New("x")); err == nil || strings.Contains(err.Error(), "/canary") || strings.Contains(err.Error(), "[canary") {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

// A service that takes a ping and never answers costs no more than its time.
func TestPingThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := pinger(t, "http://canary.example/canary")
		k.pings = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		began := time.Now()
		err := k.PingFailed(t.Context(), errors.New("x"))
		if err == nil || strings.Contains(err.Error(), "canary") || time.Since(began) != pingTime {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
