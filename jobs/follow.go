package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// flushEvery is how long tokens gather before they are written: a commit per token would cost more than
// the token, and nobody reads faster.
const flushEvery = 50 * time.Millisecond

// A Follow tells clients that watch a job how it goes on: numbered events, kept in Postgres, so that a
// client that was cut off continues without a gap. Number 1 is the job's birth and is not stored.
type Follow struct {
	deps      Deps
	job       *store.Job
	hold      store.Hold // of the attempt; the job's version grows while events are written
	overtaken func()

	mu      sync.Mutex
	seq     int64 // of the last event, 0: not looked up yet
	buffer  []store.JobEvent
	begun   []store.BegunCall // calls under way that nobody would know of if this process died
	noted   []string          // ids of those that were written down, or may have been
	text    strings.Builder   // tokens that are not an event yet
	dirty   chan struct{}     // something gathers
	closing chan struct{}
	done    chan struct{} // all is written
	lost    error
}

func newFollow(d Deps, j *store.Job, overtaken func()) *Follow {
	return &Follow{deps: d, job: j, hold: j.Hold(), overtaken: overtaken}
}

// Started says that an attempt is on. An earlier attempt's text is withdrawn.
func (f *Follow) Started(ctx context.Context) error {
	seq, text, err := store.LastJobEvent(ctx, f.deps.Relaxed.Pool(), f.job.OrganizationID, f.job.ID)
	if err != nil {
		return err
	}
	f.seq = max(seq, 1)
	if f.job.Run > 1 && f.job.StartedAt != nil {
		// An attempt that waited is not counted and begins as the first again, so the attempt doesn't tell.
		told, err := store.ToldSince(ctx, f.deps.Relaxed.Pool(), f.job.OrganizationID, f.job.ID, seq, *f.job.StartedAt)
		if err != nil {
			return err
		}
		if !told {
			f.seq++ // the number that ended the run before
		}
	}
	f.dirty, f.closing, f.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go f.write(context.WithoutCancel(ctx))
	f.status(nil)
	if text {
		f.Reset("", fmt.Sprintf("attempt %d begins", f.job.Attempt))
	}
	return nil
}

// status tells what of the job's own fields is different now; whoever sends it to a client adds the rest.
func (f *Follow) status(waiting any) {
	f.add("status", map[string]any{"status": store.Running, "attempt": f.job.Attempt, "started_at": f.job.StartedAt,
		"waiting": waiting, "output": nil, "error": nil, "finished_at": nil})
}

// Waits says why the job does not go on now, and when it is tried again.
func (f *Follow) Waits(reason string, next time.Time) {
	f.status(map[string]any{"reason": reason, "next_attempt_at": next.UTC()})
}

// Provider says who is asked now, and why, if it is not the first choice.
func (f *Follow) Provider(provider, model, reason string) {
	f.add("provider", map[string]any{"provider": provider, "model": model, "reason": orNull(reason)})
}

// Token adds a piece of the answer's text.
func (f *Follow) Token(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text.WriteString(text)
	f.poke()
}

// Reset withdraws the text so far.
func (f *Follow) Reset(provider, reason string) {
	f.add("reset", map[string]any{"provider": orNull(provider), "reason": reason})
}

// Progress says how much of how much is done. It shows on the job too.
func (f *Follow) Progress(ctx context.Context, done, total int64) error {
	progress, err := json.Marshal(map[string]int64{"done": done, "total": total})
	if err != nil {
		return err
	}
	if err := store.ProgressJob(ctx, f.deps.Relaxed.Pool(), f.hold, progress); err != nil {
		return err
	}
	f.job.Version++
	f.add("progress", json.RawMessage(progress))
	return nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (f *Follow) add(kind string, data any) {
	encoded, err := json.Marshal(data)
	if err != nil {
		return // of maps of strings and numbers: can't be
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dirty == nil {
		return
	}
	f.cutText()
	f.append(kind, encoded)
	f.poke()
}

// cutText makes an event of the tokens that came since the last.
func (f *Follow) cutText() {
	if f.text.Len() == 0 {
		return
	}
	encoded, _ := json.Marshal(map[string]string{"text": f.text.String()})
	f.text.Reset()
	f.append("token", encoded)
}

func (f *Follow) append(kind string, data json.RawMessage) {
	f.seq++
	f.buffer = append(f.buffer, store.JobEvent{Seq: f.seq, Type: kind, Data: data})
}

func (f *Follow) poke() {
	select {
	case f.dirty <- struct{}{}:
	default:
	}
}

// write stores what gathers until the follow is closed: the first at once, what follows in gulps.
func (f *Follow) write(ctx context.Context) {
	defer close(f.done)
	defer func() { f.lost = f.flush(ctx) }()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-f.closing:
			return
		case <-f.dirty:
		}
		select {
		case <-f.closing:
			return
		case <-pause.C:
		}
		switch err := f.flush(ctx); {
		case errors.Is(err, store.ErrConflict):
			f.overtaken()
			return
		case err != nil:
			f.poke()
			pause.Reset(20 * flushEvery)
		default:
			pause.Reset(flushEvery)
		}
	}
}

// flush stores what has gathered. What can't be stored now stays, as a number that is left out would
// be a gap to whoever follows.
func (f *Follow) flush(ctx context.Context) error {
	f.mu.Lock()
	f.cutText()
	events, begun := f.buffer, f.begun
	for _, c := range begun {
		f.noted = append(f.noted, c.ID)
	}
	f.begun = nil
	f.mu.Unlock()
	if len(events) == 0 && len(begun) == 0 {
		return nil
	}
	err := persist(ctx, func(ctx context.Context) error {
		return store.AppendJobEvents(ctx, f.deps.Relaxed, f.hold, events, begun...)
	})
	f.mu.Lock()
	if err != nil {
		f.begun = append(begun, f.begun...)
		f.mu.Unlock()
		return err
	}
	f.buffer = f.buffer[len(events):]
	f.mu.Unlock()
	f.deps.Hints.JobChanged(f.job.ID)
	return nil
}

// Close writes what is left and gives back what went wrong. Nothing may be added afterwards.
func (f *Follow) Close() error {
	if f.dirty == nil {
		return nil // never started
	}
	f.mu.Lock()
	f.begun = nil // the attempt's end tells of them
	f.mu.Unlock()
	close(f.closing)
	<-f.done
	return f.lost
}
