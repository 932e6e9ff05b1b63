package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
)

// invoicePatch is a JSON merge patch (RFC 7396): what is left out stays, null takes the default.
type invoicePatch struct {
	ContactID     optional[string]             `json:"contact_id,omitzero" format:"uuid"`
	PlaceOfSupply optional[string]             `json:"place_of_supply,omitzero" nullable:"true" minLength:"1" maxLength:"64" doc:"null: again that of the contact"`
	IssueDate     optional[string]             `json:"issue_date,omitzero" nullable:"true" format:"date"`
	DueDate       optional[string]             `json:"due_date,omitzero" nullable:"true" format:"date"`
	Notes         optional[string]             `json:"notes,omitzero" nullable:"true" maxLength:"10000"`
	Items         optional[[]invoiceItemInput] `json:"items,omitzero" minItems:"1" maxItems:"500" doc:"They take the place of all that there were"`
}

type invoiceItemInput struct {
	Description string  `json:"description" minLength:"1" maxLength:"500"`
	HSNSAC      *string `json:"hsn_sac,omitempty" nullable:"true" pattern:"^([0-9]{4}|[0-9]{6}|[0-9]{8})$" doc:"4, 6 or 8 digits"`
	Quantity    string  `json:"quantity" minLength:"1" maxLength:"15" doc:"A decimal with at most three decimals"`
	Unit        *string `json:"unit,omitempty" nullable:"true" minLength:"1" maxLength:"20" doc:"In what the quantity is counted, such as NOS, KGS or HRS"`
	UnitPrice   int64   `json:"unit_price" minimum:"0" maximum:"9007199254740991" doc:"In paise, without tax"`
	GSTRate     decimal `json:"gst_rate" doc:"In per cent, one of the rates that there are"`
}

// An invoiceEdit applies what a client says to an invoice, and notes what that changes and what is wrong with it.
type invoiceEdit struct {
	*store.Invoice
	parties store.InvoiceParties
	rates   gst.Rates

	changed []string // fields as the API names them
	faults  []Fault
}

// apply changes the invoice to what the patch says, and works out its taxes where they depend on that. The
// parties are those of the invoice after the change.
func (e *invoiceEdit) apply(p invoicePatch) error {
	if id := p.ContactID.value; p.ContactID.set && id != e.ContactID {
		e.ContactID = id
		e.change("contact_id")
	}
	if given := p.Notes.pointer(); p.Notes.set && !equal(given, e.Notes) {
		e.Notes = given
		e.change("notes")
	}
	e.dates(p)
	e.items(p.Items)
	if e.Status == store.InvoiceOverdue && e.has("due_date") && e.DueDate >= e.parties.Today {
		e.Status = store.InvoiceSent
		e.change("status")
	}
	if !p.PlaceOfSupply.set && (e.Status != store.InvoiceDraft || len(e.changed) == 0) {
		return e.verdict()
	}
	return e.tax(p)
}

// tax works out the taxes of a draft that changes, between its parties as they are now. Of others it only
// says whether the patch asks for another place of supply.
func (e *invoiceEdit) tax(p invoicePatch) error {
	seller, err := sellerOf(e.parties.Organization)
	if err != nil {
		return err
	}
	was := *e.Invoice
	e.place(p.PlaceOfSupply, seller)
	if err := e.verdict(); err != nil || e.Status != store.InvoiceDraft {
		return err
	}
	e.faults = taxInvoice(e.Invoice, seller)
	if !e.has("contact_id") && !e.has("items") && !e.has("place_of_supply") {
		// Nothing that the client said tells why, so that is what has to be told.
		e.changed = append(e.changed, taxChanges(was, *e.Invoice)...)
	}
	return e.verdict()
}

func (e *invoiceEdit) change(field string)        { e.changed = append(e.changed, field) }
func (e *invoiceEdit) has(field string) bool      { return slices.Contains(e.changed, field) }
func (e *invoiceEdit) fault(pointer, text string) { e.faults = append(e.faults, Fault{pointer, text}) }

func (e *invoiceEdit) verdict() error {
	if len(e.faults) > 0 {
		return invalid(e.faults...)
	}
	return nil
}

