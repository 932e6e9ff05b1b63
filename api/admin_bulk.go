package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// matchTime is for finding all jobs that a filter lets through, which is more than a page of them.
const matchTime = 10 * time.Second

type previewBulkInput struct{ Body operator.BulkQuestion }

type previewBulkOutput struct{ Body operator.BulkPreview }

// previewBulk says what something would do to all jobs that match, and does nothing.
func (s *Server) previewBulk(ctx context.Context, in *previewBulkInput) (*previewBulkOutput, error) {
	f, err := bulkFilter(in.Body.Filter, in.Body.Action)
	if err != nil {
		return nil, err
	}
	m, err := s.DB.MatchJobs(ctx, f, matchTime)
	if err != nil {
		return nil, err
	}
	p := operator.BulkPreview{Action: in.Body.Action, Filter: in.Body.Filter, Count: len(m.Items), Capped: m.Capped, ByStatus: m.ByStatus,
		ByKind: m.ByKind, Organizations: len(m.ByOrganization), Skipped: map[string]int{}, Sample: make([]operator.BulkJob, len(m.Sample)), AsOf: m.AsOf.UTC()}
	for _, i := range m.Items {
		if reason := store.BulkUnfit(in.Body.Action, i.Status, i.Status); reason != "" {
			p.Skipped[reason]++
		} else {
			p.Acts++
		}
	}
	for i, j := range m.Sample {
		p.Sample[i] = operator.BulkJob{ID: j.ID, Internal: j.Internal, Kind: j.Kind, Status: j.Status, OrganizationName: j.OrganizationName,
			CreatedAt: j.CreatedAt.UTC(), ErrorCode: j.ErrorCode, Reason: store.BulkUnfit(in.Body.Action, j.Status, j.Status)}
	}
	if p.Token, err = (sight{outbox.NewID(), p.AsOf}).token(p.Action, p.Filter, p.Count); err != nil {
		return nil, err
	}
	return &previewBulkOutput{p}, nil
}

// A sight is what an order has of its preview: the id that the bulk action gets, and when the jobs were counted, zero
// where nobody did.
type sight struct {
	id   string
	asOf time.Time
}

// token ties an order to a preview. It keeps nobody from anything, except from mixing two up, and from confirming one
// twice: it begins with the id.
func (s sight) token(action string, f operator.BulkFilter, count int) (string, error) {
	data, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("encode the filter of a bulk action: %w", err)
	}
	open := s.id + "." + strconv.FormatInt(s.asOf.UnixMicro(), 36)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d", open, action, data, count))
	return open + "." + hex.EncodeToString(sum[:12]), nil
}

// sightOf reads it from the token. An order without one is of nothing that was seen before.
func sightOf(o operator.BulkOrder) (sight, error) {
	if o.Token == "" {
		return sight{id: outbox.NewID()}, nil
	}
	text, rest, _ := strings.Cut(o.Token, ".")
	at, _, _ := strings.Cut(rest, ".")
	id, ok := canonicalID(text)
	if micros, err := strconv.ParseInt(at, 36, 64); ok && err == nil {
		seen := sight{id, time.UnixMicro(micros)}
		token, err := seen.token(o.Action, o.Filter, o.Expected)
		if err != nil {
			return sight{}, err
		}
		if o.Token == token {
			return seen, nil
		}
	}
	return sight{}, invalid(Fault{"/token", "is of a preview with another action, filter or count; ask for one of this order"})
}

// confirmedBefore refuses the second of two clicks.
func confirmedBefore(id string) error {
	return refuse("bulk_confirmed", "this preview was confirmed before, as bulk action "+id+"; nothing was begun a second time")
}

