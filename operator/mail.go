package operator

import (
	"encoding/json"
	"time"
)

// MailList is a part of a list of mails of all organizations, newest first.
type MailList struct {
	Data       []Mail  `json:"data"`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool    `json:"has_more"`
}

// A Mail is a mail of any organization. What it says is hidden until it is asked for.
type Mail struct {
	ID             string       `json:"id" doc:"That of its job; it stands in the mail's Message-ID"`
	OrganizationID string       `json:"organization_id"`
	Organization   *string      `json:"organization"`
	State          string       `json:"state" enum:"queued,sending,accepted,deferred,failed,suppressed,unknown,cancelled"`
	Stream         string       `json:"stream"`
	Template       *string      `json:"template" doc:"null: its sender wrote it"`
	Size           *int64       `json:"size" doc:"In bytes; null before the first attempt"`
	OnUnknown      string       `json:"on_unknown" enum:"resend,hold"`
	InvoiceID      *string      `json:"invoice_id"`
	DealID         *string      `json:"deal_id"`
	ContactID      *string      `json:"contact_id"`
	CreatedAt      time.Time    `json:"created_at"`
	UpdatedAt      time.Time    `json:"updated_at"`
	Recipients     []MailTarget `json:"recipients"`
}

// A MailTarget is an address of a mail.
type MailTarget struct {
	Address string `json:"address"`
	Field   string `json:"field" enum:"to,cc,bcc"`
	State   string `json:"state"`
}

// A MailTrail is a mail with what became of it. What servers replied and what the mail says is hidden.
type MailTrail struct {
	Mail
	People []MailPerson `json:"people" doc:"Its recipients, with what became of each"`
	Events []MailEvent  `json:"events" doc:"The timeline, the oldest first"`
}

