package jobs

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/store"
)

// noon is the moment of the tables of rules.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func daysAgo(n int) *time.Time {
	at := noon.AddDate(0, 0, -n)
	return &at
}

func today() calendar { return calendar{zone: time.UTC, now: noon} }

// active is a contact of today whose business goes well.
func active() store.ContactFacts {
	return store.ContactFacts{Name: "Asha", Type: "customer", Stage: "customer", Status: "active", Timezone: "UTC",
		CreatedAt: *daysAgo(400), LastContactedAt: daysAgo(1), LastPaidAt: daysAgo(1)}
}

// owes has a contact owe a lakh since so many days.
func owes(f *store.ContactFacts, days int) {
	due := daysAgo(days).Format(time.DateOnly)
	f.Overdue, f.OverdueTotal, f.OverdueSince = 1, 1_00_000_00, &due
}

func TestChurnRules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*store.ContactFacts)
		score  int
		level  string
	}{
		{"nothing", func(*store.ContactFacts) {}, 0, "low"},
		{"30 days of silence", func(f *store.ContactFacts) { f.LastContactedAt = daysAgo(30) }, 0, "low"},
		{"31 days of silence", func(f *store.ContactFacts) { f.LastContactedAt = daysAgo(31) }, 5, "low"},
		{"91 days of silence", func(f *store.ContactFacts) { f.LastContactedAt = daysAgo(91) }, 15, "low"},
		{"181 days of silence", func(f *store.ContactFacts) { f.LastContactedAt = daysAgo(181) }, 25, "medium"},
		{"never a contact", func(f *store.ContactFacts) { f.LastContactedAt = nil }, 25, "medium"},
		{"90 days without business", func(f *store.ContactFacts) { f.LastPaidAt = daysAgo(90) }, 0, "low"},
		{"91 days without business", func(f *store.ContactFacts) { f.LastPaidAt = daysAgo(91) }, 10, "low"},
		{"no payment, but an invoice", func(f *store.ContactFacts) { f.LastPaidAt, f.LastInvoiceAt = nil, daysAgo(3) }, 0, "low"},
		{"no payment, but a deal", func(f *store.ContactFacts) { f.LastPaidAt, f.LastDealAt = nil, daysAgo(3) }, 0, "low"},
		{"never any business", func(f *store.ContactFacts) { f.LastPaidAt = nil }, 30, "medium"},
		{"one of three late", func(f *store.ContactFacts) { f.PaidInvoices, f.PaidLate = 3, 1 }, 5, "low"},
		{"one of two late", func(f *store.ContactFacts) { f.PaidInvoices, f.PaidLate = 2, 1 }, 10, "low"},
		{"a little overdue", func(f *store.ContactFacts) { f.Overdue, f.OverdueTotal, f.PaidTotal = 1, 99, 300 }, 10, "low"},
		{"much overdue", func(f *store.ContactFacts) { f.Overdue, f.OverdueTotal, f.PaidTotal = 1, 100, 300 }, 20, "low"},
		{"much overdue for a month", func(f *store.ContactFacts) { owes(f, 30) }, 20, "low"},
		{"much overdue for longer", func(f *store.ContactFacts) { owes(f, 31) }, 30, "medium"},
		{"much overdue for long, paid late before", func(f *store.ContactFacts) { owes(f, 294); f.PaidInvoices, f.PaidLate = 1, 1 }, 30, "medium"},
		{"a little overdue for long", func(f *store.ContactFacts) { owes(f, 294); f.PaidTotal = 9e9 }, 20, "low"},
		{"lost as many as won", func(f *store.ContactFacts) { f.LostDeals, f.WonDeals = 2, 2 }, 5, "low"},
		{"lost more than won", func(f *store.ContactFacts) { f.LostDeals, f.WonDeals = 3, 2 }, 15, "low"},
		{"an open deal", func(f *store.ContactFacts) { f.LastPaidAt, f.OpenDeals = nil, 1 }, 15, "low"},
		{"inactive", func(f *store.ContactFacts) { f.Status = "inactive" }, 15, "low"},
		{"lost", func(f *store.ContactFacts) { f.Status = "lost" }, 90, "critical"},
		{"all of it", func(f *store.ContactFacts) {
			*f = store.ContactFacts{Status: "lost", Timezone: "UTC", CreatedAt: *daysAgo(900), PaidInvoices: 1, PaidLate: 1, Overdue: 1, OverdueTotal: 1, LostDeals: 1}
		}, 100, "critical"},
		{"an empty contact of today", func(f *store.ContactFacts) {
			*f = store.ContactFacts{Status: "active", CreatedAt: noon}
		}, 0, "low"},
	} {
		f := active()
		tt.change(&f)
		got := judgeChurn(f, today())
		if got.RiskScore != tt.score || got.RiskLevel != tt.level || got.ReasonSummary == "" || got.RecommendedAction == "" {
			t.Errorf("%s: %+v, want %d, %s", tt.name, got, tt.score, tt.level)
		}
		if f.Overdue > 0 && got.RecommendedAction == churnAdvice["low"] {
			t.Errorf("%s: who owes money is carried on with", tt.name)
		}
	}
}

