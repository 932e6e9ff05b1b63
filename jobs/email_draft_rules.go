package jobs

import (
	"strings"
	"unicode"

	"github.com/payaid/payaid/internal/store"
)

// An emailPattern is a letter for purposes that have one of the words in them. A letter without a sentence of
// its own says what the purpose says.
type emailPattern struct {
	words                   []string
	subject, body           string
	hindiSubject, hindiBody string
}

var emailPatterns = []emailPattern{
	{[]string{"payment", "invoice", "overdue", "bill", "भुगतान", "बिल"},
		"About your payment to {sender}", "May we ask how the payment of your open invoices stands? Should anything be unclear about them, please tell us, and we shall see to it at once.",
		"{sender} को आपके भुगतान के बारे में", "कृपया बताएँ कि आपके बकाया बिलों के भुगतान की क्या स्थिति है। यदि उनके बारे में कुछ अस्पष्ट हो तो हमें बताएँ, हम तुरंत देखेंगे।"},
	{[]string{"meeting", "meet ", "call", "demo", "visit", "appointment", "मुलाकात", "मीटिंग"},
		"A time to talk", "We would like to speak with you. Which day and time would suit you this week or the next?",
		"बातचीत का समय", "हम आपसे बात करना चाहते हैं। इस या अगले सप्ताह कौन सा दिन और समय आपके लिए ठीक रहेगा?"},
	{[]string{"thank", "धन्यवाद"},
		"Thank you from {sender}", "Thank you for your trust in us. It is a pleasure to work with you, and we are at hand whenever you need us.",
		"{sender} की ओर से धन्यवाद", "हम पर भरोसा करने के लिए धन्यवाद। आपके साथ काम करना हमारे लिए खुशी की बात है।"},
	{[]string{"proposal", "quotation", "quote", "offer", "price", "प्रस्ताव"},
		"Our proposal", "We should be glad to have your thoughts on our proposal. Please tell us what you would like to have changed or explained.",
		"हमारा प्रस्ताव", "हमारे प्रस्ताव पर आपके विचार जानकर हमें खुशी होगी। कृपया बताएँ कि आप क्या बदलना या समझना चाहेंगे।"},
	{[]string{"follow up", "follow-up", "reminder", "check in"},
		"How do things stand?", "We are writing to ask how things stand on your side, and whether there is anything that we can do for you.",
		"आपकी ओर क्या स्थिति है?", "हम जानना चाहते हैं कि आपकी ओर क्या स्थिति है, और क्या हम आपके लिए कुछ कर सकते हैं।"},
	{nil, "From {sender}", "We are writing to you about the following: {purpose}",
		"{sender} की ओर से", "हम आपको इस विषय में लिख रहे हैं: {purpose}"},
}

const (
	englishEmail = "Dear {name},\n\n{body}\n\nKind regards,\n{sender}"
	hindiEmail   = "आदरणीय {name},\n\n{body}\n\nसादर,\n{sender}"
)

// writeEmail writes a polite letter by its purpose, in English or Hindi. The tone is always polite.
func writeEmail(in emailWanted, f store.ContactFacts) letter {
	p := emailPatternFor(in.Purpose)
	frame, subject, body := englishEmail, p.subject, p.body
	if in.hindi() {
		frame, subject, body = hindiEmail, p.hindiSubject, p.hindiBody
	}
	// Once over all: what a name or a purpose says is never taken for a place to fill in.
	fill := strings.NewReplacer("{name}", clip(f.Name, viewShort), "{sender}", clip(f.OrganizationName, viewShort), "{purpose}", strings.TrimSpace(in.Purpose))
	return letter{Subject: fill.Replace(subject), Body: fill.Replace(strings.Replace(frame, "{body}", body, 1))}
}

func emailPatternFor(purpose string) emailPattern {
	words := strings.FieldsFunc(strings.ToLower(purpose), func(r rune) bool { return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.Hyphen) })
	purpose = " " + strings.Join(words, " ") + " "
	for _, p := range emailPatterns {
		for _, w := range p.words {
			if strings.Contains(purpose, " "+w) {
				return p
			}
		}
	}
	return emailPatterns[len(emailPatterns)-1]
}
