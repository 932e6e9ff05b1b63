package inference

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxBody bounds what is read of one response: far above any answer, far below
// what would hurt the process.
const maxBody = 32 << 20

// exchange is what the transport saw of a call. Ollama's client hides the
// status of a response without a body.
type exchange struct{ status int }

type exchangeKey struct{}

func withExchange(ctx context.Context, ex *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, ex)
}

// maxNews bounds what is read about a pull: Ollama tells 16 times a second how
// far it is, for hours.
const maxNews = 1 << 30

// transport notes the status of each response and bounds its body.
type transport struct {
	next http.RoundTripper
	most int64 // bytes of a body
}

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if ex, ok := req.Context().Value(exchangeKey{}).(*exchange); ok {
		ex.status = res.StatusCode
	}
	res.Body = bounded{io.LimitReader(res.Body, t.most), res.Body}
	return res, nil
}

type bounded struct {
	io.Reader
	io.Closer
}

// newClient makes a client that retries nothing and follows no redirect: a
// redirected POST would carry a prompt, and a key, to someone else. It has no
// timeout, because every call comes with a deadline.
func newClient(dial time.Duration, proxy func(*http.Request) (*url.URL, error)) *http.Client {
	return &http.Client{
		Transport: transport{most: maxBody, next: &http.Transport{
			Proxy:                 proxy,
			DialContext:           (&net.Dialer{Timeout: dial, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          64,
			MaxIdleConnsPerHost:   64,
			IdleConnTimeout:       90 * time.Second,
			ExpectContinueTimeout: time.Second,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
