package api

import "testing"

func TestBlank(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": true, " \t\n\u00a0\u3000": true, "\u200b": true, " \ufeff\u200d\u2060 ": true, "\u00ad": true, "\u3164": true,
		"\u2800": true, "\ufe0f": true, "\U000e0041": true, "\x01": true,
		"a": false, "\u200ba": false, "0": false, "😀": false, "\u0915\u094d\u200d\u0937": false, "\u200d₹": false, "-": false,
	} {
		if got := blank(text); got != want {
			t.Errorf("blank(%q) is %v", text, got)
		}
	}
}

// Names that nobody would see are refused wherever there are names.
func TestNamesAreSeen(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	g.post(`"title":"\u200b"`).problem(422, "validation_failed", "/title")
	deal := g.post(`"title":"x"`).want(201).deal().ID
	g.call(t, g.key, "PATCH", "/api/deals/"+deal, `{"title":"\u200b \u2060"}`).problem(422, "validation_failed", "/title")
	g.call(t, g.key, "POST", "/api/contacts", `{"name":"\u200b"}`).problem(422, "validation_failed", "/name")
	g.call(t, g.key, "PATCH", "/api/contacts/"+g.contact, `{"name":" \ufeff"}`).problem(422, "validation_failed", "/name")
	g.call(t, g.key, "PATCH", "/api/organization", `{"name":"\u3164"}`).problem(422, "validation_failed", "/name")
}
