package jobs

import (
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/rupees"
	"github.com/payaid/payaid/internal/store"
)

// A reminderText is a reminder in one language.
type reminderText struct{ subject, body string }

// reminderTexts grow firmer with the days overdue, in English and Hindi.
var reminderTexts = map[int][2]reminderText{
	0: {{"Invoice {number} is due on {date}",
		"This is a friendly note about our invoice {number}: {amount} {falls} due on {date}. If you have paid already, please take it as settled. Thank you."},
		{"बिल {number} की देय तिथि {date}",
			"यह हमारे बिल {number} के बारे में एक छोटी सी याद है: {amount} की देय तिथि {date} है। यदि आप भुगतान कर चुके हैं तो इसे अनदेखा करें। धन्यवाद।"}},
	3: {{"Invoice {number}: payment was due on {date}",
		"The payment of {amount} for our invoice {number} was due on {date}, {days} days ago. It may have slipped through; please pay it in the next days, or tell us if something is unclear."},
		{"बिल {number}: भुगतान {date} को देय था",
			"हमारे बिल {number} के {amount} का भुगतान {date} को देय था, {days} दिन पहले। शायद यह छूट गया हो; कृपया अगले कुछ दिनों में भुगतान करें, या कुछ अस्पष्ट हो तो बताएँ।"}},
	7: {{"Reminder: invoice {number} is {days} days overdue",
		"Our invoice {number} of {amount} has been overdue for {days} days, since {date}. Please pay it this week, or tell us by when we may expect the payment."},
		{"अनुस्मारक: बिल {number} {days} दिन से बकाया है",
			"हमारे बिल {number} के {amount} {days} दिन से, {date} से, बकाया हैं। कृपया इसी सप्ताह भुगतान करें, या बताएँ कि भुगतान कब तक होगा।"}},
	14: {{"Second reminder: invoice {number} is {days} days overdue",
		"In spite of our reminders, {amount} for our invoice {number} is still open, {days} days after {date}. We ask you to pay within three days, or to call us today so that we find a way together."},
		{"दूसरा अनुस्मारक: बिल {number} {days} दिन से बकाया है",
			"हमारे अनुस्मारकों के बावजूद बिल {number} के {amount} {date} के {days} दिन बाद भी बकाया हैं। कृपया तीन दिन के भीतर भुगतान करें, या आज ही हमें फ़ोन करें।"}},
	30: {{"Final reminder: invoice {number} is {days} days overdue",
		"Our invoice {number} has been overdue for {days} days, since {date}, and {amount} is still open. This is our final reminder: please pay at once. Otherwise we have to hold back further deliveries and to consider other steps."},
		{"अंतिम अनुस्मारक: बिल {number} {days} दिन से बकाया है",
			"हमारे बिल {number} के {amount} {days} दिन से, {date} से, बकाया हैं। यह हमारा अंतिम अनुस्मारक है: कृपया तुरंत भुगतान करें। अन्यथा हमें आगे की आपूर्ति रोकनी पड़ेगी और अन्य कदमों पर विचार करना होगा।"}},
}

// reminderLines say what a letter has to say.
var reminderLines = [2]string{"Invoice {number}: {amount} due on {date}.", "बिल {number}: {amount}, देय तिथि {date}।"}

// writeReminder writes a reminder by how late the invoice is and the tone, in English or Hindi; English also where
// another language is wished, as money that a model made up goes out in none.
func writeReminder(w letterWish, f store.InvoiceFacts, d dunning) letter {
	texts := reminderTexts[stageOfText(w, d)]
	frame, text := englishEmail, texts[0]
	if w.hindi() {
		frame, text = hindiEmail, texts[1]
	}
	falls := "falls"
	if d.DaysOverdue > 0 {
		falls = "fell"
	}
	fill := fillReminder(f, "{days}", strconv.Itoa(d.DaysOverdue), "{falls}", falls)
	return letter{Subject: fill.Replace(text.subject), Body: fill.Replace(strings.Replace(frame, "{body}", text.body, 1))}
}

// stageOfText follows the tone as far as the truth allows: a firm letter tells of no reminders that nobody has sent.
func stageOfText(w letterWish, d dunning) int {
	switch {
	case w.isGentle():
		return min(d.StageDays, 7)
	case w.isFirm() && d.StageDays == 3:
		return 7
	}
	return d.StageDays
}

func reminderLine(w letterWish, f store.InvoiceFacts) string {
	line := reminderLines[0]
	if w.hindi() {
		line = reminderLines[1]
	}
	return fillReminder(f).Replace(line)
}

// fillReminder fills in once over all: what a name says is never taken for a place to fill in.
func fillReminder(f store.InvoiceFacts, more ...string) *strings.Replacer {
	return strings.NewReplacer(append(more, "{number}", *f.Number, "{amount}", rupees.Format(f.AmountDue), "{date}", indianDate(f.DueDate),
		"{name}", clip(billedTo(f), viewShort), "{sender}", clip(f.OrganizationName, viewShort))...)
}

// indianDate writes a date (YYYY-MM-DD) as day, month and year.
func indianDate(date string) string {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return day.Format("02-01-2006")
}

// billedTo is the customer's name as the invoice has it.
func billedTo(f store.InvoiceFacts) string {
	if f.Customer != nil && f.Customer.Name != "" {
		return f.Customer.Name
	}
	return f.Name
}

func companyOf(f store.InvoiceFacts) string {
	if f.Customer != nil && f.Customer.Company != nil {
		return *f.Customer.Company
	}
	return ""
}
