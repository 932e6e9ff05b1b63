package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// certificateSoon is when a certificate should have been renewed: those who renew by themselves do it a month before.
const certificateSoon = 21 * 24 * time.Hour

// edge is the API as strangers see it.
type edge struct {
	url   string
	burst bool           // ask until it refuses
	roots *x509.CertPool // nil: those of the system
}

// edge looks at the API from outside, without a key.
func (d *doctor) edge(ctx context.Context, e edge) {
	if e.url == "" {
		d.say(uneasy, "api", "name its address in --url, or PUBLIC_URL", "not asked: its address is not known here")
		return
	}
	u, err := url.Parse(e.url)
	if err != nil {
		d.say(broken, "api", "correct --url or PUBLIC_URL", "its address is not a URL")
		return
	}
	if u.Scheme == "https" {
		d.certificate(ctx, u, e.roots)
		d.redirect(ctx, u)
	}
	// Nothing secret is sent, and what is wrong with the certificate was said.
	client := stranger(&tls.Config{InsecureSkipVerify: true}, nil)
	ready, err := visit(ctx, client, u, "/readyz")
	if err != nil {
		d.say(broken, "api", "start `payaid api`, and see to the proxy before it", "%v", err)
		return
	}
	switch ready.StatusCode {
	case http.StatusOK:
		d.say(fine, "api", "", "ready at %s", u.Redacted())
	case http.StatusServiceUnavailable:
		d.say(broken, "api", "see its /readyz", "it is not ready at %s", u.Redacted())
	default:
		d.say(broken, "api", "check --url and PUBLIC_URL", "%s answers /readyz with %s, which our API does not", u.Redacted(), ready.Status)
		return
	}
	d.headers(ready.Header)
	d.rateLimit(ctx, client, u, e.burst)
}

