package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// An APIKey is a key as its owner sees it later: without the secret, of which only a hash is kept.
type APIKey struct {
	OrganizationID string     `db:"organization_id"`
	ID             string     `db:"id"`
	Name           string     `db:"name"`
	Prefix         string     `db:"prefix"` // its first characters, to recognise it by
	Scopes         []string   `db:"scopes"`
	RateLimit      *int       `db:"rate_limit"` // requests per window, nil: the default
	IPAllow        []string   `db:"ip_allow"`   // networks; empty: any
	ExpiresAt      *time.Time `db:"expires_at"`
	LastUsedAt     *time.Time `db:"last_used_at"`
	RevokedAt      *time.Time `db:"revoked_at"`
	CreatedAt      time.Time  `db:"created_at"`
}

const apiKeyColumns = `organization_id::text, id::text, name, prefix, scopes, rate_limit, ip_allow,
    expires_at, last_used_at, revoked_at, created_at`

const insertAPIKey = `
INSERT INTO api_keys (organization_id, id, name, prefix, key_hash, scopes, rate_limit, ip_allow, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING ` + apiKeyColumns

// CreateAPIKey inserts a key by the SHA-256 of its text.
func CreateAPIKey(ctx context.Context, tx pgx.Tx, k APIKey, hash [32]byte) (APIKey, error) {
	if k.IPAllow == nil {
		k.IPAllow = []string{}
	}
	rows, err := tx.Query(ctx, insertAPIKey, k.OrganizationID, k.ID, k.Name, k.Prefix, hash[:],
		k.Scopes, k.RateLimit, k.IPAllow, k.ExpiresAt)
	if err != nil {
		return k, fmt.Errorf("create API key %s: %w", k.ID, err)
	}
	created, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[APIKey])
	if err != nil {
		return k, fmt.Errorf("create API key %s: %w", k.ID, err)
	}
	return created, nil
}

const selectAPIKeys = `
SELECT ` + apiKeyColumns + ` FROM api_keys
WHERE organization_id = $1 AND ($2 = '' OR id < nullif($2, '')::uuid)
ORDER BY api_keys.id DESC LIMIT $3`

// APIKeys lists an organization's keys, newest first, behind the id in before ("" from the start).
func (db *DB) APIKeys(ctx context.Context, organizationID, before string, limit int) ([]APIKey, error) {
	var keys []APIKey
	err := db.queryAs(ctx, organizationID, func(rows pgx.Rows) (err error) {
		keys, err = pgx.CollectRows(rows, pgx.RowToStructByName[APIKey])
		return err
	}, selectAPIKeys, organizationID, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list API keys of %s: %w", organizationID, err)
	}
	return keys, nil
}

const revokeAPIKey = `
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()), updated_at = now(), version = version + 1
WHERE organization_id = $1 AND id = $2
RETURNING key_hash`

// RevokeAPIKey ends a key for good and returns its hash. Doing it twice is no mistake.
func RevokeAPIKey(ctx context.Context, tx pgx.Tx, organizationID, id string) ([]byte, error) {
	var hash []byte
	err := notFound(tx.QueryRow(ctx, revokeAPIKey, organizationID, id).Scan(&hash))
	if err != nil {
		return nil, fmt.Errorf("revoke API key %s: %w", id, err)
	}
	return hash, nil
}

// A Credential is what a valid key lets its holder do.
type Credential struct {
	OrganizationID string
	KeyID          string
	Scopes         []string
	RateLimit      *int
	IPAllow        []string
	ExpiresAt      *time.Time
}

const authenticate = `
SELECT organization_id::text, id::text, scopes, rate_limit, ip_allow, expires_at FROM authenticate_key($1)`

// Authenticate looks a key up by the SHA-256 of its text. It is the one question that is asked before
// the organization is known. Unknown, revoked and expired keys are all ErrNotFound.
func (db *DB) Authenticate(ctx context.Context, hash [32]byte) (Credential, error) {
	var c Credential
	b := &pgx.Batch{}
	b.Queue(authenticate, hash[:]).QueryRow(func(row pgx.Row) error {
		return notFound(row.Scan(&c.OrganizationID, &c.KeyID, &c.Scopes, &c.RateLimit, &c.IPAllow, &c.ExpiresAt))
	})
	if err := db.Send(ctx, b); err != nil {
		return c, fmt.Errorf("look up an API key: %w", err)
	}
	return c, nil
}

const touchAPIKey = `
UPDATE api_keys SET last_used_at = now()
WHERE organization_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`

// TouchAPIKey notes that a key was used, at most once a minute.
func (db *DB) TouchAPIKey(ctx context.Context, organizationID, id string) error {
	b := BatchAs(organizationID)
	b.Queue(touchAPIKey, organizationID, id)
	if err := db.Send(ctx, b); err != nil {
		return fmt.Errorf("note the use of API key %s: %w", id, err)
	}
	return nil
}
