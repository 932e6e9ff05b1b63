package store_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// withContact makes an organization with a contact, which has the organization's id.
func withContact(t *testing.T, conn *pgx.Conn, org string) {
	t.Helper()
	_, err := conn.Exec(t.Context(), `
		WITH o AS (INSERT INTO organizations (id, name, state) VALUES ($1, 'x', 'x') RETURNING id)
		INSERT INTO contacts (organization_id, id, name) SELECT id, id, 'x' FROM o`, org)
	if err != nil {
		t.Fatal(err)
	}
}

// What the schema refuses has a name, also where nobody asked before.
func TestDealsAreGuarded(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	const theirs = "0197aaaa-0000-7000-8000-000000000002"
	conn := connect(t, url)
	withContact(t, conn, organization)
	withContact(t, conn, theirs)
	db := open(t, url, store.App)
	as := func(do func(tx pgx.Tx) (store.Deal, error)) (d store.Deal, err error) {
		err = db.TxAs(t.Context(), organization, func(tx pgx.Tx) (err error) {
			d, err = do(tx)
			return err
		})
		return d, err
	}
	create := func(stage, contact string, probability int) (store.Deal, error) {
		return as(func(tx pgx.Tx) (store.Deal, error) {
			return store.CreateDeal(t.Context(), tx, store.Deal{OrganizationID: organization, ID: uuid.NewString(), ContactID: contact,
				Title: "x", Stage: stage, Probability: probability})
		})
	}
	update := func(d store.Deal, change func(*store.Deal)) error {
		change(&d)
		_, err := as(func(tx pgx.Tx) (store.Deal, error) { return store.UpdateDeal(t.Context(), tx, d) })
		return err
	}
	won, err := create(store.DealWon, organization, 100)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := create(store.DealLost, organization, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, foreign := create(store.DealLead, theirs, 10)
	for what, c := range map[string]struct{ got, want error }{
		"a contact of another":  {foreign, store.ErrNoContact},
		"back from won":         {update(won, func(d *store.Deal) { d.Stage, d.Probability = store.DealLead, 10 }), store.ErrTransition},
		"from won to lost":      {update(won, func(d *store.Deal) { d.Stage, d.Probability = store.DealLost, 0 }), store.ErrTransition},
		"from lost to won":      {update(lost, func(d *store.Deal) { d.Stage, d.Probability = store.DealWon, 100 }), store.ErrTransition},
		"to a contact nowhere":  {update(won, func(d *store.Deal) { d.ContactID = uuid.NewString() }), store.ErrNoContact},
		"of an older version":   {update(won, func(d *store.Deal) { d.Version-- }), store.ErrConflict},
		"of another's deal":     {update(won, func(d *store.Deal) { d.OrganizationID = theirs }), store.ErrConflict},
		"again open, from lost": {update(lost, func(d *store.Deal) { d.Stage, d.Probability = store.DealLead, 10 }), nil},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", what, c.got, c.want)
		}
	}
}
