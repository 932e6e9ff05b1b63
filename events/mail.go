package events

// The facts about a mail name its recipients by their places in it, from 1, and no addresses: events carry no
// personal data. What the places stand for is in the mail itself.

// MailAccepted says that the mail server took a mail for a recipient, and answers for it from then on.
type MailAccepted struct {
	MessageID string `json:"message_id"`
	Recipient int    `json:"recipient"`
	Stream    string `json:"stream"`
	QueueID   string `json:"queue_id"` // the server's name for it; may be empty
	Attempts  int    `json:"attempts"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (MailAccepted) EventType() string { return "mail.accepted" }

// Aggregate implements Fact.
func (f MailAccepted) Aggregate() (string, int64) { return f.MessageID, f.Version }

// MailFailed says that a mail was not taken for a recipient, and will not be tried again by itself.
type MailFailed struct {
	MessageID string `json:"message_id"`
	Recipient int    `json:"recipient"`
	Stream    string `json:"stream"`
	Reason    string `json:"reason"` // rejected, blocked, too_large or expired; settled: somebody said so
	Code      int    `json:"code"`   // of the server's last answer; 0 when there was none
	Status    string `json:"status"` // its enhanced code (RFC 3463); may be empty
	Attempts  int    `json:"attempts"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (MailFailed) EventType() string { return "mail.failed" }

// Aggregate implements Fact.
func (f MailFailed) Aggregate() (string, int64) { return f.MessageID, f.Version }

// MailUnknown says that nobody knows whether the mail server took a mail for a recipient: the connection, or the
// process, ended between the mail's last dot and the server's answer.
type MailUnknown struct {
	MessageID string `json:"message_id"`
	Recipient int    `json:"recipient"`
	Stream    string `json:"stream"`
	Policy    string `json:"policy"` // what becomes of it without evidence: resend or hold
	Attempts  int    `json:"attempts"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (MailUnknown) EventType() string { return "mail.unknown" }

// Aggregate implements Fact.
func (f MailUnknown) Aggregate() (string, int64) { return f.MessageID, f.Version }

// MailDelivered says that a mail server reported the delivery of a mail to a recipient.
type MailDelivered struct {
	MessageID string `json:"message_id"`
	Recipient int    `json:"recipient"`
	Stream    string `json:"stream"`
	Action    string `json:"action"` // delivered, or relayed to a server that reports nothing
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (MailDelivered) EventType() string { return "mail.delivered" }

// Aggregate implements Fact.
func (f MailDelivered) Aggregate() (string, int64) { return f.MessageID, f.Version }

// MailBounced says that a mail that was accepted came back.
type MailBounced struct {
	MessageID string `json:"message_id"`
	Recipient int    `json:"recipient"`
	Stream    string `json:"stream"`
	Class     string `json:"class"`  // hard: the address takes no mail; soft: it did not this time; policy: not from us
	Status    string `json:"status"` // RFC 3463
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (MailBounced) EventType() string { return "mail.bounced" }

// Aggregate implements Fact.
func (f MailBounced) Aggregate() (string, int64) { return f.MessageID, f.Version }

// MailComplained says that a recipient called a mail spam.
type MailComplained struct {
	MessageID string `json:"message_id"`
	Recipient int    `json:"recipient"`
	Stream    string `json:"stream"`
	Feedback  string `json:"feedback"` // type of the report (RFC 5965), such as abuse
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (MailComplained) EventType() string { return "mail.complained" }

// Aggregate implements Fact.
func (f MailComplained) Aggregate() (string, int64) { return f.MessageID, f.Version }

// MailSuppressed says that a mail was not sent to a recipient, as the address is on the organization's list.
type MailSuppressed struct {
	MessageID string `json:"message_id"`
	Recipient int    `json:"recipient"`
	Stream    string `json:"stream"`
	Reason    string `json:"reason"` // why it is on the list: hard_bounce, soft_bounce, complaint, unsubscribe or manual
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (MailSuppressed) EventType() string { return "mail.suppressed" }

// Aggregate implements Fact.
func (f MailSuppressed) Aggregate() (string, int64) { return f.MessageID, f.Version }

// MailUnsubscribed says that a recipient wants no more mails of a stream.
type MailUnsubscribed struct {
	MessageID string `json:"message_id"`
	Recipient int    `json:"recipient"`
	Stream    string `json:"stream"`
	Version   int64  `json:"version"`
}

// EventType implements Fact.
func (MailUnsubscribed) EventType() string { return "mail.unsubscribed" }

// Aggregate implements Fact.
func (f MailUnsubscribed) Aggregate() (string, int64) { return f.MessageID, f.Version }
