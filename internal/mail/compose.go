package mail

import (
	"bytes"
	"net/mail"
	"time"
)

// MaxSize is how many bytes a composed mail has at most. Many servers take less, and say so when a connection to
// them opens; hardly any takes more.
const MaxSize = 25 << 20

// A Message is a mail as its sender thinks of it.
type Message struct {
	// ID is unique to the mail and the same in every attempt to send it; letters, digits, dots and hyphens. It
	// stands in the Message-ID, before the domain of From.
	ID string
	// Date is when the mail was written, in the sender's eyes; the same in every attempt as well.
	Date time.Time
	From mail.Address
	// ReplyTo, To and Cc may be empty. Who gets the mail is said to the server, not here: a blind copy stands
	// nowhere in the mail.
	ReplyTo, To, Cc []mail.Address
	Subject         string
	// Text is the body for those who read no HTML. Where it is "", it is made from HTML.
	Text string
	// HTML is the body as most see it, or "". Images of it are attachments with a ContentID, at src="cid:…".
	HTML        string
	Attachments []Attachment
	// Unsubscribe is an https URL at which a POST alone unsubscribes the reader (RFC 8058), or "". On this machine it
	// may be http, for whoever tries the product out.
	Unsubscribe string
	// Stream is the kind of mail that one can unsubscribe from, such as "reminders". It isn't written into the
	// mail.
	Stream string
}

// An Attachment is a file that a mail brings along.
type Attachment struct {
	// Filename is what readers save it as. An inline image needs none.
	Filename string
	// ContentType is a media type with its parameters; "" is application/octet-stream.
	ContentType string
	Content     []byte
	// ContentID makes it an image of the HTML, which shows it by that name; "" is a file of its own.
	ContentID string
}

// A FieldError says what a message can't say, and where.
type FieldError struct {
	// Field is the place in the input of a mail.send job, as a JSON pointer without the first slash: "subject",
	// "to/0", "attachments/1/filename".
	Field  string
	Detail string
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Detail }

// Compose gives the mail as a server takes it, with CRLF at the ends of lines. The same message gives the same bytes.
// What can't be said is refused with a [*FieldError]: above all what would begin a header or a command of its own.
//
// Text and HTML become alternatives, the text first; images of the HTML are related to it (RFC 2387); attachments
// stand beside both. Servers and programs that send the mail aren't named: neither helps a reader. Nor is there a
// Feedback-ID: Gmail's figures for one begin with volumes that a business mails in a campaign, and the domain's own
// are shown without it.
func (m Message) Compose() ([]byte, error) {
	m, err := m.checked()
	if err != nil {
		return nil, err
	}
	content := m.content()
	content.header = append(m.header(), content.header...)
	var b bytes.Buffer
	b.Grow(m.estimate())
	if err := content.writeMessage(&b); err != nil {
		return nil, err
	}
	if b.Len() > MaxSize {
		return nil, m.tooLarge()
	}
	return b.Bytes(), nil
}

// header is what stands above the whole mail. Message-ID and Date come from the message alone, so that they are the
// same in each attempt and on each machine.
func (m Message) header() []string {
	h := []string{
		fold("Date", m.Date.UTC().Format(time.RFC1123Z)),
		fold("Message-ID", "<"+m.ID+"@"+domainOf(m.From.Address)+">"),
		fold("From", mailboxes(m.From)...),
	}
	if len(m.ReplyTo) > 0 {
		h = append(h, fold("Reply-To", mailboxes(m.ReplyTo...)...))
	}
	if len(m.To) > 0 {
		h = append(h, fold("To", mailboxes(m.To...)...))
	}
	if len(m.Cc) > 0 {
		h = append(h, fold("Cc", mailboxes(m.Cc...)...))
	}
	if len(m.To)+len(m.Cc) == 0 {
		// A mail to blind copies alone; filters distrust one that is to nobody.
		h = append(h, fold("To", "undisclosed-recipients:;"))
	}
	h = append(h, fold("Subject", words(m.Subject)...))
	// Answering machines keep silent, and nobody's holiday notice comes back (RFC 3834).
	h = append(h, fold("Auto-Submitted", "auto-generated"))
	if m.Unsubscribe != "" {
		// Both on one line however long: some servers fold a long one anew after they signed it.
		h = append(h, "List-Unsubscribe: <"+m.Unsubscribe+">\r\n",
			"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
	}
	return append(h, "MIME-Version: 1.0\r\n")
}
