package admin

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// A flash is said once, on the page behind a redirect.
type flash struct {
	Text string
	Bad  bool
}

const (
	flashCookie = "payaid_flash"
	mostFlash   = 2000 // bytes; a cookie may have 4096
)

func (r *request) setFlash(text string) {
	if len(text) > mostFlash {
		text = strings.ToValidUTF8(text[:mostFlash], "") + "…"
	}
	r.setCookie(flashCookie, base64.RawURLEncoding.EncodeToString([]byte(text)), 60)
}

// takeFlash reads what the page before wanted to be said, and forgets it.
func (r *request) takeFlash() *flash {
	c, err := r.Cookie(flashCookie)
	if err != nil || c.Value == "" {
		return nil
	}
	r.setCookie(flashCookie, "", -1)
	text, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || len(text) == 0 {
		return nil
	}
	said, bad := strings.CutPrefix(strings.ToValidUTF8(string(text), ""), "!")
	return &flash{Text: strings.TrimSpace(said), Bad: bad}
}

// setCookie sets one that scripts can't read and other sites don't send; seconds < 0 deletes it.
func (r *request) setCookie(name, value string, seconds int) {
	http.SetCookie(r.w, &http.Cookie{Name: name, Value: value, Path: "/admin", MaxAge: seconds, HttpOnly: true,
		Secure: r.secure(), SameSite: http.SameSiteStrictMode})
}
