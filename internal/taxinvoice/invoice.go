package taxinvoice

import (
	"fmt"
	"time"

	"github.com/payaid/payaid/internal/gst"
)

// A Stage is how far an invoice has come.
type Stage int

const (
	// Draft is an invoice without a number, which nobody has to pay. The PDF says so across every page.
	Draft Stage = iota
	// Issued is one that was sent.
	Issued
	// Cancelled is one that is void, and says so across every page.
	Cancelled
)

// An Invoice is what the PDF says. Amounts are in paise, dates YYYY-MM-DD. Empty texts are left out, but for those
// that the law wants there.
type Invoice struct {
	Stage              Stage
	Number             string
	IssueDate, DueDate string
	Supplier           Party
	Customer           Party
	Place              gst.State // of supply
	Supply             gst.Supply
	Items              []Item
	Subtotal           int64 // what is taxed
	CGST, SGST, IGST   int64
	Total              int64
	Paid, Due          int64
	Notes              string
	Made               time.Time // stands in the file as its date
}

// A Party sells or buys.
type Party struct {
	Name    string
	Contact string // who stands for the party
	Address string // lines of it
	City    string
	State   string
	Code    string // GST's, of the state; "" where it is none of India
	GSTIN   string // "" of whoever is not registered
	Email   string
}

// An Item is a line of an invoice.
type Item struct {
	Description      string
	HSNSAC           string
	Quantity         gst.Quantity
	Unit             string
	UnitPrice        int64
	Rate             gst.Rate
	Amount           int64 // what is taxed
	CGST, SGST, IGST int64
	Total            int64
}

// PDF draws the invoice on pages of A4. It takes texts of any length and script: what no font has is a box.
func (v Invoice) PDF() ([]byte, error) {
	l := newLayout(v)
	pages := l.pages()
	b, err := draw(pages, l.set.fonts, about{title: v.named(), author: v.Supplier.Name, made: v.Made})
	if err != nil {
		return nil, fmt.Errorf("draw invoice %s: %w", v.Number, err)
	}
	return b, nil
}

func (v Invoice) named() string {
	if v.Number == "" {
		return v.title() + " (draft)"
	}
	return v.title() + " " + v.Number
}
