package admin

import (
	"net/http"

	"github.com/payaid/payaid/operator"
)

// sessions shows who has signed in, and from where.
func (p *Pages) sessions(r *request) error {
	var list operator.Sessions
	if err := r.client.Get(r.Context(), "/api/admin/sessions", nil, &list); err != nil {
		return err
	}
	return r.render(http.StatusOK, "sessions", "Sessions", list)
}

// endSession signs somebody out; who ends his own is asked to sign in again.
func (p *Pages) endSession(r *request) error {
	if err := r.client.Do(r.Context(), http.MethodDelete, "/api/admin/sessions/"+pathEscape(r.PathValue("id")), nil, nil); err != nil {
		return err
	}
	return r.redirect("/admin/sessions", "The session has ended. Whoever had it must sign in again.")
}
