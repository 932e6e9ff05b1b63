package taxinvoice

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/payaid/payaid/internal/gst"
)

// TestParticulars: another's eyes find all that rule 46 asks for, in every script.
func TestParticulars(t *testing.T) {
	t.Parallel()
	v := sample(t, len(described))
	text := strings.Join(read(t, drawn(t, v)), " ")
	for _, want := range append([]string{
		"TAX INVOICE", "ORIGINAL FOR RECIPIENT", "Sharma & Sons Traders (शर्मा एंड संस)", "12, Laxmi Road", "Pune 411030",
		"GSTIN: 27AAPFU0939F1ZV", "State: Maharashtra (27)", "accounts@sharma.example", "Invoice number INV/26-27/00042",
		"Date 22 Nov 2026", "Due date 22 Dec 2026", "श्री गणेश स्टोर्स, क्षेत्रीय कार्यालय", "Attention: Priya Iyer (ப்ரியா ஐயர்)",
		"4th Floor, Rajiv Chowk", "Nagpur", "GSTIN: unregistered", "Place of supply Maharashtra (27)", "Reverse charge No", "HSN/SAC", "998314",
		"2.5 NOS", "493.80 1,234.50 18% 111.10 111.10 1,456.70", "CGST ₹", "SGST ₹", "Taxable value ₹1,48,140.00", "CGST ₹5,123.14",
		"SGST ₹5,123.14", "Total ₹1,58,386.28", "Amount paid ₹100.00", "Amount due ₹1,58,286.28",
		"18% 43,207.50 3,888.66 @ 9% 3,888.66 @ 9% 7,777.32", "5% 49,380.00 1,234.48 @ 2.5%", "0% 55,552.50",
		"Rupees One Lakh Fifty-Eight Thousand Three Hundred", "Pay by NEFT to 0001234.", "विलंब होने पर 18% ब्याज लगेगा।",
		"For Sharma & Sons Traders (शर्मा एंड संस)", "Authorised signatory", "no signature is required", "rule 46", "Page 1 of 2",
	}, described[2:]...) {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not there", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestTaxes(t *testing.T) {
	t.Parallel()
	across := sample(t, 1)
	across.Supply, across.Place = gst.InterState, gst.State{Code: "33", Name: "Tamil Nadu"}
	across.IGST, across.CGST, across.SGST = 2*across.CGST, 0, 0
	across.Items[0].IGST, across.Items[0].CGST, across.Items[0].SGST = across.IGST, 0, 0
	island := sample(t, 1)
	island.Place = gst.State{Code: "35", Name: "Andaman and Nicobar Islands"}
	plain := untaxed(sample(t, 1))
	plain.Supplier.GSTIN = ""
	for name, row := range map[string]struct {
		v         Invoice
		has, lack []string
	}{
		"across a border":       {across, []string{"IGST ₹", "IGST ₹222.20", "Tamil Nadu (33)"}, []string{"CGST ₹", "SGST ₹"}},
		"in a union territory":  {island, []string{"CGST ₹", "UTGST ₹", "UTGST ₹111.10"}, []string{"SGST", "IGST"}},
		"without any":           {plain, []string{"INVOICE", "Value ₹", "Total ₹1,234.50"}, []string{"CGST ₹", "IGST ₹", "TAX INVOICE", "%", "rule", "RECIPIENT"}},
		"of a registered buyer": {registered(sample(t, 1)), []string{"GSTIN: 29AAGCB7383J1Z4"}, []string{"unregistered"}},
	} {
		text := strings.Join(read(t, drawn(t, row.v)), " ")
		for _, want := range row.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not there: %s", name, want, text)
			}
		}
		for _, not := range row.lack {
			// The notes speak of interest.
			if strings.Contains(strings.ReplaceAll(text, "18% ब्याज", ""), not) {
				t.Errorf("%s: %q is there: %s", name, not, text)
			}
		}
	}
}

