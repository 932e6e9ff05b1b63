package ratelimit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// By Redis' own clock, so that those of the processes don't matter. Microseconds fit a Lua number until
// the year 2255.
const redisClock = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]`

// slidingLog keeps the times of the requests that were let through. One at t counts until t + window. With
// a limit that was lowered more may be there than it allows, hence the place from the end for the one that
// has to leave first. What lies further ahead than a window was noted before the clock was set back, by a
// step or by a replica that took over: it would keep the client out until the clock is there again.
const slidingLog = `
local limit, window, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + window, '+inf')
local count = redis.call('ZCARD', KEYS[1])
local allowed = 0
if count + wanted <= limit then
	for i = 1, wanted do
		redis.call('ZADD', KEYS[1], now, ARGV[3] .. ':' .. i)
	end
	redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
	count, allowed = count + wanted, 1
end
local function leaves(place)
	local at = redis.call('ZRANGE', KEYS[1], place, place, 'WITHSCORES')[2]
	return at and tonumber(at) + window - now or 0
end
if allowed == 1 then
	return {1, count, leaves(0), 0}
end
if wanted > limit then
	return {0, count, leaves(0), window}
end
return {0, count, leaves(0), leaves(count + wanted - limit - 1)}`

const giveBackLog = `
for i = 1, tonumber(ARGV[2]) do
	redis.call('ZREM', KEYS[1], ARGV[1] .. ':' .. i)
end`

// redisLog is the log that all processes share. A client with the usual limit of 100 costs 2 to 3 KB of
// Redis' memory while it asks, one with a limit of 1,000 about 120 KB; its key is gone a window after its
// last request.
type redisLog struct {
	client *redis.Client
	script *redis.Script
	window time.Duration
}

func newRedisLog(o *redis.Options, window, timeout time.Duration) *redisLog {
	own := *o
	// What is late is counted here instead, so nothing is tried twice. A connection may take longer to be
	// made than a request waits; it is there for the next.
	own.ContextTimeoutEnabled = true
	own.MaxRetries = -1
	own.DialerRetries = 1
	own.DialTimeout = probeTimeout
	own.ReadTimeout, own.WriteTimeout, own.PoolTimeout = probeTimeout, probeTimeout, timeout
	own.PoolSize = 64
	return &redisLog{client: redis.NewClient(&own), script: redis.NewScript(redisClock + slidingLog), window: window}
}

// take counts n requests under an id that nobody else has: two of the same microsecond are two.
func (r *redisLog) take(ctx context.Context, client string, limit, n int, id uint64) (Result, error) {
	answer, err := r.script.Run(ctx, r.client, keyOf(client), limit, r.window.Microseconds(), member(id), n).Int64Slice()
	if err != nil {
		return Result{}, fmt.Errorf("count a request in redis: %w", err)
	}
	if len(answer) != 4 {
		return Result{}, fmt.Errorf("count a request in redis: it answers %d values", len(answer))
	}
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	return Result{Allowed: answer[0] == 1, Limit: limit, Remaining: max(0, limit-int(answer[1])),
		Reset: us(answer[2]), RetryAfter: us(answer[3])}, nil
}

func (r *redisLog) giveBack(ctx context.Context, client string, n int, id uint64) error {
	err := giveBack.Run(ctx, r.client, keyOf(client), member(id), n).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("give requests back to redis: %w", err)
	}
	return nil
}

var giveBack = redis.NewScript(giveBackLog)

// keyOf names a client's log. The braces keep it on one shard of a cluster.
func keyOf(client string) []string { return []string{"payaid:rate:{" + client + "}"} }

func member(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }
