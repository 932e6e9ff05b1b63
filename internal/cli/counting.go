package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/payaid/payaid/api"
	"github.com/payaid/payaid/events/stream"
	"github.com/payaid/payaid/internal/machine"
	"github.com/payaid/payaid/internal/minutes"
	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
	"github.com/payaid/payaid/migrations"
	"github.com/payaid/payaid/workers"
)

// A counter counts what one process does, and tells the others how it is.
type counter struct {
	*minutes.Recorder
	machine *machine.Machine

	mu    sync.Mutex
	pools []namedPool
}

type namedPool struct {
	name string
	db   *store.DB
}

// folders are those whose disks matter to a process, but for its working directory; "" where there is none.
type folders struct{ data, backups string }

// newCounter makes the counter of a process; it counts with others where there is a Redis.
func newCounter(me store.Process, redisURL string, f folders, log *slog.Logger) (*counter, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	c := &counter{machine: machine.New(f.volumes())}
	config := minutes.Config{Process: minutes.Process{ID: me.Role() + "-" + host + "-" + me.Instance, Role: me.Role(), Host: host},
		Gauges: func() any { return c.gauges() }, Blocks: c.blocks, Log: log}
	if redisURL != "" {
		if config.Redis, err = redisOptions(redisURL); err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
	}
	c.Recorder = minutes.New(config)
	return c, nil
}

func (f folders) volumes() []machine.Volume {
	list := []machine.Volume{}
	if f.backups != "" {
		list = append(list, machine.Volume{Name: "backups", Path: f.backups})
	}
	if f.data != "" {
		list = append(list, machine.Volume{Name: "data", Path: f.data})
	}
	if dir, err := os.Getwd(); err == nil {
		list = append(list, machine.Volume{Name: "working_directory", Path: dir})
	}
	return list
}

// watch counts slow queries of a pool that is opened with these options.
func (c *counter) watch(o store.PoolOptions) store.PoolOptions {
	o.OnSlow = c.SlowQuery
	return o
}

// use tells others of a pool from now on.
func (c *counter) use(name string, db *store.DB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools = append(c.pools, namedPool{name, db})
}

func (c *counter) used() []namedPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pools
}

func (c *counter) gauges() api.ProcessGauges {
	g := api.ProcessGauges{Version: version(), Machine: c.machine.Figures(), Pools: []api.PoolGauge{}}
	for _, p := range c.used() {
		s := p.db.Stats()
		g.Pools = append(g.Pools, api.PoolGauge{Pool: p.name, Size: s.Base, Most: s.Base + s.Overflow, InUse: s.InUse, Idle: s.Idle})
	}
	return g
}

// blocks samples the cache of the database over the process's first pool.
func (c *counter) blocks(ctx context.Context) (minutes.Blocks, error) {
	pools := c.used()
	if len(pools) == 0 {
		return minutes.Blocks{}, errors.New("there is no connection to the database")
	}
	b, err := pools[0].db.DatabaseBlocks(ctx)
	return minutes.Blocks(b), err
}

// run counts beside what the process does. The function that it gives leaves the last figures, and waits for that.
func (c *counter) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var counting sync.WaitGroup
	counting.Go(func() { _ = c.Run(ctx) })
	return func() {
		cancel()
		counting.Wait()
		_ = c.Close()
	}
}

// request counts what the API answered.
func (c *counter) request(o api.Observation) {
	c.Request(minutes.Request{Status: o.Status, Took: o.Took, Probe: o.Probe, Lasting: o.Lasting, Gone: o.Gone()})
}

// job counts an attempt that ended. How long one took that died with its process, nobody knows.
func (c *counter) job(o workers.JobObservation) {
	took := o.Took
	if o.Outcome == jobs.Lost {
		took = -1
	}
	c.Job(minutes.Job{Queue: o.Queue, Kind: o.Kind, Outcome: string(o.Outcome), Wait: o.Wait, Took: took})
}

// figures is what an API process tells of the installation.
func (c *counter) figures(nc *nats.Conn, shared bool) (api.Figures, error) {
	s, err := stream.Open(nc)
	if err != nil {
		return api.Figures{}, err
	}
	latest, err := migrations.Latest()
	if err != nil {
		return api.Figures{}, fmt.Errorf("look for the newest migration: %w", err)
	}
	f := api.Figures{Hour: c.Hour, Shared: shared, Schema: latest, Stream: func(ctx context.Context) (api.StreamEnds, error) {
		if !nc.IsConnected() {
			return api.StreamEnds{}, errors.New("nats is not connected")
		}
		first, tail, err := s.Ends(ctx)
		ends := api.StreamEnds{First: first, Last: tail.Seq}
		if tail.Known {
			ends.At = &tail.Position
		}
		return ends, err
	}}
	for _, q := range jobs.Queues() {
		f.Queues = append(f.Queues, q.Name)
	}
	return f, nil
}
