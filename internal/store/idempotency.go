package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// An IdempotencyKey names one request that its client may repeat.
type IdempotencyKey struct {
	OrganizationID string
	Scope          string // method and path
	Key            string
	Fingerprint    []byte // of the whole request
}

// A KeptAnswer is what the first request with a key was answered.
type KeptAnswer struct {
	Fingerprint []byte          `db:"fingerprint"`
	Status      *int            `db:"status"`
	Headers     json.RawMessage `db:"headers"`
	Body        []byte          `db:"body"` // sealed
}

// ErrInFlight means that another transaction holds the idempotency key and has not ended in time.
var ErrInFlight = errors.New("the first request with this idempotency key has not ended")

// IdempotencyTTL is how long an answer is kept.
const IdempotencyTTL = 24 * time.Hour

const idempotencyPatience = `SELECT set_config('lock_timeout', '2s', true)`

// A key that has run out is taken over as if it were new. The insert waits for a transaction that holds
// the same key, and then meets either its row or, when it was rolled back, nothing.
const claimIdempotencyKey = `
INSERT INTO idempotency_keys AS kept (organization_id, scope, key, fingerprint) VALUES ($1, $2, $3, $4)
ON CONFLICT (organization_id, scope, key) DO UPDATE
SET fingerprint = excluded.fingerprint, status = NULL, headers = NULL, body = NULL, created_at = now()
WHERE kept.created_at < now() - interval '24 hours'`

const keptAnswer = `
SELECT fingerprint, status, headers, body FROM idempotency_keys
WHERE organization_id = $1 AND scope = $2 AND key = $3`

// ClaimIdempotencyKey takes a key in the caller's transaction, waiting up to two seconds for another that
// holds it. It returns nil when the key is the caller's, and the kept answer when it was used before.
func ClaimIdempotencyKey(ctx context.Context, tx pgx.Tx, k IdempotencyKey) (*KeptAnswer, error) {
	claimed := false
	b := &pgx.Batch{}
	b.Queue(idempotencyPatience)
	b.Queue(claimIdempotencyKey, k.OrganizationID, k.Scope, k.Key, k.Fingerprint).Exec(func(tag pgconn.CommandTag) error {
		claimed = tag.RowsAffected() == 1
		return nil
	})
	err := tx.SendBatch(ctx, b).Close()
	if isLockTimeout(err) {
		return nil, ErrInFlight
	}
	if err != nil {
		return nil, fmt.Errorf("claim an idempotency key: %w", err)
	}
	if claimed {
		return nil, nil
	}
	rows, err := tx.Query(ctx, keptAnswer, k.OrganizationID, k.Scope, k.Key)
	if err != nil {
		return nil, fmt.Errorf("read a kept answer: %w", err)
	}
	kept, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[KeptAnswer])
	if err != nil {
		return nil, fmt.Errorf("read a kept answer: %w", err)
	}
	return kept, nil
}

func isLockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

const keepAnswer = `
UPDATE idempotency_keys SET status = $4, headers = $5, body = $6
WHERE organization_id = $1 AND scope = $2 AND key = $3`

// KeepAnswer stores the answer with the key that the same transaction has claimed.
func KeepAnswer(ctx context.Context, tx pgx.Tx, k IdempotencyKey, a KeptAnswer) error {
	_, err := tx.Exec(ctx, keepAnswer, k.OrganizationID, k.Scope, k.Key, a.Status, a.Headers, a.Body)
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return nil
}

// QueueActAs changes the organization that the rest of a batch sees.
func QueueActAs(b *pgx.Batch, organizationID string) { b.Queue(setOrganization, organizationID) }

// ActAs changes the organization that a transaction sees, for the writes that make an organization.
func ActAs(ctx context.Context, tx pgx.Tx, organizationID string) error {
	if _, err := tx.Exec(ctx, setOrganization, organizationID); err != nil {
		return fmt.Errorf("choose the organization: %w", err)
	}
	return nil
}
