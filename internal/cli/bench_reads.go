package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/localstack"
)

// benchRows is how many rows the list has that is read: a page of the usual size.
const benchRows = 50

// reads compares a list that comes from the cache with the same handler that needs not ask Redis for it,
// and with the list from the database. They take turns, so that each has its share of a machine's moods.
func (b *bench) reads(ctx context.Context) error {
	r, err := localstack.StartRedis(ctx, localstack.RedisOptions{Dir: filepath.Join(b.dir, "redis"), Log: b.log})
	if err != nil {
		return err
	}
	defer b.stop(r.Stop)
	ways := []*wayToRead{
		{name: "cached", server: r.Pid(), change: func(s *stackSetup) { s.api.redisURL = r.URL() }},
		{name: "constant", server: r.Pid(), change: func(s *stackSetup) { s.api.cache = &constantCache{} }},
		{name: "database", server: b.postgres.Pid(), change: func(*stackSetup) {}},
	}
	defer func() {
		for _, w := range ways {
			w.close()
		}
	}()
	for _, w := range ways {
		if err := w.open(ctx, b); err != nil {
			return err
		}
	}
	const turns = 3
	for range turns {
		for _, w := range ways {
			if err := w.measure(ctx, b.Duration/turns); err != nil {
				return err
			}
		}
	}
	cached, constant, database := ways[0].result(), ways[1].result(), ways[2].result()
	b.add(row{what: fmt.Sprintf("cached list of %d through HTTP, %d clients", benchRows, b.Clients), value: cached.String(),
		against: "without Redis " + constant.String(), ratio: cached.perSecond / constant.perSecond, target: ">= 0.6",
		verdict: met(cached.perSecond/constant.perSecond >= 0.6)})
	b.add(row{what: "the same list, cached", value: cached.String(),
		against: "from the database " + database.String(), ratio: cached.perSecond / database.perSecond})
	return nil
}

// A wayToRead is the product set up to answer a list in one way.
type wayToRead struct {
	name    string
	change  func(*stackSetup)
	server  int // process that is asked for the list
	stack   *stack
	strikes []func(context.Context) error
	hangUp  func()

	reads     float64
	took, cpu time.Duration
}

// measure reads for a time.
func (w *wayToRead) measure(ctx context.Context, d time.Duration) error {
	before, err := cpu(w.server)
	if err != nil {
		return err
	}
	perSecond, err := rate(ctx, d, w.strikes)
	if err != nil {
		return err
	}
	after, err := cpu(w.server)
	w.reads, w.took, w.cpu = w.reads+perSecond*d.Seconds(), w.took+d, w.cpu+after-before
	return err
}

func (w *wayToRead) result() throughput {
	return throughput{perSecond: w.reads / w.took.Seconds(), cpu: w.cpu / time.Duration(w.reads)}
}

// open starts an API on a database of its own, gives it rows, and warms it.
func (w *wayToRead) open(ctx context.Context, b *bench) (err error) {
	if w.stack, err = b.start(ctx, "bench_read_"+w.name, apiAlone, w.change); err != nil {
		return err
	}
	for i := range benchRows {
		contact := map[string]any{"name": fmt.Sprintf("Contact %d", i), "email": fmt.Sprintf("c%d@example.in", i), "company": "Rao Traders", "city": "Pune"}
		if err := w.stack.client.do(ctx, http.MethodPost, "/api/contacts", contact, nil); err != nil {
			return err
		}
	}
	w.strikes, w.hangUp, err = w.stack.hammers(ctx, b.Clients, blow{http.MethodGet, "/api/contacts", "", http.StatusOK})
	if err != nil {
		return err
	}
	_, err = rate(ctx, time.Second, w.strikes)
	return err
}

func (w *wayToRead) close() {
	if w.hangUp != nil {
		w.hangUp()
	}
	if w.stack != nil {
		_ = w.stack.stop()
	}
}

// constantCache answers what it was asked first, from memory: what a cache would cost that costs nothing.
type constantCache struct{ values sync.Map }

// Read implements api.Cache.
func (c *constantCache) Read(ctx context.Context, e cachetag.Entry, load func(context.Context) ([]byte, error)) ([]byte, cachetag.Outcome, error) {
	key := e.Organization + e.Name + e.Key
	if v, ok := c.values.Load(key); ok {
		return v.([]byte), cachetag.Hit, nil
	}
	v, err := load(ctx)
	if err == nil {
		c.values.Store(key, v)
	}
	return v, cachetag.Miss, err
}

// Bump implements api.Cache.
func (c *constantCache) Bump(context.Context, string, ...string) error {
	return errors.New("a constant does not change")
}
