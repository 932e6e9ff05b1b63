package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

type mailCmd struct {
	Settle mailSettleCmd `cmd:"" help:"Say what became of a mail of which nobody knows whether the mail server took it."`
}

type mailSettleCmd struct {
	operatorSettings
	ID        string `arg:"" help:"Of the mail, of whatever organization."`
	Outcome   string `required:"" enum:"accepted,failed,resend" help:"accepted: the mail server has it, as its log says; failed: it hasn't, and the mail is given up; resend: it is sent again, though the recipient may have it."`
	Recipient string `placeholder:"ADDRESS" help:"Of whom, where several are unknown."`
}

// Run settles one recipient, as the organization can by the API.
func (c *mailSettleCmd) Run(ctx context.Context, a *app) error {
	if _, err := uuid.Parse(c.ID); err != nil {
		return fmt.Errorf("settle mail %q: that is no id of a mail", c.ID)
	}
	return c.withDB(ctx, a, func(db *store.DB) error {
		mail, err := db.FindMail(ctx, c.ID)
		if err != nil {
			return err
		}
		if err := db.Tx(ctx, func(tx pgx.Tx) error { return c.settle(ctx, tx, mail) }); err != nil {
			return settleFault(err)
		}
		fmt.Fprintln(a.stdout, "settled", mail.ID, "as", c.Outcome)
		return nil
	})
}

func (c *mailSettleCmd) settle(ctx context.Context, tx pgx.Tx, mail store.Mail) error {
	origin := outbox.Origin{OrganizationID: mail.OrganizationID}
	m := api.MailSettlement{OrganizationID: mail.OrganizationID, MailID: mail.ID, Recipient: c.Recipient, Outcome: c.Outcome}
	var facts []events.Fact
	facts, _, err := m.Settle(ctx, tx, origin, func(store.Job) store.Place { return store.Fair })
	if err != nil || len(facts) == 0 {
		return err
	}
	return outbox.Append(ctx, tx, origin, facts...)
}

// settleFault says a refusal of the API in the words of the command line.
func settleFault(err error) error {
	var refused *api.Error
	if !errors.As(err, &refused) {
		return err
	}
	if len(refused.Faults) > 0 {
		return fmt.Errorf("--recipient %s", refused.Faults[0].Detail)
	}
	return errors.New(refused.Detail)
}
