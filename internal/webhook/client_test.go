package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// received is a request as a receiver had it.
type received struct {
	*http.Request
	body []byte
}

// A delivery arrives as it is described, and the library of the specification's authors takes it.
func TestSend(t *testing.T) {
	t.Parallel()
	came := make(chan received, 1)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		came <- received{r, body}
		w.Header().Set("X-Answer", "seen")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks")
	}))
	defer receiver.Close()
	client := testClient(t, Config{Policy: Policy{Networks: loopback}, Roots: rootsOf(receiver), UserAgent: "PayAid-Webhooks/1.2"})
	r := delivery(strings.Replace(receiver.URL, "https", "HTTPS", 1) + "/in?tenant=7&x[]=%20")
	previous := NewSecret()
	r.Secrets = append(r.Secrets, previous)
	r.Headers = map[string]string{"x-tenant": "seven", "Authorization": "Bearer hunter2"}
	a := client.Send(t.Context(), r)
	if a.Code != "" || a.StatusCode != 202 || string(a.Body) != "thanks" || a.Response.Get("X-Answer") != "seen" || a.Address != receiver.Listener.Addr().String() {
		t.Fatalf("got %+v", a)
	}
	got := <-came
	if got.Method != http.MethodPost || got.RequestURI != "/in?tenant=7&x[]=%20" || got.ContentLength != int64(len(r.Body)) || string(got.body) != string(r.Body) {
		t.Errorf("got %s %s, %s", got.Method, got.RequestURI, got.body)
	}
	for name, want := range map[string]string{
		"Webhook-Id": r.ID, "X-Payaid-Event": "invoice.paid", "Content-Type": "application/cloudevents+json; charset=utf-8",
		"User-Agent": "PayAid-Webhooks/1.2", "X-Tenant": "seven", "Authorization": "Bearer hunter2", "Accept-Encoding": "",
	} {
		if got := got.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, secret := range r.Secrets {
		library, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := library.Verify(got.body, got.Header); err != nil {
			t.Error(err)
		}
	}
	mac := hmac.New(sha256.New, []byte(r.Secrets[0]))
	_, _ = mac.Write(got.body)
	if got := got.Header.Get("X-Webhook-Signature"); got != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("got %q", got)
	}
}

