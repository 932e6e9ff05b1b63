package outbox_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
)

// A script drives several writers whose transactions overlap and end in any order, and a cursor that
// looks in between.
type script struct {
	t       *testing.T
	rand    *rand.Rand
	reader  *pgx.Conn
	writers []*pgx.Conn
	open    []pgx.Tx
	cursor  events.Position
	seen    []place
	n       int
}

func TestCursorSeesEveryCommitOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			url := newDatabase(t)
			db := open(t, url)
			s := &script{t: t, rand: rand.New(rand.NewPCG(seed, 1)), reader: connect(t, url)}
			for range 4 {
				s.writers = append(s.writers, connect(t, url))
			}
			s.open = make([]pgx.Tx, len(s.writers))
			s.cursor.Epoch = epoch(t, s.reader)
			for range 120 {
				s.step()
			}
			for i := range s.open {
				s.end(i)
			}
			want := outboxHolds(t, db)
			eventually(t, "all is seen", func() error {
				s.look()
				if len(s.seen) < len(want) {
					return fmt.Errorf("%d of %d events seen", len(s.seen), len(want))
				}
				return nil
			})
			if diff := cmp.Diff(want, s.seen); diff != "" {
				t.Fatalf("the cursor saw something else than was committed (-committed +seen):\n%s", diff)
			}
			if len(want) < 20 {
				t.Fatalf("only %d events were committed: the script tests nothing", len(want))
			}
		})
	}
}

func epoch(t *testing.T, conn *pgx.Conn) (id string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), `SELECT epoch::text FROM outbox_epochs`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

func (s *script) step() {
	i := s.rand.IntN(len(s.writers))
	switch {
	case s.rand.IntN(3) == 0:
		s.look()
	case s.open[i] == nil:
		s.begin(i)
	case s.rand.IntN(3) == 0:
		s.end(i)
	default:
		s.write(i)
	}
}

// begin makes every second transaction take its number long before it appends: that number is the lower
// then, and its ids may be the higher.
func (s *script) begin(i int) {
	s.t.Helper()
	tx, err := s.writers[i].Begin(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if s.rand.IntN(2) == 0 {
		if _, err := tx.Exec(s.t.Context(), `SELECT pg_current_xact_id()`); err != nil {
			s.t.Fatal(err)
		}
	}
	s.open[i] = tx
}

func (s *script) write(i int) {
	s.t.Helper()
	s.n++
	err := outbox.Append(s.t.Context(), s.open[i], origin(), notes(fmt.Sprint(s.n), 1+s.rand.IntN(3))...)
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) end(i int) {
	s.t.Helper()
	tx := s.open[i]
	if tx == nil {
		return
	}
	end := tx.Commit
	if s.rand.IntN(4) == 0 {
		end = tx.Rollback
	}
	if err := end(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.open[i] = nil
}

func (s *script) look() {
	s.t.Helper()
	entries, _, err := outbox.Pending(s.t.Context(), s.reader, s.cursor, 1+s.rand.IntN(5))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		s.seen = append(s.seen, place{e.Event.ID, e.Position.String()})
		s.cursor = e.Position
	}
}

// The trap in its smallest form: the later transaction is visible, the earlier one is not yet.
func TestCursorWaitsForEarlierTransaction(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	db, early, reader := open(t, url), connect(t, url), connect(t, url)
	first := events.Position{Epoch: epoch(t, reader)}
	tx, err := early.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := outbox.Append(t.Context(), tx, origin(), note{"early", 1}); err != nil {
		t.Fatal(err)
	}
	appendFacts(t, db, note{"late", 1})

	entries, held, err := outbox.Pending(t.Context(), reader, first, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 0 || !held {
		t.Fatalf("got %d entries, held %t; want none while an earlier transaction is open", len(entries), held)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are seen", func() error {
		if entries, held, err = outbox.Pending(t.Context(), reader, first, 10); held || len(entries) != 2 {
			return fmt.Errorf("%d entries, held %t, %v", len(entries), held, err)
		}
		return nil
	})
	if got := []string{entries[0].Event.Subject, entries[1].Event.Subject}; got[0] != "early" || got[1] != "late" {
		t.Fatalf("got %v, want the earlier transaction first", got)
	}
}
