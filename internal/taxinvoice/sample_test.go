package taxinvoice

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"os"

	"github.com/payaid/payaid/internal/gst"
)

// described are things to sell, in scripts that are shaped and such that are not.
var described = []string{
	"Basmati rice, 25 kg bag", "Consulting for the quarter, with visits, training of staff and documentation as agreed on 3 May",
	"हस्तनिर्मित रेशमी साड़ी (कांजीवरम)", "தூய பருத்தி துணி", "اردو کتاب", "ಕನ್ನಡ ಪುಸ್ತಕ", "മലയാളം പുസ്തകം", "తెలుగు పుస్తకం",
	"বাংলা বই ক্ষ", "ગુજરાતી પુસ્તક", "ਪੰਜਾਬੀ ਕਿਤਾਬ", "ଓଡ଼ିଆ ବହି", "ꯃꯤꯇꯩ ꯂꯣꯟ", "ᱚᱞ ᱪᱤᱠᱤ", "Ωμέγα, Привет",
}

func maharashtra(t testing.TB) gst.State {
	t.Helper()
	s, err := gst.ParseState("MH")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sample is a sent invoice within Maharashtra with n items at 18, 5 and 0 per cent.
func sample(t testing.TB, n int) Invoice {
	v := Invoice{
		Stage: Issued, Number: "INV/26-27/00042", IssueDate: "2026-11-22", DueDate: "2026-12-22", Place: maharashtra(t),
		Supplier: Party{Name: "Sharma & Sons Traders (शर्मा एंड संस)", Address: "12, Laxmi Road\nPune 411030",
			State: "Maharashtra", Code: "27", GSTIN: "27AAPFU0939F1ZV", Email: "accounts@sharma.example"},
		Customer: Party{Name: "श्री गणेश स्टोर्स, क्षेत्रीय कार्यालय", Contact: "Priya Iyer (ப்ரியா ஐயர்)",
			Address: "4th Floor, Rajiv Chowk", City: "Nagpur", State: "Maharashtra", Code: "27"},
		Notes: "Pay by NEFT to 0001234.\nविलंब होने पर 18% ब्याज लगेगा।", Made: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	}
	for i := range n {
		rate := []gst.Rate{1800, 500, 0}[i%3]
		amount := int64(i+1) * 123_450
		tax := amount * int64(rate) / 20000
		v.Items = append(v.Items, Item{Description: described[i%len(described)], HSNSAC: "998314", Quantity: 2500, Unit: "NOS",
			UnitPrice: amount * 2 / 5, Rate: rate, Amount: amount, CGST: tax, SGST: tax, Total: amount + 2*tax})
		v.Subtotal, v.CGST, v.SGST = v.Subtotal+amount, v.CGST+tax, v.SGST+tax
	}
	v.Total = v.Subtotal + v.CGST + v.SGST
	v.Paid = 100_00
	v.Due = v.Total - v.Paid
	return v
}

// untaxed takes all taxes away.
func untaxed(v Invoice) Invoice {
	items := v.Items
	v.Items, v.CGST, v.SGST, v.IGST, v.Total = nil, 0, 0, 0, v.Subtotal
	for _, i := range items {
		i.Rate, i.CGST, i.SGST, i.IGST, i.Total = 0, 0, 0, 0, i.Amount
		v.Items = append(v.Items, i)
	}
	return v
}

func drawn(t testing.TB, v Invoice) []byte {
	t.Helper()
	b, err := v.PDF()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read gives the texts of the pages, as a reader that is not ours finds them, white space folded.
func read(t testing.TB, pdf []byte) []string {
	t.Helper()
	pages := strings.Split(strings.TrimSuffix(string(poppler(t, pdf, "pdftotext", "-layout")), "\f"), "\f")
	for i, p := range pages {
		pages[i] = folded(p)
	}
	return pages
}

func folded(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// poppler runs one of its programs on the file, which must be without fault.
func poppler(t testing.TB, pdf []byte, program string, args ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pdf")
	if err := os.WriteFile(path, pdf, 0o600); err != nil {
		t.Fatal(err)
	}
	args = append(args, path)
	if program == "pdftotext" {
		args = append(args, "-")
	}
	var out, faults bytes.Buffer
	c := exec.Command(program, args...)
	c.Stdout, c.Stderr = &out, &faults
	if err := c.Run(); err != nil || faults.Len() > 0 {
		t.Fatalf("%s (of poppler-utils): %v\n%s", program, err, faults.String())
	}
	return out.Bytes()
}
