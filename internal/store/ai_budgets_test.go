package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
)

// a ledger is the money of one organization.
type ledger struct {
	t    *testing.T
	db   *store.DB
	conn *pgx.Conn
	id   string
}

// newLedger makes an organization with a budget in paise; negative: none.
func newLedger(t *testing.T, paise int64) *ledger {
	t.Helper()
	url := newDatabase(t)
	l := &ledger{t: t, db: open(t, url, store.System), conn: connect(t, url), id: uuid.NewString()}
	l.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Rao Textiles', 'KA')`, l.id)
	l.budget(paise)
	return l
}

func (l *ledger) exec(sql string, args ...any) {
	l.t.Helper()
	if _, err := l.conn.Exec(l.t.Context(), sql, args...); err != nil {
		l.t.Fatal(err)
	}
}

func (l *ledger) budget(paise int64) {
	l.t.Helper()
	value := "null"
	if paise >= 0 {
		value = fmt.Sprint(paise)
	}
	l.exec(`UPDATE organizations SET settings = $2::jsonb WHERE id = $1`, l.id, `{"ai":{"monthly_budget":`+value+`}}`)
}

func (l *ledger) reserve(nano int64, at time.Time) (store.AIReservation, store.AIAccount, bool) {
	l.t.Helper()
	r := store.AIReservation{OrganizationID: l.id, ID: uuid.NewString(), JobID: uuid.NewString(), NanoINR: nano}
	a, granted, err := l.db.ReserveAI(l.t.Context(), r, at)
	if err != nil {
		l.t.Fatal(err)
	}
	return r, a, granted
}

func (l *ledger) settle(r store.AIReservation, cost int64) {
	l.t.Helper()
	if err := l.db.SettleAI(l.t.Context(), r, cost); err != nil {
		l.t.Fatal(err)
	}
}

func (l *ledger) sweep(before time.Time) int64 {
	l.t.Helper()
	n, err := l.db.SweepAI(l.t.Context(), before)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// want checks what is spent and set aside in a month.
func (l *ledger) want(month string, spent, reserved int64) {
	l.t.Helper()
	var gotSpent, gotReserved int64
	err := l.conn.QueryRow(l.t.Context(), `SELECT spent_nano_inr, reserved_nano_inr FROM ai_budgets
		WHERE organization_id = $1 AND month = $2::date`, l.id, month).Scan(&gotSpent, &gotReserved)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		l.t.Fatal(err)
	}
	if gotSpent != spent || gotReserved != reserved {
		l.t.Fatalf("%s: %d spent and %d set aside, want %d and %d", month, gotSpent, gotReserved, spent, reserved)
	}
}

const paisa = store.NanoPerPaisa

var noon = time.Date(2026, time.November, 22, 6, 30, 0, 0, time.UTC) // of India

func TestReserveAndSettle(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 10)
	first, a, ok := l.reserve(6*paisa, noon)
	if !ok || a.Month.Format(time.DateOnly) != "2026-11-01" || *a.Budget != 10 {
		t.Fatalf("got %+v, %v", a, ok)
	}
	if _, a, ok := l.reserve(4*paisa+1, noon); ok || a.Used != 6*paisa || *a.Left() != 4 {
		t.Fatalf("a billionth of a rupee too much: %v, %+v", ok, a)
	}
	second, _, ok := l.reserve(4*paisa, noon)
	if !ok {
		t.Fatal("what is there to the last paisa was refused")
	}
	l.want("2026-11-01", 0, 10*paisa)
	l.settle(first, paisa+1)
	l.settle(first, paisa+1) // an answer that was lost, and a second try
	l.want("2026-11-01", paisa+1, 4*paisa)
	if a, err := l.db.AIAccount(t.Context(), l.id, noon); err != nil || *a.Left() != 4 {
		t.Errorf("got %+v, %v: want 4 whole paise left of 5 less a bit", a, err)
	}
	l.settle(second, 0)
	l.want("2026-11-01", paisa+1, 0)
	if _, _, ok := l.reserve(9*paisa, noon); ok {
		t.Error("more than is left was granted")
	}
}

func TestNoBudgetAndNothingToSpend(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 0)
	if _, a, ok := l.reserve(1, noon); ok || *a.Budget != 0 {
		t.Errorf("0 pays: %v, %+v", ok, a)
	}
	l.budget(-1)
	r, a, ok := l.reserve(1<<50, noon)
	if !ok || a.Budget != nil || a.Left() != nil {
		t.Errorf("no limit refuses: %v, %+v", ok, a)
	}
	l.settle(r, 5*paisa)
	if err := l.db.SpendAI(t.Context(), l.id, 2*paisa, noon); err != nil {
		t.Fatal(err)
	}
	l.want("2026-11-01", 7*paisa, 0)
	// What was spent before a budget was set counts in it, and a budget below it leaves nothing.
	l.budget(8)
	if _, _, ok := l.reserve(paisa+1, noon); ok {
		t.Error("what was spent before is forgotten")
	}
	l.budget(3)
	if _, a, ok := l.reserve(1, noon); ok || *a.Left() != 0 {
		t.Errorf("got %v, %+v", ok, a)
	}
	l.budget(9007199254740991) // the most that the API takes; the ledger's unit does not reach as far
	if _, a, ok := l.reserve(1<<40, noon); !ok || *a.Budget != 9007199254740991 {
		t.Errorf("got %v, %+v", ok, a)
	}
}

