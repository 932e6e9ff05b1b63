package letter_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/letter"
)

// spoil gives the sample of a template with one field set to a JSON value, or taken away by "".
func spoil(t *testing.T, name, value string, path ...string) json.RawMessage {
	t.Helper()
	var data map[string]any
	if err := json.Unmarshal(letter.Sample(name), &data); err != nil {
		t.Fatal(err)
	}
	at := data
	for _, key := range path[:len(path)-1] {
		at = at[key].(map[string]any)
	}
	last := path[len(path)-1]
	if delete(at, last); value != "" {
		at[last] = json.RawMessage(value)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What doesn't fit has its pointer, and nothing is rendered of it.
func TestFitNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	at := func(path ...string) []string { return path }
	for _, row := range []struct {
		value string
		path  []string
		want  string
	}{
		{``, at("invoice", "number"), "/invoice/number: is missing"},
		{`null`, at("invoice", "number"), "/invoice/number: must be a text, not null"},
		{`5`, at("invoice", "number"), "/invoice/number: must be a text, not a number"},
		{`" "`, at("invoice", "number"), "/invoice/number: must not be blank"},
		{`"a\nb"`, at("invoice", "number"), "/invoice/number: has a control character or a line break that it can't have"},
		{`"a\u2028b"`, at("customer", "name"), "/customer/name: has a control character or a line break that it can't have"},
		{`"a\u0000b"`, at("note"), "/note: has a control character or a line break that it can't have"},
		{`"` + strings.Repeat("x", 501) + `"`, at("customer", "name"), "/customer/name: has more than 500 characters"},
		{`"1180"`, at("invoice", "total"), "/invoice/total: must be a whole number, not a text"},
		{`11.5`, at("invoice", "total"), "/invoice/total: must be a whole number, not a number"},
		{`-1`, at("invoice", "total"), "/invoice/total: must not be below 0"},
		{`9223372036854775808`, at("invoice", "total"), "/invoice/total: must be a whole number, not a number"},
		{`"2026-02-30"`, at("invoice", "due_date"), "/invoice/due_date: must be a date such as 2026-04-01"},
		{`{}`, at("invoice", "items"), "/invoice/items: must be a list, not an object"},
		{`[1]`, at("invoice", "items"), "/invoice/items/0: must be an object, not a number"},
		{`[{"description":"x","amount":1}]`, at("invoice", "items"), "/invoice/items/0/quantity: is missing"},
		{`[` + strings.TrimSuffix(strings.Repeat(`{"description":"x","quantity":"1","amount":1},`, 21), ",") + `]`, at("invoice", "items"), "/invoice/items: has more than 20 elements"},
		{`[]`, at("invoice"), "/invoice: must be an object, not a list"},
		{`1`, at("inv/oi~ce"), "/inv~1oi~0ce: is none of the fields organization, customer,"},
		{`"ftp://x.example"`, at("unsubscribe_url"), "/unsubscribe_url: must be a link that begins with https:// or http://"},
		{`"javascript:alert(1)"`, at("unsubscribe_url"), "/unsubscribe_url: must be a link that begins with https:// or http://"},
	} {
		fit, faults := letter.Fit("invoice", spoil(t, "invoice", row.value, row.path...))
		if len(faults) != 1 || fit != nil || !strings.HasPrefix(faults[0].Pointer+": "+faults[0].Detail, row.want) {
			t.Errorf("%v %.40s gives %v, want %s", row.path, row.value, faults, row.want)
		}
	}
	if _, faults := letter.Fit("invoice", json.RawMessage(`{"invoice":{}}`)); len(faults) != 12 {
		t.Errorf("all faults at once are %d: %v", len(faults), faults)
	}
	if _, faults := letter.Fit("invoice", json.RawMessage(`[]`)); len(faults) != 1 || faults[0].Pointer != "" {
		t.Errorf("a list gives %v", faults)
	}
	if fit, faults := letter.Fit("of_theirs", json.RawMessage(`{"x":1}`)); string(fit) != `{"x":1}` || faults != nil {
		t.Errorf("data of another template give %s, %v", fit, faults)
	}
}

// What may be left out is null to the template, so that it never asks for what isn't there.
func TestFitFillsIn(t *testing.T) {
	t.Parallel()
	fit, faults := letter.Fit("deal_won", json.RawMessage(
		`{"organization":{"name":"x","phone":" "},"deal":{"title":"x","value":1,"won_on":"2026-01-01"},"contact":{"name":"x"}}`))
	const want = `{"contact":{"company":null,"email":null,"name":"x","phone":null},"deal":{"title":"x","value":1,"won_on":"2026-01-01"},` +
		`"organization":{"address":null,"email":null,"name":"x","phone":null},"unsubscribe_url":null,"won_this_month":null}`
	if strings.TrimSpace(string(fit)) != want || len(faults) > 0 {
		t.Errorf("filled in: %s, %v", fit, faults)
	}
}

func TestOptionalFields(t *testing.T) {
	t.Parallel()
	want := []string{"organization.email", "organization.phone", "organization.address", "contact.company", "contact.email", "contact.phone", "won_this_month", "unsubscribe_url"}
	if got := letter.Optional("deal_won"); !slices.Equal(got, want) {
		t.Errorf("optional are %v, want %v", got, want)
	}
}

// A struct of a template's data is what the template takes, at its largest as well.
func TestStructsFit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("<ह", 5_000)
	bill := letter.Bill{Number: "1", IssueDate: "2026-01-01", DueDate: "2026-01-01"}
	for range 500 {
		bill.Items = append(bill.Items, letter.BillItem{Description: long[:2_000], Quantity: "1", Amount: 1})
	}
	who := letter.Sender{Name: strings.Repeat("<", 200), Address: &long}
	*who.Address = long[:2_000]
	customer := letter.Customer{Name: "x"}
	invoice := letter.Invoice{Organization: who, Customer: customer, Invoice: bill, Note: &long, PaymentNote: &long}
	for name, v := range map[string]any{
		"invoice":          invoice.Shortened(),
		"reminder":         letter.Reminder{Organization: who, Customer: customer, Invoice: letter.DueBill{Number: "1", IssueDate: "2026-01-01", DueDate: "2026-01-01"}, Text: strings.Repeat(long, 5), PaymentNote: &long}.Shortened(),
		"deal_won":         letter.DealWon{Organization: who, Deal: letter.Deal{Title: "x", WonOn: "2026-01-01"}, Contact: letter.Contact{Name: "x"}, WonThisMonth: &letter.DealsWon{}},
		"report_ready":     letter.ReportReady{Organization: who, Report: letter.Report{Title: "x"}},
		"webhook_disabled": letter.WebhookDisabled{Organization: who, Endpoint: letter.Endpoint{ID: "x", URL: strings.Repeat("x", 2000)}, Reason: "x", DisabledOn: "2026-01-01", FailingSince: "x"}.Shortened(),
	} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fit, faults := letter.Fit(name, data)
		if len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
			continue
		}
		made, _ := letter.Standard(name)
		if _, err := made.Render(fit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if short := invoice.Shortened(); short.Invoice.MoreItems != 480 || len(bill.Items) != 500 || bill.Items[0].Description != long[:2_000] {
		t.Errorf("shortened by %d; the one that it was made of has changed", short.Invoice.MoreItems)
	}
}

