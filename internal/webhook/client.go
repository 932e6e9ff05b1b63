// Package webhook sends deliveries to receivers that strangers choose: it signs them after Standard Webhooks, makes
// connections to public addresses alone, and bounds what an answer can cost in time and memory.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/payaid/payaid/internal/telemetry/trace"
)

const (
	// DefaultTimeout is long enough for a receiver that does its work before it answers, as many do.
	DefaultTimeout = 15 * time.Second
	// connectTime is for finding, reaching and greeting a receiver, of the whole.
	connectTime = 10 * time.Second
	// bodyTime is for an answer's body: what it says is nice to know, but whether the delivery was taken is known already.
	bodyTime = 3 * time.Second

	keptBody = 4 << 10
	// spareBody is read beyond that, so that the connection can be used again.
	spareBody = 4 << 10
	// maxHead bounds the answer's head, all that goes before it (1xx) included.
	maxHead = 16 << 10

	idleTime    = 30 * time.Second
	idlePerHost = 10
	idleInAll   = 200
)

// Config is how deliveries are sent.
type Config struct {
	Policy Policy
	// Timeout is for all of an attempt; 0 is DefaultTimeout.
	Timeout time.Duration
	// UserAgent names the product, such as PayAid-Webhooks/1.0.
	UserAgent string
	// Roots vouch for receivers; nil are the system's.
	Roots *x509.CertPool
	// Resolver finds addresses; nil is the system's.
	Resolver *net.Resolver
}

// Request is a delivery to be sent.
type Request struct {
	URL       string
	ID        string // the same for every attempt: receivers know repeats by it
	EventType string
	Headers   map[string]string // the receiver's own; those that CheckHeader refuses are left out
	Secrets   []string          // the newest first
	Body      []byte
}

// Client sends deliveries. It may be used by many at once.
type Client struct {
	config    Config
	transport *http.Transport
	anew      *http.Transport // for the requests that found their connection closed: each has one of its own
	open      context.Context // ends with Close
	close     context.CancelFunc
}

// NewClient makes a client, to be closed by Close.
func NewClient(c Config) *Client {
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	client := &Client{config: c}
	client.open, client.close = context.WithCancel(context.Background()) // its life is the client's
	d := newDialer(c, client.open)
	client.transport = &http.Transport{
		Proxy:              nil, // a proxy would resolve names itself, and is no receiver's business
		DialContext:        d.plain,
		DialTLSContext:     d.encrypted,
		DisableCompression: true, // a small answer could unpack to a big one
		// HTTP/1.1 alone: each delivery has its connection to itself. Over HTTP/2 all deliveries to a host, of whichever
		// organization, would share one, and with it a hanging one's flow control, its resets and its end. What
		// that would save, a handshake, idle connections save as well.
		Protocols:              http1(),
		MaxResponseHeaderBytes: maxHead,
		MaxIdleConns:           idleInAll,
		MaxIdleConnsPerHost:    idlePerHost,
		IdleConnTimeout:        idleTime,
	}
	client.anew = client.transport.Clone()
	client.anew.DisableKeepAlives = true
	return client
}

func http1() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	return &p
}

// Close ends what is under way and closes all connections.
func (c *Client) Close() {
	c.close()
	c.transport.CloseIdleConnections()
}

// Send makes one attempt, which takes no longer than the timeout. What went wrong is in the answer.
func (c *Client) Send(ctx context.Context, r Request) Answer {
	a := Answer{StartedAt: time.Now().UTC(), Request: http.Header{}}
	ctx, step := trace.Start(ctx, trace.Client, http.MethodPost, "")
	defer step.End()
	c.attempt(ctx, r, &a)
	a.Latency = time.Since(a.StartedAt)
	if step.Traced() {
		a.describe(step, r.URL)
	}
	a.Detail = brief(a.Detail)
	return a
}

func (c *Client) attempt(ctx context.Context, r Request, a *Answer) {
	url, err := c.config.Policy.CheckURL(r.URL)
	if err != nil {
		a.Code, a.Detail = InvalidURL, "the URL "+err.Error()
		return
	}
	header, err := c.header(r, a.StartedAt)
	if err != nil {
		a.Code, a.Detail = InvalidSecret, err.Error()
		return
	}
	a.Request = masked(header)
	if ctx.Err() != nil {
		a.Code, a.Detail = Cancelled, "it was called off"
		return
	}
	limited, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	defer context.AfterFunc(c.open, cancel)()
	seen := &progress{}
	request, err := http.NewRequestWithContext(seen.watch(limited), http.MethodPost, url, bytes.NewReader(r.Body))
	if err != nil {
		a.Code, a.Detail = InvalidURL, "the URL must be one that a request can go to"
		return
	}
	request.Header = header
	response, err := c.transport.RoundTrip(alone(request))
	if err != nil && seen.staleConnection() && limited.Err() == nil && c.open.Err() == nil {
		request.Body = io.NopCloser(bytes.NewReader(r.Body))
		response, err = c.anew.RoundTrip(request)
	}
	a.Address = seen.address()
	if err != nil {
		a.Code, a.Detail = c.explain(ctx, limited, err, seen)
		return
	}
	defer func() { _ = response.Body.Close() }()
	a.StatusCode, a.Response = response.StatusCode, masked(response.Header)
	a.RetryAfter = retryAfter(response.Header.Get("Retry-After"), time.Now())
	a.judge()
	if response.StatusCode >= http.StatusOK {
		defer time.AfterFunc(bodyTime, cancel).Stop()
		a.Body = beginning(response.Body)
	}
}

// alone keeps the transport from repeating a request on one connection after another: who takes it and closes the
// connection would have it as often as there are idle ones. A connection that turns out to have been closed while it was
// idle is no receiver's failure all the same, so such a request is made once more, on a connection of its own.
func alone(r *http.Request) *http.Request {
	r.GetBody = nil
	return r
}

// header gives all that is sent but what the connection needs.
func (c *Client) header(r Request, at time.Time) (http.Header, error) {
	signature, err := Sign(r.Secrets, r.ID, at, r.Body)
	if err != nil {
		return nil, err
	}
	h := make(http.Header, len(r.Headers)+8)
	for name, value := range r.Headers {
		if CheckHeader(name, value) == nil {
			h.Set(name, value)
		}
	}
	h.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	h.Set("User-Agent", c.config.UserAgent)
	// As they are written in the specification, and as receivers that mind the case have always had them.
	h[headerID] = []string{r.ID}
	h[headerTimestamp] = []string{strconv.FormatInt(at.Unix(), 10)}
	h[headerSignature] = []string{signature}
	h[headerEvent] = []string{r.EventType}
	h[headerBodySignature] = []string{SignBody(r.Secrets[0], r.Body)}
	return h, nil
}

// beginning reads what is kept of a body, and what is left if that is little.
func beginning(body io.Reader) []byte {
	kept, err := io.ReadAll(io.LimitReader(body, keptBody))
	if err == nil && len(kept) == keptBody {
		_, _ = io.CopyN(io.Discard, body, spareBody)
	}
	return kept
}

// tlsConfig always verifies. TLS 1.0 and 1.1 are broken (RFC 8996).
func tlsConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, NextProtos: []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(idleInAll)}
}
