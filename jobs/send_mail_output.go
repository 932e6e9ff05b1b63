package jobs

import (
	"time"

	"github.com/payaid/payaid/internal/store"
)

// mailOutput is the output of mail.send.
type mailOutput struct {
	MessageID  string            `json:"message_id"`
	State      string            `json:"state"`
	QueueID    *string           `json:"queue_id"` // of the first that was accepted
	Recipients []recipientOutput `json:"recipients"`
}

type recipientOutput struct {
	Address string  `json:"address"`
	State   string  `json:"state"`
	Code    *int    `json:"code"`
	Reply   *string `json:"reply"`
}

const mailOutputSchema = `{"type":"object","required":["message_id","state","queue_id","recipients"],"properties":{
		"message_id":{"type":"string","format":"uuid","description":"the mail, at /api/mail/{id}; it stands in its Message-ID"},
		"state":{"enum":["accepted","failed","suppressed","unknown"]},
		"queue_id":{"type":["string","null"],"description":"the server's name for what it accepted first"},
		"recipients":{"type":"array","minItems":1,"items":{"type":"object","required":["address","state","code","reply"],"properties":{
			"address":{"type":"string"},"state":{"enum":["accepted","failed","suppressed","unknown"]},
			"code":{"type":["integer","null"]},"reply":{"type":["string","null"]}}}}}}`

const (
	codeMailRejected   = "mail_rejected"
	codeMailExpired    = "mail_expired"
	codeMailSuppressed = "mail_suppressed"
	codeMailUnknown    = "mail_unknown"
	codeMailTemplate   = "mail_template"
	codeMailContent    = "mail_content"
)

// mailCodes are those of mail.send.
var mailCodes = []Code{
	{codeMailRejected, statusUnprocessable, "The mail server refused the mail for every recipient; the output has its replies."},
	{codeMailExpired, statusUnprocessable, "The mail server put the mail off for three days."},
	{codeMailSuppressed, statusUnprocessable, "Every recipient is on the organization's list of addresses that get no mail."},
	{codeMailUnknown, statusUnprocessable, "Nobody knows whether the server took the mail, and on_unknown was hold, or its answer was lost again and again. It is settled by a report of the server, or by hand."},
	{codeMailTemplate, statusUnprocessable, "There is no such template, or it can't be filled in with the data."},
	{codeMailContent, statusUnprocessable, "The mail can't be composed of what it was given, or is too large."},
	codeOfNothing, codeOfState,
}

// output is what came of the mail for its recipients.
func (s *posting) output() mailOutput {
	out := mailOutput{MessageID: s.task.ID, State: s.state()}
	for _, r := range s.mail.Recipients {
		out.Recipients = append(out.Recipients, recipientOutput{Address: r.Address, State: r.State, Code: r.Code, Reply: r.Reply})
		if out.QueueID == nil && r.State == store.MailAccepted {
			out.QueueID = r.QueueID
		}
	}
	return out
}

// state is that of the mail once nothing of it is open: the best that was reached, or what nobody knows.
func (s *posting) state() string {
	for _, state := range []string{store.MailAccepted, store.MailUnknown, store.MailFailed, store.MailSuppressed} {
		for _, r := range s.mail.Recipients {
			if r.State == state {
				return state
			}
		}
	}
	return store.MailFailed
}

// expires is when a mail that is put off again and again is given up. A retry by hand has all the time again.
func (s *posting) expires() time.Time {
	if s.task.StartedAt == nil {
		return s.began.Add(mailLifetime)
	}
	return s.task.StartedAt.Add(mailLifetime)
}

// failure is why nobody got the mail.
func (s *posting) failure() *Failure {
	switch s.state() {
	case store.MailUnknown:
		return &Failure{Code: codeMailUnknown, Title: "Outcome unknown",
			Detail: "Nobody knows whether the mail server took the mail. It is not sent again by itself."}
	case store.MailSuppressed:
		return &Failure{Code: codeMailSuppressed, Title: "Suppressed",
			Detail: "Every recipient is on the organization's list of addresses that get no mail; nothing was sent."}
	}
	for _, r := range s.mail.Recipients {
		switch status := valueOr(r.Status, ""); {
		case r.State != store.MailFailed:
		case valueOr(r.Code, 0)/100 == 4:
			return &Failure{Code: codeMailExpired, Title: "Expired", Detail: "The mail server put the mail off until it was given up."}
		case status == statusTooLarge || status == statusOverLimit:
			return &Failure{Code: codeMailContent, Title: "Too large",
				Detail: "The mail is larger than the mail server takes; without its attachments it may go. The server said: " + valueOr(r.Reply, "nothing")}
		}
	}
	return &Failure{Code: codeMailRejected, Title: "Rejected", Detail: "The mail server refused the mail for every recipient; the output has its replies."}
}

// timelineOf is what the timeline says of a try.
func timelineOf(s store.Sent, o outcome, attempts int) map[string]any {
	detail := map[string]any{"attempt": attempts}
	for name, value := range map[string]string{"reason": o.reason, "class": classOf(o.refusal), "status": s.Status, "reply": s.Reply, "queue_id": s.QueueID} {
		if value != "" {
			detail[name] = value
		}
	}
	if s.Code != 0 {
		detail["code"] = s.Code
	}
	if s.NextAttemptAt != nil {
		detail["next_attempt_at"] = s.NextAttemptAt.UTC().Format(time.RFC3339)
	}
	return detail
}