// Samples have every field, so that whoever looks at one knows them all.
func TestSamplesAreWhole(t *testing.T) {
	t.Parallel()
	names := letter.StandardNames()
	if want := []string{"deal_won", "invoice", "reminder", "report_ready", "webhook_disabled"}; !slices.Equal(names, want) {
		t.Errorf("the templates are %v, want %v", names, want)
	}
	for name, v := range map[string]any{"invoice": letter.Invoice{}, "reminder": letter.Reminder{}, "deal_won": letter.DealWon{}, "report_ready": letter.ReportReady{}, "webhook_disabled": letter.WebhookDisabled{}} {
		var sample map[string]any
		if err := json.Unmarshal(letter.Sample(name), &sample); err != nil {
			t.Fatal(err)
		}
		sameFields(t, name, sample, reflect.TypeOf(v))
	}
	if letter.Sample("layout") != nil || letter.Sample("../letter") != nil {
		t.Error("there is a sample of what is no template")
	}
}

func sameFields(t *testing.T, path string, sample map[string]any, shape reflect.Type) {
	t.Helper()
	if len(sample) != shape.NumField() {
		t.Errorf("%s has %d fields in the sample, %d in its type", path, len(sample), shape.NumField())
	}
	for i := range shape.NumField() {
		name := shape.Field(i).Tag.Get("json")
		v, found := sample[name]
		of := shape.Field(i).Type
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if inner, ok := v.(map[string]any); ok {
			sameFields(t, fmt.Sprintf("%s.%s", path, name), inner, of)
		} else if !found {
			t.Errorf("%s.%s is not in the sample", path, name)
		}
	}
}
