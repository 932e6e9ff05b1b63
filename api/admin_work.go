package api

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

// A WorkKind is a kind of job as the table of jobs has it, whether clients may submit it or not.
type WorkKind struct {
	Name, Queue string
	Summary     string // "" for none
	Scope       string // of who may submit it, "" for nobody
	MaxAttempts int
	Timeout     time.Duration
	Cron        string // "": the clock doesn't start it
}

// work sums up what became of jobs.
type work struct {
	minutes.Queue
	known int // rows of which it is known what ended
}

// add takes in a row; one of which nobody knows what ended, changes nothing. What another version has written in
// another shape counts for nothing.
func (w *work) add(outcomes map[string]int64, waits, runs json.RawMessage) {
	if outcomes == nil {
		return
	}
	one := minutes.Queue{Outcomes: outcomes}
	if waits != nil && json.Unmarshal(waits, &one.Waits) != nil {
		one.Waits = minutes.Times{}
	}
	if runs != nil && json.Unmarshal(runs, &one.Times) != nil {
		one.Times = minutes.Times{}
	}
	w.Queue.Add(one)
	w.known++
}

// view is what is shown of it; nil where nothing is known. A row is about so many minutes.
func (w *work) view(each int) *operator.QueueWork {
	if w == nil || w.known == 0 {
		return nil
	}
	o := w.Outcomes
	v := &operator.QueueWork{Minutes: w.known * each, Succeeded: o["succeeded"], Failed: o["failed"], Retried: o["retried"], Waiting: o["waiting"],
		Cancelled: o["cancelled"], Returned: o["returned"], Lost: o["lost"]}
	wrong := v.Failed + v.Retried + v.Lost
	v.FailureRate, v.ErrorRate = ratio(v.Failed, v.Failed+v.Succeeded), ratio(wrong, wrong+v.Succeeded)
	v.WaitP50MS, v.WaitP95MS = percentileMS(w.Waits, 0.5), percentileMS(w.Waits, 0.95)
	v.RunP50MS, v.RunP95MS = percentileMS(w.Times, 0.5), percentileMS(w.Times, 0.95)
	return v
}

func percentileMS(t minutes.Times, share float64) *float64 {
	took, ok := t.Percentile(share)
	if !ok {
		return nil
	}
	ms := milliseconds(took)
	return &ms
}

// A stretch is a range of time, and how finely it is shown.
type stretch struct {
	name string
	span store.Span
	long time.Duration
	step time.Duration // long in 360 steps at most
}

// stretches are those that may be asked for. Minutes are kept for a week; beyond a day hours do.
var stretches = []stretch{
	{"1h", store.Minutes, time.Hour, time.Minute},
	{"6h", store.Minutes, 6 * time.Hour, time.Minute},
	{"24h", store.Minutes, 24 * time.Hour, 4 * time.Minute},
	{"7d", store.Hours, 7 * 24 * time.Hour, time.Hour},
	{"30d", store.Hours, 30 * 24 * time.Hour, 2 * time.Hour},
	{"90d", store.Hours, 90 * 24 * time.Hour, 6 * time.Hour},
}

func stretchOf(name string) stretch {
	return stretches[max(0, slices.IndexFunc(stretches, func(s stretch) bool { return s.name == name }))]
}

// steps are the beginnings of the steps up to a moment, the one that is not over included.
func (s stretch) steps(now time.Time) []time.Time {
	list := make([]time.Time, s.long/s.step)
	last := now.UTC().Truncate(s.step)
	for i := range list {
		list[i] = last.Add(-time.Duration(len(list)-1-i) * s.step)
	}
	return list
}

// minutesEach is how many minutes a row is about.
func (s stretch) minutesEach() int {
	if s.span == store.Hours {
		return 60
	}
	return 1
}

// queuePoints puts rows into the steps that they are of. A step without rows is empty.
func (s stretch) queuePoints(now time.Time, rows []store.QueueMinute) []operator.QueuePoint {
	steps := s.steps(now)
	points, ended := make([]operator.QueuePoint, len(steps)), make([]work, len(steps))
	for i, at := range steps {
		points[i].At = at
	}
	for _, r := range rows {
		i := int(r.At.Sub(steps[0]) / s.step)
		if r.At.Before(steps[0]) || i >= len(steps) {
			continue
		}
		p := &points[i]
		p.Available, p.OldestMS = larger(p.Available, r.Available), larger(p.OldestMS, r.OldestMS)
		if r.Samples > 0 {
			p.Running, p.Later, p.Places = r.Running, r.Later, r.Places
		}
		ended[i].add(r.Outcomes, r.Waits, r.Runs)
	}
	for i := range points {
		points[i].Work = ended[i].view(s.minutesEach())
	}
	return points
}

// kindPoints does the same with rows of a kind. That there is none of a step says that nothing of the kind ended where
// it is known what ended in its queue.
func (s stretch) kindPoints(now time.Time, rows []store.KindWork, queue []operator.QueuePoint) []operator.KindPoint {
	steps := s.steps(now)
	ended := make([]work, len(steps))
	for _, r := range rows {
		if i := int(r.At.Sub(steps[0]) / s.step); !r.At.Before(steps[0]) && i < len(steps) {
			ended[i].add(r.Outcomes, nil, r.Runs)
		}
	}
	points := make([]operator.KindPoint, len(steps))
	for i, at := range steps {
		points[i] = operator.KindPoint{At: at, Work: ended[i].view(s.minutesEach())}
		if points[i].Work == nil && i < len(queue) && queue[i].Work != nil {
			points[i].Work = &operator.QueueWork{Minutes: queue[i].Work.Minutes}
		}
	}
	return points
}

func larger(a, b *int64) *int64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

// queueNames are the queues that there are in the table of jobs.
func (s *Server) queueNames() []string {
	names := make(map[string]bool)
	for _, q := range s.Figures.Queues {
		names[q] = true
	}
	for _, k := range s.Work {
		names[k.Queue] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// workKind is a kind by its name; nil: the table has none.
func (s *Server) workKind(name string) *WorkKind {
	if i := slices.IndexFunc(s.Work, func(k WorkKind) bool { return k.Name == name }); i >= 0 {
		return &s.Work[i]
	}
	return nil
}