func registered(v Invoice) Invoice {
	v.Customer.GSTIN = "29AAGCB7383J1Z4"
	return v
}

func TestTitle(t *testing.T) {
	t.Parallel()
	taxed, free := sample(t, 1), untaxed(sample(t, 1))
	export := untaxed(sample(t, 1))
	export.Place = gst.State{Code: "96", Name: "Other Country"}
	paid := export
	paid.IGST = 5
	small := taxed
	small.Supplier.GSTIN = ""
	zero := free
	zero.Items = slices.Clone(free.Items)
	zero.Items[0].Rate, zero.Items[0].UnitPrice, zero.Items[0].Amount = 1800, 0, 0
	for name, row := range map[string]struct {
		v                 Invoice
		title, endorsment string
	}{
		"taxed":                       {taxed, "Tax Invoice", ""},
		"nothing of it taxed":         {free, "Bill of Supply", ""},
		"taxed, and given away":       {zero, "Tax Invoice", ""},
		"an export without tax":       {export, "Tax Invoice", "without payment of integrated tax"},
		"an export with tax":          {paid, "Tax Invoice", "on payment of integrated tax"},
		"of who is not registered":    {small, "Invoice", ""},
		"of such, and nothing of tax": {untaxed(small), "Invoice", ""},
	} {
		says := row.v.endorsement()
		if row.v.title() != row.title || !strings.Contains(says, row.endorsment) || (says == "") != (row.endorsment == "") {
			t.Errorf("%s: %s, %q", name, row.v.title(), says)
		}
	}
	if text := strings.Join(read(t, drawn(t, export)), " "); !strings.Contains(text, "WITHOUT PAYMENT OF INTEGRATED TAX") {
		t.Error(text)
	}
}

func TestStages(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		stage     Stage
		number    string
		has, lack []string
	}{
		{Draft, "", []string{"DRAFT", "none yet (draft)"}, []string{"CANCELLED", "INV/", "RECIPIENT", "no signature is required"}},
		{Issued, "INV/1", []string{"INV/1"}, []string{"CANCELLED", "DRAFT"}},
		{Cancelled, "INV/1", []string{"CANCELLED", "INV/1"}, []string{"DRAFT", "RECIPIENT"}},
		{Cancelled, "", []string{"CANCELLED", "none (cancelled draft)"}, []string{"DRAFT", "INV/"}},
	} {
		v := sample(t, 1)
		v.Stage, v.Number = row.stage, row.number
		text := strings.Join(read(t, drawn(t, v)), " ")
		for _, want := range row.has {
			if !strings.Contains(text, want) {
				t.Errorf("%d: %q is not there: %s", row.stage, want, text)
			}
		}
		for _, not := range row.lack {
			if strings.Contains(text, not) {
				t.Errorf("%d: %q is there: %s", row.stage, not, text)
			}
		}
	}
}

// TestPages: each says which of how many it is, what it belongs to, and repeats the head of the table while that
// goes on; no item is lost or cut, and what it comes to stands together.
func TestPages(t *testing.T) {
	t.Parallel()
	v := sample(t, 300)
	for i := range v.Items {
		v.Items[i].Description = fmt.Sprintf("Item-%04d %s", i+1, v.Items[i].Description)
	}
	v.Notes = strings.Repeat("Many words about many things. ", 330)
	pages := read(t, drawn(t, v))
	if len(pages) < 9 || len(pages) > 20 {
		t.Errorf("%d pages", len(pages))
	}
	all := strings.Join(pages, " ")
	for i := range 300 {
		if n := strings.Count(all, fmt.Sprintf("Item-%04d", i+1)); n != 1 {
			t.Errorf("item %d is there %d times", i+1, n)
		}
	}
	totals := []string{"Total in words", "Amount due", "GST rate", "Total 5,57,37,675.00"}
	for i, p := range pages {
		if want := fmt.Sprintf("Page %d of %d", i+1, len(pages)); !strings.HasSuffix(p, want) || !strings.Contains(p, "Tax Invoice INV/26-27/00042") {
			t.Errorf("page %d doesn't say so: %s", i+1, p)
		}
		if strings.Contains(p, "Item-") != strings.Contains(p, "HSN/SAC") {
			t.Errorf("page %d: the head of the table isn't there, or too much: %s", i+1, p)
		}
		n := 0
		for _, text := range totals {
			n += strings.Count(p, text)
		}
		if n != 0 && n != len(totals) {
			t.Errorf("page %d has %d of the totals: %s", i+1, n, p)
		}
	}
	if n := strings.Count(all, "things."); n != 330 {
		t.Errorf("the notes are there %d times", n)
	}
}

