package cachetag

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// epochs knows which history the server has. Redis names it by master_replid, which is new after each
// start and after each promotion of a replica: just when writes that were acknowledged may be gone. It is
// asked for on each new connection, before anything else is, so no answer of a server comes before the
// name of its history.
type epochs struct {
	current atomic.Pointer[string]

	mu      sync.Mutex
	retired []string // replaced: a connection that was slow to be made must not bring one back
}

const retiredMost = 256

// now is the epoch in a form for fences, "" before the first connection.
func (e *epochs) now() string {
	if p := e.current.Load(); p != nil {
		return *p
	}
	return ""
}

// connected asks a new connection for the server's history.
func (e *epochs) connected(ctx context.Context, conn *redis.Conn) error {
	info, err := conn.Info(ctx, "replication").Result()
	var refused redis.Error
	if errors.As(err, &refused) && strings.HasPrefix(refused.Error(), "NOPERM") {
		// A server that doesn't let us ask. We can't tell its lives apart; TTLs bound what it forgets.
		info, err = "", nil
	}
	if err != nil {
		return err
	}
	id := "unknown"
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "master_replid:"); ok {
			id = v
		}
	}
	sum := sha256.Sum256([]byte(id))
	e.enter(string(sum[:8]))
	return nil
}

func (e *epochs) enter(epoch string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.now()
	if epoch == was || slices.Contains(e.retired, epoch) {
		return
	}
	if was != "" {
		e.retired = append(e.retired, was)
		e.retired = e.retired[max(0, len(e.retired)-retiredMost):]
	}
	e.current.Store(&epoch)
}
