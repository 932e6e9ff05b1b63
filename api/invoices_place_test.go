package api

import (
	"strings"
	"testing"
)

// drafted makes a draft of 2 x 500 rupees at 18 % to the place that is given, or to none.
func (g *rig) drafted(t testing.TB, key, contact, place string) invoiceDetail {
	t.Helper()
	if place != "" {
		place = `,"place_of_supply":"` + place + `"`
	}
	return g.call(t, key, "POST", "/api/invoices", invoiceBody(contact, place)).want(201).invoice()
}

func wantPlace(t testing.TB, v invoiceDetail, place, code string) {
	t.Helper()
	if inter := code != "29"; v.PlaceOfSupply != place || v.PlaceOfSupplyCode != code || v.InterState != inter || inter != (v.IGST == 18000) || inter != (v.CGST == 0) {
		t.Errorf("goes to %s (%s), across a border %t, igst %d, cgst %d; want %s (%s)", v.PlaceOfSupply, v.PlaceOfSupplyCode, v.InterState, v.IGST, v.CGST, place, code)
	}
	checkSums(t, v)
}

// A place that the client left open is the contact's until the invoice is sent; one that it gave stays.
func TestPlaceFollowsTheContact(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t) // of Karnataka
	contact := g.buyer(t, org, nil, "KA")
	open, given, patched := g.drafted(t, key, contact, ""), g.drafted(t, key, contact, "KA"), g.drafted(t, key, contact, "")
	back, noted, same := g.drafted(t, key, contact, "KA"), g.drafted(t, key, contact, ""), g.drafted(t, key, contact, "")
	// From now on it is the client's, though it is what it was.
	if r := g.patch(t, key, patched.ID, `{"place_of_supply":"Karnataka"}`).want(200); r.header.Get("ETag") != `"2"` {
		t.Errorf("ETag %s", r.header.Get("ETag"))
	}
	g.set(t, `UPDATE contacts SET state = 'kerala' WHERE id = $1`, contact)
	send := func(v invoiceDetail) invoiceDetail {
		t.Helper()
		sent := g.act(t, key, v.ID, "send", "").want(200).invoice()
		if read := g.call(t, key, "GET", "/api/invoices/"+v.ID, "").want(200).invoice(); read.PlaceOfSupply != sent.PlaceOfSupply || read.Items[0] != sent.Items[0] {
			t.Errorf("sent %+v\nread %+v", sent, read)
		}
		return sent
	}
	wantPlace(t, send(open), "Kerala", "32")
	wantPlace(t, send(given), "KA", "29")
	wantPlace(t, send(patched), "Karnataka", "29")
	wantPlace(t, g.patch(t, key, back.ID, `{"place_of_supply":null}`).want(200).invoice(), "Kerala", "32")
	wantPlace(t, g.patch(t, key, noted.ID, `{"notes":"n"}`).want(200).invoice(), "Kerala", "32")
	if v := g.patch(t, key, same.ID, `{}`).want(200).invoice(); v.Version != 1 {
		t.Errorf("nothing changed it to %+v", v)
	}
	g.set(t, `UPDATE contacts SET gstin = '27AAPFU0939F1ZV' WHERE id = $1`, contact)
	wantPlace(t, send(back), "Maharashtra", "27")
	wantPlace(t, g.patch(t, key, same.ID, `{"issue_date":"2026-04-01","due_date":null}`).want(200).invoice(), "Maharashtra", "27")
	g.set(t, `UPDATE contacts SET state = 'nowhere', gstin = NULL WHERE id = $1`, contact)
	g.act(t, key, noted.ID, "send", "").problem(422, "validation_failed", "/place_of_supply")

	// What is sent keeps its place, and the rest of it can change.
	g.set(t, `UPDATE organizations SET state = 'Kerala' WHERE id = $1`, org)
	wantPlace(t, g.patch(t, key, open.ID, `{"notes":"n","place_of_supply":"Kerala"}`).want(200).invoice(), "Kerala", "32")
	if got, want := g.story(t, noted.ID), "created1 updated2notes,place_of_supply"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAnotherContactAndTheGivenPlace(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	home, away := g.buyer(t, org, nil, "KA"), g.buyer(t, org, nil, "KL")
	given, open := g.drafted(t, key, home, "ka"), g.drafted(t, key, home, "")
	to := `{"contact_id":"` + away + `"}`
	wantPlace(t, g.patch(t, key, given.ID, to).want(200).invoice(), "ka", "29")
	wantPlace(t, g.patch(t, key, open.ID, to).want(200).invoice(), "Kerala", "32")
	wantPlace(t, g.patch(t, key, given.ID, `{"place_of_supply":null}`).want(200).invoice(), "Kerala", "32")
	wantPlace(t, g.patch(t, key, given.ID, `{"contact_id":"`+home+`"}`).want(200).invoice(), "Karnataka", "29")
	if got, want := g.story(t, given.ID), "created1 updated2contact_id updated3place_of_supply updated4contact_id,place_of_supply"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Who says which version is to be sent has read its taxes, and sends no others.
func TestSendWhatWasRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		move, place, code string
		changed           string
	}{
		"the contact moves":      {`UPDATE contacts SET state = 'KL' WHERE organization_id = $1`, "Kerala", "32", "place_of_supply,inter_state,cgst,sgst,igst"},
		"the organization moves": {`UPDATE organizations SET state = 'Goa' WHERE id = $1`, "Karnataka", "29", "inter_state,cgst,sgst,igst"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			org, key := g.organization(t)
			contact := g.buyer(t, org, nil, "KA")
			v, any, bare := g.drafted(t, key, contact, ""), g.drafted(t, key, contact, ""), g.drafted(t, key, contact, "")
			g.set(t, c.move, org)
			repeat := []string{"Idempotency-Key", "k", "If-Match", `"1"`}
			p := g.act(t, key, v.ID, "send", "", repeat...).problem(412, "precondition_failed")
			if !strings.Contains(p.Detail, "tax has changed since you read it") || !strings.Contains(p.Detail, "read it again") {
				t.Errorf("%s", p.Detail)
			}
			p = g.act(t, key, v.ID, "send", "", repeat...).problem(412, "precondition_failed")
			if !strings.Contains(p.Detail, "read it again") {
				t.Errorf("%s", p.Detail)
			}
			r := g.call(t, key, "GET", "/api/invoices/"+v.ID, "").want(200)
			d := r.invoice()
			if d.Status != "draft" || d.Version != 2 || d.Number != nil || d.Supplier != nil || d.PlaceOfSupply != c.place || d.PlaceOfSupplyCode != c.code ||
				!d.InterState || d.IGST != 18000 || d.Items[0].IGST != 18000 {
				t.Errorf("read %s", r.body)
			}
			checkSums(t, d)
			sent := g.act(t, key, v.ID, "send", "", "Idempotency-Key", "k", "If-Match", r.header.Get("ETag")).want(200).invoice()
			if sent.Status != "sent" || *sent.Number == "" || sent.Total != d.Total || sent.IGST != 18000 || sent.Version != 3 {
				t.Errorf("sent %+v", sent)
			}
			if got, want := g.story(t, v.ID), "created1 updated2"+c.changed+" sent3"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			// Who doesn't say which version gets what is right.
			for id, headers := range map[string][]string{any.ID: {"If-Match", "*"}, bare.ID: nil} {
				if sent := g.act(t, key, id, "send", "", headers...).want(200).invoice(); sent.IGST != 18000 || sent.PlaceOfSupply != c.place || sent.Version != 2 {
					t.Errorf("%v: sent %+v", headers, sent)
				}
			}
		})
	}
}

// A sent invoice names states as GST does, and leaves what it can't read as it is.
func TestStatesOfASentInvoice(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	g.set(t, `UPDATE organizations SET state = 'ka' WHERE id = $1`, org)
	for state, want := range map[any][2]string{"29": {"Karnataka", "29"}, "KA": {"Karnataka", "29"}, "kerala": {"Kerala", "32"},
		"nowhere": {"nowhere", ""}, nil: {"", ""}} {
		v := g.drafted(t, key, g.buyer(t, org, nil, state), "KA")
		r := g.act(t, key, v.ID, "send", "").want(200)
		sent := r.invoice()
		if got := [2]string{text(sent.Customer.State), text(sent.Customer.StateCode)}; got != want {
			t.Errorf("%v is %v", state, got)
		}
		if sent.Supplier.State != "Karnataka" || sent.Supplier.StateCode != "29" {
			t.Errorf("supplier %+v", sent.Supplier)
		}
		if want[1] == "" && !strings.Contains(string(r.body), `"state_code":null`) {
			t.Errorf("%s", r.body)
		}
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
