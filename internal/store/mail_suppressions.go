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

// over is whether what comes takes the place of what is there; silent is whether it adds no word to what was said for
// the same reason, which stays then; lasts is when both together end. What is there and
// counts ends no sooner for what comes after it, unless that has the same reason: who has unsubscribed for good stays
// so when the address bounces for a week, or is listed by hand for a day.
const (
	expired = `old.expires_at <= now()`
	over    = `(` + expired + ` OR ` + rankOfReason + `excluded.reason) <= ` + rankOfReason + `old.reason))`
	silent  = `(excluded.detail IS NULL AND excluded.reason = old.reason AND (` + expired + `) IS NOT TRUE)`
	lasts   = `CASE WHEN ` + expired + ` OR excluded.reason = old.reason THEN excluded.expires_at
         WHEN old.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
         ELSE greatest(old.expires_at, excluded.expires_at) END`
)

const upsertSuppression = `
INSERT INTO mail_suppressions AS old (organization_id, id, address, stream, reason, detail, message_id, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (organization_id, address, stream) DO UPDATE
SET id = CASE WHEN ` + expired + ` THEN excluded.id ELSE old.id END,
    created_at = CASE WHEN ` + expired + ` THEN now() ELSE old.created_at END,
    reason = CASE WHEN ` + over + ` THEN excluded.reason ELSE old.reason END,
    detail = CASE WHEN ` + over + ` AND NOT ` + silent + ` THEN excluded.detail ELSE old.detail END,
    message_id = CASE WHEN ` + over + ` THEN excluded.message_id ELSE old.message_id END,
    expires_at = ` + lasts + `, version = old.version + 1, updated_at = now()
WHERE ` + over + ` OR ` + lasts + ` IS DISTINCT FROM old.expires_at
RETURNING ` + suppressionColumns

// Suppress puts an address on the list, or what is there in its place: false when a graver reason keeps its own, and
// lasts longer if need be. An entry that has taken no other's place has the given id.
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
	return kept, kept.Reason == s.Reason, nil
}
