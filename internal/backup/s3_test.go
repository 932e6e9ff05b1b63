package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/x509"
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
