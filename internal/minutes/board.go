package minutes

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	leaveTimeout = 2 * time.Second
	// Who asks how the hour was can be told of this process alone; that is not worth a longer wait.
	readTimeout = 500 * time.Millisecond
	// Minutes outlive the hour, so that a clock that is set forward and back again loses none.
	keptFor = 2 * time.Hour
)

// The braces keep all keys on one shard of a cluster, as they are asked for together.
const (
	keyOfMinutes   = "payaid:{minutes}:"
	keyOfProcesses = "payaid:{minutes}:processes"
)

func keyOf(minute int64) string { return keyOfMinutes + strconv.FormatInt(minute, 10) }

// A board is where processes leave what they counted.
type board struct {
	client *redis.Client
	shift  func() time.Duration // of its clock, in tests
}

func newBoard(o *redis.Options) *board {
	own := *o
	own.ContextTimeoutEnabled = true
	own.MaxRetries = 1 // a connection of before a restart fails once, and nothing counts twice
	own.MinRetryBackoff, own.MaxRetryBackoff = -1, -1
	own.DialTimeout, own.DialerRetries = time.Second, 1
	own.DisableIdentity, own.Protocol = true, 2
	own.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	own.PoolSize = 4
	return &board{client: redis.NewClient(&own), shift: func() time.Duration { return 0 }}
}

// clock is what time it is there.
func (b *board) clock(ctx context.Context) (time.Time, error) {
	now, err := b.client.Time(ctx).Result()
	if err != nil {
		return now, fmt.Errorf("ask redis for the time: %w", err)
	}
	return now.Add(b.shift()), nil
}

// leave writes minutes of a process and its sign of life, and says what time it is there. New means that Redis did
// not know the process: whatever it had left before is gone.
func (b *board) leave(ctx context.Context, p Process, minutes map[int64]Counts) (now time.Time, isNew bool, err error) {
	sign, err := json.Marshal(p)
	if err != nil {
		return now, false, fmt.Errorf("leave figures in redis: %w", err)
	}
	pipe := b.client.Pipeline()
	clock := pipe.Time(ctx)
	known := pipe.HSet(ctx, keyOfProcesses, p.ID, sign)
	pipe.Expire(ctx, keyOfProcesses, keptFor)
	for n, c := range minutes {
		data, err := json.Marshal(c)
		if err != nil {
			return now, false, fmt.Errorf("leave figures in redis: %w", err)
		}
		pipe.HSet(ctx, keyOf(n), p.ID, data)
		pipe.Expire(ctx, keyOf(n), keptFor)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return now, false, fmt.Errorf("leave figures in redis: %w", err)
	}
	return clock.Val().Add(b.shift()), known.Val() == 1, nil
}

// A posting is what one process left of one minute.
type posting struct {
	process string
	minute  int64
	counts  Counts
}

// read gives all that is there of so many minutes up to one, and of the processes. What it can't read, another version
// of the program has left in another shape; that counts for nothing.
func (b *board) read(ctx context.Context, latest int64, n int) (postings []posting, processes map[string]Process, err error) {
	pipe := b.client.Pipeline()
	signs := pipe.HGetAll(ctx, keyOfProcesses)
	minutes := make([]*redis.MapStringStringCmd, n)
	for i := range minutes {
		minutes[i] = pipe.HGetAll(ctx, keyOf(latest-int64(i)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, nil, fmt.Errorf("read figures from redis: %w", err)
	}
	processes = make(map[string]Process)
	for id, sign := range signs.Val() {
		var p Process
		if json.Unmarshal([]byte(sign), &p) == nil {
			processes[id] = p
		}
	}
	for i, fields := range minutes {
		for id, data := range fields.Val() {
			one := posting{process: id, minute: latest - int64(i)}
			if json.Unmarshal([]byte(data), &one.counts) == nil {
				postings = append(postings, one)
			}
		}
	}
	return postings, processes, nil
}

// forget takes off the list who was last heard of before a moment.
func (b *board) forget(ctx context.Context, before time.Time) error {
	signs, err := b.client.HGetAll(ctx, keyOfProcesses).Result()
	if err != nil {
		return fmt.Errorf("look for processes that are gone: %w", err)
	}
	var gone []string
	for id, sign := range signs {
		var p Process
		if json.Unmarshal([]byte(sign), &p) != nil || p.At.Before(before) {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := b.client.HDel(ctx, keyOfProcesses, gone...).Err(); err != nil {
		return fmt.Errorf("take processes that are gone off the list: %w", err)
	}
	return nil
}
