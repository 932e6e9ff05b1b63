package admin

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/api"
)

const sessionCookie = "payaid_admin"

// The server ends sessions; the cookie only need not outlive them.
const cookieAge = 12 * 60 * 60

// signIn finds out who asks. Who has not signed in is answered: sent to sign in where a page was asked for, else 401.
func (r *request) signIn() bool {
	token := cookie(r.Request, sessionCookie)
	if token == "" {
		r.askToSignIn("")
		return false
	}
	o, err := r.pages.API.Session(r.Context(), token, r.address())
	switch {
	case err == nil:
	case errors.Is(err, api.ErrNoSession):
		r.setCookie(sessionCookie, "", -1)
		r.askToSignIn("ended")
		return false
	default:
		r.unavailable(err)
		return false
	}
	o.RequestID = r.requestID()
	r.operator, r.client = o, r.pages.clientOf(o)
	return true
}

// unavailable is the page while nobody can look up sessions.
func (r *request) unavailable(err error) {
	r.pages.Log.Warn("session can't be looked up", "error", err, "request_id", r.requestID())
	r.w.Header().Set("Retry-After", "5")
	_ = r.refuse(http.StatusServiceUnavailable, "The database can't be reached", "Nobody can sign in or see anything until it answers again. /readyz says what is missing.")
}

// askToSignIn leads to the form and, after it, back. What was posted is lost; the page it came from is where one lands.
func (r *request) askToSignIn(why string) {
	next := r.URL.RequestURI()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		next = ""
		if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host {
			next = from.RequestURI()
		}
	}
	q := url.Values{}
	if next != "" && localPath(next) == next {
		q.Set("next", next)
	}
	if why != "" {
		q.Set("why", why)
	}
	to := "/admin/login"
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	switch {
	case r.byHTMX():
		r.w.Header().Set("HX-Redirect", to)
		r.w.WriteHeader(http.StatusUnauthorized)
	case strings.HasPrefix(r.URL.Path, "/admin/live"):
		r.w.WriteHeader(http.StatusUnauthorized) // a stream; its page finds out at its next request
	default:
		_ = r.redirect(to, "")
	}
}

// A loginForm is what the page of the sign-in shows.
type loginForm struct {
	Next  string
	Ended bool
	Fault string
}

// showLogin shows the form, also to who is signed in.
func (p *Pages) showLogin(r *request) error {
	q := r.URL.Query()
	return r.render(http.StatusOK, "login", "Sign in", loginForm{Next: nextOf(q.Get("next")), Ended: q.Get("why") == "ended"})
}

// nextOf is where to go after signing in: a path of these pages, or the first of them.
func nextOf(given string) string {
	if given == "" || strings.HasPrefix(given, "/admin/login") {
		return "/admin/"
	}
	return localPath(given)
}

// login takes the key of the form and begins a session.
func (p *Pages) login(r *request) error {
	from := r.address()
	if wait := p.attempts.take(from, time.Now()); wait > 0 {
		seconds := int(wait/time.Second) + 1
		r.w.Header().Set("Retry-After", strconv.Itoa(seconds))
		return r.refuse(http.StatusTooManyRequests, "Too many attempts to sign in",
			"Wait "+strconv.Itoa(seconds)+" seconds, then try again. Ten a minute are allowed from one address.")
	}
	form := loginForm{Next: nextOf(r.PostFormValue("next"))}
	key := strings.TrimSpace(r.PostFormValue("key"))
	if key == "" {
		form.Fault = "Enter an admin key."
		return r.render(http.StatusUnprocessableEntity, "login", "Sign in", form)
	}
	token, _, err := p.API.SignIn(r.Context(), key, from, r.UserAgent())
	var refused *api.Error
	switch {
	case errors.As(err, &refused):
		// Whoever tries keys out has none that the audit log could name.
		p.Log.Warn("sign-in refused", "code", refused.Code, "address", from, "request_id", r.requestID())
		form.Fault = "This key does not open the admin: " + refused.Detail + "."
		return r.render(http.StatusUnauthorized, "login", "Sign in", form)
	case err != nil:
		r.unavailable(err)
		return nil
	}
	// Whoever signs in anew has no use for the session before.
	if err := r.endOwn(); err != nil {
		p.Log.Warn("session before could not be ended", "error", err)
	}
	r.setCookie(sessionCookie, token, cookieAge)
	return r.redirect(form.Next, "")
}

// logout ends the session for good. Who has none is signed out already.
func (p *Pages) logout(r *request) error {
	if err := r.endOwn(); err != nil {
		r.unavailable(err)
		return nil
	}
	r.setCookie(sessionCookie, "", -1)
	return r.redirect("/admin/login", "")
}

// endOwn ends the session that the browser has, if any.
func (r *request) endOwn() error {
	token := cookie(r.Request, sessionCookie)
	if token == "" {
		return nil
	}
	o, err := r.pages.API.Session(r.Context(), token, r.address())
	if errors.Is(err, api.ErrNoSession) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.pages.API.SignOut(r.Context(), o)
}

// secure reports whether the browser sees this installation by TLS.
func (r *request) secure() bool {
	if r.TLS != nil {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || r.Header.Get("X-Forwarded-Proto") != "https" {
		return false
	}
	for _, network := range r.pages.TrustedProxies {
		if network.Contains(peer.Addr().Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

// address is where the request comes from, as the API's edge sees it.
func (r *request) address() netip.Addr { return api.ClientAddress(r.Context()) }
