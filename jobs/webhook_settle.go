package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/internal/telemetry/trace"
	"github.com/payaid/payaid/internal/webhook"
)

// A webhookEnd is an attempt that has come to an end.
type webhookEnd struct {
	turn      deliveryTurn
	answer    webhook.Answer
	judgement judgement
	probe     bool

	decided bool             // it decided about its delivery: no other was before it
	failing *store.LaneState // what the lane came to, where it failed
	broke   bool             // with it the receiver has failed too often to be let alone; of several at a time one says so
}

// settleTogether writes down attempts that ended at the same time, in one transaction. If one of them can't be, each is
// by itself.
func (w *webhookWorker) settleTogether(ctx context.Context, list []*webhookEnd) []error {
	errs := make([]error, len(list))
	err := w.settle(ctx, list)
	if err == nil {
		return errs
	}
	if len(list) == 1 {
		return []error{err}
	}
	for i := range list {
		errs[i] = w.settle(ctx, list[i:i+1])
	}
	return errs
}

// settle writes attempts down, what they make of their deliveries and lanes, and whose turn is next. Commits return
// early: an attempt that a crash of the database forgets is made again, under the same id.
func (w *webhookWorker) settle(ctx context.Context, list []*webhookEnd) error {
	attempts := make([]store.DeliveryAttempt, len(list))
	for i, e := range list {
		attempts[i] = e.record()
	}
	err := persist(ctx, func(ctx context.Context) error { return w.settleOnce(ctx, list, attempts) })
	if store.IsDataError(err) && len(list) == 1 {
		// What came back can't be stored; that it came can, or it would be asked for again and again.
		a := &attempts[0]
		a.Detail, a.Address, a.RequestHeaders, a.ResponseHeaders, a.ResponseBody = "", "", json.RawMessage("{}"), nil, nil
		err = persist(ctx, func(ctx context.Context) error { return w.settleOnce(ctx, list, attempts) })
	}
	return err
}

func (w *webhookWorker) settleOnce(ctx context.Context, list []*webhookEnd, attempts []store.DeliveryAttempt) error {
	return w.deps.Relaxed.Tx(ctx, func(tx pgx.Tx) error {
		decided, err := store.SettleDeliveries(ctx, tx, attempts)
		if err != nil {
			return err
		}
		for i, e := range list {
			e.decided = decided[i]
		}
		changes := laneChanges(list)
		failing, err := store.ChangeLanes(ctx, tx, changes, laneSilence)
		if err != nil {
			return err
		}
		noteBroken(list, changes, failing)
		var lanes, gone []store.Lane
		for _, e := range list {
			lanes = append(lanes, e.turn.lane())
			if e.decided && e.judgement.gone {
				gone = append(gone, e.turn.lane())
			}
			if s, ok := failing[e.turn.lane()]; ok && e.judgement.lesson == receiverFailed {
				e.failing = &s
			}
		}
		// Where nothing more is wanted conclude ends what waits; where it can't, the sweep sees to the lane.
		lanes = slices.DeleteFunc(lanes, func(l store.Lane) bool { return slices.Contains(gone, l) })
		return admitNext(ctx, tx, lanes)
	})
}

// noteBroken marks one of the attempts by which a lane's failures came to be too many.
func noteBroken(list []*webhookEnd, changes []store.LaneChange, failing map[store.Lane]store.LaneState) {
	broke := make(map[store.Lane]bool)
	for _, c := range changes {
		lane := store.Lane{OrganizationID: c.OrganizationID, ID: c.LaneID}
		s, failed := failing[lane]
		broke[lane] = failed && s.Failures >= store.BreakAfter && s.Failures-c.Failures < store.BreakAfter
	}
	for _, e := range list {
		lane := e.turn.lane()
		e.broke = broke[lane] && e.decided && e.judgement.lesson == receiverFailed
		if e.broke {
			broke[lane] = false
		}
	}
}

// tell logs that a receiver is left alone, and that it is well again: once for all that fails between.
func (w *webhookWorker) tell(e *webhookEnd) {
	t := e.turn
	about := []any{"lane_id", t.LaneID, "organization_id", t.OrganizationID, "delivery_id", t.ID}
	if t.EndpointID != nil {
		about = append(about, "endpoint_id", *t.EndpointID)
	}
	switch {
	case e.broke:
		w.deps.Log.Warn("webhook receiver fails and is left alone for a while", append(about, "failures", e.failing.Failures,
			"code", e.answer.Code, "status_code", e.answer.StatusCode)...)
	case e.decided && e.judgement.lesson == receiverWell && t.Failures >= store.BreakAfter:
		w.deps.Log.Info("webhook receiver is well again", append(about, "failures", t.Failures)...)
	}
}

