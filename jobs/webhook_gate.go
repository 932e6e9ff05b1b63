package jobs

import (
	"sync"
	"time"
)

const (
	// quickWithin is how quick a receiver's answer is that takes nobody else's slot away for long.
	quickWithin = 2 * time.Second
	// quickFor is how long what a lane did here speaks for it, or against it.
	quickFor = time.Minute
)

// A gate shares the slots of a process out among lanes. A lane may take one only while it has fewer than are free, so
// that whatever many take there is one for the next ("dynamic thresholds": Choudhury and Hahne, IEEE/ACM Transactions
// on Networking 6(2), 1998). Lanes that are slow, or fail, have half of the slots together, and those of which nobody
// knows yet have one each: a quarter of all is for lanes that are quick, however many others hang. And one organization
// takes at most half of the slots with lanes that are known, but have not been quick here of late, as all that it has may
// hang at once; those of which nobody knows are tried beside them, or its own hanging receivers would keep them waiting.
type gate struct {
	slots int

	mu      sync.Mutex
	running int
	lanes   map[string]*gateLane
	// busy are those of them that have slots, so no more than there are slots: a client names as many receivers as it
	// likes in a minute, which are not to be gone through for each delivery.
	busy   map[*gateLane]bool
	tidied time.Time
}

// A standing is what is known of a lane.
type standing int

const (
	standingNew  standing = iota // nothing yet
	standingGood                 // it works
	standingBad                  // it fails, or is slow
)

// gateLane is what this process knows of a lane.
type gateLane struct {
	organization string

	begun map[*passage]time.Time // of what is under way
	last  time.Time              // when something ended here
	quick bool                   // and whether that was a quick success
	told  standing               // by the lane's row, where nothing ended here of late
}

// A passage is a delivery that was let through. It leaves once.
type passage struct {
	gate *gate
	lane string
}

func newGate(slots int) *gate {
	return &gate{slots: max(1, slots), lanes: make(map[string]*gateLane), busy: make(map[*gateLane]bool)}
}

// enter lets a delivery of a lane through, of which most may be under way here; nil: not now.
func (g *gate) enter(organization, lane string, told standing, most int) *passage {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.tidy(now)
	l := g.lanes[lane]
	if l == nil {
		l = &gateLane{organization: organization, begun: make(map[*passage]time.Time)}
	}
	l.told = told
	n := len(l.begun)
	s := l.standing(now)
	if n >= most || n >= g.slots-g.running || !g.room(s, n, now) || s != standingNew && !l.proven(now) && !g.share(organization, now) {
		return nil
	}
	p := &passage{g, lane}
	l.begun[p] = now
	g.lanes[lane], g.busy[l] = l, true
	g.running++
	return p
}

// room reports whether lanes of a standing may take another slot, where the lane itself has n.
func (g *gate) room(s standing, n int, now time.Time) bool {
	if s == standingGood {
		return true
	}
	fresh, bad := 0, 0
	for l := range g.busy {
		switch l.standing(now) {
		case standingNew:
			fresh += len(l.begun)
		case standingBad:
			bad += len(l.begun)
		}
	}
	if s == standingBad && bad >= max(1, g.slots/2) || s == standingNew && n > 0 {
		return false
	}
	return fresh+bad < g.slots-g.slots/4
}

// share reports whether an organization may take another slot with a lane that is not proven.
func (g *gate) share(organization string, now time.Time) bool {
	taken := 0
	for l := range g.busy {
		if l.organization == organization && !l.proven(now) {
			taken += len(l.begun)
		}
	}
	return taken < (g.slots+1)/2
}

// knows reports whether a lane is proven.
func (g *gate) knows(lane string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[lane]
	return l != nil && l.proven(time.Now())
}

// leave gives the slot back. ok says that the receiver took the delivery.
func (p *passage) leave(ok bool) {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	l, now := g.lanes[p.lane], time.Now()
	l.last, l.quick = now, ok && now.Sub(l.begun[p]) <= quickWithin
	p.end(l)
}

// back gives the slot back of a delivery that was not tried.
func (p *passage) back() {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	p.end(g.lanes[p.lane])
}

func (p *passage) end(l *gateLane) {
	if delete(l.begun, p); len(l.begun) == 0 {
		delete(p.gate.busy, l)
	}
	p.gate.running--
}

// standing is what is known of a lane: by what it does now, else by what it did here of late, else by its row.
func (l *gateLane) standing(now time.Time) standing {
	for _, begun := range l.begun {
		if now.Sub(begun) > quickWithin {
			return standingBad
		}
	}
	switch {
	case l.last.IsZero() || now.Sub(l.last) > quickFor:
		return l.told
	case l.quick:
		return standingGood
	}
	return standingBad
}

// proven reports whether a lane was quick here of late, and is.
func (l *gateLane) proven(now time.Time) bool {
	return l.quick && now.Sub(l.last) <= quickFor && l.standing(now) == standingGood
}

// tidy forgets lanes of which nothing came for a while.
func (g *gate) tidy(now time.Time) {
	if now.Sub(g.tidied) < quickFor {
		return
	}
	g.tidied = now
	for id, l := range g.lanes {
		if len(l.begun) == 0 && now.Sub(l.last) > quickFor {
			delete(g.lanes, id)
		}
	}
}
