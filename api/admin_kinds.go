package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// kindFacts are what is known of all kinds at a moment.
type kindFacts struct {
	workers  []store.WorkerProcess
	counts   []store.JobCount
	failures map[string]time.Time
	unended  map[string]int64 // of those that no living worker knows
	hour     map[string]*work
	day      map[string]*work
	queues   map[string][2]int // of minutes of the last hour, and hours of the last day, of which it is known what ended
	names    []string
}

type kindListOutput struct{ Body operator.KindList }

// listKinds shows how all kinds do.
func (s *Server) listKinds(ctx context.Context, _ *noInput) (*kindListOutput, error) {
	now := time.Now().UTC()
	out := operator.KindList{Data: []operator.Kind{}, GeneratedAt: now}
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		f, err := s.kindFacts(ctx, tx, now)
		if err != nil {
			return err
		}
		for _, name := range f.names {
			out.Data = append(out.Data, s.kindView(f, name))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kindListOutput{out}, nil
}

func (s *Server) kindFacts(ctx context.Context, tx pgx.Tx, now time.Time) (f kindFacts, err error) {
	if f.workers, err = store.LivingWorkers(ctx, tx); err != nil {
		return f, err
	}
	if f.counts, err = store.JobCounts(ctx, tx); err != nil {
		return f, err
	}
	if f.failures, err = store.LastFailures(ctx, tx); err != nil {
		return f, err
	}
	there, err := store.RiverKinds(ctx, tx)
	if err != nil {
		return f, err
	}
	names := make(map[string]bool)
	for _, k := range s.Work {
		names[k.Name] = true
	}
	for _, c := range f.counts {
		names[c.Kind] = true
	}
	var strange []string
	for _, kind := range there {
		names[kind] = true
		if !s.known(f.workers, kind) {
			strange = append(strange, kind)
		}
	}
	for _, w := range f.workers {
		for _, kind := range w.Kinds {
			names[kind] = true
		}
	}
	f.names = slices.Sorted(maps.Keys(names))
	if f.unended, err = store.Unended(ctx, tx, strange); err != nil {
		return f, err
	}
	return f, f.sumUp(ctx, tx, now)
}

// sumUp reads what became of jobs in the last hour and the last day.
func (f *kindFacts) sumUp(ctx context.Context, tx pgx.Tx, now time.Time) error {
	f.hour, f.day, f.queues = make(map[string]*work), make(map[string]*work), make(map[string][2]int)
	for i, part := range []struct {
		span store.Span
		from time.Time
		into map[string]*work
	}{{store.Minutes, now.Add(-61 * time.Minute), f.hour}, {store.Hours, now.Truncate(time.Hour).Add(-23 * time.Hour), f.day}} {
		kinds, err := store.KindMinutes(ctx, tx, part.span, "", part.from, now)
		if err != nil {
			return err
		}
		for _, k := range kinds {
			if part.into[k.Kind] == nil {
				part.into[k.Kind] = &work{}
			}
			part.into[k.Kind].add(k.Outcomes, nil, k.Runs)
		}
		queues, err := store.QueueMinutes(ctx, tx, part.span, "", part.from, now)
		if err != nil {
			return err
		}
		for _, q := range queues {
			if q.Outcomes != nil {
				known := f.queues[q.Queue]
				known[i]++
				f.queues[q.Queue] = known
			}
		}
	}
	return nil
}

// known says whether a living worker knows a kind. One of a version that doesn't say is taken to know what this process
// does.
func (s *Server) known(workers []store.WorkerProcess, kind string) bool {
	return slices.ContainsFunc(workers, func(w store.WorkerProcess) bool {
		return slices.Contains(w.Kinds, kind) || w.Kinds == nil && s.workKind(kind) != nil
	})
}

func (s *Server) kindView(f kindFacts, name string) operator.Kind {
	v := operator.Kind{Name: name}
	if k := s.workKind(name); k != nil {
		timeout := k.Timeout.Milliseconds()
		v.Queue, v.MaxAttempts, v.TimeoutMS = &k.Queue, &k.MaxAttempts, &timeout
		v.Summary, v.Scope, v.Cron = orNull(k.Summary), orNull(k.Scope), orNull(k.Cron)
		v.CronWords = cronWords(k.Cron)
		known := f.queues[k.Queue]
		v.LastHour, v.LastDay = f.hour[name].of(known[0]), f.day[name].of(60*known[1])
	} else {
		v.LastHour, v.LastDay = f.hour[name].view(1), f.day[name].view(60)
	}
	for _, w := range f.workers {
		if v.Queue != nil && w.Places()[*v.Queue] > 0 && s.known([]store.WorkerProcess{w}, name) {
			v.Workers++
		}
	}
	v.Waiting = f.unended[name]
	v.Orphan = v.Waiting > 0
	if at, failed := f.failures[name]; failed {
		at = at.UTC()
		v.LastFailure = &at
	}
	for _, c := range f.counts {
		if c.Kind == name {
			sum := c.N
			if v.Kept != nil {
				sum += *v.Kept
			}
			at := c.SampledAt.UTC()
			v.Kept, v.KeptAt = &sum, &at
		}
	}
	return v
}

// of is what is shown of a kind where it is known of so many minutes what ended in its queue: that nothing of the kind
// did is as well known then.
func (w *work) of(minutes int) *operator.QueueWork {
	if minutes == 0 {
		return w.view(1)
	}
	v := w.view(1)
	if v == nil {
		v = &operator.QueueWork{}
	}
	v.Minutes = minutes
	return v
}

type kindInput struct {
	Name  string `path:"name" maxLength:"127"`
	Range string `query:"range" enum:"1h,6h,24h,7d,30d,90d" default:"24h"`
}

type kindOutput struct{ Body operator.KindDetail }

// getKind shows one kind over a range.
func (s *Server) getKind(ctx context.Context, in *kindInput) (*kindOutput, error) {
	now, over := time.Now().UTC(), stretchOf(in.Range)
	v := operator.KindDetail{Range: over.name, StepSeconds: int64(over.step / time.Second), Ended: []operator.KindCount{}, GeneratedAt: now}
	err := s.lookAtAll(ctx, func(tx pgx.Tx) error {
		f, err := s.kindFacts(ctx, tx, now)
		if err != nil {
			return err
		}
		if !slices.Contains(f.names, in.Name) {
			return refuse("not_found", "there is no kind of that name, and no job of it")
		}
		v.Kind = s.kindView(f, in.Name)
		for _, c := range f.counts {
			if c.Kind == in.Name {
				v.Ended = append(v.Ended, operator.KindCount{Status: c.Status, N: c.N, Exact: c.Exact, CountedAt: c.SampledAt.UTC()})
			}
		}
		from := over.steps(now)[0]
		rows, err := store.KindMinutes(ctx, tx, over.span, in.Name, from, now)
		if err != nil {
			return err
		}
		var queue []operator.QueuePoint
		if v.Queue != nil {
			all, err := store.QueueMinutes(ctx, tx, over.span, *v.Queue, from, now)
			if err != nil {
				return err
			}
			queue = over.queuePoints(now, all)
		}
		v.Points = over.kindPoints(now, rows, queue)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &kindOutput{v}, nil
}
