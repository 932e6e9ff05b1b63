package api

import (
	"sync"
	"time"
)

const (
	keyCacheSize = 10_000
	// A key that another process revokes works here for this long at most.
	keyCacheTTL = 5 * time.Second
	// A stranger who hammers with one made-up key costs a query only every so often.
	unknownKeyTTL = 2 * time.Second
)

// keyCache remembers what keys may do, by the hash of their text.
type keyCache struct {
	mu      sync.RWMutex
	entries map[[32]byte]keyEntry
	epoch   int // counts the revocations
}

type keyEntry struct {
	found *credential // nil: no such key
	until time.Time
}

func newKeyCache() *keyCache { return &keyCache{entries: make(map[[32]byte]keyEntry)} }

// get gives what is known of a key; found is nil for one that doesn't exist. The epoch goes to put.
func (c *keyCache) get(hash [32]byte, now time.Time) (found *credential, known bool, epoch int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.entries[hash]
	if !ok || now.After(e.until) {
		return nil, false, c.epoch
	}
	return e.found, true, c.epoch
}

// put remembers an answer, unless a key was revoked while it was on its way: it may be that one's.
func (c *keyCache) put(hash [32]byte, found *credential, epoch int, now time.Time) {
	until := now.Add(keyCacheTTL)
	if found == nil {
		until = now.Add(unknownKeyTTL)
	} else if found.ExpiresAt != nil && found.ExpiresAt.Before(until) {
		until = *found.ExpiresAt
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		return
	}
	if len(c.entries) >= keyCacheSize {
		c.makeRoom(now)
	}
	c.entries[hash] = keyEntry{found: found, until: until}
}

// roomLooks is how many entries are looked at to make room for one: all of them would make every request
// with a new key cost as much as there are.
const roomLooks = 16

// makeRoom drops what has run out among a few entries, or else one that has not.
func (c *keyCache) makeRoom(now time.Time) {
	looked, last := 0, [32]byte{}
	for hash, e := range c.entries {
		if now.After(e.until) {
			delete(c.entries, hash)
		}
		last = hash
		if looked++; looked == roomLooks {
			break
		}
	}
	if len(c.entries) >= keyCacheSize {
		delete(c.entries, last)
	}
}

// revoked forgets a key at once.
func (c *keyCache) revoked(hash [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	delete(c.entries, hash)
}
