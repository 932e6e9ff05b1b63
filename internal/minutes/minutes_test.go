package minutes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/localstack"
)

// Two processes, and more requests than one minute's worth of luck: the sums are exact.
func TestEveryRequestCountsOnce(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	a, b := recorder(t, o, "a"), recorder(t, o, "b")
	run(t, a)
	stopB := run(t, b)
	const each, clients = 1250, 4
	var wg sync.WaitGroup
	for _, r := range []*Recorder{a, b} {
		for range clients {
			wg.Go(func() {
				for i := range each {
					status := 200
					if i%10 == 0 {
						status = 500
					}
					r.Request(Request{Status: status, Took: time.Duration(i) * time.Millisecond, Probe: i%5 == 1, Lasting: i%5 == 2})
				}
			})
		}
	}
	wg.Wait()
	stopB() // leaves the rest
	h := hour(t, a)
	const all = 2 * clients * each
	if h.Requests != all || h.Errors != all/10 || h.Probes != all/5 || h.Times.Count != all*3/5 {
		t.Errorf("of %d requests: got %d, errors %d, probes %d, times %d", all, h.Requests, h.Errors, h.Probes, h.Times.Count)
	}
	if len(h.Processes) != 1 || h.Processes[0].ID != "a" || len(h.Silent) != 0 {
		t.Errorf("after one has ended: reporting %v, silent %v", h.Processes, h.Silent)
	}
	if w := h.Until.Sub(h.From); w < time.Hour || w > time.Hour+time.Minute {
		t.Errorf("the window is %s", w)
	}
}

// What another process has left is seen, and jobs and slow queries add up as well.
func TestAllThatIsCountedAddsUp(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	a, b := recorder(t, o, "a"), recorder(t, o, "b")
	for _, r := range []*Recorder{a, b} {
		r.SlowQuery(150 * time.Millisecond)
		r.Job(Job{Queue: "mail", Outcome: "succeeded", Wait: time.Second, Took: 2 * time.Second})
		r.Job(Job{Queue: "mail", Outcome: "lost", Took: -1})
		r.Request(Request{Status: 499, Gone: true})
		r.leave(t.Context())
	}
	b.Job(Job{Queue: "ai", Outcome: "failed", Took: time.Minute})
	b.leave(t.Context())
	h := hour(t, a)
	mail := h.Queues["mail"]
	if h.Slow != 2 || h.SlowTime != 300*time.Millisecond || h.Gone != 2 || h.Errors != 0 || h.Times.Count != 0 {
		t.Errorf("got %+v", h.Counts)
	}
	if mail.Ended("succeeded", "lost") != 4 || mail.Times.Count != 2 || mail.Times.Sum != 4*time.Second || mail.Waits.Sum != 2*time.Second ||
		h.Queues["ai"].Ended("failed") != 1 || strings.Join(h.QueueNames(), " ") != "ai mail" {
		t.Errorf("got queues %+v", h.Queues)
	}
	// Reading must not add to what is remembered.
	if again := hour(t, a); again.Slow != 2 || again.Queues["mail"].Outcomes["lost"] != 2 {
		t.Errorf("read again: got %+v", again.Counts)
	}
}

