package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const selectServerVersion = `SELECT current_setting('server_version')`

// ServerVersion is what Postgres calls its version.
func ServerVersion(ctx context.Context, tx pgx.Tx) (version string, err error) {
	if err = tx.QueryRow(ctx, selectServerVersion).Scan(&version); err != nil {
		return "", fmt.Errorf("ask for the version of Postgres: %w", err)
	}
	return version, nil
}
