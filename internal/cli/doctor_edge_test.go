package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// authority signs certificates of 127.0.0.1 for a test.
func authority(t *testing.T) (pool *x509.CertPool, sign func(notAfter time.Time) tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-999 * time.Hour),
		NotAfter: time.Now().Add(9999 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(root)
	return pool, func(notAfter time.Time) tls.Certificate {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-900 * time.Hour), NotAfter: notAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
}

// edgeAt is a server behind TLS that answers with these headers.
func edgeAt(t *testing.T, cert tls.Certificate, headers http.Header) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { maps.Copy(w.Header(), headers) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestDoctorLooksAtCertificatesAndHeaders(t *testing.T) {
	t.Parallel()
	roots, sign := authority(t)
	whole := http.Header{}
	for _, h := range edgeHeaders {
		whole.Set(h.name, h.part+"x")
	}
	whole.Set("X-RateLimit-Limit", "100")
	bare := whole.Clone()
	bare.Del("Strict-Transport-Security")
	bare.Del("X-RateLimit-Limit")
	bare.Set("Server", "nginx/1.18.0")
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		left                time.Duration
		roots               *x509.CertPool
		headers             http.Header
		check, state, words string
	}{
		"valid":             {90 * day, roots, whole, "certificate", fine, "89 more days"},
		"expires soon":      {20 * day, roots, whole, "certificate", uneasy, "renew"},
		"expired":           {-day, roots, whole, "certificate", broken, "expired on"},
		"nobody's":          {90 * day, x509.NewCertPool(), whole, "certificate", broken, "fullchain.pem"},
		"headers arrive":    {90 * day, roots, whole, "security headers", fine, "arrive"},
		"headers are lost":  {90 * day, roots, bare, "security headers", broken, "Strict-Transport-Security"},
		"it tells its name": {90 * day, roots, bare, "server banner", uneasy, "server_tokens"},
		"no limit":          {90 * day, roots, bare, "rate limit", uneasy, "RATELIMIT_ENABLED=true"},
		"limit":             {90 * day, roots, whole, "rate limit", fine, "100 requests"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d doctor
			d.edge(t.Context(), edge{url: edgeAt(t, sign(time.Now().Add(tt.left)), tt.headers), roots: tt.roots})
			found(t, d, tt.check).says(t, tt.state, tt.words)
		})
	}
}

// A limit that doesn't hold is found by trying it.
func TestDoctorTriesTheLimit(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		refuseAt     int
		state, words string
	}{"it holds": {6, fine, "request 6 was refused"}, "it doesn't": {1000, broken, "let through"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(map[string]int) // by address; the requests come one after another
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				host, _, _ := net.SplitHostPort(r.RemoteAddr)
				w.Header().Set("X-RateLimit-Limit", "5")
				if asked[host]++; host != "127.0.0.1" && asked[host] >= tt.refuseAt {
					w.WriteHeader(http.StatusTooManyRequests)
				}
			}))
			t.Cleanup(s.Close)
			var d doctor
			d.edge(t.Context(), edge{url: s.URL, burst: true})
			found(t, d, "rate limit").says(t, tt.state, tt.words)
			if asked["127.0.0.1"] > 2 {
				t.Errorf("it used up what others of its address have: %v", asked)
			}
		})
	}
}
