package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// CallbackGrace is how long the secret before stays valid after a rotation.
const CallbackGrace = 24 * time.Hour

// A CallbackSecret signs the callbacks of an organization's jobs.
type CallbackSecret struct {
	Secret string `db:"secret"`
	// Previous is valid too until PreviousUntil; nil: there is none any more.
	Previous      *string    `db:"previous_secret"`
	PreviousUntil *time.Time `db:"previous_secret_until"`
	Version       int64      `db:"version"`
	CreatedAt     time.Time  `db:"created_at"` // of the secret, or of the row as long as it has its first
}

// Valid gives the secrets that sign now, the newest first.
func (s CallbackSecret) Valid() []string {
	if s.Previous == nil {
		return []string{s.Secret}
	}
	return []string{s.Secret, *s.Previous}
}

// One that has run out is none.
const callbackSecretColumns = `secret, CASE WHEN previous_secret_until > now() THEN previous_secret END AS previous_secret,
    CASE WHEN previous_secret_until > now() THEN previous_secret_until END AS previous_secret_until, version,
    CASE WHEN version = 1 THEN created_at ELSE updated_at END AS created_at`

const (
	selectCallbackSecret = `SELECT ` + callbackSecretColumns + ` FROM webhook_callback_secrets WHERE organization_id = $1`
	insertCallbackSecret = `
INSERT INTO webhook_callback_secrets (organization_id, secret) VALUES ($1, $2) ON CONFLICT (organization_id) DO NOTHING`
)

// CallbackSecretOf reads an organization's secret; fresh becomes it where there is none yet. Who comes second gets
// what the first has made.
func CallbackSecretOf(ctx context.Context, db Execer, organizationID string, fresh func() string) (CallbackSecret, error) {
	s, err := readCallbackSecret(ctx, db, organizationID)
	if !errors.Is(err, ErrNotFound) {
		return s, err
	}
	if _, err := db.Exec(ctx, insertCallbackSecret, organizationID, fresh()); err != nil {
		return s, fmt.Errorf("make the callback secret of %s: %w", organizationID, err)
	}
	return readCallbackSecret(ctx, db, organizationID)
}

// CallbackSecret is CallbackSecretOf as the organization itself.
func (db *DB) CallbackSecret(ctx context.Context, organizationID string, fresh func() string) (s CallbackSecret, err error) {
	err = db.queryAs(ctx, organizationID, func(rows pgx.Rows) error {
		s, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[CallbackSecret])
		return notFound(err)
	}, selectCallbackSecret, organizationID)
	if errors.Is(err, ErrNotFound) {
		err = db.TxAs(ctx, organizationID, func(tx pgx.Tx) error {
			s, err = CallbackSecretOf(ctx, tx, organizationID, fresh)
			return err
		})
		return s, err
	}
	if err != nil {
		return s, fmt.Errorf("read the callback secret of %s: %w", organizationID, err)
	}
	return s, nil
}

func readCallbackSecret(ctx context.Context, db Execer, organizationID string) (CallbackSecret, error) {
	rows, err := db.Query(ctx, selectCallbackSecret, organizationID)
	if err != nil {
		return CallbackSecret{}, fmt.Errorf("read the callback secret of %s: %w", organizationID, err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[CallbackSecret])
	if err != nil {
		return s, fmt.Errorf("read the callback secret of %s: %w", organizationID, notFound(err))
	}
	return s, nil
}

// A trigger makes the secret before the previous one, as long as it has a time until which it is valid.
const rotateCallbackSecret = `
INSERT INTO webhook_callback_secrets AS kept (organization_id, secret) VALUES ($1, $2)
ON CONFLICT (organization_id) DO UPDATE
SET secret = excluded.secret, previous_secret_until = now() + nullif($3, interval '0'), version = kept.version + 1, updated_at = now()
RETURNING ` + callbackSecretColumns

// RotateCallbackSecret gives an organization a new secret. The one before stays valid for the grace; 0: it ends now.
func RotateCallbackSecret(ctx context.Context, db Execer, organizationID, fresh string, grace time.Duration) (CallbackSecret, error) {
	rows, err := db.Query(ctx, rotateCallbackSecret, organizationID, fresh, grace)
	if err != nil {
		return CallbackSecret{}, fmt.Errorf("rotate the callback secret of %s: %w", organizationID, err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[CallbackSecret])
	if err != nil {
		return s, fmt.Errorf("rotate the callback secret of %s: %w", organizationID, err)
	}
	return s, nil
}

// An Outcome is what became of a job, as a callback tells it.
type Outcome struct {
	Status   string          `db:"status"`
	Version  int64           `db:"version"`
	Metadata json.RawMessage `db:"metadata"`
	Output   json.RawMessage `db:"output"`
	Error    json.RawMessage `db:"error"`
	Large    bool            `db:"large"` // output and error have more bytes than asked for, and are left out
}

// The sizes are measured first, so that a large output does not travel for nothing.
const selectOutcome = `
SELECT status, version, metadata, large, CASE WHEN NOT large THEN output END AS output, CASE WHEN NOT large THEN error END AS error
FROM jobs CROSS JOIN LATERAL (
    SELECT coalesce(octet_length(output::text), 0) + coalesce(octet_length(error::text), 0) > $3 AS large
) AS sizes
WHERE organization_id = $1 AND id = $2`

// JobOutcome reads what became of a job, as far as it has at most so many bytes. ErrNotFound when the job is no
// longer kept.
func JobOutcome(ctx context.Context, db Execer, organizationID, id string, most int) (Outcome, error) {
	rows, err := db.Query(ctx, selectOutcome, organizationID, id, most)
	if err != nil {
		return Outcome{}, fmt.Errorf("read the outcome of job %s: %w", id, err)
	}
	o, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Outcome])
	if err != nil {
		return o, fmt.Errorf("read the outcome of job %s: %w", id, notFound(err))
	}
	return o, nil
}
