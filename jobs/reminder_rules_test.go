package jobs

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/rupees"
	"github.com/payaid/payaid/internal/store"
)

// billed is an invoice over ₹1,18,000, of which ₹18,000.50 were paid, so many days after its due date at noon.
func billed(daysOverdue int) store.InvoiceFacts {
	number, company := "RT/26-27/0042", "Asha Looms 2005"
	f := store.InvoiceFacts{Number: &number, InvoiceStatus: "sent", IssueDate: "2026-01-31", DueDate: daysAgo(daysOverdue).Format(time.DateOnly),
		Subtotal: 1_00_000_00, Tax: 18_000_00, Total: 1_18_000_00, AmountPaid: 18_000_50, AmountDue: 99_999_50,
		Customer: &store.Customer{Name: "Asha", Company: &company}}
	f.Name, f.OrganizationName, f.Timezone = "Asha Rao", "Rao Textiles", "UTC"
	return f
}

func TestReminderStages(t *testing.T) {
	t.Parallel()
	for days, want := range map[int]dunning{
		-9: {0, 0}, 0: {0, 0}, 1: {0, 1}, 2: {0, 2}, 3: {3, 3}, 6: {3, 6}, 7: {7, 7}, 13: {7, 13}, 14: {14, 14}, 29: {14, 29}, 30: {30, 30}, 400: {30, 400},
	} {
		if got := dunningOf(billed(days), noon); got != want {
			t.Errorf("%d days: %+v, want %+v", days, got, want)
		}
	}
}

// A day begins where the organization is.
func TestReminderStageByTheOrganizationsCalendar(t *testing.T) {
	t.Parallel()
	f := billed(2)
	f.Timezone = "Asia/Kolkata"
	evening := time.Date(2026, 11, 20, 18, 29, 0, 0, time.UTC) // 23:59
	for now, want := range map[time.Time]int{evening: 0, evening.Add(time.Minute): 3} {
		if got := dunningOf(f, now); got.StageDays != want {
			t.Errorf("at %s: %+v, want stage %d", now, got, want)
		}
	}
}

// The rules' letters pass the check that a model's has to pass, and nothing is added to them.
func TestReminderTexts(t *testing.T) {
	t.Parallel()
	subjects := map[string]bool{}
	for _, language := range []string{"", "Hindi", "Tamil"} {
		for _, days := range []int{-3, 0, 1, 3, 7, 14, 30} {
			f, w := billed(days), letterWish{Language: language}
			d := dunningOf(f, noon)
			l := writeReminder(w, f, d)
			subjects[l.Subject] = true
			for _, part := range []string{"₹99,999.50", "RT/26-27/0042", indianDate(f.DueDate), "Asha", "Rao Textiles"} {
				if !strings.Contains(l.Subject+l.Body, part) {
					t.Errorf("%d days in %q: no %s in %+v", days, language, part, l)
				}
			}
			if strings.ContainsAny(l.Subject+l.Body, "{}") {
				t.Errorf("%d days in %q: %+v", days, language, l)
			}
			if got, corrected := checkReminder(l, w, f, d); got != l || corrected {
				t.Errorf("%d days in %q: checked it is %+v, corrected %v", days, language, got, corrected)
			}
		}
	}
	if len(subjects) != 14 {
		t.Errorf("%d subjects, want one for each stage, date and language: %v", len(subjects), subjects)
	}
}

