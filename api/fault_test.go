package api

import "testing"

// What a client did wrong is said in words and numbers that people write.
func TestFaultsAreReadable(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	p := g.post(`"title":"x","value":9007199254740992`).problem(422, "validation_failed", "/value")
	if got, want := p.Errors[0].Detail, "expected number <= 9007199254740991"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p = g.call(t, g.key, "POST", "/api/deals", `{"contact_id":"7","title":"x","value":1}`).problem(422, "validation_failed", "/contact_id")
	if got, want := p.Errors[0].Detail, "expected a UUID"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
