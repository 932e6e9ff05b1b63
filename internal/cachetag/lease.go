package cachetag

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// A lease outlives its holder by this at most, and its holder renews it in a third of that.
	leaseTTL = 5 * time.Second
	// Who waits for a holder elsewhere asks again after 50 to 150 ms; one of this process calls.
	leastPoll, mostPoll, calledPoll = 50 * time.Millisecond, 150 * time.Millisecond, 250 * time.Millisecond
)

// A lease says in Redis who makes a value, and since when. It is an arrangement, not a lock: one that is lost
// makes a value be made twice.
type lease struct {
	cache      *Cache
	key, nonce string
	stop, done chan struct{}
}

// nobody holds a lease that was waived. It is as long as a nonce.
const nobody = "nobody nobody no"

// hold takes a lease that is free, or renews one's own. It gives the holder's nonce, and for how long it has
// been the holder, by the clock of Redis. To be made again after an answer that was lost it does no harm.
var hold = redis.NewScript(`
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local held = redis.call("GET", KEYS[1])
local since = held and tonumber(string.sub(held, 17)) or now
if held and string.sub(held, 1, 16) ~= ARGV[1] then
	return {string.sub(held, 1, 16), now - since}
end
redis.call("SET", KEYS[1], ARGV[1] .. string.format("%.0f", since), "PX", ARGV[2])
return {ARGV[1], now - since}`)

// leave gives one's own lease up, to a successor if there is one.
var leave = redis.NewScript(`
local held = redis.call("GET", KEYS[1])
if not held or string.sub(held, 1, 16) ~= ARGV[1] then return 0 end
if ARGV[2] == "" then return redis.call("DEL", KEYS[1]) end
redis.call("SET", KEYS[1], ARGV[2] .. string.sub(held, 17), "PX", ARGV[3])
return 1`)

func (l *lease) hold(ctx context.Context) (holder string, age time.Duration, err error) {
	for range claimTries {
		if !l.cache.health.up() || ctx.Err() != nil {
			return "", 0, ErrAway
		}
		if holder, age, err = l.ask(ctx); err == nil {
			return holder, age, nil
		}
	}
	return "", 0, err
}

func (l *lease) ask(ctx context.Context) (holder string, age time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cache.writeTimeout)
	defer cancel()
	answer, err := hold.Run(ctx, l.cache.client, []string{l.key}, l.nonce, leaseTTL.Milliseconds()).Slice()
	if l.cache.noted(err) != nil {
		return "", 0, err
	}
	holder, _ = answer[0].(string)
	ms, _ := answer[1].(int64)
	return holder, time.Duration(ms) * time.Millisecond, nil
}

func (l *lease) leave(ctx context.Context, successor string, d time.Duration) {
	if !l.cache.health.up() {
		return // it ends by itself
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cache.writeTimeout)
	defer cancel()
	_ = l.cache.noted(leave.Run(ctx, l.cache.client, []string{l.key}, l.nonce, successor, d.Milliseconds()).Err())
}

// begin keeps the lease until its end.
func (l *lease) begin(ctx context.Context) *lease {
	l.stop, l.done = make(chan struct{}), make(chan struct{})
	l.cache.makers.begin(l.key)
	go l.renew(context.WithoutCancel(ctx))
	return l
}

func (l *lease) renew(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(leaseTTL / 3)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if l.cache.health.up() {
			_, _, _ = l.ask(ctx) // without the lease the maker goes on
		}
	}
}

func (l *lease) end(ctx context.Context, successor string, d time.Duration) {
	close(l.stop)
	<-l.done
	l.leave(ctx, successor, d)
	l.cache.makers.end(l.key)
}

// makers are those of this process, so that others of it need not ask Redis for their end.
type makers struct {
	mu    sync.Mutex
	calls map[string]chan struct{} // by lease; closed at its end
}

func (m *makers) begin(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls == nil {
		m.calls = make(map[string]chan struct{})
	}
	if m.calls[key] == nil {
		m.calls[key] = make(chan struct{})
	}
}

func (m *makers) end(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if called := m.calls[key]; called != nil {
		close(called)
		delete(m.calls, key)
	}
}

// call is closed when the maker of this process ends; nil when there is none.
func (m *makers) call(key string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[key]
}

// awaitCall waits for the maker's call, or until it is time to ask Redis again.
func awaitCall(ctx context.Context, called <-chan struct{}) {
	poll := leastPoll + rand.N(mostPoll-leastPoll)
	if called != nil {
		poll = calledPoll
	}
	t := time.NewTimer(poll)
	defer t.Stop()
	select {
	case <-called:
	case <-t.C:
	case <-ctx.Done():
	}
}
