package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Slots bounds how many things of a kind go on at once over all processes: a model host takes only so
// many calls. Each slot is a session advisory lock, so a process that dies leaves none taken.
type Slots struct {
	db    *DB
	class int32
	mu    sync.Mutex
	conn  *pgx.Conn // holds this process's slots
	held  []bool
}

// NewSlots makes a semaphore of n slots, shared by all that use the same name.
func NewSlots(db *DB, name string, n int) *Slots {
	h := fnv.New32a()
	_, _ = h.Write([]byte("payaid.slots." + name))
	return &Slots{db: db, class: int32(h.Sum32()), held: make([]bool, n)}
}

// How often a full semaphore is asked again.
const slotEvery = 25 * time.Millisecond

// Acquire waits for a free slot until ctx ends. release gives it back; call it once.
func (s *Slots) Acquire(ctx context.Context) (release func(), err error) {
	for {
		release, err := s.try(ctx)
		if release != nil || err != nil {
			return release, err
		}
		t := time.NewTimer(slotEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
	}
}

// Close gives up the connection, and with it every slot.
func (s *Slots) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
}

func (s *Slots) try(ctx context.Context) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	// A caller that goes away in the middle of a question would close the connection, and with it the
	// slots of all the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for i, mine := range s.held {
		if mine {
			continue // the session would get its own lock a second time
		}
		var got bool
		err := s.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, $2)`, s.class, i).Scan(&got)
		if err != nil {
			s.drop()
			return nil, fmt.Errorf("ask for a slot: %w", err)
		}
		if got {
			s.held[i] = true
			conn := s.conn
			return func() { s.release(conn, i) }, nil
		}
	}
	return nil, nil
}

func (s *Slots) connect(ctx context.Context) error {
	if s.conn != nil && !s.conn.IsClosed() {
		return nil
	}
	s.drop()
	pooled, err := s.db.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("ask for a slot: %w", err)
	}
	s.conn = pooled.Hijack()
	return nil
}

func (s *Slots) release(conn *pgx.Conn, i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != conn {
		return // the session ended meanwhile, and the slot with it
	}
	s.held[i] = false
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var had bool
	err := conn.QueryRow(ctx, `SELECT pg_advisory_unlock($1, $2)`, s.class, i).Scan(&had)
	if err == nil && !had {
		err = errors.New("the slot was not held")
	}
	if err != nil {
		s.drop()
	}
}

func (s *Slots) drop() {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx)
	s.conn = nil
	clear(s.held)
}
