package backup

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// A bucketServer speaks S3, and misbehaves as it is told.
type bucketServer struct {
	*httptest.Server
	backend gofakes3.Backend
	fault   atomic.Pointer[fault]
	puts    atomic.Int64 // of files and parts that went through
}

// A fault answers in place of the server, or hands the request on.
type fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

const testBucket = "backups"

func newBucketServer(t *testing.T, options ...gofakes3.Option) *bucketServer {
	t.Helper()
	s := &bucketServer{backend: s3mem.New()}
	if err := s.backend.CreateBucket(testBucket); err != nil {
		t.Fatal(err)
	}
	next := gofakes3.New(s.backend, options...).Server()
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			s.puts.Add(1)
		}
		next.ServeHTTP(w, r)
	})
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := s.fault.Load(); f != nil {
			(*f)(w, r, counted)
			return
		}
		counted.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *bucketServer) behave()             { s.fault.Store(nil) }
func (s *bucketServer) misbehave(how fault) { s.fault.Store(&how) }

// client asks the server, which it starts, for a bucket.
func (s *bucketServer) client(t *testing.T, change ...func(*S3Config)) *S3 {
	t.Helper()
	if s.URL == "" {
		s.Start()
	}
	c := S3Config{Endpoint: s.URL, Bucket: testBucket, Prefix: "payaid/test", AccessKey: "key", SecretKey: "canary-secret", Patience: 2 * time.Second, PartSize: 64 << 10}
	for _, f := range change {
		f(&c)
	}
	client, err := NewS3(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// stored gives a file as the bucket has it.
func (s *bucketServer) stored(t *testing.T, name string) []byte {
	t.Helper()
	o, err := s.backend.GetObject(testBucket, "payaid/test/"+name, nil)
	if err != nil {
		return nil
	}
	defer o.Contents.Close()
	text, err := io.ReadAll(o.Contents)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func randomBytes(n int) []byte {
	seed := [32]byte{1, 2, 3}
	out := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(out)
	return out
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func putText(ctx context.Context, s *S3, name string, text []byte) error {
	return s.Put(ctx, name, bytes.NewReader(text), int64(len(text)), sumOf(text))
}

func getText(ctx context.Context, s *S3, name string) ([]byte, error) {
	r, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	return text, errors.Join(err, r.Close())
}

const dumpFile = "payaid_20260101_020000.dump.zst"

func TestS3KeepsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	server := newBucketServer(t)
	s := server.client(t)
	for _, size := range []int{0, 1, 100 << 10, 128 << 10, 128<<10 + 1, 300 << 10} {
		text := randomBytes(size)
		if err := putText(t.Context(), s, dumpFile, text); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		got, err := getText(t.Context(), s, dumpFile)
		if err != nil || !bytes.Equal(got, text) || !bytes.Equal(server.stored(t, dumpFile), text) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		list, err := s.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Name != dumpFile || list[0].Size != int64(size) || list[0].StoredAt.IsZero() {
			t.Errorf("%d bytes: the list is %+v, %v", size, list, err)
		}
	}
	for range 2 {
		if err := s.Remove(t.Context(), dumpFile); err != nil {
			t.Error(err)
		}
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("the list is %+v, %v", list, err)
	}
	_, err := getText(t.Context(), s, dumpFile)
	if f := faultIn(t, err); f.Code != NotFound {
		t.Errorf("got %+v", f)
	}
}

// What others keep in the bucket, beside or below our folder, isn't ours; and a list has more than one page.
func TestS3ListsOurFolderAlone(t *testing.T) {
	t.Parallel()
	server := newBucketServer(t)
	for _, key := range []string{"payaid/test/sub/x", "payaid/testing", "payaid/x", "x"} {
		if _, err := server.backend.PutObject(testBucket, key, map[string]string{}, strings.NewReader("x"), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	const many = 2100
	for i := range many {
		key := fmt.Sprintf("payaid/test/payaid_20260101_%06d.manifest.json", i)
		if _, err := server.backend.PutObject(testBucket, key, map[string]string{}, strings.NewReader("{}"), 2, nil); err != nil {
			t.Fatal(err)
		}
	}
	list, err := server.client(t).List(t.Context())
	seen := make(map[string]bool)
	for _, o := range list {
		seen[o.Name] = true
	}
	if err != nil || len(list) != many || len(seen) != many || seen["sub/x"] {
		t.Errorf("got %d files, %d names, %v", len(list), len(seen), err)
	}
	whole, err := server.client(t, func(c *S3Config) { c.Prefix = "" }).List(t.Context())
	if err != nil || len(whole) != 1 || whole[0].Name != "x" {
		t.Errorf("got %+v, %v", whole, err)
	}
}

// answer is a refusal as S3 writes it.
func answer(status int, code string) fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>no, %s</Message></Error>", code, code)
		}
	}
}

// changing has what is stored be something else than what was sent, sums and all.
func changing(change func([]byte) []byte, sums bool) fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut {
			text, _ := io.ReadAll(r.Body)
			text = change(text)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			r.Header.Set("Content-Length", fmt.Sprint(len(text)))
			if sums {
				sum := md5.Sum(text)
				r.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
				r.Header.Set("X-Amz-Content-Sha256", sumOf(text))
			}
		}
		next.ServeHTTP(w, r)
	}
}