// note keeps what came of an attempt that failed. One that went well is nothing to write down: there are thousands a
// second, and the delivery says it. Of failures of one sort in a row the first is kept; the delivery has them all.
func (e *webhookEnd) note(ctx context.Context) {
	a, j := e.answer, e.judgement
	if a.Code == "" {
		return
	}
	about := []any{"delivery_id", e.turn.ID, "attempt", e.turn.Attempts + 1, "code", a.Code, "status_code", a.StatusCode,
		"ms", a.Latency.Milliseconds(), "becomes", j.status}
	if j.status == store.DeliveryPending {
		about = append(about, "next_in_ms", j.next.Milliseconds())
		said := a.Code
		if a.StatusCode != 0 {
			said = fmt.Sprintf("%s: %d %s", a.Code, a.StatusCode, http.StatusText(a.StatusCode))
		}
		waits(ctx, "The delivery failed ("+said+") and is made again later.")
	}
	NotesOf(ctx).Warn("the webhook was not delivered", about...)
}

// admitNext gives the free places of lanes to what waits there, in the caller's transaction.
func admitNext(ctx context.Context, tx pgx.Tx, lanes []store.Lane) error {
	slices.SortFunc(lanes, compareLanes)
	turns, err := store.AdmitDeliveries(ctx, tx, slices.Compact(lanes), Webhook.Share)
	if err != nil {
		return err
	}
	return beginJobs(ctx, tx, insertTurns(turns))
}

func compareLanes(a, b store.Lane) int {
	return cmp.Or(cmp.Compare(a.OrganizationID, b.OrganizationID), cmp.Compare(a.ID, b.ID))
}

// laneChanges is what attempts have shown of their lanes, in the order in which lanes are locked. Those that came too
// late have shown nothing.
func laneChanges(list []*webhookEnd) []store.LaneChange {
	changes := make(map[store.Lane]*store.LaneChange)
	for _, e := range list {
		if !e.decided || e.judgement.lesson == nothingLearned {
			continue
		}
		lane := e.turn.lane()
		c := changes[lane]
		if c == nil {
			c = &store.LaneChange{OrganizationID: lane.OrganizationID, LaneID: lane.ID}
			changes[lane] = c
		}
		if e.judgement.lesson == receiverWell {
			c.Successes++
			c.Asked = c.Asked || e.turn.now
			continue
		}
		c.Failures++
		c.Probe = c.Probe || e.probe
		c.Pause = max(c.Pause, e.judgement.pause)
	}
	out := make([]store.LaneChange, 0, len(changes))
	for _, c := range changes {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b store.LaneChange) int {
		return compareLanes(store.Lane{OrganizationID: a.OrganizationID, ID: a.LaneID}, store.Lane{OrganizationID: b.OrganizationID, ID: b.LaneID})
	})
	return out
}

// record is what is kept of an attempt.
func (e *webhookEnd) record() store.DeliveryAttempt {
	a, t := e.answer, e.turn
	return store.DeliveryAttempt{
		DeliveryKey: t.key(), Run: t.Run, Attempt: t.Attempts + 1, StartedAt: a.StartedAt, Latency: a.Latency, Address: a.Address,
		StatusCode: a.StatusCode, Code: a.Code, Detail: storable(a.Detail), RequestHeaders: headersJSON(a.Request),
		ResponseHeaders: headersJSON(a.Response), ResponseBody: a.Body[:min(len(a.Body), maxKeptBody)],
		Status: e.judgement.status, Next: e.judgement.next,
	}
}

// maxKeptBody is how many bytes of an answer are kept.
const maxKeptBody = 4096

// storable is a text as Postgres takes it.
func storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

func headersJSON(h map[string][]string) json.RawMessage {
	if h == nil {
		return nil
	}
	data, err := json.Marshal(h)
	if err != nil {
		return json.RawMessage("{}") // strings can be encoded
	}
	return data
}

