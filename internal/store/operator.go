package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TxAsOperator runs do in a transaction that sees all organizations and may do what the system may, for what shows
// the installation to its operator.
func (db *DB) TxAsOperator(ctx context.Context, do func(pgx.Tx) error) error {
	return db.Tx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, actAsOperator); err != nil {
			return becoming(System, err)
		}
		return do(tx)
	})
}

// ErrSlow means that a question took longer than it may.
var ErrSlow = errors.New("the question takes too long")

// To compile a plan takes longer than most questions of an operator.
const boundStatements = `SELECT set_config('statement_timeout', $1, true), set_config('jit', 'off', true)`

// queryCancelled is the code of Postgres for a statement that ran into its timeout.
const queryCancelled = "57014"

// AsOperator is TxAsOperator where each statement ends with ErrSlow after a time. What an operator asks for may be
// anything, and must not become a load itself.
func (db *DB) AsOperator(ctx context.Context, atMost time.Duration, do func(pgx.Tx) error) error {
	return db.asOperator(ctx, pgx.TxOptions{}, atMost, do)
}

func (db *DB) asOperator(ctx context.Context, o pgx.TxOptions, atMost time.Duration, do func(pgx.Tx) error) error {
	err := db.txOf(ctx, o, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(actAsOperator)
		b.Queue(boundStatements, strconv.FormatInt(atMost.Milliseconds(), 10))
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return becoming(System, err)
		}
		return do(tx)
	})
	var pg *pgconn.PgError
	if ctx.Err() == nil && errors.As(err, &pg) && pg.Code == queryCancelled {
		return fmt.Errorf("%w: %w", ErrSlow, err)
	}
	return err
}
