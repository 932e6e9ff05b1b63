package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// replayWebhookArgs are the arguments of webhook.replay: what an endpoint is to hear of after all.
type replayWebhookArgs struct {
	OrganizationID string    `json:"organization_id"`
	EndpointID     string    `json:"endpoint_id"`
	Since          time.Time `json:"since"`
	Until          time.Time `json:"until"`
	Failed         bool      `json:"failed"`
	Missed         bool      `json:"missed"`
	// Asked is when somebody asked for it. What fails afterwards, of this replay too, isn't made again.
	Asked time.Time `json:"asked"`
}

// Kind implements river.JobArgs.
func (replayWebhookArgs) Kind() string { return "webhook.replay" }

// InsertOpts implements river.JobArgsWithInsertOpts. Clients may ask for as many replays as they like: each is behind the
// chores that keep the product alive, such as backups and the outbox's partitions.
func (replayWebhookArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Priority: overflowPriority}
}

var replayWebhookSpec = Spec{
	Queue: Maintenance, Timeout: 30 * time.Minute, MaxAttempts: 25, Backoff: exponential(time.Second, 10*time.Minute),
}

// replayAskedFor has an endpoint hear of a time again.
func replayAskedFor(e events.Envelope, f events.WebhookReplayRequested) (replayWebhookArgs, bool) {
	return replayWebhookArgs{OrganizationID: e.OrganizationID, EndpointID: f.EndpointID, Since: f.Since, Until: f.Until,
		Failed: f.Failed, Missed: f.Missed, Asked: e.Time}, true
}

// replayWebhook has deliveries wait for their turn that failed, and makes those that there never were, the oldest first,
// a few hundred a transaction. What a killed one has done is not done again: a delivery that waits has not failed, and
// an event that was told is not told once more.
type replayWebhook struct{ deps Deps }

// replayedAtOnce keeps transactions short.
const replayedAtOnce = 500

// Run implements Chore.
func (w replayWebhook) Run(ctx context.Context, args replayWebhookArgs) error {
	var err error
	if args.Failed {
		err = w.failed(ctx, args)
	}
	if err == nil && args.Missed {
		err = w.missed(ctx, args)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil // nobody listens there any more
	}
	if err != nil {
		return fmt.Errorf("replay to endpoint %s: %w", args.EndpointID, err)
	}
	return nil
}

func (w replayWebhook) failed(ctx context.Context, args replayWebhookArgs) error {
	of := store.FailedDeliveries{OrganizationID: args.OrganizationID, EndpointID: args.EndpointID,
		Since: args.Since, Until: args.Until, Asked: args.Asked}
	for {
		last := ""
		err := w.deps.DB.Tx(ctx, func(tx pgx.Tx) (err error) {
			if _, err := store.ListenerOf(ctx, tx, args.OrganizationID, args.EndpointID); err != nil {
				return err
			}
			if last, err = store.RetryFailed(ctx, tx, of, replayedAtOnce); err != nil || last == "" {
				return err
			}
			return admitNext(ctx, tx, []store.Lane{args.lane()})
		})
		if err != nil || last == "" {
			return err
		}
		of.After = last
	}
}

func (args replayWebhookArgs) lane() store.Lane {
	return store.Lane{OrganizationID: args.OrganizationID, ID: args.EndpointID}
}

// missed looks through what is left of the outbox.
func (w replayWebhook) missed(ctx context.Context, args replayWebhookArgs) error {
	l, err := store.ListenerOf(ctx, w.deps.DB.Pool(), args.OrganizationID, args.EndpointID)
	if err != nil {
		return err
	}
	span := outbox.Span{OrganizationID: args.OrganizationID, Since: args.Since, Until: args.Until}
	for _, k := range events.Catalogue() {
		if !k.Inside && Listens(l.Events, k.Type) {
			span.Types = append(span.Types, k.Type)
		}
	}
	if len(span.Types) == 0 {
		return nil
	}
	return outbox.Read(ctx, w.deps.DB.Pool(), span, func(entries []outbox.Entry) error {
		return w.deps.DB.Tx(ctx, func(tx pgx.Tx) error { return w.tell(ctx, tx, args, entries) })
	})
}

// tell has an endpoint hear of events, as far as it wants to by now.
func (w replayWebhook) tell(ctx context.Context, tx pgx.Tx, args replayWebhookArgs, entries []outbox.Entry) error {
	l, err := store.ListenerOf(ctx, tx, args.OrganizationID, args.EndpointID)
	if err != nil {
		return err
	}
	n := &News{listeners: []store.Listener{l}}
	for _, e := range entries {
		n.list = append(n.list, Happening{Envelope: e.Event})
	}
	told, err := n.Tell(ctx, tx, store.TellOnce)
	if err != nil {
		return err
	}
	return beginJobs(ctx, tx, told.Inserts)
}

type inserterKey struct{}

// Inserting has work of webhooks begin other work by a client of its own. That which works tells of what it inserts every
// few milliseconds only, and what comes in between waits for somebody to look.
func Inserting(ctx context.Context, client *river.Client[pgx.Tx]) context.Context {
	return context.WithValue(ctx, inserterKey{}, client)
}

func inserterOf(ctx context.Context) (*river.Client[pgx.Tx], error) {
	if client, ok := ctx.Value(inserterKey{}).(*river.Client[pgx.Tx]); ok {
		return client, nil
	}
	return river.ClientFromContextSafely[pgx.Tx](ctx)
}

// beginJobs inserts jobs by the client of the job that runs, in the caller's transaction.
func beginJobs(ctx context.Context, tx pgx.Tx, inserts []river.InsertManyParams) error {
	if len(inserts) == 0 {
		return nil
	}
	client, err := inserterOf(ctx)
	if err == nil {
		_, err = client.InsertManyFastTx(ctx, tx, inserts)
	}
	if err != nil {
		return fmt.Errorf("begin %d deliveries: %w", len(inserts), err)
	}
	return nil
}
