package admin

import (
	"net/http"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/operator"
)

// clientOf asks the API in this process, as somebody who has signed in.
func (p *Pages) clientOf(o api.Operator) *operator.Client {
	return &operator.Client{URL: "http://inside", HTTP: p.API.Inside(o)}
}

// stream hands the answer of a GET of the API through as it comes, for server-sent events.
func (r *request) stream(path string) error {
	asked, err := http.NewRequestWithContext(r.Context(), http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	for _, name := range []string{"Last-Event-Id", "Accept"} {
		if v := r.Header.Values(name); len(v) > 0 {
			asked.Header[name] = v
		}
	}
	asked.RemoteAddr = r.RemoteAddr
	r.pages.API.Handler().ServeHTTP(r.w, r.operator.Ask(asked))
	return nil
}
