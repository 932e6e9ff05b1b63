package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/payaid/payaid/internal/store"
)

const (
	touchEvery   = time.Minute
	touchTimeout = 5 * time.Second
	touchQueue   = 256
)

// toucher notes in the database when keys were used, off the path of requests.
type toucher struct {
	db  *store.DB
	log *slog.Logger

	mu   sync.Mutex
	last map[touched]time.Time

	queue chan touched
	quit  context.CancelFunc
	done  chan struct{}
}

type touched struct{ organizationID, keyID string }

func startToucher(db *store.DB, log *slog.Logger) *toucher {
	// It serves all requests and outlives each; stop ends it.
	ctx, quit := context.WithCancel(context.Background())
	t := &toucher{db: db, log: log, last: make(map[touched]time.Time),
		queue: make(chan touched, touchQueue), quit: quit, done: make(chan struct{})}
	go t.run(ctx)
	return t
}

// touch notes a use, at most once a minute for each key. When there is too much to note, a later use will.
func (t *toucher) touch(organizationID, keyID string) {
	k, now := touched{organizationID, keyID}, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.last[k]; ok && now.Sub(last) < touchEvery {
		return
	}
	select {
	case t.queue <- k:
		if len(t.last) >= keyCacheSize {
			clear(t.last)
		}
		t.last[k] = now
	default:
	}
}

func (t *toucher) run(ctx context.Context) {
	defer close(t.done)
	for {
		select {
		case <-ctx.Done():
			return
		case k := <-t.queue:
			t.note(ctx, k)
		}
	}
}

func (t *toucher) note(ctx context.Context, k touched) {
	ctx, cancel := context.WithTimeout(ctx, touchTimeout)
	defer cancel()
	if err := t.db.TouchAPIKey(ctx, k.organizationID, k.keyID); err != nil {
		t.log.Warn("use of a key was not noted", "api_key_id", k.keyID, "err", err)
	}
}

// stop waits for the note that is being made; those in the queue are dropped.
func (t *toucher) stop() {
	t.quit()
	<-t.done
}
