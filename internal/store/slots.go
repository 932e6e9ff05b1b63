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
//
// Within a process a slot goes from hand to hand. When others wait for one, a process keeps its slots for
// one turn, and then stands back for long enough that they notice.
type Slots struct {
	db      *DB
	class   int32 // of the locks that are slots
	tickets int32 // of the lock whose number is how many wait in a process

	polling sync.WaitGroup
	closed  chan struct{}

	mu    sync.Mutex
	conn  *pgx.Conn // holds this process's slots
	held  []bool
	queue []*waiter // of this process, oldest first
	polls bool      // somebody polls for the queue
	told  int       // the number on this process's ticket
	turn  time.Time // until when slots may stay here though others wait
	back  time.Time // until when this process stands back
}

// NewSlots makes a semaphore of n slots, shared by all that use the same name.
func NewSlots(db *DB, name string, n int) *Slots {
	hash := func(what string) int32 {
		h := fnv.New32a()
		_, _ = h.Write([]byte("payaid." + what + "." + name))
		return int32(h.Sum32())
	}
	return &Slots{db: db, class: hash("slots"), tickets: hash("tickets"), held: make([]bool, n), closed: make(chan struct{})}
}

const (
	// How often a full semaphore is asked again, by one waiter of a process for all of them.
	slotEvery = 15 * time.Millisecond
	// How long a process keeps its slots while others wait: giving one away costs up to slotEvery.
	slotTurn = 200 * time.Millisecond
	// How long it stands back afterwards: others have asked by then.
	slotBack = 3 * slotEvery
	// A question of these takes a millisecond; a database that takes so long is away.
	slotTimeout = 5 * time.Second
)

var errSlotsClosed = errors.New("ask for a slot: this process stops")

// A waiter is one call of Acquire that found no slot.
type waiter struct{ given chan given }

// given is what a waiter comes to.
type given struct {
	release func()
	err     error
}

// Acquire waits for a free slot until ctx ends. release gives it back; call it once.
func (s *Slots) Acquire(ctx context.Context) (release func(), err error) {
	w, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case g := <-w.given:
		return g.release, g.err
	case <-ctx.Done():
	}
	if !s.leave(w) {
		if g := <-w.given; g.release != nil {
			g.release()
		}
	}
	return nil, ctx.Err()
}

// Close gives up the connection, and with it every slot. Whoever waits gets an error.
func (s *Slots) Close() {
	s.mu.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	s.fail(errSlotsClosed)
	s.mu.Unlock()
	s.polling.Wait()
}

