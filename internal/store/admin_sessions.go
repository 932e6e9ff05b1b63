package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Roles of who operates the installation.
const (
	RoleAdmin    = "admin"
	RoleReadOnly = "read_only"
)

// An AdminSession is somebody who is signed in to the pages of the admin.
type AdminSession struct {
	ID        string     `db:"id"`
	KeyHash   []byte     `db:"key_hash"`
	KeyID     string     `db:"key_id"`
	KeyName   string     `db:"key_name"`
	Role      string     `db:"role"` // when it began
	Address   string     `db:"address"`
	UserAgent string     `db:"user_agent"`
	CreatedAt time.Time  `db:"created_at"`
	SeenAt    time.Time  `db:"seen_at"`
	EndedAt   *time.Time `db:"ended_at"`
}

// SessionBounds are how long a session may last.
type SessionBounds struct {
	Most time.Duration // in all
	Idle time.Duration // without a request
}

const adminSessionColumns = `id::text, key_hash, key_id, key_name, role, address, user_agent, created_at, seen_at, ended_at`

const insertAdminSession = `
INSERT INTO admin_sessions (token_hash, id, key_hash, key_id, key_name, role, address, user_agent)
VALUES ($3, $4, $5, $2, ` + keyName + `, $6, $7, $8)
RETURNING ` + adminSessionColumns

// BeginAdminSession signs somebody in. keyOf is the organization of the key. Sessions that ended a month ago are
// forgotten.
func BeginAdminSession(ctx context.Context, tx pgx.Tx, token [32]byte, keyOf string, s AdminSession, from netip.Addr) (AdminSession, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return s, fmt.Errorf("sign in: %w", err)
	}
	address := "-"
	if a := addressText(from); a != nil {
		address = *a
	}
	if _, err := tx.Exec(ctx, `DELETE FROM admin_sessions WHERE seen_at < now() - interval '30 days'`); err != nil {
		return s, fmt.Errorf("forget old sessions: %w", err)
	}
	rows, err := tx.Query(ctx, insertAdminSession, keyOf, s.KeyID, token[:], id.String(), s.KeyHash, s.Role, address, s.UserAgent)
	if err != nil {
		return s, fmt.Errorf("sign in: %w", err)
	}
	made, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[AdminSession])
	if err != nil {
		return s, fmt.Errorf("sign in: %w", err)
	}
	return made, nil
}

const openAdminSession = `
FROM admin_sessions WHERE ended_at IS NULL AND created_at > now() - $1::interval AND seen_at > now() - $2::interval`

const selectAdminSession = `SELECT ` + adminSessionColumns + openAdminSession + ` AND token_hash = $3`

const touchAdminSession = `
UPDATE admin_sessions SET seen_at = now() WHERE token_hash = $1 AND seen_at < now() - interval '1 minute'`

// ReadAdminSession finds the open session of a token, and notes that it is in use.
func (db *DB) ReadAdminSession(ctx context.Context, token [32]byte, bounds SessionBounds) (AdminSession, error) {
	var s AdminSession
	b := &pgx.Batch{}
	b.Queue(actAsOperator)
	b.Queue(selectAdminSession, bounds.Most, bounds.Idle, token[:]).Query(func(rows pgx.Rows) (err error) {
		s, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[AdminSession])
		return notFound(err)
	})
	b.Queue(touchAdminSession, token[:])
	if err := db.Send(ctx, b); err != nil {
		return s, fmt.Errorf("look up a session: %w", becoming(System, err))
	}
	return s, nil
}

const selectAdminSessions = `SELECT ` + adminSessionColumns + openAdminSession + ` ORDER BY admin_sessions.seen_at DESC LIMIT 200`

// AdminSessions lists those that are open, last used first.
func AdminSessions(ctx context.Context, tx pgx.Tx, bounds SessionBounds) ([]AdminSession, error) {
	rows, err := tx.Query(ctx, selectAdminSessions, bounds.Most, bounds.Idle)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[AdminSession])
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return list, nil
}

const endAdminSession = `
UPDATE admin_sessions SET ended_at = now() WHERE id = $1 AND ended_at IS NULL RETURNING ` + adminSessionColumns

// EndAdminSession signs somebody out for good. ErrNotFound when there is no such session, or it has ended.
func EndAdminSession(ctx context.Context, tx pgx.Tx, id string) (AdminSession, error) {
	rows, err := tx.Query(ctx, endAdminSession, id)
	if err != nil {
		return AdminSession{}, fmt.Errorf("end session %s: %w", id, err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[AdminSession])
	if err != nil {
		return s, fmt.Errorf("end session %s: %w", id, notFound(err))
	}
	return s, nil
}