// TestTotalsTogether: wherever the table ends, what it comes to stands on one page.
func TestTotalsTogether(t *testing.T) {
	t.Parallel()
	moved := 0
	for n := 14; n <= 30; n++ {
		v := sample(t, n)
		for i := range v.Items {
			v.Items[i].Description = "Work"
		}
		for i, p := range read(t, drawn(t, v)) {
			has := 0
			for _, text := range []string{"Total in words", "Amount due", "GST rate", "18% "} {
				if strings.Contains(p[strings.LastIndex(p, "Work")+1:], text) {
					has++
				}
			}
			if strings.Contains(p, "Total in words") != strings.Contains(p, "GST rate") || strings.Contains(p, "Total in words") && has < 4 {
				t.Errorf("with %d items, page %d has a part of the totals: %s", n, i+1, p)
			}
			if i > 0 && has > 0 {
				moved++
			}
		}
	}
	if moved < 5 {
		t.Errorf("the totals went to another page %d times, so this test proves little", moved)
	}
}

// TestTallRows: what no page has room for flows over several, and nothing of it is lost.
func TestTallRows(t *testing.T) {
	t.Parallel()
	numbered := func(name string) string {
		var b strings.Builder
		for i := range 150 {
			fmt.Fprintf(&b, "%s%03d\n", name, i)
		}
		return b.String()
	}
	v := sample(t, 3)
	v.Supplier.Address, v.Customer.Address, v.Items[1].Description = numbered("supplier"), numbered("customer"), numbered("item")
	pages := read(t, drawn(t, v))
	all := strings.Join(pages, " ")
	for i := range 150 {
		for _, name := range []string{"supplier", "customer", "item"} {
			if n := strings.Count(all, fmt.Sprintf("%s%03d", name, i)); n != 1 {
				t.Errorf("%s%03d is there %d times", name, i, n)
			}
		}
	}
	if len(pages) < 7 || len(pages) > 12 {
		t.Errorf("%d pages", len(pages))
	}
}

// TestSameBytes: an invoice has one file, whoever draws it and whatever is drawn beside it.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	v := sample(t, 7)
	want := drawn(t, v)
	var g sync.WaitGroup
	for range 3 {
		g.Go(func() {
			if b, err := v.PDF(); err != nil || !bytes.Equal(b, want) {
				t.Errorf("another file, %v", err)
			}
		})
	}
	g.Wait()
	v.Due++
	if bytes.Equal(drawn(t, v), want) {
		t.Error("another invoice has the same file")
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	v := sample(t, 5)
	v.Supplier.Name = "राम 🙏 & Sons"
	b := drawn(t, v)
	if len(b) > 120_000 {
		t.Errorf("%d bytes", len(b))
	}
	if !bytes.Contains(b, []byte("/Lang (en-IN)")) {
		t.Error("no language")
	}
	info := folded(string(poppler(t, b, "pdfinfo")))
	for _, want := range []string{"Title: Tax Invoice INV/26-27/00042", "Author: राम 🙏 & Sons", "CreationDate: Sun Nov 22 10:00:00 2026", "Pages: 1", "A4"} {
		if !strings.Contains(info, want) {
			t.Errorf("%q is not there: %s", want, info)
		}
	}
}