func TestReminderCheck(t *testing.T) {
	t.Parallel()
	f := billed(7)
	w, d := letterWish{}, dunningOf(f, noon)
	ours := writeReminder(w, f, d)
	const named = "Invoice RT/26-27/0042 of ₹1,18,000: ₹99,999.50 is due since 13 November 2026. "
	for _, body := range []string{
		named, "RT/26-27/0042: Rs. 99999.50, please.", "RT/26-27/0042, ९९,९९९.५० रुपये.", named + "You paid INR 18,000.50 before.",
		named + "Asha Looms 2005 has been a good customer for 12 months.",
	} {
		l := letter{"Reminder", body}
		if got, corrected := checkReminder(l, w, f, d); got != l || corrected {
			t.Errorf("%s: %+v, corrected %v; want it as it is", body, got, corrected)
		}
	}
	for _, body := range []string{"Please pay soon.\n", "Please pay ₹99,999.50.", "RT/26-27/0042 is due.", "RT/26-27/0042 of ₹1,18,000 is due."} {
		got, corrected := checkReminder(letter{"Reminder", body}, w, f, d)
		want := strings.TrimSpace(body) + "\n\nInvoice RT/26-27/0042: ₹99,999.50 due on 13-11-2026."
		if got.Body != want || corrected {
			t.Errorf("%q: got %q, corrected %v; want %q", body, got.Body, corrected, want)
		}
	}
	for _, more := range []string{
		"A fee of ₹500 is added.", "Pay Rs. 1,18,001.", "₹99,999 will do.", "It is 1.5 lakh in all.", "₹५००", "500/- more.", "Pay 250000 by Monday.",
		"Account 00112233445566.", "Call 98450 12345.", "Pay at https://pay.example/x.", "Pay at rao-pay.in today.", "UPI rao@okaxis.", "Or $99.", "or 99 USD",
		"We add 2% a month.", "Interest is 18 per cent.", "With 500 today all is settled.", "See RT/26-27/00421 too.", "See XRT/26-27/0042.",
	} {
		for _, l := range []letter{{"Reminder", named + more}, {more, named}} {
			if got, corrected := checkReminder(l, w, f, d); got != ours || !corrected {
				t.Errorf("%+v goes out as %+v, corrected %v", l, got, corrected)
			}
		}
	}
}

// Whatever a model writes: the letter that goes out names the invoice and what is due, and no other money.
func TestNoReminderNamesOtherMoney(t *testing.T) {
	t.Parallel()
	piece := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"₹", "Rs. ", "99,999.50", "1,18,000", "RT/26-27/0042", " lakh", "/-", " ", "५", "\n", "rupees"}),
		rapid.StringMatching(`[0-9,.]{1,9}`))
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string { return strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, name), "") }
		f := billed(rapid.IntRange(-5, 40).Draw(t, "days"))
		w := letterWish{Language: rapid.SampledFrom([]string{"", "hi"}).Draw(t, "language")}
		got, _ := checkReminder(letter{text("subject"), text("body")}, w, f, dunningOf(f, noon))
		all := got.Subject + "\n" + got.Body
		if !strings.Contains(all, "RT/26-27/0042") || !slices.Contains(rupees.Find(all), f.AmountDue) {
			t.Fatalf("%q doesn't say what is due", all)
		}
		for _, amount := range rupees.Find(strings.ReplaceAll(all, "RT/26-27/0042", " ")) {
			if !slices.Contains([]int64{f.Total, f.AmountDue, f.AmountPaid, f.Subtotal, f.Tax}, amount) {
				t.Fatalf("%q names %s", all, rupees.Format(amount))
			}
		}
	})
}

// A friendly letter is never the harshest, a firm one tells of no reminders that nobody has sent, and the stage is
// what the calendar says.
func TestReminderTones(t *testing.T) {
	t.Parallel()
	for tone, want := range map[string][5]int{
		"": {0, 3, 7, 14, 30}, "Friendly": {0, 3, 7, 7, 7}, "polite but firm": {0, 3, 7, 7, 7}, "very firm": {0, 7, 7, 14, 30}, "jolly": {0, 3, 7, 14, 30},
	} {
		for n, days := range []int{1, 3, 7, 14, 30} {
			f, w := billed(days), letterWish{Tone: tone}
			d := dunningOf(f, noon)
			other := d
			other.StageDays = want[n]
			if got := writeReminder(w, f, d); got != writeReminder(letterWish{}, f, other) {
				t.Errorf("%q after %d days: %+v, want the text of day %d", tone, days, got, want[n])
			}
		}
	}
}

// A letter is English from its first letter on.
func TestRemindersBeginWithACapital(t *testing.T) {
	t.Parallel()
	for _, days := range []int{0, 3, 7, 14, 30} {
		f := billed(days)
		_, text, _ := strings.Cut(writeReminder(letterWish{}, f, dunningOf(f, noon)).Body, ",\n\n")
		if first := text[0]; first < 'A' || first > 'Z' {
			t.Errorf("after %d days it begins with %.20q", days, text)
		}
	}
}

func TestLanguagesOfRules(t *testing.T) {
	t.Parallel()
	for language, want := range map[string]bool{"": true, "English": true, "en-IN": true, " hindi ": true, "हिंदी": true, "hi-IN": true,
		"Tamil": false, "ta": false, "mr-IN": false, "Hinglish": false, "not English": false, "français": false} {
		if got := (letterWish{Language: language}).ruled(); got != want {
			t.Errorf("%q: %v, want %v", language, got, want)
		}
	}
}
