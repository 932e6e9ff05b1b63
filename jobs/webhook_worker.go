package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/internal/ratelimit"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/webhook"
)

// WebhookClient sends requests to receivers that are not ours.
type WebhookClient interface {
	// Send makes one attempt, bounded in time. What went wrong is in the answer.
	Send(context.Context, webhook.Request) webhook.Answer
}

// Webhooks is what webhook.deliver needs beside the database.
type Webhooks struct {
	Client WebhookClient // nil: this process delivers nothing
	// Limiter counts what goes to endpoints that wish for a limit, in windows of a minute; nil: as much as comes.
	Limiter *ratelimit.Limiter
	Slots   int // so many deliveries at a time in this process; 0: as many as the queue has workers by itself
	// Ended hears of deliveries that ended with an attempt, with their status; nil: nobody does.
	Ended func(status string)
}

// deliverWebhooks makes the row of webhook.deliver. It is started by deliveries whose turn has come, and by the fact that
// somebody asks for one now.
func deliverWebhooks(d Deps) Job {
	slots := d.Webhooks.Slots
	if slots == 0 {
		slots = Webhook.Workers
	}
	w := &webhookWorker{deps: d, gate: newGate(slots)}
	w.starts.send = w.readTogether
	w.ends.send = w.settleTogether
	return Job{
		Kind: deliverWebhookArgs{}.Kind(),
		Spec: deliverWebhookSpec,
		routes: func(e events.Envelope, f events.Fact) []river.InsertManyParams {
			return started(deliverWebhookSpec, []start[deliverWebhookArgs]{on(deliveryAskedFor)}, e, f)
		},
		register: func(workers *river.Workers) {
			river.AddWorker(workers, w)
		},
	}
}

// webhookWorker makes attempts at deliveries. It holds a worker only while a receiver has the request: what must wait,
// for whatever reason, is put off.
type webhookWorker struct {
	river.WorkerDefaults[deliverWebhookArgs]
	deps   Deps
	gate   *gate
	starts gather[*asking]
	ends   gather[*webhookEnd]
}

// Timeout implements river.Worker.
func (w *webhookWorker) Timeout(*river.Job[deliverWebhookArgs]) time.Duration {
	return deliverWebhookSpec.Timeout
}

// NextRetry implements river.Worker.
func (w *webhookWorker) NextRetry(j *river.Job[deliverWebhookArgs]) time.Time {
	return time.Now().Add(deliverWebhookSpec.Backoff.jittered(j.ID, j.Attempt))
}

// Work implements river.Worker.
func (w *webhookWorker) Work(ctx context.Context, j *river.Job[deliverWebhookArgs]) error {
	if w.deps.Webhooks.Client == nil {
		return river.JobSnooze(noServerPause)
	}
	t, err := w.read(ctx, j.Args)
	if err != nil {
		return w.putOff(j.Args, err)
	}
	t.snoozes = snoozesOf(j.Metadata)
	if err := w.take(ctx, t); err != nil {
		return w.putOff(j.Args, err)
	}
	return nil
}

// snoozesOf is how often a job of River's was put off.
func snoozesOf(metadata []byte) int {
	var m struct {
		Snoozes int `json:"snoozes"`
	}
	if json.Unmarshal(metadata, &m) != nil {
		return 0
	}
	return max(0, m.Snoozes)
}

// putOff has what went wrong on our side tried again; what was put off on purpose passes.
func (w *webhookWorker) putOff(args deliverWebhookArgs, err error) error {
	var snooze *rivertype.JobSnoozeError
	if errors.As(err, &snooze) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	w.deps.Log.Warn("delivery of a webhook is put off", "delivery_id", args.DeliveryID, "organization_id", args.OrganizationID, "error", err)
	return river.JobSnooze(jitter(2 * time.Second))
}

// take does what is next for a delivery.
func (w *webhookWorker) take(ctx context.Context, t deliveryTurn) error {
	next, over := t.next()
	switch next {
	case stepDone:
		return nil
	case stepGiveUp:
		return w.giveUp(ctx, t, over)
	case stepLater:
		return river.JobSnooze(t.NextAttemptAt.Sub(t.Now))
	case stepPaused:
		return w.deps.Relaxed.HandBackDelivery(ctx, t.key(), t.Run, t.Attempts)
	}
	p := w.gate.enter(t.OrganizationID, t.LaneID, t.standing(), t.places())
	if p == nil {
		return river.JobSnooze(w.gatePause(t))
	}
	if wait := w.limited(ctx, t); wait > 0 {
		p.back()
		return river.JobSnooze(wait)
	}
	if next == stepProbe {
		if claimed, err := w.deps.Relaxed.ClaimProbe(ctx, t.lane(), probeClaim); err != nil || !claimed {
			p.back()
			return cmp.Or(err, w.deps.Relaxed.HandBackDelivery(ctx, t.key(), t.Run, t.Attempts))
		}
	}
	return w.attempt(ctx, t, p, next == stepProbe)
}

// gatePause is after what a delivery that finds no slot looks again. Where its lane is not known to be quick it looks less
// and less often: with many that hang the looking would be most of the work.
func (w *webhookWorker) gatePause(t deliveryTurn) time.Duration {
	const pause = 100 * time.Millisecond
	if w.gate.knows(t.LaneID) {
		return jitter(pause)
	}
	return jitter(pause << min(t.snoozes, 4))
}