// An invoice is due this many days after its issue, unless it says otherwise.
const daysToPay = 30

// The Goods and Services Tax began on the first of these days. Numbers name a financial year by two digits.
const firstIssueDate, lastIssueDate = "2017-07-01", "2099-12-31"

func (e *invoiceEdit) dates(p invoicePatch) {
	issue, due := e.IssueDate, e.DueDate
	p.IssueDate.into(&issue, e.parties.Today)
	day, err := time.Parse(time.DateOnly, issue)
	if err != nil || issue < firstIssueDate || issue > lastIssueDate {
		e.fault("/issue_date", "must be a day from "+firstIssueDate+" to "+lastIssueDate)
		return
	}
	p.DueDate.into(&due, day.AddDate(0, 0, daysToPay).Format(time.DateOnly))
	if _, err := time.Parse(time.DateOnly, due); err != nil || due < issue {
		e.fault("/due_date", "must not be before the issue date, "+issue)
	}
	if issue != e.IssueDate {
		e.IssueDate = issue
		e.change("issue_date")
	}
	if due != e.DueDate {
		e.DueDate = due
		e.change("due_date")
	}
}

func (e *invoiceEdit) items(given optional[[]invoiceItemInput]) {
	if given.null {
		e.fault("/items", "can't be taken away")
	}
	if !given.set || given.null {
		return
	}
	items := make([]store.InvoiceItem, len(given.value))
	same := len(items) == len(e.Items)
	for i, in := range given.value {
		items[i] = e.item(fmt.Sprintf("/items/%d", i), in)
		same = same && sameItem(items[i], e.Items[i])
	}
	if !same {
		e.Items = items
		e.change("items")
	}
}

func (e *invoiceEdit) item(pointer string, in invoiceItemInput) store.InvoiceItem {
	in.Description = strings.TrimSpace(in.Description)
	if blank(in.Description) {
		e.fault(pointer+"/description", "must not be blank")
	}
	quantity, err := gst.ParseQuantity(in.Quantity)
	if err != nil {
		e.fault(pointer+"/quantity", err.Error())
	}
	rate, err := gst.ParseRate(string(in.GSTRate))
	if err != nil || !e.rates.Allows(rate) {
		e.fault(pointer+"/gst_rate", "must be one of the rates "+strings.ReplaceAll(e.rates.String(), ",", ", "))
	}
	if in.Unit != nil {
		unit, err := line(*in.Unit)
		if err != nil {
			e.fault(pointer+"/unit", err.Error())
		}
		in.Unit = &unit
	}
	return store.InvoiceItem{Description: in.Description, HSNSAC: in.HSNSAC, Quantity: int64(quantity), Unit: in.Unit,
		UnitPrice: in.UnitPrice, GSTRate: int32(rate)}
}

// sameItem compares what a client says about an item.
func sameItem(a, b store.InvoiceItem) bool {
	return a.Description == b.Description && equal(a.HSNSAC, b.HSNSAC) && a.Quantity == b.Quantity && equal(a.Unit, b.Unit) &&
		a.UnitPrice == b.UnitPrice && a.GSTRate == b.GSTRate
}

// place takes the place of supply from the request. Where the client leaves it to the contact, or did so
// before, a draft goes to the contact's; what another invoice says stays.
func (e *invoiceEdit) place(given optional[string], seller gst.State) {
	draft := e.Status == store.InvoiceDraft
	byClient, text := e.PlaceGiven, e.PlaceOfSupply
	if given.set && draft {
		byClient = !given.null
	}
	var state gst.State
	var err error
	switch {
	case given.set && !given.null:
		text = strings.TrimSpace(given.value)
		state, err = gst.ParseState(text)
	case given.null || draft && !byClient:
		state, err = placeOfContact(e.parties.Contact, seller)
		text = state.Name
	default:
		state, err = gst.ParseState(e.PlaceOfSupplyCode)
	}
	if err != nil {
		e.fault("/place_of_supply", err.Error())
		return
	}
	if text != e.PlaceOfSupply || byClient != e.PlaceGiven {
		e.change("place_of_supply")
	}
	e.PlaceOfSupply, e.PlaceOfSupplyCode, e.PlaceGiven = text, state.Code, byClient
}