// stranger is a client that knows nobody, follows nobody, and comes from an address if one is given.
func stranger(t *tls.Config, from net.Addr) *http.Client {
	dialer := &net.Dialer{Timeout: 4 * time.Second, LocalAddr: from}
	return &http.Client{Timeout: 6 * time.Second, Transport: &http.Transport{TLSClientConfig: t, DialContext: dialer.DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func visit(ctx context.Context, c *http.Client, u *url.URL, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(u.String(), "/")+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.Do(request)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	return response, response.Body.Close()
}

// edgeHeaders are what every answer must have when it arrives, and a proxy may have lost: each with a part of its value.
var edgeHeaders = []struct{ name, part string }{
	{"X-Frame-Options", "DENY"}, {"X-Content-Type-Options", "nosniff"}, {"X-XSS-Protection", ""},
	{"Referrer-Policy", "strict-origin-when-cross-origin"}, {"Permissions-Policy", "geolocation=()"},
	{"Strict-Transport-Security", "max-age="}, {"Content-Security-Policy", "default-src"},
}

func (d *doctor) headers(h http.Header) {
	var missing []string
	for _, want := range edgeHeaders {
		if v := h.Get(want.name); v == "" || !strings.Contains(v, want.part) {
			missing = append(missing, want.name)
		}
	}
	if len(missing) > 0 {
		d.say(broken, "security headers", "have the proxy before the API pass its headers on (in nginx, an add_header in a location drops those of the levels above)",
			"missing or changed when they arrive: %s", strings.Join(missing, ", "))
	} else {
		d.say(fine, "security headers", "", "all %d arrive", len(edgeHeaders))
	}
	if server := h.Get("Server"); strings.ContainsAny(server, "0123456789") {
		d.say(uneasy, "server banner", "turn it off (server_tokens off in nginx)", "answers tell strangers what runs here: %s", server)
	}
}

// limitedPath is one that every client may ask, and that counts.
const limitedPath = "/api/jobs"

func (d *doctor) rateLimit(ctx context.Context, c *http.Client, u *url.URL, burst bool) {
	const check = "rate limit"
	r, err := visit(ctx, c, u, limitedPath)
	if err != nil {
		d.say(uneasy, check, "look at the API's log", "%v", err)
		return
	}
	most, err := strconv.Atoi(r.Header.Get("X-RateLimit-Limit"))
	if err != nil {
		d.say(uneasy, check, "set RATELIMIT_ENABLED=true where the API runs, and have the proxy pass its headers on", "clients may ask as often as they like: answers have no X-RateLimit-Limit")
		return
	}
	if !burst {
		d.say(fine, check, "", "%d requests in a window, as its headers say; with --probe-limits it is tried", most)
		return
	}
	asked, err := burstAt(ctx, u, most)
	switch {
	case err != nil:
		d.say(uneasy, check, "ask the API at its own address, http://127.0.0.1:8080", "not tried: %v", err)
	case asked > most+1:
		d.say(broken, check, "see whether the API takes every client for another (TRUSTED_PROXIES)", "%d requests were let through, and %d are allowed", asked, most)
	default:
		d.say(fine, check, "", "request %d was refused with 429, %d are allowed", asked, most)
	}
}

// mostBurst bounds how much the API is asked.
const mostBurst = 2000

// burstAt asks from an address of this machine that no client has until it is refused, and gives which request was.
// Where all are let through it gives more than are allowed.
func burstAt(ctx context.Context, u *url.URL, most int) (asked int, err error) {
	if ip := net.ParseIP(u.Hostname()); ip == nil || ip.To4() == nil || !ip.IsLoopback() {
		return 0, errors.New("only an API at an address such as 127.0.0.1 can be asked from an address that no client has")
	}
	if most > mostBurst {
		return 0, fmt.Errorf("%d requests are too many to try", most)
	}
	own := &net.TCPAddr{IP: net.IPv4(127, byte(1+rand.IntN(250)), byte(rand.IntN(250)), byte(2+rand.IntN(250)))}
	c := stranger(nil, own)
	for asked = 1; asked <= most+2; asked++ {
		r, err := visit(ctx, c, u, limitedPath)
		if err != nil {
			return asked, err
		}
		if r.StatusCode == http.StatusTooManyRequests {
			return asked, nil
		}
	}
	return asked, nil
}

// certificate looks at what the server shows, without trusting it to begin with.
func (d *doctor) certificate(ctx context.Context, u *url.URL, roots *x509.CertPool) {
	const check = "certificate"
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 4 * time.Second}, Config: &tls.Config{InsecureSkipVerify: true, ServerName: u.Hostname()}}
	conn, err := dialer.DialContext(ctx, "tcp", hostPort(u, "443"))
	if err != nil {
		d.say(broken, check, "see that the proxy speaks TLS there", "%v", err)
		return
	}
	defer conn.Close()
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	leaf := chain[0]
	left := time.Until(leaf.NotAfter)
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: u.Hostname(), Roots: roots, Intermediates: between})
	switch {
	case left <= 0:
		d.say(broken, check, "renew it", "it expired on %s", leaf.NotAfter.UTC().Format(time.DateOnly))
	case err != nil:
		d.say(broken, check, certificateRemedy(err), "browsers refuse it: %v", err)
	case left < certificateSoon:
		d.say(uneasy, check, "renew it, and see why nothing does that by itself", "it expires in %d days, on %s", int(left.Hours()/24), leaf.NotAfter.UTC().Format(time.DateOnly))
	default:
		d.say(fine, check, "", "valid for %d more days", int(left.Hours()/24))
	}
}

func certificateRemedy(err error) string {
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &name):
		return "get one for the name in the address"
	case errors.As(err, &unknown):
		return "have the server send the whole chain (fullchain.pem), from an authority that browsers trust"
	}
	return "get another"
}

// redirect looks whether who forgets the s is led to it.
func (d *doctor) redirect(ctx context.Context, u *url.URL) {
	const check = "https redirect"
	if p := u.Port(); p != "" && p != "443" {
		return // nobody can tell where plain HTTP would be
	}
	plain := url.URL{Scheme: "http", Host: u.Hostname()}
	r, err := visit(ctx, stranger(nil, nil), &plain, "/livez")
	switch {
	case err != nil:
		d.say(fine, check, "", "nobody answers plain HTTP")
	case r.StatusCode >= 300 && r.StatusCode < 400 && strings.HasPrefix(r.Header.Get("Location"), "https://"):
		d.say(fine, check, "", "plain HTTP leads to HTTPS")
	default:
		d.say(broken, check, "have the proxy answer port 80 with 308 to https://", "plain HTTP is answered with %s: keys may travel in the clear", r.Status)
	}
}

func hostPort(u *url.URL, otherwise string) string {
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), otherwise)
	}
	return u.Host
}

// reach connects, and no more.
func reach(ctx context.Context, u *url.URL) error {
	port := "80"
	if u.Scheme == "https" {
		port = "443"
	}
	conn, err := (&net.Dialer{Timeout: 4 * time.Second}).DialContext(ctx, "tcp", hostPort(u, port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// reachable is an address that is listened at, as one that can be asked.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}
