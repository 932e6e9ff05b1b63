package workers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/jobs"
)

// seen is what a watcher heard.
type seen struct {
	mu   sync.Mutex
	list []JobObservation
}

func (s *seen) watch(o JobObservation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, o)
}

func (s *seen) outcomes() map[jobs.Outcome]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[jobs.Outcome]int)
	for _, o := range s.list {
		if o.Kind == "test.play" && o.Queue == "ai" {
			counts[o.Outcome]++
		}
	}
	return counts
}

// want waits until exactly these outcomes were seen.
func (s *seen) want(t *testing.T, want map[jobs.Outcome]int) {
	t.Helper()
	eventually(t, "the watcher hears of all", func() error {
		if got := s.outcomes(); !maps.Equal(got, want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

const (
	sampledTrace  = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampledWork = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// Every way in which an attempt ends is told once, under the name that it has.
func TestWatchHearsOfEveryAttempt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	var heard seen
	_, stop := s.worker(func(c *Config) { c.Watch, c.SoftStop = heard.watch, 100*time.Millisecond })
	traced := func(to string) func(*store.Job) { return func(j *store.Job) { j.TraceParent = &to } }
	s.ends(s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
		pause := time.NewTimer(50 * time.Millisecond)
		<-pause.C
		return jobs.Result{}, nil
	}, traced(sampledTrace)).ID, store.Succeeded)
	s.ends(s.submit(nil, traced(unsampledWork)).ID, store.Succeeded)
	s.ends(s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) { panic("oh") }).ID, store.Failed) // 2 tries before
	s.ends(s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
		return jobs.Result{}, &jobs.Failure{Code: "bad_weather"}
	}).ID, store.Failed)
	began := make(chan struct{}, 9)
	blocked := func(ctx context.Context, task *jobs.Task) (jobs.Result, error) {
		began <- struct{}{}
		return block(ctx, task)
	}
	cancelled := s.submit(blocked)
	receive(t, "the start", began)
	s.cancel(cancelled.ID)
	s.submit(func(context.Context, *jobs.Task) (jobs.Result, error) {
		return jobs.Result{}, &jobs.Wait{Reason: "the moon is down", After: time.Hour}
	})
	heard.want(t, map[jobs.Outcome]int{jobs.Succeeded: 2, jobs.Retried: 2, jobs.Failed: 2, jobs.Cancelled: 1, jobs.Waiting: 1})
	s.submit(blocked)
	receive(t, "the start", began)
	stop()
	heard.want(t, map[jobs.Outcome]int{jobs.Succeeded: 2, jobs.Retried: 2, jobs.Failed: 2, jobs.Cancelled: 1, jobs.Waiting: 1,
		jobs.Returned: 1})

	first := heard.list[0]
	if first.TraceID == "" || !strings.Contains(sampledTrace, first.TraceID) || first.Took < 50*time.Millisecond || first.Took > patience ||
		first.Wait < 0 || first.Wait > patience {
		t.Errorf("the first attempt is told as %+v", first)
	}
	if second := heard.list[1]; second.TraceID != "" {
		t.Errorf("a trace that nobody keeps is told: %+v", second)
	}
}

// The wait is from when the attempt was due, which the clock of another machine said.
func TestWatchCountsTheWaitFromWhenWorkIsDue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for what, row := range map[string]struct {
		due         time.Time
		least, most time.Duration
	}{
		"put off":         {now.Add(-2 * time.Second), 2 * time.Second, 2*time.Second + patience},
		"by a fast clock": {now.Add(time.Hour), 0, 0},
	} {
		var heard seen
		err := Config{Watch: heard.watch}.watched(t.Context(), &rivertype.JobRow{CreatedAt: now.Add(-time.Hour), ScheduledAt: row.due},
			func(context.Context) error { return errOurs })
		if !errors.Is(err, errOurs) || len(heard.list) != 1 {
			t.Fatalf("%s: got %v, %d told", what, err, len(heard.list))
		}
		if o := heard.list[0]; o.Wait < row.least || o.Wait > row.most {
			t.Errorf("%s: it waited %s", what, o.Wait)
		}
	}
}

// What a dead process had in hand is told by whoever finds it, once.
func TestWatchHearsOfLostAttempts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.relay()
	_, stopZombie := s.worker(silent)
	began, zombie := make(chan int, 9), make(chan struct{})
	j := s.submit(func(_ context.Context, t *jobs.Task) (jobs.Result, error) {
		began <- t.Lease
		if t.Lease == 1 {
			<-zombie
			return jobs.Result{}, errors.New("too late")
		}
		return jobs.Result{}, nil
	})
	receive(t, "the zombie's start", began)
	var heard seen
	s.worker(func(c *Config) { c.Watch = heard.watch })
	s.ends(j.ID, store.Succeeded)
	heard.want(t, map[jobs.Outcome]int{jobs.Lost: 1, jobs.Succeeded: 1})
	close(zombie)
	stopZombie()
}
