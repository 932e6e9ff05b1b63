package store_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/payaid/payaid/internal/store"
)

// TestInvoicePaperIsOnesOwn: also for those who see all organizations, an invoice is that of the one they name.
func TestInvoicePaperIsOnesOwn(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	conn := connect(t, url)
	db := open(t, url, store.System)
	mine, theirs := newDesk(t, conn, "Mine"), newDesk(t, conn, "Theirs")
	id, contact := uuid.NewString(), uuid.NewString()
	for _, d := range []*desk{mine, theirs} {
		d.exec(`INSERT INTO contacts (organization_id, id, name, address, version) VALUES ($1, $2, $3, 'There', 7)`, d.organization, contact, "Asha")
		d.exec(`UPDATE organizations SET address = 'Here', version = 5 WHERE id = $1`, d.organization)
		d.exec(`INSERT INTO invoices (organization_id, id, contact_id, place_of_supply, place_of_supply_code, inter_state, issue_date, due_date,
			subtotal, cgst, sgst, igst, total) VALUES ($1, $2, $3, 'x', '27', false, now(), now(), 200, 0, 0, 0, 200)`, d.organization, id, contact)
		for position, description := range []string{"of ", "also of "} {
			d.exec(`INSERT INTO invoice_items (organization_id, invoice_id, position, description, quantity, unit, unit_price, gst_rate, amount, cgst,
				sgst, igst, total) VALUES ($1, $2, $3, $4, 99999999999.999, 'KGS', 0, 25, 0, 0, 0, 0, 0)`, d.organization, id, position+1, description+d.organization)
		}
	}
	p, err := db.InvoicePaper(t.Context(), mine.organization, id)
	if err != nil {
		t.Fatal(err)
	}
	if p.Seller.Name != "Mine" || *p.Seller.Address != "Here" || p.Seller.State != "MH" || p.Buyer.Name != "Asha" || *p.Buyer.Address != "There" {
		t.Errorf("between %+v and %+v", p.Seller, p.Buyer)
	}
	if len(p.Lines) != 2 || p.Lines[0].Description != "of "+mine.organization || p.Lines[1].Description != "also of "+mine.organization ||
		p.Lines[0].Quantity != 99_999_999_999_999 || *p.Lines[0].Unit != "KGS" || p.Lines[0].GSTRate != 25 {
		t.Errorf("lines %+v", p.Lines)
	}
	if got := p.Edition(); got != "1-5-7" {
		t.Errorf("edition %s", got)
	}
	for _, d := range []string{store.OperatorOrganization, uuid.NewString()} {
		if _, err := db.InvoicePaper(t.Context(), d, id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
}