// A Redis that is killed and comes back empty has all of it again: what was counted before, meanwhile and after.
func TestRedisIsKilled(t *testing.T) {
	t.Parallel()
	server := localstack.NewRedis(t)
	o := optionsOf(t, server)
	var away atomic.Bool // as the server starts again by itself
	o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		if away.Load() {
			return nil, errors.New("nobody is there")
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	a, b := recorder(t, o, "a"), recorder(t, o, "b")
	run(t, a)
	run(t, b)
	count := func(n int) {
		for range n {
			a.Request(Request{Status: 200})
			b.Request(Request{Status: 503})
		}
	}
	count(100)
	eventually(t, "both have left what they counted", func() bool { return hour(t, a).Requests == 200 && hour(t, b).Requests == 200 })
	away.Store(true)
	server.Kill()
	eventually(t, "redis is missed", func() bool { return a.Hour(t.Context()).Scope == Alone })
	count(20)
	if h := a.Hour(t.Context()); h.Scope != Alone || h.Why == nil || h.Requests != 120 || len(h.Processes) != 1 {
		t.Errorf("without redis: got %d requests, %s, %v", h.Requests, h.Scope, h.Why)
	}
	if err := server.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	away.Store(false)
	count(3)
	eventually(t, "both have left all of it again", func() bool {
		h := a.Hour(t.Context())
		return h.Scope == Everybody && h.Requests == 246 && h.Errors == 123 && b.Hour(t.Context()).Requests == 246
	})
}

// An answer that is lost leaves open whether Redis has the figures; they are left again, and count once.
func TestUnknownOutcomesCountOnce(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	var armed atomic.Bool
	broken := *o
	broken.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return deaf{c, &armed}, err
	}
	a, b := recorder(t, &broken, "a"), recorder(t, o, "b")
	a.leave(t.Context())
	for range 7 {
		a.Request(Request{Status: 200})
		armed.Store(true)
		if _, err := a.leaveOnce(t.Context(), false); err == nil {
			t.Fatal("an answer that was lost was taken for one")
		}
		armed.Store(false)
	}
	if got := hour(t, b).Requests; got == 0 {
		t.Fatal("nothing got through, so nothing is shown here")
	}
	a.leave(t.Context())
	if got := hour(t, b).Requests; got != 7 {
		t.Errorf("got %d requests, want 7", got)
	}
}

// A killed process loses what it had not left, and it is said that it is gone.
func TestAProcessIsKilled(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	a, b := recorder(t, o, "a"), recorder(t, o, "b")
	b.Request(Request{Status: 200})
	b.leave(t.Context())
	b.Request(Request{Status: 200}) // never left
	h := hour(t, a)
	if h.Requests != 1 || len(h.Processes) != 2 || len(h.Silent) != 0 {
		t.Fatalf("before it is missed: got %d requests, reporting %v, silent %v", h.Requests, h.Processes, h.Silent)
	}
	later(a, silence+time.Second)
	h = hour(t, a)
	if h.Requests != 1 || len(h.Processes) != 1 || len(h.Silent) != 1 || h.Silent[0].ID != "b" {
		t.Errorf("after it is missed: got %d requests, reporting %v, silent %v", h.Requests, h.Processes, h.Silent)
	}
	later(a, 67*time.Minute)
	a.leave(t.Context())
	if n := a.board.client.HLen(t.Context(), keyOfProcesses).Val(); n != 1 {
		t.Errorf("%d processes are on the list after an hour, want 1", n)
	}
}

// later makes it later for a recorder, by the clock of its board.
func later(r *Recorder, by time.Duration) {
	r.board.shift = func() time.Duration { return by }
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = false // as after the next answer
}

// Hosts whose clocks are hours apart count in the same minutes, also what they counted before they could ask.
func TestClocksOfHostsDontMatter(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	var all []*Recorder
	for i, wrong := range []time.Duration{0, -3 * time.Hour, 2 * time.Hour, 40 * time.Second} {
		r := recorder(t, o, fmt.Sprint("host ", i))
		r.began = r.began.Add(wrong)
		r.Request(Request{Status: 200})
		r.leave(t.Context())
		r.Request(Request{Status: 200})
		r.leave(t.Context())
		all = append(all, r)
	}
	for _, r := range all {
		h := hour(t, r)
		if h.Requests != 8 || len(h.Processes) != 4 {
			t.Errorf("%s: got %d requests of %d processes, want 8 of 4", r.process.ID, h.Requests, len(h.Processes))
		}
		if off := time.Until(h.Until).Abs(); off > 5*time.Second {
			t.Errorf("%s takes the time to be %s", r.process.ID, h.Until)
		}
	}
}

