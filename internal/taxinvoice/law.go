package taxinvoice

import (
	"slices"

	"github.com/payaid/payaid/internal/gst"
)

// Other Country, where exports go.
const abroad = "96"

// title is what the law calls the document. Who is not registered issues no tax invoice, and no bill of supply
// either: both are the registered person's (section 31 of the CGST Act). A registered one who sells nothing that
// is taxed issues a bill of supply (section 31(3)(c)), and a tax invoice for exports, even those without tax,
// which are zero-rated and not exempt (section 16 of the IGST Act). Where some items are taxed and some are not,
// one tax invoice may name both.
func (v Invoice) title() string {
	switch {
	case v.Supplier.GSTIN == "":
		return "Invoice"
	case !v.taxed() && v.Place.Code != abroad:
		return "Bill of Supply"
	}
	return "Tax Invoice"
}

// taxed says whether there are taxes to speak of. Without, no column speaks of them.
func (v Invoice) taxed() bool {
	return v.CGST+v.SGST+v.IGST > 0 || slices.ContainsFunc(v.Items, func(i Item) bool { return i.Rate > 0 })
}

// endorsement is what the third proviso of rule 46 wants an export to say.
func (v Invoice) endorsement() string {
	switch {
	case v.Place.Code != abroad || v.Supplier.GSTIN == "":
		return ""
	case v.IGST > 0:
		return "Supply meant for export on payment of integrated tax"
	}
	return "Supply meant for export under bond or letter of undertaking without payment of integrated tax"
}

// Union territories without a legislature, and the sea. Within them, the second half of the tax is theirs by the
// UTGST Act, and the invoice names it so.
var unionTerritories = []string{"04", "26", "31", "35", "38", "97"}

func (v Invoice) stateTax() string {
	if slices.Contains(unionTerritories, v.Place.Code) {
		return "UTGST"
	}
	return "SGST"
}

// copyOf is how rule 48 wants the one that goes to the customer to be marked.
func (v Invoice) copyOf() string {
	if v.Stage != Issued || v.Supplier.GSTIN == "" {
		return ""
	}
	return "Original for recipient"
}

// signature says why nobody has signed. Rules 46 and 49 want the signature of the supplier or who acts for it, and
// not on an electronic invoice in accordance with the Information Technology Act (provisos of notification 74/2018
// - Central Tax). Who prints it can sign in the space that there is.
// What asks nobody to pay says nothing of it.
func (v Invoice) signature() string {
	if v.Stage != Issued {
		return ""
	}
	if v.Supplier.GSTIN == "" {
		return "Computer-generated; valid without a signature."
	}
	rule := "46"
	if v.title() == "Bill of Supply" {
		rule = "49"
	}
	return "Issued electronically in accordance with the Information Technology Act, 2000: no signature is " +
		"required (proviso to rule " + rule + " of the CGST Rules, 2017)."
}

func (p Party) gstin() string {
	if p.GSTIN == "" {
		return "unregistered"
	}
	return p.GSTIN
}

func placeName(s gst.State) string { return withCode(s.Name, s.Code) }

func withCode(name, code string) string {
	if code == "" {
		return name
	}
	return name + " (" + code + ")"
}