// The month turns where the organization is, which is five and a half hours before it does in UTC.
func TestMonthTurnsInTheOrganization(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 10)
	before := time.Date(2026, time.November, 30, 18, 29, 59, 0, time.UTC) // 23:59:59 in India
	after := before.Add(time.Second)
	old, _, ok := l.reserve(10*paisa, before)
	if !ok {
		t.Fatal("refused")
	}
	if _, a, ok := l.reserve(paisa, before); ok {
		t.Fatalf("the old month has more than its budget: %+v", a)
	}
	_, a, ok := l.reserve(10*paisa, after)
	if !ok || a.Month.Format(time.DateOnly) != "2026-12-01" {
		t.Fatalf("the new month: %v, %+v", ok, a)
	}
	l.settle(old, 3*paisa) // the call ended in December, and belongs to November
	l.want("2026-11-01", 3*paisa, 0)
	l.want("2026-12-01", 0, 10*paisa)
	if a, err := l.db.AIAccount(t.Context(), l.id, after); err != nil || *a.Left() != 0 {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestSweepCountsInFullAndIsCorrected(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 100)
	dead, _, _ := l.reserve(6*paisa, noon)
	frozen, _, _ := l.reserve(5*paisa, noon)
	young, _, _ := l.reserve(3*paisa, noon.Add(time.Minute))
	if n := l.sweep(noon.Add(time.Minute)); n != 2 {
		t.Fatalf("swept %d, want 2", n)
	}
	l.want("2026-11-01", 11*paisa, 3*paisa)
	if n := l.sweep(noon.Add(time.Minute)); n != 0 {
		t.Fatalf("swept %d twice", n)
	}
	l.settle(frozen, 2*paisa) // it was only frozen
	l.settle(frozen, 2*paisa)
	l.want("2026-11-01", 8*paisa, 3*paisa)
	l.settle(young, paisa)
	l.want("2026-11-01", 9*paisa, 0)
	// What is swept stays as long as its job, then goes.
	l.exec(`INSERT INTO jobs (organization_id, id, kind, queue, status, priority, run, max_attempts, input, metadata, run_at, event_id, created_at)
		VALUES ($1, $2, 'ai.completion', 'ai', 'queued', 2, 1, 4, '{}', '{}', now(), $3, now())`, l.id, dead.JobID, uuid.NewString())
	kept := func() (n int) {
		if err := l.db.CleanUp(t.Context(), store.Retention{}); err != nil {
			t.Fatal(err)
		}
		if err := l.conn.QueryRow(t.Context(), `SELECT count(*) FROM ai_reservations`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := kept(); n != 1 {
		t.Errorf("%d reservations are kept, want that of the job that is there", n)
	}
	l.exec(`DELETE FROM jobs`)
	if n := kept(); n != 0 {
		t.Errorf("%d reservations of a job that is gone", n)
	}
	l.want("2026-11-01", 9*paisa, 0)
}

// However many reserve, settle and sweep at once, the account is right at every moment and at the end.
func TestAccountUnderConcurrency(t *testing.T) {
	t.Parallel()
	const budget, price, callers, rounds = 20, paisa, 12, 40
	l := newLedger(t, budget)
	var granted, spent atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var others, all sync.WaitGroup
	others.Go(func() { // sweeps what is under way, and looks
		for ctx.Err() == nil {
			if _, err := l.db.SweepAI(t.Context(), noon.Add(time.Hour)); err != nil {
				t.Error(err)
				return
			}
			a, err := l.db.AIAccount(t.Context(), l.id, noon)
			if err != nil || a.Used > budget*paisa {
				t.Errorf("%d used of %d (%v)", a.Used, budget*paisa, err)
				return
			}
		}
	})
	for c := range callers {
		all.Go(func() {
			for i := range rounds {
				r := store.AIReservation{OrganizationID: l.id, ID: uuid.NewString(), JobID: uuid.NewString(), NanoINR: price}
				_, ok, err := l.db.ReserveAI(t.Context(), r, noon)
				if err != nil {
					t.Error(err)
					return
				}
				if !ok {
					continue
				}
				granted.Add(1)
				cost := int64(price) * int64((c+i)%3) / 2
				spent.Add(cost)
				for range 1 + i%2 {
					if err := l.db.SettleAI(t.Context(), r, cost); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	stop()
	others.Wait()
	if n := granted.Load(); n < budget || n == callers*rounds {
		t.Errorf("%d calls were granted: the test shows nothing", n)
	}
	l.want("2026-11-01", spent.Load(), 0)
}

// An organization sees its own account alone, and can't write it.
func TestAccountIsTheOrganizations(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 10)
	l.reserve(6*paisa, noon)
	other := uuid.NewString()
	l.exec(`INSERT INTO organizations (id, name, state) VALUES ($1, 'Other', 'KA')`, other)
	app := open(t, l.conn.Config().ConnString(), store.App)
	if a, err := app.AIAccount(t.Context(), l.id, noon); err != nil || *a.Left() != 4 {
		t.Errorf("own: %+v, %v", a, err)
	}
	if a, err := app.AIAccount(t.Context(), other, noon); err != nil || a.Used != 0 || a.Budget != nil {
		t.Errorf("other: %+v, %v", a, err)
	}
	err := app.TxAs(t.Context(), l.id, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE ai_budgets SET spent_nano_inr = 0`)
		return err
	})
	if err == nil {
		t.Error("an organization wrote its own account")
	}
}
