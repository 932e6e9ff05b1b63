package minutes

import (
	"context"
	"time"
)

// leave puts what was counted since the last time on the board; once a minute, and whenever the board has
// forgotten this process, all of its hour.
func (r *Recorder) leave(ctx context.Context) {
	if r.board == nil {
		return
	}
	asking, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	err := r.leaveAll(asking)
	if ctx.Err() == nil {
		r.tell(err)
	}
}

func (r *Recorder) leaveAll(ctx context.Context) error {
	if err := r.meet(ctx); err != nil {
		return err
	}
	forgotten, err := r.leaveOnce(ctx, false)
	if err == nil && forgotten {
		_, err = r.leaveOnce(ctx, false)
	}
	if err != nil {
		return err
	}
	return r.tidy(ctx)
}

// meet learns what time it is on the board, before anything is left there. What was counted until then moves with
// the clock.
func (r *Recorder) meet(ctx context.Context) error {
	r.mu.Lock()
	known := r.known
	r.mu.Unlock()
	if known {
		return nil
	}
	asked := time.Since(r.began)
	now, err := r.board.clock(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.minuteAt(asked)
	r.adjust(asked, now)
	moved := make(map[int64]*minute, len(r.minutes))
	by := r.minuteAt(asked) - before
	for n, m := range r.minutes {
		moved[n+by] = m
	}
	r.minutes, r.current, r.known = moved, nil, true
	return nil
}

// adjust keeps to the board's clock: it was asked at a moment since the process began, and has answered just now.
// Wants the lock.
func (r *Recorder) adjust(asked time.Duration, now time.Time) {
	middle := asked + (time.Since(r.began)-asked)/2
	r.ahead = now.Sub(r.began.Add(middle).Round(0))
}

func (r *Recorder) leaveOnce(ctx context.Context, last bool) (forgotten bool, err error) {
	asked := time.Since(r.began)
	p, minutes, all := r.collect(asked, last)
	now, forgotten, err := r.board.leave(ctx, p, minutes)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		for n := range minutes {
			if m := r.minutes[n]; m != nil {
				m.dirty = true
			}
		}
		return false, err
	}
	r.adjust(asked, now)
	switch {
	case all:
		r.left, forgotten = r.began.Add(asked), false
	case forgotten:
		r.left = time.Time{}
	}
	return forgotten, nil
}

// collect gives what is to be left now. What is counted from now on is left the next time.
func (r *Recorder) collect(since time.Duration, last bool) (p Process, minutes map[int64]Counts, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	moment := r.began.Add(since)
	p = r.process
	p.StartedAt, p.At, p.Ended, p.Gauges = r.began.Add(r.ahead).UTC().Round(0), moment.Add(r.ahead).UTC().Round(0), last, r.latched
	all = r.left.IsZero() || moment.Sub(r.left) >= time.Minute
	minutes = make(map[int64]Counts)
	newest := r.minuteAt(since)
	for n, m := range r.minutes {
		if (all || m.dirty) && n > newest-window {
			minutes[n] = m.clone()
			m.dirty = false
		}
	}
	return p, minutes, all
}

// tidy takes processes off the list that nobody has heard of for longer than the window.
func (r *Recorder) tidy(ctx context.Context) error {
	r.mu.Lock()
	now := r.began.Add(time.Since(r.began) + r.ahead)
	due := now.Sub(r.tidied) >= time.Minute
	if due {
		r.tidied = now
	}
	r.mu.Unlock()
	if !due {
		return nil
	}
	return r.board.forget(ctx, now.Add(-(window+5)*time.Minute))
}

// end leaves the rest, and that there will be no more.
func (r *Recorder) end(ctx context.Context) {
	if r.board == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	err := r.meet(ctx)
	if err == nil {
		_, err = r.leaveOnce(ctx, true)
	}
	if err != nil {
		r.log.Warn("figures of the last seconds are lost, as redis is away", "error", err)
	}
}

// tell logs when the board goes away and when it is back.
func (r *Recorder) tell(err error) {
	r.mu.Lock()
	was := r.away != nil
	r.away = err
	r.mu.Unlock()
	switch {
	case err != nil && !was:
		r.log.Warn("redis is away, each process knows its own figures alone", "error", err)
	case err == nil && was:
		r.log.Info("redis is back, and has this process's figures of the last hour again")
	}
}
