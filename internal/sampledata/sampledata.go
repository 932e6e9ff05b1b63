package sampledata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/payaid/payaid/internal/gst"
)

// Most is the largest number of rows of a kind that an organization gets.
const Most = 10_000_000

// Options say how much is made. Contacts, Deals and Invoices are for each organization.
type Options struct {
	Organizations int // that are made new
	Contacts      int
	Deals         int
	Invoices      int
	Seed          uint64
	Today         time.Time // everything happened before its midnight in India; zero: now
	Name          string    // of the organizations, numbered if there are several; "": made up

	// Into is the id of an organization that is there, which is filled in place of new ones. Its numbers of
	// invoices go on where they stand.
	Into string
	// bigLoad stands in for the package's in tests.
	bigLoad int64
	// Progress, where it is set, is called after each table.
	Progress func(table string, rows int64)
	// Made, where it is set, is called with each organization in the transaction that makes it.
	Made func(ctx context.Context, tx pgx.Tx, o Organization) error
}

// A Summary is what was made.
type Summary struct {
	Organizations                              []Organization
	Contacts, Deals, Invoices, Items, Payments int64
	Today                                      time.Time // the midnight in India before which everything happened
}

// ErrNotOwner means that the login is one that sees single organizations. Rows can only be copied into tables
// that it owns, as COPY is refused where row-level security applies.
var ErrNotOwner = errors.New("the login does not own the tables, and only their owner can copy rows into them")

// Fill makes sample data on a connection of the tables' owner, each organization in a transaction of its own:
// all of it or nothing. Those that are done before an error are in the Summary, and stay. Afterwards the planner's
// statistics are made anew.
//
// A big load into tables that hold less has them for itself: indexes and foreign keys are made anew after the
// rows, in the same transaction, and others wait for these tables until it ends.
func Fill(ctx context.Context, conn *pgx.Conn, o Options) (Summary, error) {
	var sum Summary
	if o.Today.IsZero() {
		o.Today = time.Now()
	}
	sum.Today = newCalendar(o.Today).today
	if err := o.check(); err != nil {
		return sum, err
	}
	if err := mayCopy(ctx, conn); err != nil {
		return sum, err
	}
	if o.Into != "" {
		o.Organizations = 1
	}
	analyzed := false
	for n := range o.Organizations {
		var err error
		if analyzed, err = fill(ctx, conn, o, n, &sum); err != nil {
			return sum, err
		}
	}
	if analyzed {
		return sum, nil
	}
	if _, err := conn.Exec(ctx, analyze); err != nil {
		return sum, fmt.Errorf("analyze: %w", err)
	}
	return sum, nil
}

func (o Options) check() error {
	for _, n := range []int{o.Organizations, o.Contacts, o.Deals, o.Invoices} {
		if n < 0 || n > Most {
			return fmt.Errorf("the numbers of rows are from 0 to %d", Most)
		}
	}
	switch {
	case o.Contacts == 0 && o.Deals+o.Invoices > 0:
		return errors.New("deals and invoices need at least one contact")
	case o.Into == "" && o.Organizations == 0:
		return errors.New("there is no organization to make")
	}
	return nil
}

const rowSecurity = `SELECT row_security_active('contacts') OR NOT has_table_privilege('contacts', 'insert')`

const analyze = `ANALYZE organizations, contacts, deals, invoices, invoice_items, payments, invoice_counters`

func mayCopy(ctx context.Context, conn *pgx.Conn) error {
	var refused bool
	if err := conn.QueryRow(ctx, rowSecurity).Scan(&refused); err != nil {
		return fmt.Errorf("look at the login's rights: %w", err)
	}
	if refused {
		return ErrNotOwner
	}
	return nil
}

// fill makes the n-th organization, and says whether the statistics know of it.
func fill(ctx context.Context, conn *pgx.Conn, o Options, n int, sum *Summary) (analyzed bool, err error) {
	b := newBusiness(o, n)
	made := *sum
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		last, err := b.found(ctx, tx)
		if err != nil {
			return err
		}
		organization := b.organization()
		made.Organizations = append(made.Organizations, organization)
		if analyzed, err = b.load(ctx, tx, last, &made); err != nil {
			return err
		}
		if err := last.write(ctx, tx, b.id); err != nil {
			return err
		}
		if o.Made != nil {
			return o.Made(ctx, tx, organization)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("fill organization %s: %w", b.id, again(err))
	}
	*sum = made
	return analyzed, nil
}

const uniqueViolation = "23505"

// ErrAgain means that the data of the seed and the day is there already.
var ErrAgain = errors.New("it has the data of this seed and day already; choose another seed")

// again says what a repetition with the same seed runs into.
func again(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == uniqueViolation {
		return ErrAgain
	}
	return err
}

const insertOrganization = `
INSERT INTO organizations (id, name, state, gstin, plan, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6)`

const selectOrganization = `SELECT name, state, gstin FROM organizations WHERE id = $1 FOR UPDATE`

