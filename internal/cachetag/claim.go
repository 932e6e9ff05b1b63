package cachetag

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Busy is the outcome of a claim to what somebody else is making.
const Busy Outcome = "busy"

const (
	// waived is how long nobody waits for anybody after a lease was waived.
	waived = time.Minute
	// What a claim is about costs more than a moment's patience with Redis.
	claimTries = 3
)

// A Claim is what came of asking for a value that takes so long to make, or costs so much, that one maker
// must do for all. Its maker makes it where it stands, in its own time: other than a load of Read it may be
// watched, and ends with whoever asked for it.
type Claim struct {
	// Outcome is Hit: Value is it. Miss: it is the caller's to make, to Keep, and to Release. Busy: somebody
	// else makes it, and has been at it for Age. Bypass: the caller may make it for itself.
	Outcome Outcome
	Value   []byte
	Age     time.Duration

	cache *Cache
	entry Entry
	seen  sight
	lease *lease // nil: whoever asks makes it
}

// Claim looks for a value, and where there is none for its maker. Of all who claim an entry in one lane, over
// all processes, one has to make it; the others wait for that until it has been at it for so long, and then
// are told that it is busy. When the maker releases without a value, or dies, one of the others is next.
// The lane tells apart who may wait for whom; all of them share what is kept.
//
// A value is kept under the stamps of before Claim returned: what it is made from must be read afterwards, or
// be part of the entry's Key. Without Redis nobody is held up: everybody makes it.
func (c *Cache) Claim(ctx context.Context, e Entry, lane string, wait time.Duration) *Claim {
	if c == nil {
		return &Claim{Outcome: Bypass}
	}
	e.Tags = sorted(e.Tags)
	claim := &Claim{cache: c, entry: e}
	nonce, deadline := newStamp(), time.Now().Add(wait)
	for {
		seen, ok := c.sees(ctx, e)
		if !ok {
			c.counts.of(e.Name).bypasses.Add(1)
			return &Claim{Outcome: Bypass}
		}
		if claim.seen = seen; seen.hit {
			return claim.is(Hit)
		}
		l := &lease{cache: c, key: seen.leaseKey(lane), nonce: nonce}
		called := c.makers.call(l.key)
		holder, age, err := l.hold(ctx)
		switch {
		case err != nil || holder == nobody:
			return claim.is(Miss)
		case holder == nonce:
			// The maker before may have kept its value after we looked, and gone before we asked.
			if again, ok := c.sees(ctx, e); !ok || !again.hit && again.fence == seen.fence {
				claim.lease = l.begin(ctx)
				return claim.is(Miss)
			}
			l.leave(ctx, "", 0)
		case age >= wait || time.Now().After(deadline) || ctx.Err() != nil:
			claim.Age = age
			return claim.is(Busy)
		default:
			awaitCall(ctx, called)
		}
	}
}

func (cl *Claim) is(o Outcome) *Claim {
	cl.Outcome = o
	switch o {
	case Hit:
		cl.Value = cl.seen.value
		cl.cache.counts.of(cl.entry.Name).hits.Add(1)
	case Miss:
		cl.cache.counts.of(cl.entry.Name).misses.Add(1)
		cl.cache.counts.loads.Add(1)
	}
	return cl
}

// Spoilt makes a Miss of a Hit whose value its reader can't use: what it makes in its place replaces it. Nobody
// waits for that.
func (cl *Claim) Spoilt() {
	if cl.Outcome == Hit && cl.cache != nil {
		cl.Outcome, cl.Value = Miss, nil
	}
}

// Keep keeps the value of a Miss for others. What is longer than MaxValue, or comes when Redis is away, is
// not kept.
func (cl *Claim) Keep(ctx context.Context, value []byte) {
	if cl.Outcome != Miss || len(value) > MaxValue {
		return
	}
	for range claimTries {
		if !cl.cache.health.up() || cl.cache.keep(context.WithoutCancel(ctx), cl.entry, cl.seen, value) == nil {
			return
		}
	}
}

// Release lets the next one make the value, if none was kept. Every claim may be released, any number of times.
func (cl *Claim) Release(ctx context.Context) { cl.end(ctx, "", 0) }

// Waive is Release by a maker whose value is of a sort that isn't kept: for a while nobody waits for others
// to make it.
func (cl *Claim) Waive(ctx context.Context) { cl.end(ctx, nobody, waived) }

func (cl *Claim) end(ctx context.Context, successor string, d time.Duration) {
	if cl.lease == nil {
		return
	}
	cl.lease.end(ctx, successor, d)
	cl.lease = nil
}

// sees looks at an entry, unless the cache can't be trusted with it.
func (c *Cache) sees(ctx context.Context, e Entry) (sight, bool) {
	for range claimTries {
		if ctx.Err() != nil || !c.health.up() || c.owed.concerns(e.Organization, e.Tags) {
			break
		}
		if s, err := c.look(ctx, e); err == nil {
			return s, true
		}
	}
	return sight{}, false
}

// leaseKey names the lease of who makes a value under these stamps: after an invalidation nobody waits for
// what was begun before it.
func (s sight) leaseKey(lane string) string {
	sum := sha256.Sum256([]byte(s.fence))
	return s.keys[0] + ":lease:" + lane + ":" + base64.RawURLEncoding.EncodeToString(sum[:9])
}
