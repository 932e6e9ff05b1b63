package minutes

import (
	"context"
	"errors"
	"time"
)

// ErrAlone means that there is no Redis, so that nobody knows what other processes counted.
var ErrAlone = errors.New("no redis is configured, so minutes are known of this process alone")

// settling is how long after its end a minute may lack what processes have yet to leave.
const settling = 5 * leaveEvery

// A Minute is what one came to over all processes.
type Minute struct {
	Counts
	At time.Time // its beginning, by Redis' clock
	// Worked says that a process of the role worker is known to have counted in it. Where none is, that nothing was
	// counted says nothing: the minute may be from before a Redis that lost what it had.
	Worked bool
}

// Past gives the minutes that are over, up to so many and the last hour's, the oldest first. A minute that is over is
// not given before its processes have had the time to leave what they counted.
func (r *Recorder) Past(ctx context.Context, n int) ([]Minute, error) {
	if r == nil || r.board == nil {
		return nil, ErrAlone
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := r.meet(ctx); err != nil {
		return nil, err
	}
	n = min(n, window-1)
	r.mu.Lock()
	latest := r.minuteAt(time.Since(r.began)-settling) - 1
	r.mu.Unlock()
	postings, processes, err := r.board.read(ctx, latest, n)
	if err != nil {
		return nil, err
	}
	list := make([]Minute, n)
	for i := range list {
		number := latest - int64(n-1-i)
		list[i] = Minute{At: time.Unix(number*60, 0).UTC(), Counts: r.counted(number)}
		list[i].Worked = r.worked(list[i].At, processes)
	}
	for _, one := range postings {
		if one.process != r.process.ID {
			list[one.minute-(latest-int64(n-1))].add(one.counts)
		}
	}
	return list, nil
}

// counted is what this process counted in a minute, left or not.
func (r *Recorder) counted(number int64) Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.minutes[number]; m != nil {
		return m.clone()
	}
	return Counts{}
}

// worked says whether a worker lived in a minute and told of it.
func (r *Recorder) worked(begin time.Time, processes map[string]Process) bool {
	end := begin.Add(time.Minute)
	for _, p := range processes {
		if p.Role == "worker" && p.StartedAt.Before(end) && p.At.After(begin) {
			return true
		}
	}
	return false
}
