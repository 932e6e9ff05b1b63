package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Outcomes of what an operator tried to do.
const (
	AuditDone    = "done"
	AuditRefused = "refused"
	AuditFailed  = "failed"
)

// An AuditEntry is what an operator did or tried to do. Empty texts and nil are null.
type AuditEntry struct {
	ID             string          `db:"id"`
	At             time.Time       `db:"at"`
	KeyID          string          `db:"key_id"`
	KeyName        string          `db:"key_name"`
	Role           string          `db:"role"`
	SessionID      *string         `db:"session_id"`
	Address        *string         `db:"address"`
	RequestID      *string         `db:"request_id"`
	Action         string          `db:"action"`
	Target         string          `db:"target"`
	TargetID       string          `db:"target_id"`
	OrganizationID *string         `db:"of_organization"`
	Outcome        string          `db:"outcome"`
	Detail         *string         `db:"detail"`
	Before         json.RawMessage `db:"before"`
	After          json.RawMessage `db:"after"`
}

// configuredKey is the name of the key that is in no table.
const configuredKey = "admin key of the configuration"

const keyName = `coalesce((SELECT name FROM api_keys WHERE organization_id = nullif($1, '')::uuid AND id::text = $2), '` + configuredKey + `')`

const insertAudit = `
INSERT INTO audit_log (id, key_id, key_name, role, session_id, address, request_id, action, target, target_id, of_organization,
                       outcome, detail, before, after)
VALUES ($3, $2, coalesce(nullif($16, ''), ` + keyName + `), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`

// Audit notes what an operator did, in the transaction in which it is done. keyOf is the organization of the key,
// whose name is looked up where the entry has none.
func Audit(ctx context.Context, tx pgx.Tx, keyOf string, e AuditEntry) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("note in the audit log: %w", err)
	}
	_, err = tx.Exec(ctx, insertAudit, keyOf, e.KeyID, id.String(), e.Role, e.SessionID, e.Address, e.RequestID, e.Action, e.Target,
		e.TargetID, e.OrganizationID, e.Outcome, e.Detail, e.Before, e.After, e.KeyName)
	if err != nil {
		return fmt.Errorf("note %s of %s %s in the audit log: %w", e.Action, e.Target, e.TargetID, err)
	}
	return nil
}

// An AuditFilter narrows the audit log. Zero fields don't.
type AuditFilter struct {
	KeyID, Action, Target, TargetID, Outcome string
	After, Before                            time.Time
	Behind                                   string // id: only older entries
	Limit                                    int
}

const auditColumns = `id::text, at, key_id, key_name, role, session_id::text, address, request_id, action, target, target_id,
    of_organization::text, outcome, detail, before, after`

// AuditLog lists what operators did, newest first.
func AuditLog(ctx context.Context, tx pgx.Tx, f AuditFilter) ([]AuditEntry, error) {
	var args []any
	conditions := []string{"true"}
	where := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args))))
	}
	for column, value := range map[string]string{"key_id": f.KeyID, "action": f.Action, "target": f.Target, "target_id": f.TargetID, "outcome": f.Outcome} {
		if value != "" {
			where(column+" = ?", value)
		}
	}
	// The id tells the time too, and is what the log is sorted by.
	if !f.After.IsZero() {
		where("id >= ?", idAt(f.After))
	}
	if !f.Before.IsZero() {
		where("id < ?", idAt(f.Before))
	}
	if f.Behind != "" {
		where("id < ?", f.Behind)
	}
	args = append(args, f.Limit)
	rows, err := tx.Query(ctx, `SELECT `+auditColumns+` FROM audit_log WHERE `+strings.Join(conditions, " AND ")+
		` ORDER BY audit_log.id DESC LIMIT $`+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[AuditEntry])
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return list, nil
}

// addressText is an address as text, nil for the zero one.
func addressText(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	s := a.String()
	return &s
}