// unconfirmed reports, as an error, that a preview was confirmed before.
func (s *Server) unconfirmed(ctx context.Context, id string) error {
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		_, err := store.ReadBulkAction(ctx, tx, id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return confirmedBefore(id)
}

type createBulkInput struct{ Body operator.BulkOrder }

type bulkOutput struct {
	Location string `header:"Location"`
	Body     operator.BulkAction
}

// createBulk has something done with all jobs that match now, a deletion only with those of its preview. A worker does it.
func (s *Server) createBulk(ctx context.Context, in *createBulkInput) (*bulkOutput, error) {
	o := in.Body
	a := act{Action: "bulk." + o.Action, Target: "bulk"}
	// Not within the transaction: while that has a connection there may be no second one to be had.
	id, m, err := s.matchAsExpected(ctx, o)
	if err != nil {
		s.noteVain(ctx, a, err)
		return nil, err
	}
	var b store.BulkAction
	err = s.act(ctx, a, func(tx pgx.Tx, note *act) (err error) {
		if b, err = s.insertBulk(ctx, tx, id, o, m); store.IsUniqueViolation(err, "bulk_actions_pkey") {
			return confirmedBefore(id) // at the same moment
		}
		if err != nil {
			return err
		}
		note.ID, note.After = b.ID, map[string]any{"filter": o.Filter, "count": b.Total, "capped": b.Capped}
		return outbox.Append(ctx, tx, exchangeOf(ctx).operatorOrigin(), events.BulkRequested{BulkID: b.ID, Action: b.Action, Total: b.Total})
	})
	if err != nil {
		return nil, err
	}
	s.Hints.OutboxChanged()
	return &bulkOutput{Location: "/api/admin/bulk/" + b.ID, Body: bulkActionOf(b)}, nil
}

// operatorOrigin is of facts that belong to the installation, whoever's key it is.
func (x *exchange) operatorOrigin() outbox.Origin {
	o := x.origin()
	o.OrganizationID = store.OperatorOrganization
	return o
}

// matchAsExpected finds the jobs of an order, if they are about as many as its preview found, and nobody has confirmed
// that. What is deleted nobody can bring back: what ended after the preview is left out, and more than that found is
// refused. The id is the bulk action's.
func (s *Server) matchAsExpected(ctx context.Context, o operator.BulkOrder) (id string, m store.BulkMatches, err error) {
	f, err := bulkFilter(o.Filter, o.Action)
	if err != nil {
		return "", m, err
	}
	seen, err := sightOf(o)
	if err != nil {
		return "", m, err
	}
	if err = s.unconfirmed(ctx, seen.id); err != nil {
		return "", m, err
	}
	if m, err = s.DB.MatchJobs(ctx, f, matchTime); err != nil {
		return "", m, err
	}
	if o.Action == store.BulkDelete && !seen.asOf.IsZero() {
		m.LeaveOutEndedAfter(seen.asOf)
	}
	const slack, share = 10, 20
	off := len(m.Items) - o.Expected
	if max(off, -off) > max(slack, o.Expected/share) || off > 0 && o.Action == store.BulkDelete {
		return "", m, refuse("bulk_changed", fmt.Sprintf("the preview found %d jobs, and now %d match; look at a new preview", o.Expected, len(m.Items)))
	}
	return seen.id, m, nil
}

func (s *Server) insertBulk(ctx context.Context, tx pgx.Tx, id string, o operator.BulkOrder, m store.BulkMatches) (store.BulkAction, error) {
	filter, err := json.Marshal(o.Filter)
	if err != nil {
		return store.BulkAction{}, fmt.Errorf("encode the filter of a bulk action: %w", err)
	}
	x := exchangeOf(ctx)
	asker := store.BulkAsker{KeyID: x.caller.KeyID, KeyOf: x.caller.OrganizationID, Role: roleOf(x.caller.scopes),
		SessionID: orNull(x.caller.session), RequestID: &x.id}
	if x.from.IsValid() {
		asker.Address = orNull(x.from.String())
	}
	return store.InsertBulkAction(ctx, tx, store.BulkAction{ID: id, Action: o.Action, Filter: filter, Capped: m.Capped, AskedBy: asker}, m.Items)
}

// bulkFilter is the filter as the list of jobs has it. One that narrows nothing is refused: nobody means that.
func bulkFilter(f operator.BulkFilter, action string) (store.AdminJobFilter, error) {
	out := AdminJobFilter{Status: f.Status, Kind: f.Kinds, Queue: f.Queue, Priority: f.Priority, Error: f.Error, Text: f.Text,
		RequestID: f.RequestID, Fingerprint: f.Fingerprint, Sort: f.Sort, Routine: f.Routine, CreatedAfter: timeOr(f.CreatedAfter),
		CreatedBefore: timeOr(f.CreatedBefore), FinishedAfter: timeOr(f.FinishedAfter), FinishedBefore: timeOr(f.FinishedBefore)}.rows()
	var err error
	if out.OrganizationID, err = filterID(f.OrganizationID, "/filter/organization_id"); err != nil {
		return out, err
	}
	if out.EventID, err = filterID(f.EventID, "/filter/event_id"); err != nil {
		return out, err
	}
	if f.Status == "" && f.Fingerprint == "" {
		return out, invalid(Fault{"/filter/status", "must be given, so that a " + action + " of everything is no slip; or a fingerprint"})
	}
	return out, nil
}

// filterID reads an id of a body that may be left out.
func filterID(text, pointer string) (string, error) {
	if text == "" {
		return "", nil
	}
	id, ok := canonicalID(text)
	if !ok {
		return "", invalid(Fault{pointer, "must be a UUID"})
	}
	return id, nil
}

// timeOr is a time that may have been left out, as filters have it.
func timeOr(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func bulkActionOf(b store.BulkAction) operator.BulkAction {
	out := operator.BulkAction{ID: b.ID, Action: b.Action, Status: b.Status, Total: b.Total, Capped: b.Capped, Done: b.Done, Skipped: b.Skipped,
		Failed: b.Failed, Left: b.Total - b.Position, Reasons: b.Reasons, AskedBy: b.AskedBy.KeyName, StopRequestedAt: utc(b.StopRequestedAt),
		CreatedAt: b.CreatedAt.UTC(), StartedAt: utc(b.StartedAt), FinishedAt: utc(b.FinishedAt)}
	_ = json.Unmarshal(b.Filter, &out.Filter) // as it was written
	return out
}

type bulkListInput struct{ PageQuery }

type bulkListOutput struct{ Body operator.BulkList }

// listBulk shows what was asked to be done with many jobs.
func (s *Server) listBulk(ctx context.Context, in *bulkListInput) (*bulkListOutput, error) {
	before, err := parseCursor(in.Cursor, "bulk")
	if err != nil {
		return nil, err
	}
	var rows []store.BulkAction
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.BulkActions(ctx, tx, before, in.Limit+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]operator.BulkAction, len(rows))
	for i, b := range rows {
		list[i] = bulkActionOf(b)
	}
	return &bulkListOutput{operator.BulkList(pageOf(list, in.Limit, func(b operator.BulkAction) string { return b.ID }, "bulk"))}, nil
}

type bulkInput struct {
	ID string `path:"id"`
}

type bulkReportOutput struct{ Body operator.BulkReport }

const bulkFailuresShown, bulkSkipsShown = 50, 5

// getBulk shows how far a bulk action has come, and what went otherwise than it was wished.
func (s *Server) getBulk(ctx context.Context, in *bulkInput) (*bulkReportOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	var b store.BulkAction
	var failures, skips []store.BulkItem
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		if b, err = store.ReadBulkAction(ctx, tx, id); err != nil {
			return err
		}
		if failures, err = store.BulkFailures(ctx, tx, id, bulkFailuresShown); err != nil || b.Skipped == 0 {
			return err
		}
		skips, err = store.BulkSkipped(ctx, tx, id, bulkSkipsShown)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &bulkReportOutput{operator.BulkReport{BulkAction: bulkActionOf(b), Failures: bulkOutcomes(failures), Skips: bulkOutcomes(skips)}}, nil
}

func bulkOutcomes(items []store.BulkItem) []operator.BulkOutcome {
	list := make([]operator.BulkOutcome, len(items))
	for i, item := range items {
		list[i] = operator.BulkOutcome{JobID: jobOrRiver(item.JobID, item.RiverJobID), Internal: item.JobID == nil,
			OrganizationID: item.OrganizationID, Was: item.Status, Reason: orEmpty(item.Reason), Detail: item.Detail}
	}
	return list
}

// stopBulk ends a bulk action behind the jobs that are in hands.
func (s *Server) stopBulk(ctx context.Context, in *bulkInput) (*bulkOutput, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	var b store.BulkAction
	err = s.act(ctx, act{Action: "bulk.stop", Target: "bulk", ID: id}, func(tx pgx.Tx, note *act) (err error) {
		before, err := store.ReadBulkAction(ctx, tx, id)
		if err != nil {
			return err
		}
		note.Before = map[string]any{"status": before.Status, "done": before.Done, "total": before.Total}
		if before.Over() {
			return refuse("already_finished", "the bulk action is over, so there is nothing to stop")
		}
		if b, err = store.StopBulkAction(ctx, tx, id); err != nil {
			return err
		}
		note.After = map[string]any{"status": b.Status, "stop_requested_at": b.StopRequestedAt}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &bulkOutput{Location: "/api/admin/bulk/" + id, Body: bulkActionOf(b)}, nil
}
