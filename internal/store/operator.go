package store

import (
	"context"

	"github.com/jackc/pgx/v5"
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
