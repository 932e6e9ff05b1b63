package admin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var staticFiles embed.FS

const staticPrefix = "/admin/static/"

// static serves the embedded files under a path that has a hash of all of them in it: browsers keep them for good, and
// a new program has new paths.
type static struct {
	hash  string
	files map[string]staticFile
}

type staticFile struct {
	kind        string // its media type
	etag        string
	plain, gzip []byte
}

// loadStatic packs all files once. They are few, and the same for everybody.
func loadStatic() (*static, error) {
	s := &static{files: make(map[string]staticFile)}
	all := sha256.New()
	err := fs.WalkDir(staticFiles, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		_, _ = all.Write(append(sum[:], name...))
		f := staticFile{kind: kindOf(name), plain: data, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
		if f.gzip, err = packed(data); err != nil {
			return err
		}
		s.files[strings.TrimPrefix(name, "static/")] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the static files of the admin: %w", err)
	}
	s.hash = hex.EncodeToString(all.Sum(nil)[:8])
	return s, nil
}

func kindOf(name string) string {
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "text/plain; charset=utf-8" // the licences
}

func packed(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

// url is where a file is served.
func (s *static) url(name string) (string, error) {
	if _, ok := s.files[name]; !ok {
		return "", fmt.Errorf("there is no static file %s", name)
	}
	return staticPrefix + s.hash + "/" + name, nil
}

// ServeHTTP implements http.Handler. An old hash gets today's file, but may not keep it.
func (s *static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hash, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, staticPrefix), "/")
	f, ok := s.files[name]
	if !ok {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a file can only be read", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if hash == s.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := f.plain
	etag := f.etag
	if takesGzip(r) && len(f.gzip) < len(f.plain) {
		h.Set("Content-Encoding", "gzip")
		body, etag = f.gzip, strings.TrimSuffix(f.etag, `"`)+`-gz"`
	}
	h.Set("ETag", etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" && strings.TrimSpace(q) != "q=0" {
			return true
		}
	}
	return false
}
