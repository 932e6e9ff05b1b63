package letter

// A Sender is the organization that writes.
type Sender struct {
	Name    string  `json:"name"`
	Email   *string `json:"email"`
	Phone   *string `json:"phone"`
	Address *string `json:"address" kind:"text"` // lines as on an envelope
}

// A Customer is whom an organization writes to.
type Customer struct {
	Name    string  `json:"name"`
	Company *string `json:"company"`
}

// Invoice is what the template invoice is made from: what a customer gets when an invoice has been sent.
type Invoice struct {
	Organization   Sender   `json:"organization"`
	Customer       Customer `json:"customer"`
	Invoice        Bill     `json:"invoice"`
	Note           *string  `json:"note" kind:"text"`         // the invoice's notes
	PaymentNote    *string  `json:"payment_note" kind:"text"` // how to pay
	Attachment     *string  `json:"attachment"`               // name of the file that comes with the mail
	UnsubscribeURL *string  `json:"unsubscribe_url" kind:"url"`
}

// MaxItems is how many lines of an invoice a letter shows; the invoice itself has the others.
const MaxItems = 20

// A Bill is an invoice with its amounts, in paise.
type Bill struct {
	Number     string     `json:"number"`
	IssueDate  string     `json:"issue_date" kind:"date"`
	DueDate    string     `json:"due_date" kind:"date"`
	Subtotal   int64      `json:"subtotal"`
	Tax        int64      `json:"tax"`
	Total      int64      `json:"total"`
	AmountPaid int64      `json:"amount_paid"`
	AmountDue  int64      `json:"amount_due"`
	Items      []BillItem `json:"items"`      // the first, MaxItems at most
	MoreItems  int64      `json:"more_items"` // how many there are beyond
}

// A BillItem is a line of an invoice.
type BillItem struct {
	Description string `json:"description"`
	Quantity    string `json:"quantity"`
	Amount      int64  `json:"amount"` // without tax
}

// Reminder is what the template reminder is made from: what a customer gets who has not paid.
type Reminder struct {
	Organization   Sender   `json:"organization"`
	Customer       Customer `json:"customer"`
	Invoice        DueBill  `json:"invoice"`
	DaysOverdue    int64    `json:"days_overdue"`
	Subject        *string  `json:"subject"` // null: one is made of the invoice's number
	Text           string   `json:"text" kind:"text"`
	PaymentNote    *string  `json:"payment_note" kind:"text"`
	Attachment     *string  `json:"attachment"`
	UnsubscribeURL *string  `json:"unsubscribe_url" kind:"url"`
}

// A DueBill is an invoice that waits for money, in paise.
type DueBill struct {
	Number    string `json:"number"`
	IssueDate string `json:"issue_date" kind:"date"`
	DueDate   string `json:"due_date" kind:"date"`
	Total     int64  `json:"total"`
	AmountDue int64  `json:"amount_due"`
}

// DealWon is what the template deal_won is made from: what the owner of an organization gets.
type DealWon struct {
	Organization   Sender    `json:"organization"`
	Deal           Deal      `json:"deal"`
	Contact        Contact   `json:"contact"`
	WonThisMonth   *DealsWon `json:"won_this_month"`
	UnsubscribeURL *string   `json:"unsubscribe_url" kind:"url"`
}

// A Deal is one that was won, its value in paise.
type Deal struct {
	Title string `json:"title"`
	Value int64  `json:"value"`
	WonOn string `json:"won_on" kind:"date"`
}

// A Contact is with whom a deal was made.
type Contact struct {
	Name    string  `json:"name"`
	Company *string `json:"company"`
	Email   *string `json:"email"`
	Phone   *string `json:"phone"`
}

// DealsWon are how many deals were won, and what they are worth together, in paise.
type DealsWon struct {
	Deals int64 `json:"deals"`
	Value int64 `json:"value"`
}

// WebhookDisabled is what the template webhook_disabled is made from: what the owner of an organization gets whose
// receiver of webhooks fails for too long, or wants no more.
type WebhookDisabled struct {
	Organization   Sender   `json:"organization"`
	Endpoint       Endpoint `json:"endpoint"`
	Reason         string   `json:"reason"`
	DisabledOn     string   `json:"disabled_on" kind:"date"`
	FailingSince   string   `json:"failing_since"` // RFC 3339: from when on there is something to deliver again
	UnsubscribeURL *string  `json:"unsubscribe_url" kind:"url"`
}

// An Endpoint is a receiver of webhooks.
type Endpoint struct {
	ID          string  `json:"id"`
	URL         string  `json:"url"` // without a query, which may hold a password
	Description *string `json:"description"`
}

// ReportReady is what the template report_ready is made from.
type ReportReady struct {
	Organization   Sender  `json:"organization"`
	Report         Report  `json:"report"`
	UnsubscribeURL *string `json:"unsubscribe_url" kind:"url"`
}

// A Report is a file that was made, attached or behind a link.
type Report struct {
	Title     string  `json:"title"`
	Period    *string `json:"period"`
	FileName  *string `json:"file_name"`
	URL       *string `json:"url" kind:"url"`
	ExpiresOn *string `json:"expires_on" kind:"date"`
	Summary   *string `json:"summary" kind:"text"`
}

// Shortened is the invoice as a letter shows it: its first lines, and of long texts their beginning. Data that
// are made of it are never too long, whatever an invoice may have.
func (v Invoice) Shortened() Invoice {
	if beyond := len(v.Invoice.Items) - MaxItems; beyond > 0 {
		v.Invoice.Items = v.Invoice.Items[:MaxItems]
		v.Invoice.MoreItems += int64(beyond)
	}
	v.Invoice.Items = append([]BillItem{}, v.Invoice.Items...)
	for i := range v.Invoice.Items {
		v.Invoice.Items[i].Description = beginning(v.Invoice.Items[i].Description, 200)
	}
	v.Note, v.PaymentNote = beginningOf(v.Note), beginningOf(v.PaymentNote)
	return v
}

// Shortened is the reminder as a letter shows it, of long texts their beginning.
func (v Reminder) Shortened() Reminder {
	v.Text, v.PaymentNote = beginning(v.Text, 5000), beginningOf(v.PaymentNote)
	return v
}

// Shortened is the letter with as much of the URL as it shows.
func (v WebhookDisabled) Shortened() WebhookDisabled {
	v.Endpoint.URL = beginning(v.Endpoint.URL, 500)
	return v
}

func beginningOf(s *string) *string {
	if s == nil {
		return nil
	}
	short := beginning(*s, 1500)
	return &short
}

func beginning(s string, most int) string {
	n := 0
	for i := range s {
		if n++; n == most {
			return s[:i] + "…"
		}
	}
	return s
}
