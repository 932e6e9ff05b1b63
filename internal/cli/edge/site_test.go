package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

const files = "../../../deploy/nginx"

// A pair is a certificate with its key, in PEM.
type pair struct{ certificate, key string }

// identity is what nginx shows.
var identity = sync.OnceValue(newIdentity)

// newIdentity is a certificate of 127.0.0.1 and crm.example.in that vouches for itself.
func newIdentity() (made pair) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "crm.example.in"}, DNSNames: []string{"crm.example.in"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	made.certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	made.key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return made
}

func trusted() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(identity().certificate))
	return pool
}

// options are how nginx is configured that stands before an API at this address.
func options(api string, change map[string]string) localstack.NginxOptions {
	variables := map[string]string{"EDGE_NAME": "crm.example.in", "EDGE_API": api, "EDGE_RESOLVER": "127.0.0.1:1",
		"EDGE_RATE": "5000r/s", "EDGE_BURST": "5000", "EDGE_CONNECTIONS": "500"}
	maps.Copy(variables, change)
	return localstack.NginxOptions{Files: files, Variables: variables, More: map[string]string{
		"certificates/fullchain.pem": identity().certificate, "certificates/privkey.pem": identity().key}}
}

// A client asks one server, from an address of this machine that no other has.
type client struct {
	url  string
	http *http.Client
}

// protocols are what a client speaks.
type protocols int

const (
	either protocols = iota
	http1
)

// stranger is a client of an address such as 127.0.0.1:8443, by TLS.
func stranger(t *testing.T, address string, speaks protocols) *client {
	t.Helper()
	own := &net.TCPAddr{IP: net.IPv4(127, byte(1+mrand.IntN(250)), byte(mrand.IntN(250)), byte(2+mrand.IntN(250)))}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted()}, ForceAttemptHTTP2: speaks == either,
		DialContext: (&net.Dialer{LocalAddr: own}).DialContext, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{"https://" + address, &http.Client{Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// A reply is an answer with its body.
type reply struct {
	*http.Response
	t    *testing.T
	body string
}

// ask sends a request; headers are names and values in turn.
func (c *client) ask(t *testing.T, method, path, body string, headers ...string) *reply {
	t.Helper()
	r, err := c.try(t.Context(), method, path, strings.NewReader(body), headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	r.t = t
	return r
}

func (c *client) try(ctx context.Context, method, path string, body io.Reader, headers ...string) (*reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return &reply{Response: answer, body: string(raw)}, nil
}

func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.StatusCode != status {
		r.t.Fatalf("%s %s: got %s, want %d: %s", r.Request.Method, r.Request.URL, r.Status, status, r.body)
	}
	return r
}

func (r *reply) json(into any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.body), into); err != nil {
		r.t.Fatalf("%v in %s", err, r.body)
	}
}

// A problem is what the API answers when it refuses.
type problem struct {
	Type, Title, Detail, Instance, Code string
	Status                              int
	RequestID                           string `json:"request_id"`
}

// problem checks that the answer is one as the API gives them, with its headers.
func (r *reply) problem(status int, code string) (p problem) {
	r.t.Helper()
	r.want(status).json(&p)
	if p.Type != "/docs#"+code || p.Code != code || p.Status != status || p.Title == "" || p.Detail == "" || p.Instance == "" {
		r.t.Errorf("got %s, want the problem %s", r.body, code)
	}
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		r.t.Errorf("%s: Content-Type is %s", code, got)
	}
	if p.RequestID == "" || p.RequestID != r.Header.Get("X-Request-ID") {
		r.t.Errorf("%s: request_id is %q, in the header it is %q", code, p.RequestID, r.Header.Get("X-Request-ID"))
	}
	r.secure("")
	return p
}

// secure checks that the headers of the API's edge are there, once; with no policy given, the API's own.
func (r *reply) secure(policy string) {
	r.t.Helper()
	if policy == "" {
		policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}
	for name, want := range map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "X-XSS-Protection": "0",
		"Referrer-Policy":           "strict-origin-when-cross-origin",
		"Permissions-Policy":        "geolocation=(), microphone=(), camera=()",
		"Strict-Transport-Security": "max-age=31536000; includeSubDomains",
		"Content-Security-Policy":   policy,
	} {
		if policy == pages && (name == "Content-Security-Policy" || name == "Referrer-Policy") {
			want = r.Header.Get(name)
		}
		if name == "Strict-Transport-Security" && r.Request.URL.Scheme == "http" {
			if r.Header.Get(name) != "" {
				r.t.Errorf("%s: plain HTTP has %s", r.Request.URL, name)
			}
			continue
		}
		if got := r.Header.Values(name); len(got) != 1 || got[0] != want || want == "" {
			r.t.Errorf("%s %s: %s: %s is %q, want %q once", r.Request.Method, r.Request.URL.Path, r.Status, name, got, want)
		}
	}
	for _, name := range []string{"X-Request-ID", "Cache-Control", "Content-Type", "Server"} {
		if got := r.Header.Values(name); len(got) > 1 || name == "X-Request-ID" && len(got) == 0 {
			r.t.Errorf("%s %s: %s: %s is %q", r.Request.Method, r.Request.URL.Path, r.Status, name, got)
		}
	}
	if got := r.Header.Get("Server"); got != "nginx" {
		r.t.Errorf("Server is %q", got)
	}
}

// pages have policies of their own.
const pages = "pages"