func TestRiskLevels(t *testing.T) {
	t.Parallel()
	for score, want := range map[int]string{0: "low", 24: "low", 25: "medium", 49: "medium", 50: "high", 74: "high", 75: "critical", 100: "critical"} {
		if got := riskLevel(score); got != want {
			t.Errorf("%d is %s, want %s", score, got, want)
		}
	}
}

func TestSummaryRules(t *testing.T) {
	t.Parallel()
	company, city := "Rao Textiles", "Mysuru"
	full := store.ContactFacts{Name: "आशा", Company: &company, City: &city, Type: "customer", Stage: "customer", Status: "active",
		CreatedAt: *daysAgo(1), LastContactedAt: daysAgo(40), NextFollowUp: daysAgo(2), OpenDeals: 2, OpenValue: 3_00_000_00, WonDeals: 1, WonValue: 50_000_50,
		LostDeals: 1, PaidInvoices: 4, PaidTotal: 1_75_000_50, PaidLate: 2, UnpaidInvoices: 2, DueTotal: 20_000_00, Overdue: 1, OverdueTotal: 5_000_00,
		Deals: []store.DealLine{{Title: "won", Stage: "won", Value: 9e9}, {Title: "small", Stage: "lead", Value: 1}, {Title: "big", Stage: "proposal", Value: 2, StageChangedAt: *daysAgo(3)}}}
	got := summarize(full, today())
	want := "आशा of Rao Textiles in Mysuru is known for 1 day: type customer, stage customer, status active. " +
		"Deals: 2 deals open, worth ₹3,00,000, 1 won, worth ₹50,000.50 and 1 lost. " +
		"Invoices: 4 invoices paid, 2 of them late, ₹1,75,000.50 received in all, ₹20,000 due on 2 invoices and ₹5,000 of it overdue on 1 invoice. " +
		"The last contact was 40 days ago."
	if got.Summary != want {
		t.Errorf("got %s\nwant %s", got.Summary, want)
	}
	if want := []string{"₹5,000 overdue on 1 invoice", "A follow-up was due 2 days ago", "big for ₹0.02, in stage proposal for 3 days",
		"Paid 2 of 4 invoices late", "The last contact was 40 days ago."}; !slices.Equal(got.Highlights, want) {
		t.Errorf("highlights %q, want %q", got.Highlights, want)
	}
	empty := summarize(store.ContactFacts{Name: "X", Type: "lead", Stage: "prospect", Status: "active", CreatedAt: noon}, today())
	if empty.Highlights == nil || !strings.Contains(empty.Summary, "There are no deals. Nothing was invoiced so far.") || empty.NextAction == "" {
		t.Errorf("an empty contact is %+v", empty)
	}
}

// What identifies a person stays out of what models see, wherever people wrote it.
func TestShown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Ask asha.rao+x@example.co.in today":    "Ask [email] today",
		"UPI asha@okaxis":                       "UPI [email]",
		"call 9845012345 or 098450 12345":       "call [phone] or [phone]",
		"+91 98450-12345, +91 (80) 2222 333":    "[phone], [phone]",
		"Ph9845012345, mob_9845012345x":         "Ph[phone], mob_[phone]x",
		"9845012345 9845012346 9845012347":      "[phone] [phone] [phone]",
		"984-501-2345 or 98 4501 2345":          "[phone] or [phone]",
		"0091 9845012345, 9845 012 345":         "[phone], [phone]",
		"office 080-2222 3333, 022 23456789":    "office [phone], [phone]",
		"(022) 2345 6789":                       "[phone]",
		"GSTIN 29AAGCB7383J1Z4.":                "GSTIN [GSTIN].",
		"GSTIN_29AAGCB7383J1Z4, PAN AAGCB7383J": "GSTIN_[GSTIN], PAN [PAN]",
		"gstin 29aagcb7383j1z4":                 "gstin [GSTIN]",
		"since 2026-11-20, ₹1,75,000 for 12":    "since 2026-11-20, ₹1,75,000 for 12",
		"order 123456789012345":                 "order 123456789012345",
	} {
		if got := shown(text, 100); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text, most := rapid.String().Draw(t, "text"), rapid.IntRange(1, 30).Draw(t, "most")
		got := shown(text, most)
		if n := utf8.RuneCountInString(got); n > most || utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Fatalf("%q has %d characters, or is none, want at most %d", got, n, most)
		}
	})
}

// Who works here, or sells to us, is no lead, whatever speaks for it.
func TestWhoIsNoLead(t *testing.T) {
	t.Parallel()
	company, notes := "Rao Textiles", "GST billing"
	f := active()
	f.Company, f.Notes, f.HasGSTIN, f.HasPhone, f.OpenValue, f.PaidTotal = &company, &notes, true, true, 9_00_000_00, 9_00_000_00
	for typ, stage := range map[string]string{"lead": "hot", "customer": "hot", "vendor": "cold", "employee": "cold"} {
		f.Type = typ
		got := rateLead(f, noon)
		if got.Stage != stage || strings.Contains(got.Reason, typ) != (stage == "cold") || got.NurtureAction == "" ||
			stage == "cold" && (got.Score != 0 || got.PredictedMRR != 0 || strings.Contains(got.NurtureAction, "newsletter")) {
			t.Errorf("%s: %+v, want it %s", typ, got, stage)
		}
	}
}
