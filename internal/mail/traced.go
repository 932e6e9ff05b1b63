package mail

import (
	"errors"

	"github.com/payaid/payaid/internal/telemetry/trace"
)

// describe says of a transaction with the server how it ended: never whom it was about, nor what the server said, as it
// may name the recipient.
func (p *Pool) describe(step trace.Span, r Receipt, err error) {
	step.String("server.address", p.dialer.Host)
	step.Int("server.port", p.dialer.Port)
	var refused *Refusal
	switch {
	case err == nil:
		step.Int("payaid.mail.code", r.Code)
		step.String("payaid.mail.queue_id", r.QueueID)
	case errors.As(err, &refused):
		step.Int("payaid.mail.code", refused.Code)
		step.String("payaid.mail.enhanced", refused.Enhanced)
		step.String("payaid.mail.step", refused.Step)
		step.Fail(string(refused.Class))
	default:
		step.Fail("not_sent")
	}
}
