package inference

import (
	"sync"
	"time"
)

const (
	// paceWeight is what the newest call counts for; the older half is forgotten after three more.
	paceWeight = 0.2
	// paceLeast is how many calls make a figure: one answer tells little about the next.
	paceLeast = 3
	// paceFor is how long a figure is worth something: the host may have changed since.
	paceFor = 10 * time.Minute
)

// everyModel is the name under which the calls of all models count: who is ahead in the queue may ask for
// any.
const everyModel = ""

// pace knows how long calls take Ollama, loading aside.
type pace struct {
	mu    sync.Mutex
	spans map[string]span
}

// span is a moving average.
type span struct {
	average time.Duration
	calls   int
	at      time.Time // of the last
}

// took counts a call that ended.
func (p *pace) took(model string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spans == nil || len(p.spans) > maxTended {
		p.spans = map[string]span{}
	}
	for _, name := range []string{model, everyModel} {
		s := p.spans[name]
		if s.calls == 0 || time.Since(s.at) > paceFor {
			s = span{average: d}
		}
		s.average += time.Duration(paceWeight * float64(d-s.average))
		s.calls, s.at = s.calls+1, time.Now()
		p.spans[name] = s
	}
}

// atLeast counts a call that was left before its end: it tells something only if it already took longer
// than calls do.
func (p *pace) atLeast(model string, d time.Duration) {
	if known, ok := p.of(model); !ok || d > known {
		p.took(model, d)
	}
}

// of is how long a call takes; false is that nobody knows.
func (p *pace) of(model string) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.spans[model]
	return s.average, s.calls >= paceLeast && time.Since(s.at) <= paceFor
}

// queueTime is how long a call waits for its place when so many are ahead of it, in flight or waiting: until all
// but slots-1 of them have ended.
func queueTime(ahead, slots int, each time.Duration) time.Duration {
	if slots < 1 || ahead < slots {
		return 0
	}
	return time.Duration(ahead-slots+1) * each / time.Duration(slots)
}
