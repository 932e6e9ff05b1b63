package admin

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/operator"
)

// A request is one request for a page, and how it is answered.
type request struct {
	*http.Request
	w        http.ResponseWriter
	pages    *Pages
	page     page
	client   *operator.Client // asks as who has signed in; nil for who has not
	operator api.Operator     // who has signed in
	choices  choices
	own      string // where the page can be asked for, if that is not plain from the request
}

type requestKey struct{}

func withRequest(ctx context.Context, q *request) context.Context {
	return context.WithValue(ctx, requestKey{}, q)
}

func requestOf(r *http.Request) *request { return r.Context().Value(requestKey{}).(*request) }

// begin is a request of which nobody knows yet who makes it.
func (p *Pages) begin(w http.ResponseWriter, r *http.Request) *request {
	return &request{Request: r, w: w, pages: p, choices: choicesOf(r)}
}

// A view is what a template is shown with; in "main" it is the dot, and $.
type view struct {
	Title    string
	Nav      []navGroup
	At       string  // name of the entry of the navigation that is lit
	Crumbs   []crumb // the way here
	Operator api.Operator
	SignedIn bool
	CanAct   bool // false for who may only read: offer no acts
	Choices  choices
	Flash    *flash
	Alerts   []operator.Alert // what somebody should see to
	Version  string
	Path     string // of this page with its query, to come back to
	Data     any    // what the handler gave
}

// A crumb is a step of the way to a page; the last has no path.
type crumb struct{ Title, Path string }

// render shows the template of that name, from templates/NAME.html. All of it is made before the first byte goes out,
// so that an error is a page and not half of one.
func (r *request) render(status int, name, title string, data any) error {
	return r.renderAt(status, name, []crumb{{Title: title}}, data)
}

// renderAt is render for a page below others: crumbs begins behind the entry of the navigation and ends with the page.
func (r *request) renderAt(status int, name string, crumbs []crumb, data any) error {
	v := view{
		Title: crumbs[len(crumbs)-1].Title, At: r.page.nav, Crumbs: crumbs, Operator: r.operator, SignedIn: r.client != nil,
		CanAct: r.client != nil && r.operator.MayAct(), Choices: r.choices, Version: r.pages.Version, Path: r.here(), Data: data,
	}
	if v.SignedIn {
		v.Nav = r.pages.navFor()
		v.Crumbs = way(v.Nav, v.At, crumbs)
		v.Flash = r.takeFlash()
		v.Alerts = r.alerts()
	}
	var b bytes.Buffer
	if err := r.pages.templates.execute(&b, name, v); err != nil {
		return err
	}
	page := visible(b.Bytes())
	h := r.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(page)))
	r.w.WriteHeader(status)
	_, _ = r.w.Write(page) // who has gone needs no answer
	return nil
}

// here is the address by which the page that is shown can be asked for. Of what was posted it is the page with the form.
func (r *request) here() string {
	switch {
	case r.own != "":
		return r.own
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return r.URL.RequestURI()
	}
	return r.pages.formPage(r.page.pattern, r.URL.EscapedPath())
}

// way begins the crumbs with the entry of the navigation, or for its own page with the entry's group.
func way(nav []navGroup, at string, crumbs []crumb) []crumb {
	for _, group := range nav {
		for _, item := range group.Items {
			switch {
			case item.Name != at:
			case crumbs[0].Title == item.Title:
				return append([]crumb{{Title: group.Title}}, crumbs...)
			default:
				return append([]crumb{{Title: group.Title}, {item.Title, item.Path}}, crumbs...)
			}
		}
	}
	return crumbs
}

// redirect answers a form, or a page that has moved. to is a path of these pages; flash, if not empty, is said there
// once. One that begins with "!" tells of something that went wrong.
func (r *request) redirect(to, flash string) error {
	if flash != "" {
		r.setFlash(flash)
	}
	r.w.Header().Set("Cache-Control", "no-store")
	http.Redirect(r.w, r.Request, localPath(to), http.StatusSeeOther)
	return nil
}

// back goes where the form came from: its field "back", or else the path.
func (r *request) back(otherwise, flash string) error {
	if to := r.PostFormValue("back"); to != "" {
		otherwise = to
	}
	return r.redirect(otherwise, flash)
}

// localPath is a path of these pages, or the first page for anything that leads elsewhere.
func localPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || strings.ContainsAny(to, "\\\r\n\t") {
		return "/admin/"
	}
	if u.Path != "/admin" && !strings.HasPrefix(u.Path, "/admin/") || strings.Contains(u.Path, "..") {
		return "/admin/"
	}
	return to
}

// pathEscape makes an id one segment of a path.
func pathEscape(id string) string { return url.PathEscape(id) }

// fail shows why a page could not be made. What the API refused it says in its own words.
func (r *request) fail(err error) {
	var p *operator.Problem
	if errors.As(err, &p) {
		r.failWith(p)
		return
	}
	if r.Context().Err() != nil {
		return // who asked has gone
	}
	r.pages.Log.Error("page failed", "path", r.URL.Path, "error", err, "request_id", r.requestID())
	_ = r.refuse(http.StatusInternalServerError, "Something went wrong here", "It was written to the log under the request id below.")
}

// A trouble is what the page of an error says.
type trouble struct {
	Status    int
	Title     string
	Detail    string
	Code      string
	RequestID string
	Faults    []operator.Fault
}

var troubleTitles = map[int]string{
	http.StatusForbidden:          "You may not do that",
	http.StatusNotFound:           "There is no such thing",
	http.StatusConflict:           "That is not possible now",
	http.StatusPreconditionFailed: "It was changed meanwhile",
	http.StatusTooManyRequests:    "Too many requests",
	http.StatusServiceUnavailable: "It can't be answered now",
	http.StatusGatewayTimeout:     "It can't be answered now",
}

func (r *request) failWith(p *operator.Problem) {
	t := trouble{Status: p.Status, Title: troubleTitles[p.Status], Detail: p.Detail, Code: p.Code, RequestID: p.RequestID, Faults: p.Errors}
	switch {
	case p.Code == "too_slow":
		t.Title = "That question takes too long"
	case t.Title == "":
		t.Title = p.Title
	}
	if p.RetryAfter != "" {
		r.w.Header().Set("Retry-After", p.RetryAfter)
	}
	r.trouble(t)
}

// refuse shows a page that says no.
func (r *request) refuse(status int, title, detail string) error {
	r.trouble(trouble{Status: status, Title: title, Detail: detail, RequestID: r.requestID()})
	return nil
}

func (r *request) trouble(t trouble) {
	if err := r.render(t.Status, "error", t.Title, t); err != nil {
		r.pages.Log.Error("page failed", "path", r.URL.Path, "error", err, "request_id", r.requestID())
		http.Error(r.w, "internal error", http.StatusInternalServerError)
	}
}

// requestID is what the API's edge called the request.
func (r *request) requestID() string { return r.w.Header().Get("X-Request-Id") }

// byHTMX reports whether htmx asks, which follows redirects unseen.
func (r *request) byHTMX() bool { return r.Header.Get("HX-Request") == "true" }
