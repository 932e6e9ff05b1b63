package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// flow looks at the way from the outbox to River.
func (d *doctor) flow(h store.Health) {
	const late = time.Minute
	if h.OldestUnrouted > late {
		d.say(broken, "events", "is a relay running, and a worker? is NATS there?", "%s events wait to be routed, the oldest for %s",
			orMore(h.Unrouted), h.OldestUnrouted.Round(time.Second))
	} else {
		d.say(fine, "events", "", "%s wait to be routed", orMore(h.Unrouted))
	}
	if h.DeadEvents > 0 {
		d.say(uneasy, "dead events", "see `payaid events dead list`", "%s could not be routed", orMore(h.DeadEvents))
	}
	if h.DaysAhead < 2 {
		d.say(uneasy, "outbox partitions", "is a worker for the queue maintenance running?", "made for %d days ahead only", h.DaysAhead)
	}
}

// orMore is a count of events that ends at a thousand.
func orMore(n int) string {
	if n >= 1000 {
		return strconv.Itoa(n) + " or more"
	}
	return strconv.Itoa(n)
}

func (d *doctor) workers(ctx context.Context, a *app, db *store.DB) {
	list, err := db.Workers(ctx)
	if err != nil {
		d.say(broken, "workers", "run `payaid migrate`", "%v", err)
		return
	}
	served, versions := make(map[string]int), make(map[string]bool)
	for _, w := range list {
		var queues map[string]int
		if time.Since(w.HeartbeatAt) < time.Minute {
			versions[w.Version] = true
			d.breakers(w)
		}
		if json.Unmarshal(w.Queues, &queues) == nil && time.Since(w.HeartbeatAt) < time.Minute {
			for name, n := range queues {
				served[name] += n
			}
		}
	}
	used := make(map[string]int)
	for _, j := range a.table(jobs.Deps{}) {
		used[j.Spec.Queue.Name] = 1
	}
	for _, name := range sortedNames(used) {
		if served[name] == 0 {
			d.say(broken, "queue "+name, "start `payaid worker --queue "+name+"`", "no worker works it")
			continue
		}
		d.say(fine, "queue "+name, "", "%d jobs at a time", served[name])
	}
	if len(versions) > 1 {
		d.say(uneasy, "versions", "restart those that are older", "workers of different versions run: %s", strings.Join(sortedNames(versions), ", "))
	}
}

// breakers tells whom a worker leaves alone for now.
func (d *doctor) breakers(w store.WorkerProcess) {
	for _, p := range w.Providers {
		if p.State != "open" {
			continue
		}
		d.say(uneasy, "breaker "+p.Provider, "see why it fails; it is tried again by itself", "the worker on %s (process %d) leaves %s %s alone, which failed: %s",
			w.Host, w.PID, p.Provider, p.Model, p.LastClass)
	}
}

// schedules looks whether the clock starts what it should.
func (d *doctor) schedules(ctx context.Context, db *store.DB) {
	list, err := db.Schedules(ctx)
	if err != nil {
		d.say(broken, "schedules", "run `payaid migrate`", "%v", err)
		return
	}
	var late, paused []string
	for _, s := range list {
		if s.PausedAt != nil {
			paused = append(paused, fmt.Sprintf("%s since %s", s.Name, s.PausedAt.UTC().Format(time.RFC3339)))
			continue
		}
		if time.Since(s.NextRunAt) > 10*time.Minute {
			late = append(late, fmt.Sprintf("%s of %s", s.Name, s.NextRunAt.UTC().Format(time.RFC3339)))
		}
	}
	if len(late) > 0 {
		d.say(broken, "schedules", "start `payaid worker`", "not started yet: %s", strings.Join(late, ", "))
		return
	}
	if len(paused) > 0 {
		d.say(uneasy, "schedules", "resume them at /admin/schedules", "the clock doesn't start what was paused: %s", strings.Join(paused, ", "))
		return
	}
	d.say(fine, "schedules", "", "%d, none late", len(list))
}
