package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Reasons of suppressions, the gravest first: a graver one takes the place of a lighter one.
const (
	SuppressedByComplaint   = "complaint"
	SuppressedByHardBounce  = "hard_bounce"
	SuppressedByHand        = "manual"
	SuppressedByUnsubscribe = "unsubscribe"
	SuppressedBySoftBounce  = "soft_bounce"
)

// AllStreams stands for every stream in a suppression.
const AllStreams = "*"

// A Suppression is an address that an organization sends nothing to.
type Suppression struct {
	OrganizationID string     `db:"organization_id"`
	ID             string     `db:"id"`
	Address        string     `db:"address"` // in lower case
	Stream         string     `db:"stream"`  // or AllStreams
	Reason         string     `db:"reason"`
	Detail         *string    `db:"detail"`
	MessageID      *string    `db:"message_id"` // that led to it
	ExpiresAt      *time.Time `db:"expires_at"` // nil: never
	Version        int64      `db:"version"`
	CreatedAt      time.Time  `db:"created_at"`
	UpdatedAt      time.Time  `db:"updated_at"`
}

const suppressionColumns = `organization_id::text, id::text, address, stream, reason, detail, message_id::text, expires_at,
    version, created_at, updated_at`

const rankOfReason = `array_position(ARRAY['complaint', 'hard_bounce', 'manual', 'unsubscribe', 'soft_bounce'], `

const upsertSuppression = `
INSERT INTO mail_suppressions AS old (organization_id, id, address, stream, reason, detail, message_id, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (organization_id, address, stream) DO UPDATE
SET reason = excluded.reason, detail = excluded.detail, message_id = excluded.message_id, expires_at = excluded.expires_at,
    version = old.version + 1, updated_at = now()
WHERE old.expires_at < now() OR ` + rankOfReason + `excluded.reason) <= ` + rankOfReason + `old.reason)
RETURNING ` + suppressionColumns

// Suppress puts an address on the list, or what is there in its place: false when a graver reason keeps its own.
func Suppress(ctx context.Context, db Execer, s Suppression) (Suppression, bool, error) {
	rows, err := db.Query(ctx, upsertSuppression, s.OrganizationID, s.ID, strings.ToLower(s.Address), s.Stream, s.Reason,
		s.Detail, s.MessageID, s.ExpiresAt)
	var kept Suppression
	if err == nil {
		kept, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Suppression])
	}
	switch {
	case notFound(err) == ErrNotFound:
		return s, false, nil
	case err != nil:
		return s, false, fmt.Errorf("suppress an address of %s: %w", s.OrganizationID, err)
	}
	return kept, true, nil
}