func flipped(text []byte) []byte {
	text = bytes.Clone(text)
	text[len(text)/2] ^= 1
	return text
}

// cut breaks the connection in the middle of what is sent.
func cut(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.Method != http.MethodPut {
		next.ServeHTTP(w, r)
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	panic(http.ErrAbortHandler)
}

// silent takes a request and never answers, until its client is gone.
func silent(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		<-r.Context().Done()
	}
}

// trickling answers a byte at a time, so that the line is never silent.
func trickling(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil || r.Method == http.MethodHead { // which has no body
		return
	}
	for r.Context().Err() == nil {
		if _, err := w.Write([]byte{' '}); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestS3ThatFails(t *testing.T) {
	t.Parallel()
	hasty := func(c *S3Config) { c.Patience = 150 * time.Millisecond }
	for name, c := range map[string]struct {
		fault   fault
		config  func(*S3Config)
		options []gofakes3.Option
		detail  string // of what is wrong
		remedy  string
	}{
		"a line that is cut":      {fault: cut, detail: "store", remedy: "BACKUP_S3_ENDPOINT"},
		"a server in trouble":     {fault: answer(500, "InternalError"), detail: "500", remedy: "the next backup"},
		"a server that is busy":   {fault: answer(503, "SlowDown"), detail: "503", remedy: "the next backup"},
		"a key that nobody knows": {fault: answer(403, "InvalidAccessKeyId"), detail: "access key", remedy: "BACKUP_S3_ACCESS_KEY"},
		"a wrong secret":          {fault: answer(403, "SignatureDoesNotMatch"), detail: "secret key", remedy: "BACKUP_S3_SECRET_KEY"},
		"a key without rights":    {fault: answer(403, "AccessDenied"), detail: "may not", remedy: "s3:PutObject"},
		"a refusal without words": {fault: func(w http.ResponseWriter, r *http.Request, _ http.Handler) { w.WriteHeader(403) }, detail: "may not", remedy: "s3:PutObject"},
		"a bucket elsewhere":      {fault: answer(301, "PermanentRedirect"), detail: "another endpoint", remedy: "BACKUP_S3_REGION"},
		"a full bucket":           {fault: answer(403, "QuotaExceeded"), detail: "full", remedy: "make room"},
		"a full disk":             {fault: answer(507, "XMinioStorageFull"), detail: "full", remedy: "make room"},
		"no bucket":               {config: func(c *S3Config) { c.Bucket = "elsewhere" }, detail: "not there", remedy: "BACKUP_S3_BUCKET"},
		"a server that is silent": {fault: silent, config: hasty, detail: "in time", remedy: "BACKUP_S3_ENDPOINT"},
		"a server that trickles":  {fault: trickling, config: hasty, detail: "", remedy: "BACKUP_S3"},
		"no server":               {config: func(c *S3Config) { c.Endpoint = "http://127.0.0.1:1" }, detail: "refused", remedy: "BACKUP_S3_ENDPOINT"},
		"bytes that change":       {fault: changing(flipped, false), detail: "on their way", remedy: "the next backup"},
		"bytes that are changed":  {fault: changing(flipped, true), detail: "other bytes", remedy: "the next backup"},
		"bytes that are lost":     {fault: changing(func(b []byte) []byte { return b[:len(b)-1] }, true), detail: "in place of", remedy: "the next backup"},
		"clocks that differ": {options: []gofakes3.Option{gofakes3.WithTimeSource(gofakes3.FixedTimeSource(time.Now().Add(-time.Hour)))},
			detail: "clock", remedy: "NTP"},
	} {
		for _, size := range []int{1000, 200 << 10} { // in one piece, and in parts
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				t.Parallel()
				server := newBucketServer(t, c.options...)
				if c.fault != nil {
					server.misbehave(c.fault)
				}
				s := server.client(t, func(sc *S3Config) {
					if c.config != nil {
						c.config(sc)
					}
				})
				began := time.Now()
				f := faultIn(t, putText(t.Context(), s, dumpFile, randomBytes(size)))
				if f.Code != RemoteFailed || !strings.Contains(f.Detail, c.detail) || !strings.Contains(f.Remedy, c.remedy) {
					t.Errorf("got %q → %q", f.Detail, f.Remedy)
				}
				if strings.Contains(f.Detail+f.Remedy, "canary") || strings.ContainsAny(f.Detail, "\r\n") {
					t.Errorf("got %q", f.Detail)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("it took %s", took)
				}
				if got := server.stored(t, dumpFile); got != nil {
					t.Errorf("%d bytes are there", len(got))
				}
				if server.behave(); c.fault != nil {
					text := randomBytes(size)
					if err := putText(t.Context(), server.client(t), dumpFile, text); err != nil || !bytes.Equal(server.stored(t, dumpFile), text) {
						t.Errorf("afterwards: %v", err)
					}
				}
			})
		}
	}
}

