package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A worker that is told to stop lets its jobs go on for STOP_GRACE: what ends by then is done, and what is longer goes
// back, and runs again elsewhere.
func TestAWorkerStopsWithinItsGrace(t *testing.T) {
	t.Parallel()
	const grace = 3 * time.Second
	s := newStack(t)
	pool := s.pool()
	_, admin := s.api("api")
	organization, own := admin.organization(t, "Grace")
	s.relay("relay")
	metrics := freeAddress(t)
	first := s.worker("first", "STOP_GRACE="+grace.String(), "METRICS_LISTEN="+metrics)
	quick, slow := newGate(t), newGate(t)
	short := own.submit(t, "chaos.visit", quick.input()).ID
	long := own.submit(t, "chaos.visit", slow.input()).ID
	must(t, "both jobs run", errors.Join(quick.visits(within(t, 20*time.Second), 1), slow.visits(within(t, 20*time.Second), 1)))

	ready := newClient("http://"+metrics, "")
	must(t, "the worker is ready", ready.ready(within(t, 10*time.Second)))
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		status, _, err := first.terminate(within(t, time.Minute))
		if err == nil && status != 0 {
			err = fmt.Errorf("it ended with status %d", status)
		}
		ended <- err
	}()
	must(t, "readiness goes while it stops", eventually(within(t, grace), func(ctx context.Context) error {
		r, err := ready.call(ctx, http.MethodGet, "/readyz", "")
		if err == nil && r.status != http.StatusServiceUnavailable {
			err = fmt.Errorf("%d %s", r.status, r.body)
		}
		return err
	}))
	quick.open()
	must(t, "the worker ends", <-ended)
	took(t, "the worker ended", began, grace+10*time.Second)
	if d := time.Since(began); d < grace {
		t.Errorf("it ended after %s, with a job that still ran and had %s", d, grace)
	}
	must(t, "the long job's context ends", slow.leaves(within(t, time.Second), 1))
	if j, err := own.job(t.Context(), short); err != nil || j.Status != "succeeded" {
		t.Errorf("the short job is %s (%v), and had time to end", j.Status, err)
	}
	if j, err := own.job(t.Context(), long); err != nil || j.ended() {
		t.Errorf("the long job is %s (%v), and was not done", j.Status, err)
	}

	s.worker("second")
	must(t, "the long job runs again", slow.visits(within(t, 30*time.Second), 1))
	slow.open()
	own.done(t, long, 30*time.Second)
	must(t, "audit", audit(t.Context(), pool, organization, []string{short, long}))
}

// An API that is told to stop is unready at once and takes requests for DRAIN_PAUSE all the same; only then streams
// end. A client that goes elsewhere when nobody listens any more has not seen one request fail.
func TestAnAPIStopsWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	const pause = 2 * time.Second
	s := newStack(t)
	leaving, admin := s.api("leaving", "DRAIN_PAUSE="+pause.String())
	_, own := admin.organization(t, "Leaving")
	s.relay("relay")
	s.worker("worker")
	g := newGate(t)
	id := own.submit(t, "chaos.visit", g.input()).ID
	must(t, "the job runs", g.visits(within(t, 20*time.Second), 1))
	stream := follow(t, own, id)

	var failed sync.Map
	var answered, after atomic.Int64
	var told atomic.Bool
	var clients sync.WaitGroup
	for range 8 {
		c := newClient(own.base, own.key) // connections of its own, kept open as a proxy keeps them
		clients.Go(func() {
			for n := 0; ; n++ {
				r, err := c.call(context.WithoutCancel(t.Context()), http.MethodPost, "/api/contacts", fmt.Sprintf(`{"name":"Nr %d","state":"Kerala"}`, n))
				switch {
				case errors.Is(err, syscall.ECONNREFUSED):
					return
				case err != nil:
					failed.Store(err.Error(), true)
					return
				case r.status != http.StatusCreated:
					failed.Store(fmt.Sprintf("%d %s", r.status, r.body), true)
					return
				}
				answered.Add(1)
				if told.Load() {
					after.Add(1)
				}
			}
		})
	}
	must(t, "clients are answered", eventually(within(t, 10*time.Second), func(context.Context) error {
		if answered.Load() < 100 {
			return errors.New("not yet")
		}
		return nil
	}))
	began := time.Now()
	told.Store(true)
	ended := make(chan error, 1)
	go func() {
		status, _, err := leaving.terminate(within(t, time.Minute))
		if err == nil && status != 0 {
			err = fmt.Errorf("it ended with status %d", status)
		}
		ended <- err
	}()
	must(t, "readiness goes", eventually(within(t, pause/2), func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, own.base+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := own.http.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable {
			return errors.New(response.Status)
		}
		if !response.Close {
			t.Error("a proxy may send its next request by a connection that is closed under it")
		}
		return nil
	}))
	select {
	case <-stream:
		if d := time.Since(began); d < pause {
			t.Errorf("the stream ended after %s, and requests are taken for %s", d, pause)
		}
	case <-time.After(pause + 10*time.Second):
		t.Error("the stream goes on")
	}
	must(t, "the API ends", <-ended)
	took(t, "the API ended", began, pause+10*time.Second)
	clients.Wait()
	failed.Range(func(why, _ any) bool {
		t.Errorf("a request failed: %s", why)
		return true
	})
	if after.Load() < 20 {
		t.Errorf("%d requests were answered after it was told to stop", after.Load())
	}
	t.Logf("%d requests were answered, %d of them after it was told to stop", answered.Load(), after.Load())
}

// follow reads a job's events, and closes what it gives when the stream ends.
func follow(t *testing.T, c *client, id string) <-chan struct{} {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.base+"/api/jobs/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("Accept", "text/event-stream")
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("follow %s: %s", id, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data:") && !strings.HasPrefix(lines.Text(), ":") {
		continue // it is open when something has come
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer response.Body.Close()
		for lines.Scan() {
			continue
		}
	}()
	return ended
}
