package edge

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/localstack"
)

// A site is one nginx before one API.
type site struct {
	product
	nginx *localstack.Nginx
	api   string
}

// newSite starts both. The API is asked by its address, as there is one.
func newSite(t *testing.T, change map[string]string, env ...string) *site {
	t.Helper()
	s := &site{product: newProduct(t)}
	s.api = free(t)
	s.product.api(t, s.api, env...)
	s.nginx = localstack.NewNginx(t, options(s.api, change))
	return s
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestEdge is what strangers see of one installation. The limit of requests is the product's own.
func TestEdge(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for name, test := range map[string]func(*testing.T, *site){
		"versions of TLS":      versions,
		"headers":              headers,
		"problems":             problems,
		"streams":              streams,
		"long waits":           longWaits,
		"bodies":               bodies,
		"who asks":             whoAsks,
		"names of requests":    requestIDs,
		"plain HTTP":           plainHTTP,
		"what isn't shown":     hidden,
		"slow heads":           slowHeads,
		"what the doctor says": doctor,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, s) })
	}
}

func versions(t *testing.T, s *site) {
	for version, allowed := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		sessions := &seen{}
		conn, err := tls.Dial("tcp", s.nginx.HTTPS(), &tls.Config{RootCAs: trusted(), MinVersion: version, MaxVersion: version,
			NextProtos: []string{"h2"}, ClientSessionCache: sessions})
		if (err == nil) != allowed {
			t.Errorf("%s: got %v", tls.VersionName(version), err)
		}
		if err != nil {
			continue
		}
		if got := conn.ConnectionState(); got.NegotiatedProtocol != "h2" {
			t.Errorf("%s: it speaks %q", tls.VersionName(version), got.NegotiatedProtocol)
		}
		if version == tls.VersionTLS12 && sessions.tickets > 0 {
			t.Error("it gives tickets")
		}
		_ = conn.Close()
	}
	_, err := tls.Dial("tcp", s.nginx.HTTPS(), &tls.Config{RootCAs: trusted(), MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}})
	if err == nil {
		t.Error("it takes a cipher without authenticated encryption")
	}
	if r := stranger(t, s.nginx.HTTPS(), either).ask(t, "GET", "/livez", "").want(200); r.ProtoMajor != 2 {
		t.Errorf("it answers by %s", r.Proto)
	}
	if r := stranger(t, s.nginx.HTTPS(), http1).ask(t, "GET", "/livez", "").want(200); r.Proto != "HTTP/1.1" {
		t.Errorf("it answers by %s", r.Proto)
	}
}

// seen counts the tickets that a client is given.
type seen struct{ tickets int }

func (s *seen) Get(string) (*tls.ClientSessionState, bool)    { return nil, false }
func (s *seen) Put(_ string, session *tls.ClientSessionState) { s.tickets++ }