// giveUp ends a delivery without an attempt, and with it what waits in its lane and is over too.
func (w *webhookWorker) giveUp(ctx context.Context, t deliveryTurn, over store.GivenUp) error {
	ended := false
	err := w.deps.Relaxed.Tx(ctx, func(tx pgx.Tx) (err error) {
		if ended, err = store.GiveUpDelivery(ctx, tx, over); err != nil || !ended {
			return err
		}
		return admitNext(ctx, tx, []store.Lane{t.lane()})
	})
	if err == nil && !ended {
		return river.JobSnooze(time.Second) // it is another's, or goes on after all
	}
	return err
}

// An endpoint is disabled that fails so often in a row, or for so long.
const (
	failuresToDisable = 100
	failingToDisable  = 3 * 24 * time.Hour
	// firstTryWithin is how long after a run begins its first attempt is made, where many wait or workers are away.
	firstTryWithin = 6 * time.Hour
)

// failingForGood is how long a receiver must have failed for its endpoint to be disabled. A delivery that is given up has been
// tried for as long as any is, which is somewhat less than three days, and where few events happen no later attempt can tell:
// so a receiver that failed all that while has failed for long enough.
func (e *webhookEnd) failingForGood() time.Duration {
	s := e.failing
	all := e.judgement.status == store.DeliveryFailed && s.Since.Before(e.turn.BegunAt.Add(firstTryWithin))
	if all && s.Age >= failingToDisable/2 { // attempts that were cut off end a run early
		return min(s.Age, failingToDisable)
	}
	return failingToDisable
}

// conclude disables an endpoint that wants no more, or fails for too long. Where that can't be written down, the next
// attempt comes to the same.
func (w *webhookWorker) conclude(ctx context.Context, e *webhookEnd) {
	if !e.decided || e.turn.EndpointID == nil {
		return
	}
	d := store.Disabling{OrganizationID: e.turn.OrganizationID, EndpointID: *e.turn.EndpointID, URL: e.turn.URL,
		Failures: failuresToDisable, Failing: failingToDisable, Answered: e.answer.StatusCode != 0}
	if e.failing != nil {
		d.Failing = e.failingForGood()
	}
	switch s := e.failing; {
	case e.judgement.gone:
		d.Code, d.Reason = "gone", "It answered 410 Gone: it wants to hear no more."
	case s == nil:
		return
	case s.Failures >= failuresToDisable:
		d.Code, d.Reason = "failing", fmt.Sprintf("It failed %d times in a row, the last time with: %s", s.Failures, e.lastError())
	case s.Age >= d.Failing:
		d.Code, d.Reason = "failing", fmt.Sprintf("It has failed since %s, the last time with: %s",
			s.Since.UTC().Format("2 January 2006, 15:04 UTC"), e.lastError())
	default:
		return
	}
	if err := w.disable(ctx, d); err != nil {
		w.deps.Log.Warn("webhook endpoint is not disabled yet", "endpoint_id", d.EndpointID, "organization_id", d.OrganizationID, "error", err)
	}
}

// lastError is the error of the last attempt, in a few words.
func (e *webhookEnd) lastError() string {
	text := []rune(cmp.Or(storable(e.answer.Detail), e.answer.Code))
	return strings.TrimRight(string(text[:min(len(text), 300)]), ".") + "."
}

// disable disables an endpoint and states the fact, once: of many that fail at the same moment one does it.
func (w *webhookWorker) disable(ctx context.Context, d store.Disabling) error {
	err := persist(ctx, func(ctx context.Context) error {
		return w.deps.DB.Tx(ctx, func(tx pgx.Tx) error {
			out, err := store.DisableEndpoint(ctx, tx, d, detailDisabled)
			if err != nil {
				return err
			}
			return outbox.Append(ctx, tx, outbox.Origin{OrganizationID: d.OrganizationID, TraceParent: trace.TraceParent(ctx, "")},
				events.WebhookDisabled{EndpointID: d.EndpointID, Code: d.Code, Failures: out.Failures, FailingSince: out.FailingSince, Version: out.Version})
		})
	})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	if err == nil {
		w.deps.Log.Info("webhook endpoint is disabled", "endpoint_id", d.EndpointID, "organization_id", d.OrganizationID, "code", d.Code)
		w.deps.Hints.OutboxChanged()
	}
	return err
}
