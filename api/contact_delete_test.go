package api

import (
	"strings"
	"testing"

	"github.com/payaid/payaid/events/outbox"
)

func TestDeleteContact(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	id := g.contact(t, key, aContact).ID
	path := "/api/contacts/" + id
	tag := g.call(t, key, "GET", path, "").header.Get("ETag")
	g.call(t, key, "PATCH", path, `{"city":"Pune"}`).want(200)
	g.call(t, key, "DELETE", path, "", "If-Match", tag).problem(412, "precondition_failed")
	g.call(t, key, "DELETE", path, "", "If-Match", `"2"`).want(204)
	g.call(t, key, "GET", path, "").problem(404, "not_found")
	g.call(t, key, "DELETE", path, "").problem(404, "not_found")
	g.call(t, key, "DELETE", path, "", "If-Match", `"2"`).problem(404, "not_found")
	facts := g.facts(t, id)
	if last := facts[len(facts)-1]; len(facts) != 3 || last.typ != "contact.deleted" || !strings.Contains(last.data, `"version": 3`) && !strings.Contains(last.data, `"version":3`) {
		t.Errorf("facts %+v", facts)
	}

	id = g.contact(t, key, aContact).ID
	path = "/api/contacts/" + id
	g.execute(t, insertADeal, org, outbox.NewID(), id)
	p := g.call(t, key, "DELETE", path, "").problem(409, "contact_in_use")
	if !strings.Contains(p.Detail, "1 deal and 0 invoices") || !strings.Contains(p.Detail, "inactive") {
		t.Errorf("detail %q", p.Detail)
	}
	g.execute(t, insertAnInvoice, org, outbox.NewID(), id)
	g.execute(t, insertAnInvoice, org, outbox.NewID(), id)
	if p := g.call(t, key, "DELETE", path, "").problem(409, "contact_in_use"); !strings.Contains(p.Detail, "1 deal and 2 invoices") {
		t.Errorf("detail %q", p.Detail)
	}
	if n := len(g.facts(t, id)); n != 1 {
		t.Errorf("%d facts of a contact that was not deleted", n)
	}
}

// A deal that is being added when its contact is deleted: one of the two waits for the other.
func TestDeleteContactWhileADealIsAdded(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	org, key := g.organization(t)
	id := g.contact(t, key, aContact).ID
	tx, err := g.system.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), insertADeal, org, outbox.NewID(), id); err != nil {
		t.Fatal(err)
	}
	var xid string
	if err := tx.QueryRow(t.Context(), `SELECT pg_current_xact_id()::text`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	answered := make(chan *reply, 1)
	go func() { answered <- g.call(t, key, "DELETE", "/api/contacts/"+id, "") }()
	eventually(t, func() bool {
		return g.count(t, `SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid::text = '`+xid+`'`) == 1
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	(<-answered).problem(409, "contact_in_use")
	g.call(t, key, "GET", "/api/contacts/"+id, "").want(200)
}
