package events

import (
	"encoding/json"
	"fmt"
)

// A Kind describes one type of event: how it is called, what it means, and how its data is read.
type Kind struct {
	Type    string // wire name
	Meaning string // one sentence for the AsyncAPI document
	Fact    Fact   // a zero value, for its shape
	Inside  bool   // asks for work that is nobody's business outside, and is told to no webhook
	decode  func(json.RawMessage) (Fact, error)
}

// Catalogue lists every type of event. To add one: its struct in the file of its noun, a line here,
// and a sample under testdata.
func Catalogue() []Kind {
	return []Kind{
		kind[JobRequested]("A client or a schedule handed over work."),
		kind[JobCompleted]("A job ended with a result."),
		kind[JobFailed]("A job ended without a result and will not be tried again by itself."),
		kind[JobCancelled]("A client gave a job up; its result, if any came, was thrown away."),
		kind[OrganizationUpdated]("An organization's name, plan or settings changed."),
		kind[ContactCreated]("A contact was made."),
		kind[ContactUpdated]("A contact changed; the data names the fields."),
		kind[ContactDeleted]("A contact was deleted."),
		kind[DealCreated]("A deal was made."),
		kind[DealUpdated]("A deal changed, its stage aside; the data names the fields."),
		kind[DealStageChanged]("A deal moved to another stage."),
		kind[DealWon]("A deal was won."),
		kind[DealLost]("A deal was lost."),
		kind[DealDeleted]("A deal was deleted."),
		kind[InvoiceCreated]("A draft of an invoice was made."),
		kind[InvoiceUpdated]("An invoice changed; the data names the fields."),
		kind[InvoiceSent]("An invoice was given its number and is due."),
		kind[InvoicePaid]("Nothing of an invoice is due any more."),
		kind[InvoiceOverdue]("The due date of an invoice has passed."),
		kind[InvoiceCancelled]("An invoice asks for nothing any more."),
		kind[InvoiceDeleted]("A draft of an invoice was deleted."),
		kind[InsightUpdated]("A model, or the rules in its place, found out something about a record."),
		kind[MailAccepted]("The mail server took a mail for a recipient."),
		kind[MailFailed]("A mail was not taken for a recipient, and will not be tried again by itself."),
		kind[MailUnknown]("Nobody knows whether the mail server took a mail for a recipient."),
		kind[MailDelivered]("A mail server reported the delivery of a mail."),
		kind[MailBounced]("A mail that was accepted came back."),
		kind[MailComplained]("A recipient called a mail spam."),
		kind[MailSuppressed]("A mail was not sent to a recipient whose address is on the organization's list."),
		kind[MailUnsubscribed]("A recipient wants no more mails of a stream."),
		kind[BackupCompleted]("A backup is on disk, with its manifest."),
		kind[BackupFailed]("A backup was not made, or can't be restored."),
		kind[BackupVerified]("A backup was restored, and all was there."),
		kind[IndexHealthSampled]("The counters of all indexes were written down."),
		kind[WebhookDisabled]("An endpoint of webhooks hears of nothing any more until it is enabled again."),
		inside[WebhookDeliveryRequested]("Somebody wants a webhook delivered again, or a test."),
		inside[WebhookReplayRequested]("Somebody wants what an endpoint of webhooks missed, or could not take, delivered."),
		inside[BulkRequested]("An operator wants something done with many jobs at once."),
	}
}

var byType = func() map[string]Kind {
	m := make(map[string]Kind)
	for _, k := range Catalogue() {
		m[k.Type] = k
	}
	return m
}()

// Decode reads the data of an envelope as the fact that its type says. Fields that this version
// doesn't know are ignored, as changes within a version are additive; an unknown type is ErrNotAnEvent.
func Decode(e Envelope) (Fact, error) {
	k, ok := byType[e.Type]
	if !ok {
		return nil, fmt.Errorf("%w: the type %q is not in the catalogue", ErrNotAnEvent, e.Type)
	}
	f, err := k.decode(e.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: decode %s %s: %w", ErrNotAnEvent, e.Type, e.ID, err)
	}
	return f, nil
}

func kind[F Fact](meaning string) Kind {
	var zero F
	return Kind{
		Type:    zero.EventType(),
		Meaning: meaning,
		Fact:    zero,
		decode: func(data json.RawMessage) (Fact, error) {
			var f F
			err := json.Unmarshal(data, &f)
			return f, err
		},
	}
}

// inside is a kind that webhooks aren't told of.
func inside[F Fact](meaning string) Kind {
	k := kind[F](meaning)
	k.Inside = true
	return k
}
