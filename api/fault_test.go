package api

import (
	"strings"
	"testing"
)

// What a client did wrong is said in words and numbers that people write.
func TestFaultsAreReadable(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	p := g.post(`"title":"x","value":9007199254740992`).problem(422, "validation_failed", "/value")
	if got, want := p.Errors[0].Detail, "expected number <= 9007199254740991"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for body, want := range map[string]Fault{
		`{"contact_id":"x","items":[{"description":"x","quantity":"1","gst_rate":18.0,"unit_price":18.0}]}`: {"/items/0/unit_price", "must be a whole number, written without fraction and exponent"},
		`{"contact_id":"x","items":[{"description":"x","quantity":"1","unit_price":1,"gst_rate":1e400}]}`:   {"/items/0/gst_rate", "is larger than any number can be"},
	} {
		p := g.call(t, g.key, "POST", "/api/invoices", strings.Replace(body, `"x"`, `"`+g.contact+`"`, 1)).problem(422, "validation_failed", want.Pointer)
		if p.Errors[0] != want {
			t.Errorf("got %v, want %v", p.Errors[0], want)
		}
	}
	p = g.call(t, g.key, "POST", "/api/deals", `{"contact_id":"7","title":"x","value":1}`).problem(422, "validation_failed", "/contact_id")
	if got, want := p.Errors[0].Detail, "expected a UUID"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