// Passing trouble is not the operator's.
func TestS3TriesAgain(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]fault{"500": answer(500, "InternalError"), "cut": cut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newBucketServer(t)
			var n atomic.Int64
			server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method == http.MethodPut && n.Add(1)%3 == 1 {
					trouble(w, r, next)
					return
				}
				next.ServeHTTP(w, r)
			})
			for _, size := range []int{10, 500 << 10} {
				text := randomBytes(size)
				if err := putText(t.Context(), server.client(t), dumpFile, text); err != nil || !bytes.Equal(server.stored(t, dumpFile), text) {
					t.Errorf("%d bytes: %v", size, err)
				}
			}
		})
	}
}

// A bucket that encrypts by itself says nothing of the content, so the file is read again.
func TestS3WithItsOwnETags(t *testing.T) {
	t.Parallel()
	server := newBucketServer(t)
	var reads atomic.Int64
	server.misbehave(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, dumpFile) {
			reads.Add(1)
		}
		other := &otherETag{w}
		next.ServeHTTP(other, r)
		other.change() // of an answer without a body
	})
	text := randomBytes(1000)
	if err := putText(t.Context(), server.client(t), dumpFile, text); err != nil || reads.Load() != 1 {
		t.Errorf("%v, after %d reads", err, reads.Load())
	}
}

type otherETag struct{ http.ResponseWriter }

func (w *otherETag) WriteHeader(status int) {
	w.change()
	w.ResponseWriter.WriteHeader(status)
}

func (w *otherETag) Write(p []byte) (int, error) {
	w.change()
	return w.ResponseWriter.Write(p)
}

func (w *otherETag) change() {
	for name := range w.Header() {
		if strings.EqualFold(name, "ETag") {
			w.Header()[name] = []string{`"00000000000000000000000000000000"`}
		}
	}
}
