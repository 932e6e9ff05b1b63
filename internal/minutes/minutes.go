// Package minutes counts what happens in all processes of an installation, by the minute, and says how the last
// hour was: exactly, and over all of them.
//
// A process counts in memory and leaves, every two seconds, what each minute has come to in it so far: a hash a
// minute in Redis, and in it a field a process. What is left is always the whole of a minute, never what was added
// since the last time. So an attempt of which nobody knows whether it got through is simply made again, and counts
// nothing twice; and as each process remembers its own hour, and leaves all of it again once a minute, a Redis that
// comes back empty has it again at once. A process that is killed takes what it counted since it last left
// something, at most two seconds; what a Redis loses that outlived its processes is lost.
//
// Minutes are by the clock of Redis, whatever those of the hosts say. A Redis whose clock is set back shows again
// what it had passed. Without Redis each process knows its own figures alone; they are left as soon as it is back.
package minutes

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// The hour, and the minute that is not full yet: never less than an hour is shown.
	window = 61
	// Leaving costs a round trip, and what was not left is lost with its process.
	leaveEvery = 2 * time.Second
	// A process that left nothing for so long is not among those that report.
	silence = 15 * time.Second
)

// Config is what a Recorder needs.
type Config struct {
	Redis   *redis.Options // nil: none, so that the process counts for itself
	Process Process        // ID, Role and Host; the ID tells it from all others, also from itself after a restart
	// Gauges gives what is so at the moment, in a shape that those who read it know; nil: nothing. It is asked beside
	// everything else, so it may take its time.
	Gauges func() any
	// Blocks samples the database's cache, once a minute; nil: nobody does.
	Blocks func(context.Context) (Blocks, error)
	Log    *slog.Logger
}

// A Process is one that counts.
type Process struct {
	ID        string    `json:"id"`
	Role      string    `json:"role"` // api, relay, worker
	Host      string    `json:"host"`
	StartedAt time.Time `json:"started_at"`
	At        time.Time `json:"at"`              // of what it left last, by Redis' clock
	Ended     bool      `json:"ended,omitempty"` // it has left all that it counted
	// Gauges is what Config.Gauges gave, as JSON; nil: nothing.
	Gauges json.RawMessage `json:"gauges,omitempty"`
}

// A Recorder counts for one process. A nil one counts nothing.
type Recorder struct {
	process Process
	gauges  func() any
	blocks  func(context.Context) (Blocks, error)
	log     *slog.Logger
	board   *board // nil: no Redis
	every   time.Duration

	began time.Time // the zero of all times here; it has the monotonic clock

	mu      sync.Mutex
	ahead   time.Duration // of Redis' clock over this process's
	known   bool          // that is
	minutes map[int64]*minute
	latest  int64   // the number of the minute that was counted in last
	current *minute // the same
	latched json.RawMessage
	left    time.Time // when everything of the hour was left last; the zero time: it must be now
	away    error     // why nothing could be left the last time; nil: it was
	tidied  time.Time // when processes that are gone were last taken off the list
}

// A minute is what one came to in this process.
type minute struct {
	Counts
	dirty bool // there is more than was left
}

// New makes a recorder. It connects when it is first used.
func New(c Config) *Recorder {
	r := &Recorder{process: c.Process, gauges: c.Gauges, blocks: c.Blocks, log: c.Log, every: leaveEvery,
		began: time.Now(), minutes: make(map[int64]*minute)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if c.Redis != nil {
		r.board = newBoard(c.Redis)
	}
	return r
}

// A Request is one that was answered.
type Request struct {
	Status  int
	Took    time.Duration
	Probe   bool // of a machine that asks whether the process is well
	Lasting bool // its client chose how long it took
	Gone    bool // its client had gone before the answer
}

// Request counts an answered request.
func (r *Recorder) Request(q Request) {
	if r == nil {
		return
	}
	r.count(func(c *Counts) {
		c.Requests++
		if q.Status >= 500 {
			c.Errors++
		}
		if q.Gone {
			c.Gone++
		}
		if q.Probe {
			c.Probes++
		} else if !q.Lasting && !q.Gone {
			c.Times.note(q.Took)
		}
	})
}

// SlowQuery counts a query of the database that took long.
func (r *Recorder) SlowQuery(took time.Duration) {
	if r == nil {
		return
	}
	r.count(func(c *Counts) {
		c.Slow++
		c.SlowTime += took
	})
}

// A Job is one attempt of a job, as it ended.
type Job struct {
	Queue   string
	Kind    string // "": it is counted by its queue alone
	Outcome string
	Wait    time.Duration // from due to taken
	Took    time.Duration // negative: nobody knows, nor how long it waited
}

// Job counts an attempt.
func (r *Recorder) Job(j Job) {
	if r == nil {
		return
	}
	r.count(func(c *Counts) {
		q := c.queue(j.Queue)
		q.Outcomes[j.Outcome]++
		if j.Took >= 0 {
			q.Waits.note(j.Wait)
			q.Times.note(j.Took)
		}
		c.Queues[j.Queue] = q
		if j.Kind == "" {
			return
		}
		k := c.kind(j.Kind)
		k.Queue = j.Queue
		k.Outcomes[j.Outcome]++
		if j.Took >= 0 {
			k.Times.note(j.Took)
		}
		c.Kinds[j.Kind] = k
	})
}

func (r *Recorder) count(add func(*Counts)) {
	since := time.Since(r.began)
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.minuteAt(since)
	if r.current == nil || n != r.latest {
		r.turn(n)
	}
	add(&r.current.Counts)
	r.current.dirty = true
}

// minuteAt numbers a moment since the process began. Wants the lock.
func (r *Recorder) minuteAt(since time.Duration) int64 {
	return r.began.Add(since+r.ahead).Unix() / 60
}

// turn goes to another minute, and forgets those that nobody asks for any more. Wants the lock.
func (r *Recorder) turn(n int64) {
	for at := range r.minutes {
		if at <= n-window || at > n+window {
			delete(r.minutes, at)
		}
	}
	if r.minutes[n] == nil {
		r.minutes[n] = &minute{}
	}
	r.latest, r.current = n, r.minutes[n]
}

// Run leaves what is counted until ctx ends, and then the rest.
func (r *Recorder) Run(ctx context.Context) error {
	if r == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { r.sample(ctx) })
	beside.Go(func() { r.gauge(ctx) })
	r.leave(ctx) // so that others know of the process at once
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.end(ctx)
			return ctx.Err()
		case <-tick.C:
			r.leave(ctx)
		}
	}
}

// Close gives the connections to Redis back. It comes after Run.
func (r *Recorder) Close() error {
	if r == nil || r.board == nil {
		return nil
	}
	return r.board.client.Close()
}

// gauge keeps what is so at the moment at hand: a disk that hangs must not keep the counts from being left.
func (r *Recorder) gauge(ctx context.Context) {
	if r.gauges == nil {
		return
	}
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		data, err := json.Marshal(r.gauges())
		if err != nil {
			r.log.Error("figures of the process have no shape", "error", err)
			return
		}
		r.mu.Lock()
		r.latched = data
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

const sampleTimeout = 5 * time.Second

// sample notes, once a minute, what the database says of its cache. A database that is away has no figures.
func (r *Recorder) sample(ctx context.Context) {
	if r.blocks == nil {
		return
	}
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, sampleTimeout)
		b, err := r.blocks(asking)
		cancel()
		if err == nil {
			r.count(func(c *Counts) {
				if c.Blocks == nil {
					c.Blocks = &b
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
