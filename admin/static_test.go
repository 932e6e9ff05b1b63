package admin

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// vendored are the libraries of others, byte for byte as they were published.
var vendored = map[string]string{
	"vendor/htmx-2.0.11/htmx.min.js":        "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
	"vendor/htmx-2.0.11/LICENSE":            "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
	"vendor/uplot-1.6.32/uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
	"vendor/uplot-1.6.32/uPlot.min.css":     "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
	"vendor/uplot-1.6.32/LICENSE":           "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}

func TestLibrariesAreAsPublished(t *testing.T) {
	t.Parallel()
	s, err := loadStatic()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range s.files {
		if !strings.HasPrefix(name, "vendor/") {
			continue
		}
		sum := sha256.Sum256(f.plain)
		if got := hex.EncodeToString(sum[:]); got != vendored[name] {
			t.Errorf("%s has the hash %s, want %q", name, got, vendored[name])
		}
	}
	for name := range vendored {
		if _, ok := s.files[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestStaticFilesAreKeptForGoodUnderTheirHash(t *testing.T) {
	t.Parallel()
	s, err := loadStatic()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string, header ...string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result()
	}
	path, err := s.url("app.js")
	if err != nil {
		t.Fatal(err)
	}
	plain := ask(path)
	if got := plain.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control is %q", got)
	}
	whole, _ := io.ReadAll(plain.Body)
	if string(whole) != string(s.files["app.js"].plain) || !strings.HasPrefix(plain.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("the file is not itself: %d bytes of %s", len(whole), plain.Header.Get("Content-Type"))
	}
	zipped := ask(path, "Accept-Encoding", "br, gzip;q=0.8")
	if zipped.Header.Get("Content-Encoding") != "gzip" || zipped.Header.Get("Vary") != "Accept-Encoding" || zipped.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Errorf("packed: %v", zipped.Header)
	}
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || string(got) != string(whole) {
		t.Errorf("unpacked it is %d bytes, %v", len(got), err)
	}
	if got := ask(path, "Accept-Encoding", "gzip;q=0"); got.Header.Get("Content-Encoding") != "" {
		t.Error("who takes no gzip gets it")
	}
	if got := ask(path, "If-None-Match", plain.Header.Get("ETag")); got.StatusCode != http.StatusNotModified {
		t.Errorf("who has it gets status %d", got.StatusCode)
	}
	if got := ask(staticPrefix + "0123456789abcdef/app.js"); got.StatusCode != http.StatusOK || got.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("under an old hash: %d, %s", got.StatusCode, got.Header.Get("Cache-Control"))
	}
	for _, bad := range []string{staticPrefix, staticPrefix + "x", staticPrefix + s.hash + "/../admin.go", staticPrefix + s.hash + "/vendor", staticPrefix + s.hash + "/nothing.js"} {
		if got := ask(bad); got.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", bad, got.StatusCode)
		}
	}
}
