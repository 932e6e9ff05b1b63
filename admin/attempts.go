package admin

import (
	"net/netip"
	"sync"
	"time"
)

const (
	mostAttempts  = 10 // in a window, from one address
	attemptWindow = time.Minute
	mostSources   = 10_000 // addresses that are remembered
)

// attempts bounds how often an address may try to sign in, in this process. A key is 32 characters or more, so that this
// is about noise and load; nobody guesses one.
type attempts struct {
	mu sync.Mutex
	at map[netip.Prefix][]time.Time
}

// take counts an attempt; it gives how long to wait where there were too many.
func (a *attempts) take(from netip.Addr, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == nil {
		a.at = make(map[netip.Prefix][]time.Time)
	}
	source := sourceOf(from)
	recent := a.at[source]
	for len(recent) > 0 && now.Sub(recent[0]) >= attemptWindow {
		recent = recent[1:]
	}
	if len(recent) >= mostAttempts {
		a.at[source] = recent
		return recent[0].Add(attemptWindow).Sub(now)
	}
	if len(a.at) >= mostSources {
		a.forget(now)
	}
	a.at[source] = append(recent, now)
	return 0
}

// forget drops who has not tried for a while; if all did just now, everybody, as memory is bounded.
func (a *attempts) forget(now time.Time) {
	for source, tries := range a.at {
		if now.Sub(tries[len(tries)-1]) >= attemptWindow {
			delete(a.at, source)
		}
	}
	if len(a.at) >= mostSources {
		clear(a.at)
	}
}

// sourceOf is who shares a bound: whoever has one IPv6 address has the 2^64 beside it.
func sourceOf(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
