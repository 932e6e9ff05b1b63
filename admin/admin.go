// Package admin is the operator's pages under /admin: templates, static files, and a session in a cookie. They are a
// client of the admin's JSON API, in the same process: a page can do nothing that a script can't, and rights, limits and
// the audit log are enforced there. Pages are read and acted on without JavaScript; with it they are live.
//
// To add a page: a method in the file of its area that asks r.client and ends with r.render or r.redirect, a template of
// the same name whose "main" shows it, and a line in the table of pages.go. In a template the dot is a view: .Data is
// what the handler gave, $.CanAct says whether to offer acts.
package admin

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/payaid/payaid/api"
)

// Config is what the pages need.
type Config struct {
	API     *api.Server
	Version string
	// TrustedProxies may say that a request reached them by TLS, in X-Forwarded-Proto.
	TrustedProxies []netip.Prefix
	Log            *slog.Logger
}

// Pages serves everything under /admin. Mount it by api.Server.Pages.
type Pages struct {
	Config
	static    *static
	templates templates
	pages     []page
	mux       *http.ServeMux
	origins   *http.CrossOriginProtection
	attempts  attempts
}

// New reads the templates and the static files, which are part of the program.
func New(c Config) (*Pages, error) {
	if c.API == nil || c.Log == nil {
		return nil, errors.New("admin: API and Log are required")
	}
	files, err := loadStatic()
	if err != nil {
		return nil, err
	}
	p := &Pages{Config: c, static: files, mux: http.NewServeMux(), origins: http.NewCrossOriginProtection()}
	if p.templates, err = parseTemplates(files.url); err != nil {
		return nil, err
	}
	p.mount()
	return p, nil
}

// policy is the Content-Security-Policy of pages. Nothing inline, nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	if strings.HasPrefix(r.URL.Path, staticPrefix) {
		p.static.ServeHTTP(w, r)
		return
	}
	// Whose page it is must not leak to other sites by links in what is shown.
	w.Header().Set("Referrer-Policy", "same-origin")
	w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	q := p.begin(w, r)
	if err := p.origins.Check(r); err != nil {
		q.refuse(http.StatusForbidden, "This request came from another site", "It was not carried out. Sign in here and do it from these pages.")
		return
	}
	p.mux.ServeHTTP(w, r.WithContext(withRequest(r.Context(), q)))
}
