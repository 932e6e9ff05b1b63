package minutes

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// A Scope says whose figures they are.
type Scope string

// The scopes.
const (
	Everybody Scope = "all"     // of all processes
	Alone     Scope = "process" // of this one alone, as Redis can't be asked or there is none
)

// An Hour is how the last one was.
type Hour struct {
	Counts
	Scope Scope
	// From and Until are its ends, by Redis' clock where it can be asked: the minute that is not over, and the sixty
	// before it.
	From, Until time.Time
	// Processes are those that count and were heard of lately, by their ids.
	Processes []Process
	// Silent were heard of within the hour, and not lately, and did not say that they end. What they counted after
	// they were last heard of is not known.
	Silent []Process
	// Why says why the figures are of this process alone, or may lack those of others: a Redis that is full can be
	// read, and takes nothing. nil: they are of all.
	Why error
}

// Hour says how the last hour was. It asks Redis once; what this process has not left there yet counts too.
func (r *Recorder) Hour(ctx context.Context) Hour {
	if r.board == nil {
		return r.alone(nil)
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := r.meet(ctx); err != nil {
		return r.alone(err)
	}
	since := time.Since(r.began)
	r.mu.Lock()
	latest := r.minuteAt(since)
	r.mu.Unlock()
	postings, processes, err := r.board.read(ctx, latest, window)
	if err != nil {
		return r.alone(err)
	}
	h := r.own(since)
	for _, one := range postings {
		if one.process != r.process.ID {
			h.add(one.counts)
		}
	}
	r.mu.Lock()
	h.Scope, h.Why = Everybody, r.away
	r.mu.Unlock()
	for id, p := range processes {
		switch {
		case id == r.process.ID || p.Ended:
		case h.Until.Sub(p.At) <= silence:
			h.Processes = append(h.Processes, p)
		case !p.At.Before(h.From):
			h.Silent = append(h.Silent, p)
		}
	}
	byID := func(p, q Process) int { return cmp.Compare(p.ID, q.ID) }
	slices.SortFunc(h.Processes, byID)
	slices.SortFunc(h.Silent, byID)
	return h
}

func (r *Recorder) alone(why error) Hour {
	h := r.own(time.Since(r.began))
	h.Scope, h.Why = Alone, why
	return h
}

// own is the hour of this process.
func (r *Recorder) own(since time.Duration) Hour {
	r.mu.Lock()
	defer r.mu.Unlock()
	latest := r.minuteAt(since)
	now := r.began.Add(since + r.ahead).UTC().Round(0)
	h := Hour{From: time.Unix((latest-window+1)*60, 0).UTC(), Until: now}
	for n, m := range r.minutes {
		if n > latest-window && n <= latest {
			h.add(m.Counts)
		}
	}
	me := r.process
	me.StartedAt, me.At, me.Gauges = r.began.Add(r.ahead).UTC().Round(0), now, r.latched
	h.Processes = []Process{me}
	return h
}
