package jobs

import (
	"slices"
	"strings"

	"github.com/payaid/payaid/internal/store"
)

// An emailPattern is a letter for purposes that ask for just that. Such a purpose has one of the nouns in it, one of
// the verbs where there are any, and no word beyond these, the pattern's others and the fillers: a word that is not
// here, such as cancel, not or 42, makes it another purpose than the letter's.
type emailPattern struct {
	nouns, verbs, others    []string
	fits                    func(store.ContactFacts) bool // nil: always
	subject, body           string
	hindiSubject, hindiBody string
}

// fillers change nothing about what a purpose asks for.
var fillers = strings.Fields(`please a an the to for of with and him her them their his our customer client send write email letter note
	को के का की से में लिए एक कृपया उन्हें इन्हें ग्राहक करें कीजिए दें दीजिए लिखें भेजें`)

var emailPatterns = []emailPattern{
	{strings.Fields("pay payment payments overdue outstanding dues भुगतान बकाया"),
		strings.Fields("ask remind reminder request chase follow follow-up याद अनुरोध अनुस्मारक"),
		strings.Fields("about on up due open invoice invoices bill bills amount दिलाएँ दिलाएं राशि बिल बिलों"),
		func(f store.ContactFacts) bool { return f.UnpaidInvoices > 0 },
		"About your payment to {sender}", "May we ask how the payment of your open invoices stands? Should anything be unclear about them, please tell us, and we shall see to it at once.",
		"{sender} को आपके भुगतान के बारे में", "कृपया बताएँ कि आपके बकाया बिलों के भुगतान की क्या स्थिति है। यदि उनके बारे में कुछ अस्पष्ट हो तो हमें बताएँ, हम तुरंत देखेंगे।"},
	{strings.Fields("meeting call appointment मुलाकात मीटिंग बैठक"),
		strings.Fields("arrange ask book fix invite offer plan propose request schedule set suggest तय अनुरोध"),
		strings.Fields("up time date phone short समय"), nil,
		"A time to talk", "We would like to speak with you. Which day and time would suit you this week or the next?",
		"बातचीत का समय", "हम आपसे बात करना चाहते हैं। इस या अगले सप्ताह कौन सा दिन और समय आपके लिए ठीक रहेगा?"},
	{strings.Fields("thank thanks thank-you धन्यवाद"), nil, strings.Fields("say you very much बहुत कहें"), nil,
		"Thank you from {sender}", "Thank you for your trust in us. It is a pleasure to work with you, and we are at hand whenever you need us.",
		"{sender} की ओर से धन्यवाद", "हम पर भरोसा करने के लिए धन्यवाद। आपके साथ काम करना हमारे लिए खुशी की बात है।"},
}

// openDraft leaves to a person what no pattern says. What was asked for is no prose for a customer: it stands where
// nobody takes it for that.
var openDraft = emailPattern{subject: "From {sender}", body: "[Write here: {purpose}]",
	hindiSubject: "{sender} की ओर से", hindiBody: "[यहाँ लिखें: {purpose}]"}

const (
	englishEmail = "Dear {name},\n\n{body}\n\nKind regards,\n{sender}"
	hindiEmail   = "आदरणीय {name},\n\n{body}\n\nसादर,\n{sender}"
)

// writeEmail writes a polite letter by its purpose, in English or Hindi, or the frame of one. The tone is always
// polite.
func writeEmail(in emailWanted, f store.ContactFacts) letter {
	p := emailPatternFor(in.Purpose, f)
	frame, subject, body := englishEmail, p.subject, p.body
	if in.hindi() {
		frame, subject, body = hindiEmail, p.hindiSubject, p.hindiBody
	}
	// Once over all: what a name or a purpose says is never taken for a place to fill in.
	fill := strings.NewReplacer("{name}", clip(f.Name, viewShort), "{sender}", clip(f.OrganizationName, viewShort),
		"{purpose}", strings.Join(strings.Fields(in.Purpose), " "))
	return letter{Subject: fill.Replace(subject), Body: fill.Replace(strings.Replace(frame, "{body}", body, 1))}
}

func emailPatternFor(purpose string, f store.ContactFacts) emailPattern {
	words := strings.Fields(strings.ToLower(purpose))
	for i, w := range words {
		words[i] = strings.Trim(w, `.,;:!"()।`)
	}
	for _, p := range emailPatterns {
		if p.asked(words) && (p.fits == nil || p.fits(f)) {
			return p
		}
	}
	return openDraft
}

func (p emailPattern) asked(words []string) bool {
	var noun, verb bool
	for _, w := range words {
		isNoun, isVerb := slices.Contains(p.nouns, w), slices.Contains(p.verbs, w)
		if !isNoun && !isVerb && !slices.Contains(p.others, w) && !slices.Contains(fillers, w) {
			return false
		}
		noun, verb = noun || isNoun, verb || isVerb
	}
	return noun && (verb || p.verbs == nil)
}
