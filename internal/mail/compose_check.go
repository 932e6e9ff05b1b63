package mail

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxSubject  = 1000     // characters
	maxFilename = 255      // characters
	maxHeader   = 64 << 10 // bytes of one list of addresses; Postfix cuts a header at 100 KiB
	// maxUnsubscribe lets the header stay on one line, which has 998 bytes at most.
	maxUnsubscribe = 900
)

// checked is the message with all that Compose relies on: its addresses as SMTP has them, its content types as they
// are written, a text. Bodies may have any character that UTF-8 has, as they are encoded.
func (m Message) checked() (Message, error) {
	if m.ID == "" || strings.Trim(m.ID, "-.") != m.ID || strings.ContainsFunc(m.ID, notOfID) || len(m.ID) > 100 {
		return m, &FieldError{"id", "isn't of letters, digits, dots and hyphens"}
	}
	if m.Date.IsZero() {
		return m, &FieldError{"date", "is missing"}
	}
	if err := m.checkAddresses(); err != nil {
		return m, err
	}
	if err := checkLine("subject", m.Subject, maxSubject); err != nil {
		return m, err
	}
	for field, body := range map[string]string{"text": m.Text, "html": m.HTML} {
		if !utf8.ValidString(body) {
			return m, &FieldError{field, "isn't valid UTF-8"}
		}
	}
	if err := checkUnsubscribe(m.Unsubscribe); err != nil {
		return m, err
	}
	if err := m.checkAttachments(); err != nil {
		return m, err
	}
	if m.Text == "" {
		m.Text = textOf(m.HTML)
	}
	if m.estimate() > MaxSize {
		return m, m.tooLarge()
	}
	return m, nil
}

func notOfID(r rune) bool { return r > '~' || !isAlphanumeric(byte(r)) && r != '-' && r != '.' }

// checkAddresses also brings them into the form that SMTP has.
func (m *Message) checkAddresses() error {
	if m.From.Address == "" {
		return &FieldError{"from", "is missing"}
	}
	var err error
	if m.From, err = checkAddress("from", m.From); err != nil {
		return err
	}
	lists := []struct {
		field string
		list  *[]mail.Address
	}{{"reply_to", &m.ReplyTo}, {"to", &m.To}, {"cc", &m.Cc}}
	for _, l := range lists {
		*l.list = slices.Clone(*l.list)
		size := 0
		for i, a := range *l.list {
			field := fmt.Sprintf("%s/%d", l.field, i)
			if l.field == "reply_to" && len(*l.list) == 1 {
				field = l.field
			}
			if (*l.list)[i], err = checkAddress(field, a); err != nil {
				return err
			}
			size += 4*len(a.Name) + len(a.Address)
		}
		if size > maxHeader {
			return &FieldError{l.field, "has more addresses than a header holds"}
		}
	}
	return nil
}

func checkAddress(field string, a mail.Address) (mail.Address, error) {
	if err := checkLine(field, a.Name, maxName); err != nil {
		return a, err
	}
	address, err := canonical(a.Address)
	if err != nil {
		return a, &FieldError{field, err.Error()}
	}
	return mail.Address{Name: spaces(a.Name), Address: address}, nil
}

// checkLine refuses what can't stand on one line of a header, or would begin another.
func checkLine(field, s string, limit int) error {
	if fault := lineFault(s); fault != "" {
		return &FieldError{field, fault}
	}
	if utf8.RuneCountInString(s) > limit {
		return &FieldError{field, fmt.Sprintf("has more than %d characters", limit)}
	}
	return nil
}

// lineFault says why a text can't stand on one line, or "".
func lineFault(s string) string {
	if !utf8.ValidString(s) {
		return "isn't valid UTF-8"
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Sprintf("has a line break or another control character (%U)", r)
		}
	}
	return ""
}

func checkUnsubscribe(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	secure := err == nil && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
	if !secure || u.Host == "" || len(s) > maxUnsubscribe ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' || r == ',' }) {
		return &FieldError{"unsubscribe", "isn't an https URL of at most 900 characters"}
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkAttachments also writes their content types as they stand in the mail.
func (m *Message) checkAttachments() error {
	m.Attachments = slices.Clone(m.Attachments)
	shown := make(map[string]bool)
	for i := range m.Attachments {
		a := &m.Attachments[i]
		refused := func(field, detail string) error {
			return &FieldError{fmt.Sprintf("attachments/%d/%s", i, field), detail}
		}
		if fault := filenameFault(a.Filename); fault != "" && (a.Filename != "" || a.ContentID == "") {
			return refused("filename", fault)
		}
		kind, fault := mediaType(a.ContentType)
		if fault != "" {
			return refused("content_type", fault)
		}
		a.ContentType = kind
		if a.ContentID == "" {
			continue
		}
		if len(a.ContentID) > 100 || strings.ContainsFunc(a.ContentID, notOfContentID) {
			return refused("content_id", "isn't of 1 to 100 letters, digits and .-_@")
		}
		if m.HTML == "" {
			return refused("content_id", "makes it an image of the HTML, and there is none")
		}
		if shown[a.ContentID] {
			return refused("content_id", "is another attachment's as well")
		}
		shown[a.ContentID] = true
	}
	return nil
}

func notOfContentID(r rune) bool { return notOfID(r) && r != '_' && r != '@' }

// filenameFault refuses what programs take for a path, and what shows a name other than it is: "invoice\u202efdp.exe"
// looks like one that ends with exe.pdf.
func filenameFault(name string) string {
	switch {
	case name == "":
		return "is missing"
	case name == "." || name == ".." || strings.ContainsAny(name, `/\`):
		return `is a path; a name has no / or \`
	case strings.TrimSpace(name) != name:
		return "begins or ends with a space"
	case strings.ContainsAny(name, "\u202a\u202b\u202c\u202d\u202e"):
		return "has characters that turn the direction of writing"
	case utf8.RuneCountInString(name) > maxFilename:
		return fmt.Sprintf("has more than %d characters", maxFilename)
	}
	return lineFault(name)
}

// estimate is about what the mail becomes, and never less than its attachments do.
func (m Message) estimate() int {
	n := 4<<10 + len(m.Text) + len(m.HTML)
	for _, a := range m.Attachments {
		n += 1<<10 + base64Size(len(a.Content))
	}
	return n
}

func (m Message) tooLarge() error {
	field := "attachments"
	if len(m.Attachments) == 0 {
		field = "html"
		if len(m.Text) > len(m.HTML) {
			field = "text"
		}
	}
	return &FieldError{field, fmt.Sprintf("makes the mail larger than %d MB", MaxSize>>20)}
}
