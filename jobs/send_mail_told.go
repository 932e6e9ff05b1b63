package jobs

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/mail"
	"github.com/payaid/payaid/internal/store"
)

// noteSent says what the server made of the mail to one recipient, who is named by the place in the list alone.
func noteSent(ctx context.Context, r *store.RecipientToSend, began time.Time, receipt mail.Receipt, err error) {
	notes := NotesOf(ctx)
	about := []any{"recipient", r.Position, "ms", time.Since(began).Milliseconds()}
	var refusal *mail.Refusal
	switch {
	case err == nil:
		notes.Info("the mail server took the mail", append(about, "code", receipt.Code, "reply", nameless(receipt.Reply, r.Address), "queue_id", receipt.QueueID)...)
		return
	case !errors.As(err, &refusal):
		notes.Warn("the mail was not sent", append(about, "error", nameless(err.Error(), r.Address))...)
		return
	}
	about = append(about, "class", string(refusal.Class), "step", refusal.Step, "code", refusal.Code, "status", refusal.Enhanced)
	if refusal.Step != mail.StepAuth { // servers repeat there what they were told
		about = append(about, "reply", nameless(refusal.Reply, r.Address))
		if refusal.Cause != nil && refusal.Code == 0 {
			about = append(about, "cause", nameless(refusal.Cause.Error(), r.Address))
		}
	}
	switch refusal.Class {
	case mail.Channel:
		notes.Warn("the mail server can't be used", about...)
	case mail.Unknown:
		notes.Warn("the mail server's answer did not come", about...)
	case mail.Deferred:
		notes.Info("the mail server put the mail off", about...)
	default:
		notes.Warn("the mail server refused the mail", about...)
	}
}

// nameless is what a server said without the recipient's name in its own words. Whole addresses go where all notes are kept.
func nameless(said, address string) string {
	local, _, _ := strings.Cut(address, "@")
	if said == "" || local == "" {
		return said
	}
	said = strings.ReplaceAll(said, address, "[recipient]")
	return regexp.MustCompile(`(?i)(^|[^\pL\pN])`+regexp.QuoteMeta(local)+`($|[^\pL\pN])`).ReplaceAllString(said, "${1}[recipient]${2}")
}