// What the API answers comes with its headers once, whatever it is.
func headers(t *testing.T, s *site) {
	c := stranger(t, s.nginx.HTTPS(), either)
	c.ask(t, "GET", "/livez", "").want(200).secure("")
	c.ask(t, "GET", "/nowhere", "").want(404).secure("")
	c.ask(t, "GET", "/api/jobs", "").want(401).secure("")
	c.ask(t, "PUT", "/api/jobs", "").want(405).secure("")
	c.ask(t, "GET", "/-/too-long", "").problem(404, "not_found")
	c.ask(t, "POST", "/api/jobs", "{", "Authorization", "Bearer "+adminKey).want(400).secure("")
	c.ask(t, "HEAD", "/openapi.json", "").want(200).secure("")
	c.ask(t, "GET", "/docs", "").want(200).secure(pages)
	c.ask(t, "GET", "/admin/login", "").want(200).secure(pages)
	c.ask(t, "GET", "/admin/jobs", "").want(303).secure(pages)
	login := c.ask(t, "POST", "/admin/login", url.Values{"key": {adminKey}}.Encode(), "Content-Type", "application/x-www-form-urlencoded",
		"Origin", c.url).want(303)
	login.secure(pages)
	cookie := login.Header.Get("Set-Cookie")
	if !strings.Contains(cookie, "; Secure") {
		t.Errorf("the pages don't know that they are seen by TLS: %s", cookie)
	}
	session, _, _ := strings.Cut(cookie, ";")
	c.ask(t, "GET", "/admin/jobs", "", "Cookie", session).want(200).secure(pages)
	if got := c.ask(t, "POST", "/admin/logout", "", "Cookie", session, "Origin", "https://elsewhere.example").StatusCode; got != 403 {
		t.Errorf("a form of another site gets %d", got)
	}
	// An ETag must stay as it is, as If-Match asks for the very same.
	r := c.ask(t, "GET", "/api/organization", "", "Authorization", "Bearer "+adminKey, "Accept-Encoding", "gzip").want(200)
	if tag := r.Header.Get("ETag"); !strings.HasPrefix(tag, `"`) || r.Header.Get("Content-Encoding") != "" {
		t.Errorf("ETag is %s, Content-Encoding %q", tag, r.Header.Get("Content-Encoding"))
	}
}

// What nginx itself refuses looks like what the API refuses, and the API's documents know it.
func problems(t *testing.T, s *site) {
	c, old := stranger(t, s.nginx.HTTPS(), either), stranger(t, s.nginx.HTTPS(), http1)
	long := strings.Repeat("x", 20<<10)
	found := map[string]problem{
		"metrics":    c.ask(t, "GET", "/metrics", "").problem(404, "not_found"),
		"trace":      old.ask(t, "TRACE", "/", "").problem(405, "method_not_allowed"),
		"long path":  old.ask(t, "GET", "/api/jobs/"+long, "").problem(400, "bad_request"),
		"long head":  old.ask(t, "GET", "/api/jobs", "", "X-Long", long).problem(400, "bad_request"),
		"large":      c.ask(t, "POST", "/api/jobs", strings.Repeat(" ", 1<<20+1)).problem(413, "body_too_large"),
		"large form": c.ask(t, "POST", "/admin/jobs/new", strings.Repeat(" ", 4<<20+1)).problem(413, "body_too_large"),
	}
	if got := found["large"].Instance; got != "/api/jobs" {
		t.Errorf("instance is %q", got)
	}
	if got := found["large form"].Detail; !strings.Contains(got, "4 MiB") {
		t.Errorf("got %q", got)
	}
	if p := c.ask(t, "GET", `/metrics/"?q=x`, "", "X-Request-ID", `a"b`).problem(404, "not_found"); p.Instance != "/metrics/%22" {
		t.Errorf("instance is %q", p.Instance)
	}
	plain := &client{"http://" + s.nginx.HTTPS(), c.http}
	plain.ask(t, "GET", "/api/jobs", "", "Authorization", "Bearer "+adminKey).problem(400, "bad_request")
	for name, text := range map[string]string{
		"no request":  "\x16\x03\r\n\r\n",
		"no host":     "GET / HTTP/1.1\r\n\r\n",
		"two hosts":   "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"two lengths": "POST /api/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a coding":    "POST /api/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
	} {
		p := raw(t, s.nginx.HTTPS(), text).problem(400, "bad_request")
		if strings.Contains(text, "/api/jobs") != (p.Instance == "/api/jobs") {
			t.Errorf("%s: instance is %q", name, p.Instance)
		}
	}
	documents := c.ask(t, "GET", "/docs", "").want(200).body
	for name, p := range found {
		if !strings.Contains(documents, `id="`+p.Code+`"`) {
			t.Errorf("%s: the documents don't know %s", name, p.Code)
		}
	}
}

// raw sends what no client would, and reads the answer.
func raw(t *testing.T, address, text string) *reply {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: trusted()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest("GET", "https://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return &reply{answer, t, string(body)}
}
