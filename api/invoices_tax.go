package api

import (
	"errors"
	"fmt"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
)

// sellerOf is the state that an organization sells from.
func sellerOf(o store.Organization) (gst.State, error) {
	state, err := gst.ParseState(o.State)
	if err != nil || !state.InIndia() {
		return state, refuse("seller_state_unknown",
			fmt.Sprintf("tax depends on the organization's state, and %q is none of India; mend it by PATCH /api/organization", o.State))
	}
	return state, nil
}

// placeOfContact is where a contact's goods go when the invoice doesn't say: the state of its GSTIN, else its
// own, else the seller's. The error is for the client to read.
func placeOfContact(c store.Customer, seller gst.State) (gst.State, error) {
	if c.GSTIN != nil {
		// The centre's are no state's, and name no place of supply.
		if state, err := gst.CheckGSTIN(*c.GSTIN); err == nil && state != gst.Centre {
			return state, nil
		}
	}
	switch {
	case c.State == nil && c.GSTIN != nil:
		return seller, errors.New("is required: the contact's GSTIN is no state's, and it has no state")
	case c.State == nil:
		return seller, nil
	}
	state, err := gst.ParseState(*c.State)
	if err != nil {
		return state, fmt.Errorf("is required: the contact has the GSTIN of no state, and its own, %q, is none of India", *c.State)
	}
	return state, nil
}

// supplierOf is who sells, as a sent invoice keeps it.
func supplierOf(o store.Organization) (*store.Supplier, error) {
	state, err := sellerOf(o)
	return &store.Supplier{Name: o.Name, GSTIN: o.GSTIN, State: state.Name, StateCode: state.Code,
		Email: o.Email, Address: o.Address}, err
}

// customerOf is who buys, as a sent invoice keeps it: with a state that can't be read as it is.
func customerOf(c store.Customer) *store.Customer {
	if c.State == nil {
		return &c
	}
	if state, err := gst.ParseState(*c.State); err == nil {
		c.State, c.StateCode = &state.Name, &state.Code
	}
	return &c
}

// taxChanges names what of an invoice comes out differently when it is taxed anew.
func taxChanges(was, v store.Invoice) (changed []string) {
	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"place_of_supply", was.PlaceOfSupply != v.PlaceOfSupply},
		{"inter_state", was.InterState != v.InterState},
		{"subtotal", was.Subtotal != v.Subtotal},
		{"cgst", was.CGST != v.CGST},
		{"sgst", was.SGST != v.SGST},
		{"igst", was.IGST != v.IGST},
		{"total", was.Total != v.Total},
	} {
		if field.differs {
			changed = append(changed, field.name)
		}
	}
	return changed
}

// taxInvoice works out the taxes of an invoice's items, each by itself, and adds them up.
func taxInvoice(v *store.Invoice, seller gst.State) (faults []Fault) {
	supply := gst.SupplyBetween(seller, gst.State{Code: v.PlaceOfSupplyCode})
	v.InterState = supply == gst.InterState
	v.Subtotal, v.CGST, v.SGST, v.IGST, v.Total = 0, 0, 0, 0, 0
	items := make([]store.InvoiceItem, len(v.Items))
	for i, item := range v.Items {
		line := gst.Line{Quantity: gst.Quantity(item.Quantity), UnitPrice: item.UnitPrice, Rate: gst.Rate(item.GSTRate)}
		tax, err := line.Tax(supply)
		if err != nil {
			faults = append(faults, Fault{fmt.Sprintf("/items/%d/unit_price", i), "times the quantity and with tax: " + err.Error()})
			continue
		}
		item.Amount, item.CGST, item.SGST, item.IGST, item.Total = tax.Amount, tax.CGST, tax.SGST, tax.IGST, tax.Total
		items[i] = item
		v.Subtotal += tax.Amount
		v.CGST += tax.CGST
		v.SGST += tax.SGST
		v.IGST += tax.IGST
		v.Total += tax.Total // 500 times 2^53 is less than 2^63
	}
	if v.Total > gst.MaxAmount {
		faults = append(faults, Fault{"/items", "the total is above 9007199254740991 paise"})
	}
	v.Items = items
	return faults
}
