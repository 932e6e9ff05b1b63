package workers

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// inHand knows which of River's jobs this process works. River's rows may say otherwise: the answer to a
// fetch can be lost after its commit, and so can the note of how an attempt ended. Such rows would stay
// running, for a process that lives.
type inHand struct {
	mu  sync.Mutex
	ids map[int64]time.Time // when it was let go of; zero: in hand
}

func newInHand() *inHand { return &inHand{ids: make(map[int64]time.Time)} }

// hooks are how River's client tells.
func (h *inHand) hooks() []rivertype.Hook {
	return []rivertype.Hook{
		river.HookWorkBeginFunc(func(_ context.Context, j *rivertype.JobRow) error {
			h.note(j.ID, time.Time{})
			return nil
		}),
		river.HookWorkEndFunc(func(_ context.Context, j *rivertype.JobRow, err error) error {
			h.note(j.ID, time.Now())
			return err
		}),
	}
}

func (h *inHand) note(id int64, left time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids[id] = left
}

// lately lists what is in hand or was until so long ago; River notes ends a little later.
func (h *inHand) lately(within time.Duration) []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]int64, 0, len(h.ids))
	for id, left := range h.ids {
		if !left.IsZero() && time.Since(left) > within {
			delete(h.ids, id)
			continue
		}
		list = append(list, id)
	}
	return list
}
