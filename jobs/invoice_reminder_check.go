package jobs

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/payaid/payaid/internal/rupees"
	"github.com/payaid/payaid/internal/store"
)

var (
	// A number so long is money, an account, a telephone or a year.
	longNumber = regexp.MustCompile(`[0-9][0-9,]{2,}[0-9]`)
	// Where money could go, and other people's money.
	elsewhere = regexp.MustCompile(`(?i)[a-z0-9-]+://\S*|\bwww\.\S*|\S*@\S*|\b[a-z0-9-]+\.(?:com|in|net|org|io|co|info|biz|xyz|app|link|page|site|shop|me|ly)\b|[$€£¥]|\b(?:usd|eur|gbp|dollars?|euros?)\b`)
)

// checkReminder lets a model's letter out only if all the money in it is the invoice's: a customer pays what the
// letter says, and where it says. Otherwise the rules' letter takes its place. A letter that leaves out which
// invoice it is about, or what is due, has it added.
func checkReminder(l letter, w letterWish, f store.InvoiceFacts, d dunning) (checked letter, corrected bool) {
	text := rupees.ASCIIDigits(l.Subject + "\n" + l.Body)
	if invents(text, f) {
		return writeReminder(w, f, d), true
	}
	if !strings.Contains(text, *f.Number) || !slices.Contains(rupees.Find(text), f.AmountDue) {
		l.Body = strings.TrimRight(l.Body, " \n") + "\n\n" + reminderLine(w, f)
	}
	return l, false
}

func invents(text string, f store.InvoiceFacts) bool {
	known := strings.ToLower(strings.Join([]string{f.OrganizationName, billedTo(f), companyOf(f), f.IssueDate, f.DueDate}, "\n"))
	// The number of the invoice is none of money, whatever its prefix looks like.
	text = strings.ReplaceAll(text, *f.Number, " ")
	figures := []int64{f.Total, f.AmountDue, f.AmountPaid, f.Subtotal, f.Tax}
	for _, amount := range rupees.Find(text) {
		if !slices.Contains(figures, amount) {
			return true
		}
	}
	for _, n := range longNumber.FindAllString(text, -1) {
		n = strings.ReplaceAll(n, ",", "")
		whole := func(figure int64) bool { return strconv.FormatInt(figure/100, 10) == n }
		if !slices.ContainsFunc(figures, whole) && !strings.Contains(known, n) {
			return true
		}
	}
	return slices.ContainsFunc(elsewhere.FindAllString(text, -1), func(place string) bool {
		return utf8.RuneCountInString(place) < 3 || !strings.Contains(known, strings.ToLower(strings.Trim(place, ".,;:!?()\"'")))
	})
}