func TestAnHourPasses(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	a, b := recorder(t, o, "a"), recorder(t, o, "b")
	at := func(shift time.Duration) {
		for _, r := range []*Recorder{a, b} {
			r.board.shift = func() time.Duration { return shift }
			r.leave(t.Context())
			r.leave(t.Context()) // by the clock that the first has read
		}
	}
	want := func(when string, n int64) {
		t.Helper()
		for _, r := range []*Recorder{a, b} {
			if got := hour(t, r).Requests; got != n {
				t.Errorf("%s: %s got %d requests, want %d", when, r.process.ID, got, n)
			}
		}
	}
	at(0)
	a.Request(Request{Status: 200})
	b.Request(Request{Status: 200})
	at(30 * time.Minute)
	want("after half an hour", 2)
	a.Request(Request{Status: 200})
	at(59*time.Minute + 30*time.Second)
	want("at the end of the hour", 3)
	at(62 * time.Minute)
	want("after the hour of the first", 1)
	at(93 * time.Minute)
	want("after the hour of all", 0)
	if n := len(a.minutes); n > window+1 {
		t.Errorf("%d minutes are remembered", n)
	}
	at(92 * time.Minute) // a clock that is set back
	a.Request(Request{Status: 200})
	at(92 * time.Minute)
	want("after the clock was set back", 1)
}

// A worker that ends says so: nobody misses it, and all that it counted is there.
func TestEndLeavesTheRest(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	a, b := recorder(t, o, "a"), recorder(t, o, "b")
	b.every = time.Hour
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	for range 5 {
		b.Request(Request{Status: 200})
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	later(a, time.Minute/2)
	if h := hour(t, a); h.Requests != 5 || len(h.Silent) != 0 {
		t.Errorf("got %d requests, silent %v", h.Requests, h.Silent)
	}
}

// A Redis that is full can be read: what others could not leave there is missing, and that is said.
func TestRedisIsFull(t *testing.T) {
	t.Parallel()
	o := optionsOf(t, localstack.NewRedis(t))
	a := recorder(t, o, "a")
	a.leave(t.Context())
	if h := a.Hour(t.Context()); h.Scope != Everybody || h.Why != nil {
		t.Fatalf("got %s, %v", h.Scope, h.Why)
	}
	setting := func(name, value string) {
		t.Helper()
		if err := a.board.client.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	setting("maxmemory-policy", "noeviction")
	setting("maxmemory", "1")
	a.Request(Request{Status: 200})
	a.leave(t.Context())
	if h := a.Hour(t.Context()); h.Scope != Everybody || h.Why == nil || h.Requests != 1 {
		t.Errorf("full: got %s, %v, %d requests", h.Scope, h.Why, h.Requests)
	}
	setting("maxmemory", "0")
	a.leave(t.Context())
	if h := a.Hour(t.Context()); h.Why != nil {
		t.Errorf("with room again: %v", h.Why)
	}
}

func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	r := recorder(t, nil, "a")
	stop := run(t, r)
	r.Request(Request{Status: 200, Took: time.Second})
	if h := r.Hour(t.Context()); h.Scope != Alone || h.Why != nil || h.Requests != 1 || h.Times.Sum != time.Second || len(h.Processes) != 1 {
		t.Errorf("got %+v", h)
	}
	stop()
	var none *Recorder
	none.Request(Request{})
	none.SlowQuery(time.Second)
	none.Job(Job{})
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}

// Gauges and samples reach others.
func TestGaugesAndSamples(t *testing.T) {
	t.Parallel()
	o := redisOf(t)
	reset := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	a := recorder(t, o, "a")
	b := New(Config{Redis: o, Process: Process{ID: "b"}, Gauges: func() any { return map[string]int{"memory": 7} },
		Blocks: func(context.Context) (Blocks, error) {
			return Blocks{At: time.Now(), Since: reset, Hit: 10, Read: 1}, nil
		}})
	run(t, b)
	eventually(t, "gauges and samples are there", func() bool {
		h := hour(t, a)
		return len(h.Processes) == 2 && string(h.Processes[1].Gauges) == `{"memory":7}` && h.Blocks != nil && h.Blocks.Hit == 10
	})
	// Of newer statistics the first sample counts, as older ones can't be compared with.
	var c Counts
	for i, since := range []time.Time{reset, reset, reset.Add(time.Minute), reset.Add(time.Minute)} {
		c.add(Counts{Blocks: &Blocks{At: reset.Add(time.Duration(i) * time.Second), Since: since, Hit: int64(i)}})
	}
	if c.Blocks.Hit != 2 {
		t.Errorf("got sample %d, want the first of the newest statistics, 2", c.Blocks.Hit)
	}
}
