// Package cachetag is a tagged cache in Redis that is never stale after an invalidation has been
// acknowledged.
//
// An entry has tags, and each tag of each organization has a stamp: a random nonce in Redis. A value
// carries the stamps that its tags had before it was loaded. To read is one MGET of the value and its
// tags' stamps; the value counts while they are the same. To invalidate is to replace a tag's stamp, if it
// has one, whatever the number of entries, and no value that was loaded before can count ever again, not even
// one whose load ends and is written long after. Stamps are never counters: one that was evicted would start
// again and bring old values back to life.
//
// A value also carries the identity of the server's history (see epoch). A Redis that starts with an older
// state of its data, or a replica that takes over without the last writes, has lost acknowledged
// invalidations; everything from before counts for nothing there. Two things are beyond that: a server
// that is cut off and does not know that it was replaced ("split brain"; min-replicas-to-write bounds it),
// and Redis Cluster, which has a history per shard: both leave stale values to their TTL.
//
// Redis is never needed. Without it every read is a bypass, which loads; an invalidation that could not be
// made is remembered, and until it was made this process bypasses what it is about.
package cachetag

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// LongestTTL bounds the life of an entry. After it nothing that was missed can matter any more.
const LongestTTL = 24 * time.Hour

const (
	// MaxValue is the largest value that is kept, in bytes. Larger ones are loaded each time.
	MaxValue = 1 << 20
	// A stamp that runs out costs misses, so it lives longer than what was made under it.
	stampTTL = 2 * LongestTTL
	// loadTimeout ends a load that its requests have given up on.
	loadTimeout = 30 * time.Second
)

// Options say where the cache is, and how long anybody may wait for it.
type Options struct {
	URL string // redis://, rediss:// or unix://
	// Redis is how to reach it, in place of URL; what the cache needs otherwise is set over it.
	Redis *redis.Options
	Log   *slog.Logger
	// ReadTimeout bounds what a request loses to a Redis that hangs, before it loads by itself; 0: 50 ms.
	ReadTimeout time.Duration
	// WriteTimeout bounds an invalidation or a fill; 0: 200 ms.
	WriteTimeout time.Duration
}

// Cache is safe for concurrent use. A nil Cache bypasses everything.
type Cache struct {
	client       redis.UniversalClient
	readTimeout  time.Duration
	writeTimeout time.Duration
	log          *slog.Logger

	looks   looks
	flights flights
	makers  makers
	epochs  epochs
	owed    owed
	health  health
	counts  counters

	wake chan struct{} // buffered: there is something to mend
	stop context.CancelFunc
	done chan struct{}
}