// countOthers counts what other sessions hold, and adds the numbers on their tickets up.
const countOthers = `
SELECT count(*) FILTER (WHERE classid = $1), coalesce(sum(objid::bigint) FILTER (WHERE classid = $2), 0)
FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid IN ($1, $2) AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

// Load is how many slots are taken, how many wait for one, over all processes, and how many slots there are.
// What waits in other processes is up to slotEvery old.
func (s *Slots) Load(ctx context.Context) (ahead, slots int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.connect(ctx); err != nil {
		return 0, 0, err
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	var taken, waiting int
	if err := s.conn.QueryRow(ctx, countOthers, uint32(s.class), uint32(s.tickets)).Scan(&taken, &waiting); err != nil {
		err = fmt.Errorf("count who waits for a slot: %w", err)
		s.fail(err)
		return 0, 0, err
	}
	for _, mine := range s.held {
		if mine {
			taken++
		}
	}
	return taken + waiting + len(s.queue), len(s.held), nil
}

// enter queues for a slot, and takes one that is free at once.
func (s *Slots) enter(ctx context.Context) (*waiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return nil, errSlotsClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	default:
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	w := &waiter{given: make(chan given, 1)}
	s.queue = append(s.queue, w)
	if len(s.queue) == 1 {
		s.serve(ctx)
	}
	if len(s.queue) > 0 && !s.polls {
		s.polls = true
		s.polling.Go(s.poll)
	}
	return w, nil
}

// leave gives up a place in the queue; false says that it has been served.
func (s *Slots) leave(w *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.queue {
		if other == w {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			return true
		}
	}
	return false
}

// poll asks for slots as long as somebody waits.
func (s *Slots) poll() {
	tick := time.NewTicker(slotEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.closed:
			return
		case <-tick.C:
		}
		if !s.pollOnce() {
			return
		}
	}
}

func (s *Slots) pollOnce() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := detached(context.Background())
	defer cancel()
	if err := s.connect(ctx); err != nil {
		s.fail(err)
	}
	if len(s.queue) > 0 {
		s.serve(ctx)
	}
	s.tell(ctx)
	s.polls = len(s.queue) > 0
	return s.polls
}

// takeFree takes as many of the slots named as are free, up to a number. The filter is asked row by row.
const takeFree = `SELECT slot FROM unnest($2::int[]) AS slot WHERE pg_try_advisory_lock($1, slot) LIMIT $3`

// serve gives the queue what slots are free; s.mu is held. A question that fails ends the wait of all.
func (s *Slots) serve(ctx context.Context) {
	if time.Now().Before(s.back) {
		return
	}
	var free []int32
	for i, mine := range s.held {
		if !mine { // the session would get its own lock a second time
			free = append(free, int32(i))
		}
	}
	if len(free) == 0 {
		return
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	rows, err := s.conn.Query(ctx, takeFree, s.class, free, len(s.queue))
	var got []int
	if err == nil {
		got, err = pgx.CollectRows(rows, pgx.RowTo[int])
	}
	if err != nil {
		s.fail(fmt.Errorf("ask for a slot: %w", err))
		return
	}
	if len(got) > 0 && time.Now().After(s.turn) {
		s.turn = time.Now().Add(slotTurn)
	}
	for _, i := range got {
		s.held[i] = true
		s.hand(i)
	}
}

// hand gives a slot that this process holds to the oldest waiter; s.mu is held.
func (s *Slots) hand(i int) {
	w, conn := s.queue[0], s.conn
	s.queue = s.queue[1:]
	w.given <- given{release: func() { s.release(conn, i) }}
}

// setTicket moves this process's shared lock from one number to another; 0 is none.
const setTicket = `
SELECT CASE WHEN $2::int > 0 THEN pg_try_advisory_lock_shared($1, $2) END,
       CASE WHEN $3::int > 0 THEN pg_advisory_unlock_shared($1, $3) END`

// tell writes on the ticket how many wait here; s.mu is held.
func (s *Slots) tell(ctx context.Context) {
	n := len(s.queue)
	if n == s.told || s.conn == nil {
		return
	}
	if _, err := s.conn.Exec(ctx, setTicket, s.tickets, n, s.told); err != nil {
		s.fail(fmt.Errorf("ask for a slot: %w", err))
		return
	}
	s.told = n
}

// waitElsewhere says whether another session has a ticket, $1 being the class of tickets.
const waitElsewhere = `EXISTS (
  SELECT FROM pg_locks
  WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = $1 AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`

// freeSlot gives a slot back, and sees whether others wait for one.
const freeSlot = `SELECT ` + waitElsewhere + `, pg_advisory_unlock($2, $3)`

// release hands the slot to who waits here, unless it is the turn of others.
func (s *Slots) release(conn *pgx.Conn, i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != conn {
		return // the session ended meanwhile, and the slot with it
	}
	ctx, cancel := detached(context.Background())
	defer cancel()
	if len(s.queue) > 0 && s.mayKeep(ctx) {
		s.hand(i)
		return
	}
	if s.conn == nil {
		return
	}
	s.held[i] = false
	var others, had bool
	err := conn.QueryRow(ctx, freeSlot, uint32(s.tickets), s.class, i).Scan(&others, &had)
	if err == nil && !had {
		err = errors.New("the slot was not held")
	}
	if err != nil {
		s.fail(fmt.Errorf("give a slot back: %w", err))
		return
	}
	if others && time.Now().After(s.turn) {
		s.back = time.Now().Add(slotBack)
	}
}

// mayKeep says whether a slot may stay here; s.mu is held.
func (s *Slots) mayKeep(ctx context.Context) bool {
	if time.Now().Before(s.turn) {
		return true
	}
	var others bool
	if err := s.conn.QueryRow(ctx, `SELECT `+waitElsewhere, uint32(s.tickets)).Scan(&others); err != nil {
		s.fail(fmt.Errorf("ask for a slot: %w", err))
		return false
	}
	if !others {
		s.turn = time.Now().Add(slotTurn)
	}
	return !others
}

// detached is for questions on the connection: a caller that goes away in the middle of one would close it,
// and with it the slots of all the others.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), slotTimeout)
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

// fail ends the wait of all, and the session with its slots; s.mu is held.
func (s *Slots) fail(err error) {
	for _, w := range s.queue {
		w.given <- given{err: err}
	}
	s.queue = nil
	s.drop()
}

func (s *Slots) drop() {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx)
	s.conn, s.told = nil, 0
	clear(s.held)
}
