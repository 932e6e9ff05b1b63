package admin

import (
	"net/http"
	"strings"
	"testing"
)

func TestMisleadingCharactersAreSeen(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{
		"<p>नमस्ते é</p>":                                                       "<p>नमस्ते é</p>",
		"<p title=\"\u202ea\">x\u202exe.fdp\u2066</p>\x1b[31m":                  "<p title=\"\u202ea\">x\\u202exe.fdp\\u2066</p>\\u001b[31m",
		"<textarea name=\"input\">\u202e a</textarea><b>\u202e</b>\u200f\n\x00": "<textarea name=\"input\">\u202e a</textarea><b>\\u202e</b>\u200f\n\\u0000",
		"\u202e<p": "\\u202e<p",
	} {
		if got := string(visible([]byte(page))); got != want {
			t.Errorf("%q became\n%q, want\n%q", page, got, want)
		}
	}
	g := newRig(t)
	b := g.signedIn(g.keyNamed("key \u202eexe.fdp", "admin"))
	for _, path := range []string{"/admin/sessions", "/admin/audit", "/admin/settings"} {
		if page := b.get(path).wants(http.StatusOK, `key \u202eexe.fdp`); strings.Contains(textOf(page.find("main")[0]), "\u202e") {
			t.Errorf("%s turns what is read around", path)
		}
	}
}
