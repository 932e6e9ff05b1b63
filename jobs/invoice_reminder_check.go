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
	longNumber = regexp.MustCompile(`[0-9][0-9,]*[0-9][0-9]`)
	// Interest, or a discount, that nobody has agreed to.
	share = regexp.MustCompile(`(?i)[0-9][ \x{00a0}]?(?:%|per ?cent\b|प्रतिशत)`)
	// Where money could go, and other people's money.
	elsewhere = regexp.MustCompile(`(?i)[a-z0-9-]+://\S*|\bwww\.\S*|\S*@\S*|\b[a-z0-9-]+\.(?:com|in|net|org|io|co|info|biz|xyz|app|link|page|site|shop|me|ly)\b|[$€£¥]|\b(?:usd|eur|gbp|dollars?|euros?)\b`)
)

// checkReminder lets a model's letter out only if all the money in it is the invoice's: a customer pays what the
// letter says, and where it says. Otherwise the rules' letter takes its place. A letter that leaves out which
// invoice it is about, or what is due, has it added.
func checkReminder(l letter, w letterWish, f store.InvoiceFacts, d dunning) (checked letter, corrected bool) {
	text := rupees.ASCIIDigits(l.Subject + "\n" + l.Body)
	if invents(text, f, d) {
		return writeReminder(w, f, d), true
	}
	if !numbered(f).MatchString(text) || !slices.Contains(rupees.Find(text), f.AmountDue) {
		l.Body = strings.TrimRight(l.Body, " \n") + "\n\n" + reminderLine(w, f)
	}
	return l, false
}

// numbered finds the invoice's number, but not that of another, which begins or ends in the same way.
func numbered(f store.InvoiceFacts) *regexp.Regexp {
	return regexp.MustCompile(`(^|[^0-9\pL/-])` + regexp.QuoteMeta(*f.Number) + `($|[^0-9\pL])`)
}

func invents(text string, f store.InvoiceFacts, d dunning) bool {
	known := strings.ToLower(strings.Join([]string{f.OrganizationName, billedTo(f), companyOf(f), f.IssueDate, f.DueDate}, "\n"))
	// The number of the invoice is none of money, whatever its prefix looks like.
	text = numbered(f).ReplaceAllString(text, "$1 $2")
	if share.MatchString(text) {
		return true
	}
	figures := []int64{f.Total, f.AmountDue, f.AmountPaid, f.Subtotal, f.Tax}
	for _, amount := range rupees.Find(text) {
		if !slices.Contains(figures, amount) {
			return true
		}
	}
	for _, n := range longNumber.FindAllString(text, -1) {
		n = strings.ReplaceAll(n, ",", "")
		whole := func(figure int64) bool { return strconv.FormatInt(figure/100, 10) == n }
		if !slices.ContainsFunc(figures, whole) && !strings.Contains(known, n) && n != strconv.Itoa(d.DaysOverdue) {
			return true
		}
	}
	return slices.ContainsFunc(elsewhere.FindAllString(text, -1), func(place string) bool {
		return utf8.RuneCountInString(place) < 3 || !strings.Contains(known, strings.ToLower(strings.Trim(place, ".,;:!?()\"'")))
	})
}
