package jobs

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/payaid/payaid/internal/store"
)

// named is a contact whose name looks like places to fill in.
var named = store.ContactFacts{Name: "Asha {sender} {purpose}", OrganizationName: "Rao Textiles", UnpaidInvoices: 1}

func drafted(purpose, language string) letter {
	return writeEmail(emailWanted{Purpose: purpose, letterWish: letterWish{Language: language}}, named)
}

func TestEmailRules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ purpose, language, subject, in string }{
		{"Remind her of the OVERDUE payment.", "", "About your payment to Rao Textiles", "open invoices"},
		{"arrange a call", "english", "A time to talk", "Which day and time"},
		{"Thank her", "", "Thank you from Rao Textiles", "Thank you for your trust"},
		{"ask to pay the bill", "Hindi", "Rao Textiles को आपके भुगतान के बारे में", "बकाया बिलों"},
		{"भुगतान की याद दिलाएँ", "hi", "Rao Textiles को आपके भुगतान के बारे में", "बकाया बिलों"},
		{"looms {name}", "", "From Rao Textiles", "\n\n[Write here: looms {name}]\n\n"},
		{" looms\nand yarn ", "हिन्दी", "Rao Textiles की ओर से", "\n\n[यहाँ लिखें: looms and yarn]\n\n"},
	} {
		got := drafted(tt.purpose, tt.language)
		if got.Subject != tt.subject || !strings.Contains(got.Body, tt.in) || !strings.Contains(got.Body, "Asha {sender} {purpose},") ||
			!strings.HasSuffix(got.Body, "\nRao Textiles") {
			t.Errorf("%s in %s: %+v", tt.purpose, tt.language, got)
		}
	}
}

// One word never decides where others may say the opposite: a person writes that.
func TestEmailRulesNeverSayTheOpposite(t *testing.T) {
	t.Parallel()
	for _, purpose := range []string{
		"thank for the payment of invoice 42", "Thank them for the payment.", "cancel the meeting", "postpone our call", "DO NOT offer a meeting",
		"don't ask for the payment", "no reminder of the payment", "offer a discount", "the quote of May", "apologise for late delivery", "check in",
		"call off the meeting", "Tell her that we are basically moving our locality", "thanks, but no thanks", "thank her?", "payment", "send the payment",
		"the meeting", "remind of payment 2", "thank/cancel", "मीटिंग रद्द करें", "भुगतान के लिए धन्यवाद", "भुगतान न करें", "ask about the call",
	} {
		for language, want := range map[string]letter{
			"":   {"From Rao Textiles", "Dear Asha {sender} {purpose},\n\n[Write here: " + purpose + "]\n\nKind regards,\nRao Textiles"},
			"hi": {"Rao Textiles की ओर से", "आदरणीय Asha {sender} {purpose},\n\n[यहाँ लिखें: " + purpose + "]\n\nसादर,\nRao Textiles"},
		} {
			if got := drafted(purpose, language); got != want {
				t.Errorf("%s in %q:\n%+v\nwant\n%+v", purpose, language, got, want)
			}
		}
	}
	// Who owes nothing isn't asked for money.
	paid := named
	paid.UnpaidInvoices = 0
	if got := writeEmail(emailWanted{Purpose: "remind of the payment"}, paid); !strings.Contains(got.Body, "[Write here: ") {
		t.Errorf("who owes nothing gets %+v", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		known := strings.Fields("thank arrange a meeting remind of the overdue payment")
		words := rapid.SliceOfN(rapid.SampledFrom(known), 0, 6).Draw(t, "words")
		other := rapid.SampledFrom(strings.Fields("not never cancel don't stop without late sorry except 7 ₹7 नहीं रद्द")).Draw(t, "other")
		at := rapid.IntRange(0, len(words)).Draw(t, "at")
		purpose := strings.Join(append(append(append([]string{}, words[:at]...), other), words[at:]...), " ")
		if got := drafted(purpose, ""); !strings.Contains(got.Body, "[Write here: "+purpose+"]") {
			t.Fatalf("%s: %+v", purpose, got)
		}
	})
}