// jitter spreads a wait, so that not all come back at once.
func jitter(d time.Duration) time.Duration { return d + time.Duration(rand.Float64()*float64(d)) }

// limited says how long the endpoint's own limit holds a delivery up.
func (w *webhookWorker) limited(ctx context.Context, t deliveryTurn) time.Duration {
	l := w.deps.Webhooks.Limiter
	if l == nil || t.RateLimit == nil || t.EndpointID == nil {
		return 0
	}
	r := l.Take(ctx, "webhook:"+*t.EndpointID, *t.RateLimit)
	if r.Allowed {
		return 0
	}
	return r.RetryAfter + time.Duration(rand.Float64()*float64(250*time.Millisecond))
}

// attempt sends the request and writes down what came of it.
func (w *webhookWorker) attempt(ctx context.Context, t deliveryTurn, p *passage, probe bool) error {
	request, err := w.request(ctx, t)
	if err != nil {
		p.back()
		return err
	}
	answer := w.deps.Webhooks.Client.Send(ctx, request)
	p.leave(answer.Code == "")
	e := &webhookEnd{turn: t, answer: answer, judgement: judge(t, answer, rand.Float64()), probe: probe}
	if probe {
		e.judgement = e.judgement.ofProbe(t, answer)
	}
	if ctx.Err() != nil && answer.Code != "" {
		return w.cutOff(ctx, e)
	}
	if err := w.ends.do(ctx, e); err != nil {
		return err
	}
	w.tell(e)
	e.note(ctx)
	w.conclude(ctx, e)
	switch {
	case e.decided && e.judgement.status == store.DeliveryPending:
		return river.JobSnooze(e.judgement.next)
	case e.decided && w.deps.Webhooks.Ended != nil:
		w.deps.Webhooks.Ended(e.judgement.status)
	}
	return nil
}

// cutOff is the end of an attempt in whose middle this process stops: it goes on elsewhere, at once. It is an attempt
// only where the receiver may have seen it. Whoever cancels the work by River's own means ends the delivery.
func (w *webhookWorker) cutOff(ctx context.Context, e *webhookEnd) error {
	cancelled := errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely)
	if e.answer.Address == "" && !cancelled {
		return ctx.Err()
	}
	e.answer.Code = "cancelled"
	e.judgement = judgement{status: store.DeliveryPending}
	if cancelled {
		e.judgement.status = store.DeliveryFailed
	}
	if err := w.ends.do(ctx, e); err != nil {
		return err
	}
	return ctx.Err()
}

// request is what is sent of a delivery.
func (w *webhookWorker) request(ctx context.Context, t deliveryTurn) (webhook.Request, error) {
	r := webhook.Request{URL: t.URL, ID: t.EventID, EventType: t.EventType, Secrets: t.Secrets}
	if t.Body == nil {
		return r, fmt.Errorf("deliver %s: event %s is gone", t.ID, t.EventID)
	}
	r.Body = []byte(*t.Body)
	if t.EndpointID == nil {
		if err := w.callBack(ctx, t, &r); err != nil {
			return r, err
		}
	}
	if err := json.Unmarshal(t.Headers, &r.Headers); err != nil {
		return r, fmt.Errorf("deliver %s: read the headers: %w", t.ID, err)
	}
	return r, nil
}

// callBack makes a request that of a callback: it brings what came of the job, signed with the organization's secret.
func (w *webhookWorker) callBack(ctx context.Context, t deliveryTurn, r *webhook.Request) error {
	secret, err := store.CallbackSecretOf(ctx, w.deps.DB.Pool(), t.OrganizationID, webhook.NewSecret)
	if err != nil {
		return err
	}
	r.Secrets = secret.Valid()
	r.Body, err = callbackBody(ctx, w.deps.Relaxed.Pool(), t.OrganizationID, r.Body)
	return err
}

// asking is a delivery that a worker wants to read.
type asking struct {
	key   store.DeliveryKey
	found *store.DeliveryToMake // nil: it is not there
}

// read reads what a job of River's is for; what is not there any more has nothing left to do.
func (w *webhookWorker) read(ctx context.Context, args deliverWebhookArgs) (deliveryTurn, error) {
	a := &asking{key: store.DeliveryKey{OrganizationID: args.OrganizationID, DeliveryID: args.DeliveryID}}
	if err := w.starts.do(ctx, a); err != nil || a.found == nil {
		return deliveryTurn{}, err
	}
	// A test is always asked for: where its own job is late, the sweep has begun another.
	return deliveryTurn{DeliveryToMake: *a.found, run: args.Run, now: args.Now || a.found.Purpose == purposeTest}, nil
}

// readTogether reads what workers ask for at the same time in one round trip.
func (w *webhookWorker) readTogether(ctx context.Context, list []*asking) []error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	keys, errs := make([]store.DeliveryKey, len(list)), make([]error, len(list))
	for i, a := range list {
		keys[i] = a.key
	}
	found, err := w.deps.Relaxed.DeliveriesToMake(ctx, keys)
	for i, a := range list {
		if d, ok := found[a.key]; ok {
			a.found = &d
		}
		errs[i] = err
	}
	return errs
}
