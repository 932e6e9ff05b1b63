package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// A Replayer routes events again, which the API does not know how to do.
type Replayer interface {
	// Redrive routes dead events after all, nil: those that were not yet. failed says why others stay dead.
	Redrive(ctx context.Context, ids []int64) (done int, failed map[int64]error, err error)
	// Plan counts what routing events again would start.
	Plan(ctx context.Context, what ReplaySpan) (ReplayPlan, error)
	// Replay starts it, and says how many jobs that were.
	Replay(ctx context.Context, what ReplaySpan) (ReplayPlan, int, error)
}

// A ReplaySpan is the events that are to be routed again.
type ReplaySpan struct {
	Since, Until   time.Time // Until zero: now
	Types          []string  // none: all
	OrganizationID string    // "": of all
}

// A ReplayPlan says what routing events again comes to.
type ReplayPlan struct {
	Until  time.Time
	Events int
	Jobs   map[string]int
}

type deadInput struct {
	PageQuery
	All bool `query:"all" doc:"Also those that were redriven"`
}

type deadOutput struct{ Body operator.DeadEventList }

// listDead lists the events that could not be routed.
func (s *Server) listDead(ctx context.Context, in *deadInput) (*deadOutput, error) {
	filters := []string{"dead", strconv.FormatBool(in.All)}
	text, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	var rows []store.ListedDeadEvent
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.ListDeadEvents(ctx, tx, store.AllDead(in.All), numberOf(text), in.Limit+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]operator.DeadEvent, len(rows))
	for i, d := range rows {
		list[i] = operator.DeadEvent{ID: d.ID, Consumer: d.Consumer, Seq: d.StreamSeq, Subject: d.Subject, EventID: orNull(d.EventID), Reason: d.Reason,
			Size: d.Size, ReceivedAt: d.ReceivedAt.UTC(), RedrivenAt: utc(d.RedrivenAt)}
	}
	return &deadOutput{operator.DeadEventList(pageOf(list, in.Limit, func(d operator.DeadEvent) string { return numberAsID(d.ID) }, filters...))}, nil
}

// numberAsID writes a number as cursors have ids.
func numberAsID(n int64) string {
	var id uuid.UUID
	for i := range 8 {
		id[15-i] = byte(n >> (8 * i))
	}
	return id.String()
}

// numberOf reads what numberAsID wrote; 0 for nothing.
func numberOf(text string) (n int64) {
	id, err := uuid.Parse(text)
	if err != nil {
		return 0
	}
	for _, b := range id[8:] {
		n = n<<8 | int64(b)
	}
	return n
}

var errNoReplayer = refuse("not_found", "this process can't route events; use `payaid events`")

type redriveInput struct{ Body operator.Redrive }

type redriveOutput struct{ Body operator.Redriven }

// redriveDead routes dead events after all.
func (s *Server) redriveDead(ctx context.Context, in *redriveInput) (*redriveOutput, error) {
	if s.Replayer == nil {
		return nil, errNoReplayer
	}
	if in.Body.All == (len(in.Body.IDs) > 0) {
		return nil, invalid(Fault{"/ids", "name dead events by their ids, or set all"})
	}
	a := act{Action: "event.redrive", Target: "dead_event", ID: "all"}
	if len(in.Body.IDs) == 1 {
		a.ID = strconv.FormatInt(in.Body.IDs[0], 10)
	} else if !in.Body.All {
		a.ID, a.Before = strconv.Itoa(len(in.Body.IDs))+" of them", map[string]any{"ids": in.Body.IDs}
	}
	out := operator.Redriven{Failed: []operator.RedriveFailed{}}
	err := s.actByParts(ctx, a, func() (int, map[string]any, error) {
		done, failed, err := s.Replayer.Redrive(ctx, in.Body.IDs)
		for id, why := range failed {
			out.Failed = append(out.Failed, operator.RedriveFailed{ID: id, Reason: why.Error()})
		}
		out.Done = done
		return done, map[string]any{"done": done, "failed": len(failed)}, err
	})
	if out.Done > 0 {
		s.Hints.OutboxChanged()
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out.Failed, func(a, b operator.RedriveFailed) int { return cmp.Compare(a.ID, b.ID) })
	return &redriveOutput{out}, nil
}

type replayEventsInput struct{ Body operator.Replay }

type replayEventsOutput struct{ Body operator.Replayed }

// replayEvents starts again what events started, or says what that would be.
func (s *Server) replayEvents(ctx context.Context, in *replayEventsInput) (*replayEventsOutput, error) {
	if s.Replayer == nil {
		return nil, errNoReplayer
	}
	span, err := replaySpan(in.Body, time.Now())
	if err != nil {
		return nil, err
	}
	v := operator.Replayed{Since: span.Since.UTC()}
	show := func(p ReplayPlan) {
		v.Until, v.Events, v.Jobs = p.Until.UTC(), p.Events, p.Jobs
		for _, n := range p.Jobs {
			v.Total += n
		}
	}
	if in.Body.DryRun {
		plan, err := s.Replayer.Plan(ctx, span)
		show(plan)
		return &replayEventsOutput{v}, err
	}
	a := act{Action: "event.replay", Target: "events", ID: "since " + v.Since.Format(time.RFC3339), OrganizationID: span.OrganizationID,
		Before: map[string]any{"types": span.Types, "until": span.Until.UTC()}}
	err = s.actByParts(ctx, a, func() (int, map[string]any, error) {
		plan, started, err := s.Replayer.Replay(ctx, span)
		show(plan)
		v.Started = &started
		return started, map[string]any{"started": started, "events": v.Events, "jobs": v.Jobs}, err
	})
	if err != nil {
		return nil, err
	}
	return &replayEventsOutput{v}, nil
}

const (
	// keptEvents is how long the outbox keeps events.
	keptEvents = 8 * 24 * time.Hour
	// clockSlack is how far this machine's clock may be behind that of the database, which says until when a plan is.
	clockSlack = time.Minute
)

func replaySpan(r operator.Replay, now time.Time) (ReplaySpan, error) {
	var faults []Fault
	switch {
	case r.Since.After(now):
		faults = append(faults, Fault{"/since", "is in the future"})
	case r.Since.Before(now.Add(-keptEvents)):
		faults = append(faults, Fault{"/since", "is more than a week ago; the outbox keeps no more"})
	}
	until := timeOr(r.Until)
	switch {
	case r.Until == nil && !r.DryRun:
		faults = append(faults, Fault{"/until", "must be what a dry run answered, so that nothing is started that it did not count"})
	case until.After(now.Add(clockSlack)):
		faults = append(faults, Fault{"/until", "is in the future"})
	case r.Until != nil && until.Before(r.Since):
		faults = append(faults, Fault{"/until", "is before since"})
	}
	for i, name := range r.Types {
		if !isEventType(name) {
			faults = append(faults, Fault{fmt.Sprintf("/types/%d", i), "is no type of events; see /asyncapi.json"})
		}
	}
	organizationID, ok := canonicalID(r.OrganizationID)
	if r.OrganizationID != "" && !ok {
		faults = append(faults, Fault{"/organization_id", "must be the id of an organization"})
	}
	if len(faults) > 0 {
		return ReplaySpan{}, invalid(faults...)
	}
	return ReplaySpan{Since: r.Since, Until: until, Types: r.Types, OrganizationID: organizationID}, nil
}
