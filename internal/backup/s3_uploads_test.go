package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// An upload that was cut off goes on where it was; one whose file is other than it was takes nothing over.
func TestS3TakesUploadsUpAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second []byte
		puts   int64
	}{
		"the same":     {randomBytes(64<<10*5 + 1), 3},
		"another file": {randomBytes(64<<10*5 + 8)[7:], 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newBucketServer(t)
			server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == "4" {
					answer(403, "AccessDenied")(w, r, next)
					return
				}
				next.ServeHTTP(w, r)
			})
			s := server.client(t)
			first := randomBytes(64<<10*5 + 1)
			if err := putText(t.Context(), s, dumpFile, first); err == nil {
				t.Fatal("it went through")
			}
			if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("the list is %+v, %v", list, err)
			}
			server.behave()
			server.puts.Store(0)
			if err := putText(t.Context(), s, dumpFile, c.second); err != nil || !bytes.Equal(server.stored(t, dumpFile), c.second) {
				t.Error(err)
			}
			if n := server.puts.Load(); n != c.puts {
				t.Errorf("%d parts were sent, want %d", n, c.puts)
			}
		})
	}
}

func TestS3AbandonsUploads(t *testing.T) {
	t.Parallel()
	server := newBucketServer(t)
	s := server.client(t)
	names := []string{"payaid_20260101_020000.dump.zst", "payaid_20260102_020000.dump.zst", "of-somebody-else"}
	for _, name := range names {
		if _, err := s.client.NewMultipartUpload(t.Context(), testBucket, s.key(name), putOptions("")); err != nil {
			t.Fatal(err)
		}
	}
	abandon := func(begun time.Time) (left []string) {
		if err := s.AbandonUploads(t.Context(), begun, func(name string) bool { return name == names[1] }); err != nil {
			t.Fatal(err)
		}
		for u := range s.client.ListIncompleteUploads(t.Context(), testBucket, s.key(""), true) {
			left = append(left, strings.TrimPrefix(u.Key, s.key("")))
		}
		return left
	}
	if left := abandon(time.Now().Add(-time.Hour)); len(left) != len(names) {
		t.Errorf("left are %v, of what another host may be sending", left)
	}
	left := abandon(time.Now().Add(time.Hour))
	if fmt.Sprint(left) != fmt.Sprint([]string{names[2], names[1]}) && fmt.Sprint(left) != fmt.Sprint(names[1:]) {
		t.Errorf("left are %v", left)
	}
}

// A file that was changed on our disk is not uploaded.
func TestS3IsNotGivenWhatWasChanged(t *testing.T) {
	t.Parallel()
	server := newBucketServer(t)
	s := server.client(t)
	for _, size := range []int{1000, 300 << 10} {
		text := randomBytes(size)
		err := s.Put(t.Context(), dumpFile, bytes.NewReader(flipped(text)), int64(size), sumOf(text))
		if f := faultIn(t, err); f.Code != Corrupted || server.stored(t, dumpFile) != nil {
			t.Errorf("got %+v", f)
		}
		err = s.Put(t.Context(), dumpFile, bytes.NewReader(text[1:]), int64(size), sumOf(text))
		if f := faultIn(t, err); f.Code != FolderUnusable || server.stored(t, dumpFile) != nil {
			t.Errorf("got %+v", f)
		}
	}
}

// Reading goes on where a line broke. When it breaks again and again, the reader hears of it.
func TestS3ReadsOn(t *testing.T) {
	t.Parallel()
	server := newBucketServer(t)
	s := server.client(t)
	text := randomBytes(300 << 10)
	if err := putText(t.Context(), s, dumpFile, text); err != nil {
		t.Fatal(err)
	}
	var breaks atomic.Int64
	server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && breaks.Add(-1) >= 0 {
			next.ServeHTTP(&breaking{w, 100 << 10}, r)
			return
		}
		next.ServeHTTP(w, r)
	})
	breaks.Store(2)
	if got, err := getText(t.Context(), s, dumpFile); err != nil || !bytes.Equal(got, text) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	breaks.Store(1000)
	server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(&breaking{w, 10}, r) })
	if _, err := getText(t.Context(), s, dumpFile); faultIn(t, err).Code != RemoteFailed {
		t.Errorf("got %v", err)
	}
	server.misbehave(silent)
	hasty := server.client(t, func(c *S3Config) { c.Patience = 150 * time.Millisecond })
	if _, err := getText(t.Context(), hasty, dumpFile); !strings.Contains(faultIn(t, err).Detail, "in time") {
		t.Errorf("got %v", err)
	}
}

// breaking ends the connection after so many bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (w *breaking) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	_, _ = w.ResponseWriter.Write(p[:n])
	if w.left -= n; w.left == 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

func TestS3OverTLS(t *testing.T) {
	t.Parallel()
	server := newBucketServer(t)
	server.StartTLS()
	f := faultIn(t, putText(t.Context(), server.client(t), dumpFile, []byte("x")))
	if !strings.Contains(f.Detail, "doesn't trust") || !strings.Contains(f.Remedy, "BACKUP_S3_CA_FILE") {
		t.Errorf("got %q → %q", f.Detail, f.Remedy)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s := server.client(t, func(c *S3Config) { c.RootCAs = roots })
	for _, text := range [][]byte{[]byte("x"), randomBytes(300 << 10)} {
		if err := putText(t.Context(), s, dumpFile, text); err != nil || !bytes.Equal(server.stored(t, dumpFile), text) {
			t.Error(err)
		}
	}
	elsewhere := server.client(t, func(c *S3Config) {
		c.RootCAs, c.Endpoint = roots, strings.Replace(c.Endpoint, "127.0.0.1", "localhost", 1)
	})
	if f := faultIn(t, putText(t.Context(), elsewhere, dumpFile, []byte("x"))); !strings.Contains(f.Detail, "certificate") {
		t.Errorf("got %q → %q", f.Detail, f.Remedy)
	}
}

// Who gives up is not answered with a fault of the server.
func TestS3IsGivenUp(t *testing.T) {
	t.Parallel()
	server := newBucketServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		cancel()
		silent(w, r, next)
	})
	s := server.client(t, func(c *S3Config) { c.Patience = time.Minute })
	if err := putText(ctx, s, dumpFile, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func faultIn(t *testing.T, err error) *Fault {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) {
		t.Errorf("got no fault: %v", err)
	}
	return cmp.Or(f, &Fault{})
}
