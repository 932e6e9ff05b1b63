package jobs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
)

// wait is why the mail is not at its end; nil: it is.
func (s *posting) wait() *Wait {
	var sooner *Wait
	until := func(at time.Time, reason string) {
		if w := (&Wait{Reason: reason, After: time.Until(at)}); sooner == nil || w.After < sooner.After {
			sooner = w
		}
	}
	for _, r := range s.mail.Recipients {
		switch {
		case r.State == store.MailSending:
			until(time.Now(), "An earlier attempt is sending the mail.")
		case r.State == store.MailUnknown && s.resendAt(&r) != nil:
			until(*s.resendAt(&r), waitsForReport)
		case r.State == store.MailUnknown && time.Until(s.evidenceBy(&r)) > 0:
			until(s.evidenceBy(&r), waitsForReport)
		case r.State != store.MailQueued && r.State != store.MailDeferred:
		case r.NextAttemptAt != nil && time.Until(*r.NextAttemptAt) > time.Second:
			until(*r.NextAttemptAt, "The mail server put the mail off: "+strings.TrimSpace(valueOr(r.Reply, "it gave no reason")))
		case s.until != nil:
			until(time.Now().Add(s.until.After), s.until.Reason)
		default:
			until(time.Now(), "The mail is sent to more recipients.")
		}
	}
	if sooner == nil {
		return nil
	}
	return sooner.before(s.task.Deadline)
}

const waitsForReport = "Nobody knows whether the mail server took the mail; a report that tells is waited for."

// channelPause is after a fault of the channel for which the breaker names no time.
const channelPause = 30 * time.Second

// channelWait is the pause after a fault between us and the server.
func (s *posting) channelWait(r *mail.Refusal) *Wait {
	after := time.Until(r.Until)
	if r.Until.IsZero() {
		after = channelPause
	}
	return &Wait{Reason: "The mail server can't be used now, which is no recipient's fault: " + faultOf(r), After: after}
}

// faultOf says what is wrong with the channel to who may know neither hosts nor settings, which causes name.
func faultOf(r *mail.Refusal) string {
	fault := map[string]string{
		mail.StepBreaker: "it is left alone for a while.", mail.StepConnect: "it can't be reached.",
		mail.StepTLS: "the connection can't be encrypted.", mail.StepHello: "it doesn't greet.", mail.StepAuth: "it refuses our login.",
	}[r.Step]
	switch {
	case r.Step == mail.StepAuth || fault != "" && r.Code == 0:
		return fault
	case r.Code == 0:
		return "the connection was lost."
	}
	return strings.TrimSpace(fmt.Sprintf("it said %d %s %s", r.Code, r.Enhanced, r.Reply))
}

// ratePause keeps those who wait for their share from asking all the time.
const ratePause = 15 * time.Second

// overRate counts a mail to a recipient; what it gives is why it can't go now.
func (s *posting) overRate(ctx context.Context) *Wait {
	if s.Mailing.Rate.Limiter == nil {
		return nil
	}
	r, taken := s.Mailing.Rate.Limiter.TakeN(ctx, "mail:"+s.task.OrganizationID, s.Mailing.Rate.Limit, 1)
	s.counted = &taken
	if r.Allowed {
		return nil
	}
	// Many wait for the same moment, and few of them find a place then.
	after := max(r.RetryAfter, ratePause) + rand.N(ratePause)
	return &Wait{After: after, Reason: fmt.Sprintf("The organization has sent as many mails as it may: %d in %s (MAIL_RATE_LIMIT).",
		s.Mailing.Rate.Limit, s.Mailing.Rate.Limiter.Window())}
}