// found makes the organization, or takes one that is there as it is, with its last numbers.
func (b *business) found(ctx context.Context, tx pgx.Tx) (numbers, error) {
	if b.rows.Into == "" {
		_, err := tx.Exec(ctx, insertOrganization, b.id, b.name, b.stateText, b.gstin, b.plan, b.made)
		return numbers{}, err
	}
	var err error
	if b.id, err = uuid.Parse(b.rows.Into); err != nil {
		return nil, err
	}
	b.chance.seed = mix(b.chance.seed ^ uint64(b.id.ID())<<32 ^ uint64(b.id.ClockSequence()))
	if err := tx.QueryRow(ctx, selectOrganization, b.id).Scan(&b.name, &b.stateText, &b.gstin); err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	state, err := gst.ParseState(b.stateText)
	if err != nil {
		return nil, fmt.Errorf("its state: %w", err)
	}
	b.settle(state)
	return readNumbers(ctx, tx, b.id)
}

const selectNumbers = `SELECT financial_year, last FROM invoice_counters WHERE organization_id = $1 FOR UPDATE`

func readNumbers(ctx context.Context, tx pgx.Tx, organization uuid.UUID) (numbers, error) {
	rows, err := tx.Query(ctx, selectNumbers, organization)
	if err != nil {
		return nil, fmt.Errorf("read its numbers: %w", err)
	}
	n := numbers{}
	var year, last int
	_, err = pgx.ForEachRow(rows, []any{&year, &last}, func() error {
		n[year] = last
		return nil
	})
	return n, err
}

const writeNumber = `
INSERT INTO invoice_counters (organization_id, financial_year, last) VALUES ($1, $2, $3)
ON CONFLICT (organization_id, financial_year) DO UPDATE SET last = excluded.last, version = invoice_counters.version + 1, updated_at = now()`

func (n numbers) write(ctx context.Context, tx pgx.Tx, organization uuid.UUID) error {
	for year, last := range n {
		if _, err := tx.Exec(ctx, writeNumber, organization, year, last); err != nil {
			return fmt.Errorf("note the last number of %d: %w", year, err)
		}
	}
	return nil
}

func (b *business) organization() Organization {
	o := Organization{ID: b.id.String(), Name: b.name, State: b.stateText}
	if b.gstin != nil {
		o.GSTIN = *b.gstin
	}
	return o
}

// load copies the rows, in a big load into tables without indexes, which analyzes them as well.
func (b *business) load(ctx context.Context, tx pgx.Tx, last numbers, sum *Summary) (analyzed bool, err error) {
	big, err := b.big(ctx, tx)
	if err != nil {
		return false, err
	}
	var back []string
	if big {
		if back, err = strip(ctx, tx, filled); err != nil {
			return false, err
		}
	}
	if err := b.copyAll(ctx, tx, last, sum); err != nil || len(back) == 0 {
		return false, err
	}
	return true, restore(ctx, tx, analyze, back)
}

// copyAll sends the rows, table after table, each row made when its turn comes.
func (b *business) copyAll(ctx context.Context, tx pgx.Tx, last numbers, sum *Summary) error {
	tables := []struct {
		name    string
		columns []string
		rows    pgx.CopyFromSource
		copied  *int64
	}{
		{"contacts", contactColumns, one(b.rows.Contacts, b.contactRow), &sum.Contacts},
		{"deals", dealColumns, one(b.rows.Deals, b.dealRow), &sum.Deals},
		{"invoices", invoiceColumns, one(b.rows.Invoices, b.invoiceRows(last)), &sum.Invoices},
		{"invoice_items", itemColumns, many(b.rows.Invoices, b.itemRows), &sum.Items},
		{"payments", paymentColumns, many(b.rows.Invoices, b.paymentRows), &sum.Payments},
	}
	for _, t := range tables {
		n, err := tx.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, t.rows)
		if err != nil {
			return fmt.Errorf("copy %s: %w", t.name, err)
		}
		*t.copied += n
		if b.rows.Progress != nil {
			b.rows.Progress(t.name, n)
		}
	}
	return nil
}

// one is a row for each of n things. pgx is done with a row before it asks for the next.
func one(n int, make func(i int, row []any) []any) pgx.CopyFromSource {
	var row []any
	i := -1
	return pgx.CopyFromFunc(func() ([]any, error) {
		if i++; i == n {
			return nil, nil
		}
		row = make(i, row[:0])
		return row, nil
	})
}

// many is any number of rows for each of n things.
func many(n int, make func(i int, rows [][]any) [][]any) pgx.CopyFromSource {
	var rows [][]any
	i, at := -1, 0
	return pgx.CopyFromFunc(func() ([]any, error) {
		if at++; at < len(rows) {
			return rows[at], nil
		}
		for i++; i < n; i++ {
			if rows = make(i, rows[:0]); len(rows) > 0 {
				at = 0
				return rows[0], nil
			}
		}
		return nil, nil
	})
}
