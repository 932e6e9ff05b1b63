package cachetag

import (
	"sync"
	"sync/atomic"
	"time"
)

// A debt is an invalidation that Redis has not acknowledged.
type debt struct{ organization, tag string }

// mostOwed bounds the memory of debts, to some 20 MB.
const mostOwed = 100_000

// owed remembers debts. Each has a number, so that paying one does not cross out another of the same name
// that came meanwhile.
type owed struct {
	count    atomic.Int64 // of debts
	overflow atomic.Int64 // unix nanoseconds; see distrust

	mu    sync.Mutex
	last  uint64
	debts map[debt]uint64
	most  int // 0: mostOwed
}

// concerns reports whether the cache can't be trusted with any of the tags.
func (o *owed) concerns(organization string, tags []string) bool {
	if o.overflow.Load() != 0 && time.Now().UnixNano() < o.overflow.Load() {
		return true
	}
	if o.count.Load() == 0 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, tag := range tags {
		if _, ok := o.debts[debt{organization, tag}]; ok {
			return true
		}
	}
	return false
}

// add remembers debts. Beyond the bound they are forgotten, and nothing is trusted for as long as anything
// can live that was loaded before.
func (o *owed) add(list []debt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.debts == nil {
		o.debts = make(map[debt]uint64)
	}
	most := o.most
	if most == 0 {
		most = mostOwed
	}
	for _, d := range list {
		if _, known := o.debts[d]; !known && len(o.debts) >= most {
			o.overflow.Store(time.Now().Add(LongestTTL + LongestTTL/10 + loadTimeout).UnixNano())
			continue
		}
		o.last++
		o.debts[d] = o.last
	}
	o.count.Store(int64(len(o.debts)))
}

// numbers are those of debts, 0 where there is none.
func (o *owed) numbers(list []debt) []uint64 {
	if o.count.Load() == 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]uint64, len(list))
	for i, d := range list {
		out[i] = o.debts[d]
	}
	return out
}

// settle forgets debts that are still those of the numbers.
func (o *owed) settle(list []debt, numbers []uint64) {
	if numbers == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, d := range list {
		if n, ok := o.debts[d]; ok && n == numbers[i] {
			delete(o.debts, d)
		}
	}
	o.count.Store(int64(len(o.debts)))
}

// some are a few debts, to be paid together.
func (o *owed) some(most int) []debt {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []debt
	for d := range o.debts {
		if len(list) == most {
			break
		}
		list = append(list, d)
	}
	return list
}