// A MailPerson is a recipient with what became of the mail to it.
type MailPerson struct {
	Position      int        `json:"position"`
	Address       string     `json:"address"`
	Field         string     `json:"field"`
	State         string     `json:"state"`
	Code          *int       `json:"code" doc:"Of the mail server's last answer"`
	Status        *string    `json:"status" doc:"Its enhanced code (RFC 3463)"`
	QueueID       *string    `json:"queue_id" doc:"The server's name for what it accepted"`
	Attempts      int        `json:"attempts"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	SendingAt     *time.Time `json:"sending_at"`
	AcceptedAt    *time.Time `json:"accepted_at"`
	UnknownAt     *time.Time `json:"unknown_at"`
	DeliveredAt   *time.Time `json:"delivered_at"`
	BouncedAt     *time.Time `json:"bounced_at"`
	ComplainedAt  *time.Time `json:"complained_at"`
}

// A MailEvent is a line of a mail's timeline.
type MailEvent struct {
	Type     string          `json:"type"`
	Position *int            `json:"position" doc:"Of the recipient; null: the whole mail"`
	At       time.Time       `json:"at"`
	Detail   json.RawMessage `json:"detail" doc:"Without what servers wrote, until it is asked for"`
}

// MailContent is what a mail says, as it would be written now: what was sent is not kept.
type MailContent struct {
	Subject     *string          `json:"subject" doc:"As it was sent, where it was; null: it can't be told"`
	Text        *string          `json:"text" doc:"null: made from the HTML"`
	HTML        *string          `json:"html" doc:"Written by anybody. A page that shows it puts it into an iframe with an empty sandbox attribute, and never into itself"`
	Headers     []MailHeader     `json:"headers"`
	Attachments []MailAttachment `json:"attachments"`
	Replies     []MailReply      `json:"replies" doc:"What the mail server last said of each recipient"`
	Events      []MailEvent      `json:"events" doc:"The timeline with all that servers wrote"`
	Note        *string          `json:"note" doc:"What to know of it, or why there is none"`
}

// A MailHeader is a line above a mail.
type MailHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A MailAttachment is a file of a mail.
type MailAttachment struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	Bytes       int64  `json:"bytes" doc:"0: it is drawn when the mail is sent"`
}

// A MailReply is what the mail server said of a recipient.
type MailReply struct {
	Position int    `json:"position"`
	Address  string `json:"address"`
	Reply    string `json:"reply"`
}

// A SettleMail says what became of a recipient of whom nobody knew.
type SettleMail struct {
	Recipient *string `json:"recipient,omitempty" nullable:"true" maxLength:"254" doc:"Address; may be left out where one recipient alone is unknown"`
	Outcome   string  `json:"outcome" enum:"accepted,failed,resend" doc:"accepted: the mail server has it; failed: it hasn't, and the mail is given up; resend: it is sent again, though the recipient may have it already"`
}

// MailStanding is how mail does, over all organizations.
type MailStanding struct {
	Queued              int64         `json:"queued" doc:"This, the next three and suppressions end at 100000"`
	Sending             int64         `json:"sending"`
	Deferred            int64         `json:"deferred"`
	Unknown             int64         `json:"unknown"`
	AcceptedLastHour    int64         `json:"accepted_last_hour" doc:"This and the next three count recipients"`
	FailedLastHour      int64         `json:"failed_last_hour"`
	BouncedLastHour     int64         `json:"bounced_last_hour"`
	ComplaintsLastHour  int64         `json:"complaints_last_hour"`
	Suppressions        int64         `json:"suppressions"`
	OldestQueuedSeconds *int64        `json:"oldest_queued_seconds"`
	Servers             []MailChannel `json:"servers" doc:"What each worker knows of its mail server; the most troubled first"`
	Sink                bool          `json:"sink" doc:"Mail is caught here and leaves the house nowhere"`
	At                  time.Time     `json:"generated_at"`
}

// A MailChannel is what a worker knows of its mail server.
type MailChannel struct {
	Worker        string     `json:"worker"`
	Host          string     `json:"host"`
	Server        string     `json:"server"`
	State         string     `json:"state" enum:"closed,half_open,open" doc:"closed: mail goes through; half_open: one mail tries; open: the server is left alone for a while"`
	LastCause     *string    `json:"last_cause"`
	LastFailureAt *time.Time `json:"last_failure_at"`
	NextTryAt     *time.Time `json:"next_try_at"`
	HeartbeatAt   time.Time  `json:"heartbeat_at"`
}

// SuppressionList is a part of a list of suppressions of all organizations, newest first.
type SuppressionList struct {
	Data       []Suppression `json:"data"`
	NextCursor *string       `json:"next_cursor" doc:"Give it as cursor to read on; null at the end"`
	HasMore    bool          `json:"has_more"`
}

// A Suppression is an address that an organization sends nothing to.
type Suppression struct {
	ID             string     `json:"id"`
	OrganizationID string     `json:"organization_id"`
	Organization   *string    `json:"organization"`
	Address        string     `json:"address"`
	Stream         string     `json:"stream" doc:"* for all streams"`
	Reason         string     `json:"reason" enum:"hard_bounce,soft_bounce,complaint,unsubscribe,manual"`
	Detail         *string    `json:"detail"`
	MessageID      *string    `json:"message_id"`
	ExpiresAt      *time.Time `json:"expires_at" doc:"null: never"`
	CreatedAt      time.Time  `json:"created_at"`
}

// A NewSuppression keeps an organization's mail from an address.
type NewSuppression struct {
	OrganizationID string     `json:"organization_id" format:"uuid"`
	Address        string     `json:"address" minLength:"3" maxLength:"254" doc:"One bare address"`
	Stream         string     `json:"stream,omitempty" default:"*" maxLength:"32" pattern:"^([*]|[a-z][a-z0-9_-]*)$" doc:"* for all streams"`
	Detail         *string    `json:"detail,omitempty" nullable:"true" maxLength:"1000"`
	ExpiresAt      *time.Time `json:"expires_at,omitempty" nullable:"true"`
}

// MailTemplates are the product's own templates of mails.
type MailTemplates struct {
	Data []MailTemplateName `json:"data"`
}

// A MailTemplateName is a template of the product with the subject that it makes of example data.
type MailTemplateName struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
}

// A MailSample is a template of the product filled with example data.
type MailSample struct {
	Name     string          `json:"name"`
	Subject  string          `json:"subject"`
	Text     *string         `json:"text"`
	HTML     *string         `json:"html"`
	Warnings []string        `json:"warnings"`
	Data     json.RawMessage `json:"data"`
	Source   MailSource      `json:"source"`
}

// MailSource is what a template is written in.
type MailSource struct {
	Subject string  `json:"subject"`
	Text    *string `json:"text"`
	HTML    *string `json:"html"`
}

// SinkList is a part of the mails that were caught, newest first.
type SinkList struct {
	Data       []SinkMail `json:"data"`
	NextCursor *string    `json:"next_cursor"`
	HasMore    bool       `json:"has_more"`
}

// A SinkMail is a mail that was caught where none leaves the house.
type SinkMail struct {
	ID         string    `json:"id"`
	ReceivedAt time.Time `json:"received_at"`
	From       string    `json:"from"`
	To         []string  `json:"to"`
	Size       int       `json:"size"`
}