func rootsOf(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// What can't be sent is not sent.
func TestSendRefuses(t *testing.T) {
	t.Parallel()
	receiver := listen(t, "127.0.0.1:0", says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	url := "http://" + receiver.Addr().String()
	strict, lax := testClient(t, Config{}), testClient(t, Config{Policy: here()})
	if a := strict.Send(t.Context(), delivery(url)); a.Code != InvalidURL || a.Detail != "the URL must not name an address that isn't public" {
		t.Errorf("got %q, %s", a.Code, a.Detail)
	}
	r := delivery(url)
	r.Secrets = []string{"whsec_hunter2"}
	if a := lax.Send(t.Context(), r); a.Code != InvalidSecret || strings.Contains(a.Detail, "hunter2") || receiver.accepted.Load() != 0 {
		t.Errorf("got %q, %s", a.Code, a.Detail)
	}
}

// A receiver that this process runs itself may be reached, and its neighbours may not.
func TestOwnReceivers(t *testing.T) {
	t.Parallel()
	receiver := listen(t, "127.0.0.1:0", says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	neighbour := listen(t, "127.0.0.1:0", says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	client := testClient(t, Config{Policy: Policy{Own: own(receiver)}})
	if a := client.Send(t.Context(), delivery("http://"+receiver.Addr().String())); a.Code != "" {
		t.Errorf("got %q, %s", a.Code, a.Detail)
	}
	if a := client.Send(t.Context(), delivery("http://"+neighbour.Addr().String())); a.Code != InvalidURL || neighbour.accepted.Load() != 0 {
		t.Errorf("got %q, %s", a.Code, a.Detail)
	}
}

// A connection is used again where the answer was read to its end, and otherwise not.
func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]int64{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":                                          1,
		"HTTP/1.1 500 No\r\nContent-Length: 6000\r\n\r\n" + strings.Repeat("x", 6000):             1,
		"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000):             3,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok":                     3,
		"HTTP/1.1 307 No\r\nLocation: /\r\nContent-Length: 2\r\n\r\nno":                           1,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: trailer\r\n\r\n": 1,
	} {
		receiver := listen(t, "127.0.0.1:0", respond(answer))
		client := testClient(t, Config{Policy: here()})
		for range 3 {
			if a := client.Send(t.Context(), delivery("http://"+receiver.Addr().String())); a.StatusCode == 0 {
				t.Errorf("got %q, %s", a.Code, a.Detail)
			}
		}
		if got := receiver.accepted.Load(); got != want {
			t.Errorf("%.40q: got %d connections, want %d", answer, got, want)
		}
	}
}

// A closed client holds no connection.
func TestCloseEndsIdleConnections(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	receiver := listen(t, "127.0.0.1:0", func(c net.Conn) {
		respond("HTTP/1.1 204 No Content\r\n\r\n")(c)
		close(ended)
	})
	client := NewClient(Config{Policy: here()})
	if a := client.Send(t.Context(), delivery("http://"+receiver.Addr().String())); a.Code != "" {
		t.Errorf("got %q, %s", a.Code, a.Detail)
	}
	select {
	case <-ended:
		t.Error("the connection isn't kept while the client is open")
	default:
	}
	client.Close()
	select {
	case <-ended:
	case <-time.After(idleTime / 3):
		t.Error("the connection outlives the client")
	}
}

// Receivers close idle connections whenever they like. That is no failure of a delivery, whether they say so in time or not.
func TestConnectionsThatWereClosedWhileIdle(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for name, then := range map[string]func(net.Conn){
		"said": func(net.Conn) {},
		"not said": func(c net.Conn) {
			if asked(c) {
				reset(c)
			}
		},
	} {
		receiver := listen(t, "127.0.0.1:0", func(c net.Conn) {
			if asked(c) {
				_, _ = io.WriteString(c, ok)
				then(c)
			}
		})
		client := testClient(t, Config{Policy: here()})
		for range 4 {
			if a := client.Send(t.Context(), delivery("http://"+receiver.Addr().String())); a.Code != "" {
				t.Errorf("%s: got %q, %s", name, a.Code, a.Detail)
			}
		}
		if got := receiver.accepted.Load(); got != 4 {
			t.Errorf("%s: got %d connections, want 4", name, got)
		}
	}
}

// Who takes a request and closes the connection gets it once more at most, however many idle connections there are.
func TestDroppedRequestsAreNotRepeatedOverAndOver(t *testing.T) {
	t.Parallel()
	const idle = 8
	var taken atomic.Int32
	var drop atomic.Bool
	together := make(chan struct{})
	receiver := listen(t, "127.0.0.1:0", func(c net.Conn) {
		for asked(c) {
			if drop.Load() {
				taken.Add(1)
				return
			}
			if taken.Add(1) == idle {
				close(together)
			}
			<-together
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	client := testClient(t, Config{Policy: here()})
	var all sync.WaitGroup
	for range idle {
		all.Go(func() {
			if a := client.Send(t.Context(), delivery("http://"+receiver.Addr().String())); a.Code != "" {
				t.Errorf("got %q, %s", a.Code, a.Detail)
			}
		})
	}
	all.Wait()
	drop.Store(true)
	taken.Store(0)
	r := delivery("http://" + receiver.Addr().String())
	r.Headers = map[string]string{"Idempotency-Key": "k"}
	if a := client.Send(t.Context(), r); a.Code != Protocol {
		t.Errorf("got %q, %s", a.Code, a.Detail)
	}
	if n := taken.Load(); n != 2 {
		t.Errorf("the receiver got it %d times, want 2", n)
	}
}

// Deliveries that hang don't hold up others to the same host.
func TestHangingDeliveriesHoldUpNobody(t *testing.T) {
	t.Parallel()
	const hung = 120 // more than HTTP/2 servers usually let share a connection
	came, release := make(chan struct{}, hung), make(chan struct{})
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("it came by %s, whose connections are shared", r.Proto)
		}
		if r.URL.Path == "/hang" {
			came <- struct{}{}
			<-release
		}
	}))
	receiver.EnableHTTP2 = true
	receiver.StartTLS()
	defer receiver.Close()
	client := testClient(t, Config{Policy: here(), Roots: rootsOf(receiver), Timeout: 30 * time.Second})
	var hanging sync.WaitGroup
	for range hung {
		hanging.Go(func() {
			if a := client.Send(t.Context(), delivery(receiver.URL+"/hang")); a.Code != "" {
				t.Errorf("got %q, %s", a.Code, a.Detail)
			}
		})
	}
	for range hung {
		<-came
	}
	for range 20 { // while all of those hang
		if a := client.Send(t.Context(), delivery(receiver.URL+"/quick")); a.Code != "" {
			t.Errorf("got %q after %s, %s", a.Code, a.Latency, a.Detail)
		}
	}
	close(release)
	hanging.Wait()
}

// certificate is for 127.0.0.1 unless change says otherwise, signed by itself.
func certificate(t *testing.T, change func(*x509.Certificate)) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	if change != nil {
		change(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(made)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// Who can't prove to be the receiver is sent nothing.
func TestReceiversThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	good, goodRoots := certificate(t, nil)
	expired, expiredRoots := certificate(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	other, otherRoots := certificate(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example.com"} })
	for name, c := range map[string]struct {
		config *tls.Config
		roots  *x509.CertPool
		code   string
		detail string
	}{
		"as it should be":        {&tls.Config{Certificates: []tls.Certificate{good}}, goodRoots, "", ""},
		"TLS 1.2":                {&tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}, goodRoots, "", ""},
		"TLS 1.1":                {&tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, goodRoots, TLS, "protocol version not supported"},
		"nobody vouches":         {&tls.Config{Certificates: []tls.Certificate{good}}, otherRoots, TLS, "certificate signed by unknown authority"},
		"nobody known vouches":   {&tls.Config{Certificates: []tls.Certificate{good}}, nil, TLS, "certificate signed by unknown authority"},
		"expired":                {&tls.Config{Certificates: []tls.Certificate{expired}}, expiredRoots, TLS, "certificate has expired"},
		"somebody else's":        {&tls.Config{Certificates: []tls.Certificate{other}}, otherRoots, TLS, "cannot validate certificate for 127.0.0.1"},
		"another protocol alone": {&tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"mqtt"}}, goodRoots, TLS, "no application protocol"},
		"wants a certificate":    {&tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, goodRoots, TLS, "handshake failure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reached := make(chan struct{}, 1)
			receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
			receiver.Config.ErrorLog = log.New(io.Discard, "", 0)
			inner := receiver.Listener
			receiver.Listener = tls.NewListener(inner, c.config)
			receiver.Start()
			defer receiver.Close()
			a := testClient(t, Config{Policy: here(), Roots: c.roots}).Send(t.Context(), delivery("https://"+inner.Addr().String()))
			if a.Code != c.code || !strings.HasPrefix(a.Detail, c.detail) || c.detail == "" != (a.Detail == "") || len(reached) == 1 != (c.code == "") {
				t.Errorf("got %q, %q, reached %d", a.Code, a.Detail, len(reached))
			}
		})
	}
}

// What isn't TLS at all.
func TestReceiversWithoutTLS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve        func(net.Conn)
		code, detail string
	}{
		"plain HTTP": {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, TLS, "first record does not look like a TLS handshake"},
		"silence":    {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, Timeout, "no connection within 2s"},
		"an end":     {func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, TLS, "the connection was closed in the handshake"},
		"a reset":    {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); reset(c) }, TLS, "the connection was closed in the handshake"},
		"a certificate without end": {func(c net.Conn) {
			for err := error(nil); err == nil; {
				_, err = c.Write(append([]byte{22, 3, 3, 0x40, 0, 11, 0xff, 0xff, 0xff}, make([]byte, 0x4000-4)...))
			}
		}, TLS, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := listen(t, "127.0.0.1:0", c.serve)
			a := testClient(t, Config{Policy: here(), Timeout: patienceFor(c.code)}).Send(t.Context(), delivery("https://"+receiver.Addr().String()))
			if a.Code != c.code || !strings.HasPrefix(a.Detail, c.detail) || a.Detail == "" || a.Latency > busy || a.Address != "" {
				t.Errorf("got %q at %q after %s, %s", a.Code, a.Address, a.Latency, a.Detail)
			}
		})
	}
}
