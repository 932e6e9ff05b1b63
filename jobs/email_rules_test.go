package jobs

import (
	"strings"
	"testing"

	"github.com/payaid/payaid/internal/store"
)

func TestEmailRules(t *testing.T) {
	t.Parallel()
	f := store.ContactFacts{Name: "Asha {sender} {purpose}", OrganizationName: "Rao Textiles"}
	for _, tt := range []struct{ purpose, language, subject, in string }{
		{"Please pay the OVERDUE amount", "", "About your payment to Rao Textiles", "open invoices"},
		{"arrange a call", "english", "A time to talk", "Which day and time"},
		{"Thank her", "Tamil", "Thank you from Rao Textiles", "Thank you for your trust"},
		{"the quote of May", "en", "Our proposal", "your thoughts on our proposal"},
		{"check in", "", "How do things stand?", "how things stand"},
		{"Tell her that we are basically moving our locality", "", "From Rao Textiles", "basically moving"},
		{"looms {name}", "", "From Rao Textiles", "about the following: looms {name}\n"},
		{"pay the bill", "Hindi", "Rao Textiles को आपके भुगतान के बारे में", "बकाया बिलों"},
		{"looms", "हिन्दी", "Rao Textiles की ओर से", "इस विषय में लिख रहे हैं: looms\n"},
	} {
		got := writeEmail(emailWanted{Purpose: tt.purpose, letterWish: letterWish{Language: tt.language}}, f)
		if got.Subject != tt.subject || !strings.Contains(got.Body, tt.in) || !strings.Contains(got.Body, "Asha {sender} {purpose},") ||
			!strings.HasSuffix(got.Body, "\nRao Textiles") {
			t.Errorf("%s in %s: %+v", tt.purpose, tt.language, got)
		}
	}
}
