package admin

import "net/http"

// choices are what somebody prefers here, kept in cookies of the browser. The server knows the theme before the first
// byte, so that no page flashes in the wrong one.
type choices struct {
	Theme   string // "light", "dark", "system"
	Live    bool   // refresh pages by themselves
	Routine bool   // show the work that the installation does for itself in lists of jobs
}

const (
	themeCookie   = "payaid_theme"
	liveCookie    = "payaid_live"
	routineCookie = "payaid_routine"
	chosenFor     = 365 * 24 * 60 * 60
)

func choicesOf(r *http.Request) choices {
	c := choices{Theme: "system", Live: cookie(r, liveCookie) != "off", Routine: cookie(r, routineCookie) == "show"}
	if theme := cookie(r, themeCookie); theme == "light" || theme == "dark" {
		c.Theme = theme
	}
	return c
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// saveChoices keeps what a form of the settings says. A choice that the form doesn't name stays.
func (r *request) saveChoices() {
	if theme := r.PostFormValue("theme"); theme == "light" || theme == "dark" || theme == "system" {
		r.setCookie(themeCookie, theme, chosenFor)
	}
	if live := r.PostFormValue("live"); live == "on" || live == "off" {
		// The script pauses and goes on by this cookie, so it has to read it.
		http.SetCookie(r.w, &http.Cookie{Name: liveCookie, Value: live, Path: "/admin", MaxAge: chosenFor, Secure: r.secure(), SameSite: http.SameSiteStrictMode})
	}
	if routine := r.PostFormValue("routine"); routine == "show" || routine == "hide" {
		r.setCookie(routineCookie, routine, chosenFor)
	}
}
