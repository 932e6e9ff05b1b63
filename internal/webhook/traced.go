package webhook

import (
	"net/url"

	"github.com/payaid/payaid/internal/telemetry/trace"
)

// describe says of an attempt how it ended: which host was asked, never at which path or with what, as URLs of receivers
// hold secrets.
func (a Answer) describe(step trace.Span, receiver string) {
	step.String("http.request.method", "POST")
	if u, err := url.Parse(receiver); err == nil {
		step.String("url.scheme", u.Scheme)
		step.String("server.address", u.Hostname())
		step.String("server.port", u.Port())
	}
	if a.StatusCode != 0 {
		step.Int("http.response.status_code", a.StatusCode)
	}
	if a.Code != "" {
		step.Fail(a.Code)
	}
}
