package jobs

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
)

// suppressFor puts an address on the list where what was said of a mail to it, by its class, asks for that. The mail's
// timeline has it already. The list is the organization's own: others learn nothing of it.
func suppressFor(ctx context.Context, tx pgx.Tx, s store.Suppression, class string, position int) error {
	s.ID = newEventID()
	switch class {
	case classHard:
		s.Reason = store.SuppressedByHardBounce
	case classComplaint:
		s.Reason = store.SuppressedByComplaint
	case classSoft:
		count, err := store.SoftBounces(ctx, tx, s.OrganizationID, s.Address, time.Now().Add(-softBounceWithin))
		if err != nil || count < softBounces {
			return err
		}
		until := time.Now().Add(softBounceExpires)
		s.Reason, s.ExpiresAt = store.SuppressedBySoftBounce, &until
	default:
		return nil
	}
	kept, changed, err := store.Suppress(ctx, tx, s)
	if err != nil || !changed {
		return err
	}
	detail := map[string]any{"reason": kept.Reason, "stream": kept.Stream}
	if kept.ExpiresAt != nil {
		detail["expires_at"] = kept.ExpiresAt.UTC().Format(time.RFC3339)
	}
	_, err = store.AppendMailEvent(ctx, tx, s.OrganizationID, *s.MessageID, store.MailEvent{ID: newEventID(), Position: position,
		Type: "address_suppressed", Detail: detail})
	return err
}

// classOf is what a refusal says of the address, in the words of bounces; "": nothing.
func classOf(r *mail.Refusal) string {
	switch {
	case r == nil || r.Class != mail.Rejected:
		return ""
	case r.Suppress:
		return classHard
	case strings.HasPrefix(r.Enhanced, "5.2.") || r.Enhanced == "" && r.Code == 552:
		return classSoft // a mailbox that is full, or closed for now
	}
	return ""
}