// Open makes a cache. It connects when it is first used, so a Redis that is away is no error. It starts
// one goroutine, which sees to what could not be done, and ends with Close. Errors don't repeat the URL.
func Open(o Options) (*Cache, error) {
	options, err := o.server()
	if err != nil {
		return nil, err
	}
	c := &Cache{readTimeout: o.ReadTimeout, writeTimeout: o.WriteTimeout, log: o.Log,
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	if c.readTimeout == 0 {
		c.readTimeout = 50 * time.Millisecond
	}
	if c.writeTimeout == 0 {
		c.writeTimeout = 200 * time.Millisecond
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	options.ContextTimeoutEnabled = true
	options.MaxRetries = 1 // a connection of before a restart fails once
	options.MinRetryBackoff, options.MaxRetryBackoff = -1, -1
	options.DialTimeout = time.Second
	options.DialerRetries = 1
	options.DisableIdentity = true
	options.Protocol = 2 // nothing is pushed to us
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	options.OnConnect = c.epochs.connected
	c.client = redis.NewClient(options)
	c.looks.send = c.sendLooks
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	go c.mend(ctx)
	return c, nil
}

// server is a copy of how to reach Redis.
func (o Options) server() (*redis.Options, error) {
	if o.Redis != nil {
		own := *o.Redis
		return &own, nil
	}
	options, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, errors.New("open the cache: not a Redis URL")
	}
	return options, nil
}

// Close waits for loads that are under way and for the goroutine of Open. Reads after it are bypasses.
func (c *Cache) Close() error {
	if c == nil {
		return nil
	}
	c.stop()
	<-c.done
	c.flights.close()
	c.health.close()
	return c.client.Close()
}

// An Entry is what can be cached.
type Entry struct {
	Organization string        // whose it is
	Name         string        // what it is, such as "contact:list"
	Version      string        // of the program that gives the value its shape: another one is another entry
	Key          string        // tells entries of one name apart, such as a normalised query
	Tags         []string      // what makes it void
	TTL          time.Duration // at most LongestTTL; a tenth more or less, so that not all end at once
	// Lease lets one process load while others wait for what it brings, this long at most and then load
	// themselves. For values that cost more than the wait; 0: everybody loads.
	Lease time.Duration
}

// An Outcome says where a value came from.
type Outcome string

// What can become of a read. Their text is that of the header X-Cache.
const (
	Hit    Outcome = "hit"    // from the cache
	Miss   Outcome = "miss"   // loaded, and kept for others
	Bypass Outcome = "bypass" // loaded, as the cache is away or not to be trusted with it
)

// Read gives the value of an entry, by load where the cache has none. The value is shared: don't change it.
//
// Reads that miss under the same stamps share one load. Its context carries the values of the first one's,
// but not its end: a client that hangs up takes nobody with it. An error of load is everybody's who waits,
// and is not kept. The cache itself never makes a read fail.
func (c *Cache) Read(ctx context.Context, e Entry, load func(context.Context) ([]byte, error)) ([]byte, Outcome, error) {
	if c == nil {
		value, err := load(ctx)
		return value, Bypass, err
	}
	e.Tags = sorted(e.Tags)
	if !c.health.up() || c.owed.concerns(e.Organization, e.Tags) {
		return c.bypass(ctx, e, load)
	}
	seen, err := c.look(ctx, e)
	switch {
	case ctx.Err() != nil:
		return nil, Bypass, ctx.Err()
	case err != nil:
		return c.bypass(ctx, e, load)
	case seen.hit:
		c.counts.of(e.Name).hits.Add(1)
		return seen.value, Hit, nil
	}
	return c.fill(ctx, e, seen, load)
}

func (c *Cache) bypass(ctx context.Context, e Entry, load func(context.Context) ([]byte, error)) ([]byte, Outcome, error) {
	c.counts.of(e.Name).bypasses.Add(1)
	value, err := load(ctx)
	return value, Bypass, err
}

// Reads are counts of reads since Open, by what became of them.
type Reads struct{ Hits, Misses, Bypasses int64 }

// Stats are counts since Open.
type Stats struct {
	Reads
	Loads  int64 // misses that shared a load count once
	Bumps  int64 // invalidations that Redis acknowledged
	Owed   int64 // invalidations that it did not, until it does
	Errors int64 // of Redis
	Up     bool
}

// Stats reads the counts.
func (c *Cache) Stats() Stats {
	if c == nil {
		return Stats{}
	}
	s := Stats{
		Loads: c.counts.loads.Load(), Bumps: c.counts.bumps.Load(), Owed: c.owed.count.Load(),
		Errors: c.counts.errors.Load(), Up: c.health.up(),
	}
	for _, one := range c.Entries() {
		s.Hits, s.Misses, s.Bypasses = s.Hits+one.Hits, s.Misses+one.Misses, s.Bypasses+one.Bypasses
	}
	return s
}

// Entries reads the counts of reads by the names of the entries. A program has a few of them.
func (c *Cache) Entries() map[string]Reads {
	entries := make(map[string]Reads)
	if c == nil {
		return entries
	}
	c.counts.reads.Range(func(name, counted any) bool {
		n := counted.(*tally)
		entries[name.(string)] = Reads{Hits: n.hits.Load(), Misses: n.misses.Load(), Bypasses: n.bypasses.Load()}
		return true
	})
	return entries
}

type counters struct {
	reads                sync.Map // by the entry's name, of which a program has a few: *tally
	loads, bumps, errors atomic.Int64
}

type tally struct{ hits, misses, bypasses atomic.Int64 }

func (c *counters) of(name string) *tally {
	if n, ok := c.reads.Load(name); ok {
		return n.(*tally)
	}
	n, _ := c.reads.LoadOrStore(name, &tally{})
	return n.(*tally)
}

// flights are loads under way, by key and stamps. By the key alone a request that comes after an
// invalidation would join a load that began before it.
type flights struct {
	mu      sync.Mutex
	flying  map[string]*flight
	running sync.WaitGroup
	joined  int64 // reads that started or joined one
	closed  bool
}

type flight struct {
	done    chan struct{}
	value   []byte
	outcome Outcome
	err     error
}

var errClosed = errors.New("the cache is closed")

// do joins the flight of that name, or starts it.
func (f *flights) do(ctx context.Context, name string, work func(context.Context) ([]byte, Outcome, error)) ([]byte, Outcome, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil, Bypass, errClosed
	}
	f.joined++
	one, flying := f.flying[name]
	if !flying {
		one = &flight{done: make(chan struct{})}
		if f.flying == nil {
			f.flying = make(map[string]*flight)
		}
		f.flying[name] = one
		detached := context.WithoutCancel(ctx)
		f.running.Go(func() { f.run(detached, name, one, work) })
	}
	f.mu.Unlock()
	select {
	case <-one.done:
		return one.value, one.outcome, one.err
	case <-ctx.Done():
		return nil, Bypass, ctx.Err()
	}
}

func (f *flights) run(ctx context.Context, name string, one *flight, work func(context.Context) ([]byte, Outcome, error)) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			one.err = fmt.Errorf("load a value: panic: %v\n%s", v, debug.Stack())
		}
		f.mu.Lock()
		delete(f.flying, name)
		f.mu.Unlock()
		close(one.done)
	}()
	one.value, one.outcome, one.err = work(ctx)
}

func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.running.Wait()
}
