package cli

import (
	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/internal/localstack"
)

// caughtMail shows the mail of the private sink to the API.
type caughtMail struct{ sink *localstack.Sink }

// Messages implements api.MailSink.
func (c caughtMail) Messages() []api.SinkMessage {
	kept := c.sink.Messages()
	list := make([]api.SinkMessage, len(kept))
	for i, m := range kept {
		list[i] = api.SinkMessage{ID: m.ID, ReceivedAt: m.ReceivedAt.UTC(), From: m.From, To: m.To, Size: m.Size, Subject: m.Subject}
	}
	return list
}

// Content implements api.MailSink.
func (c caughtMail) Content(id string) ([]byte, error) { return c.sink.Content(id) }
