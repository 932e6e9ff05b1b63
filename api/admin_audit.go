package api

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type auditInput struct {
	PageQuery
	KeyID    string    `query:"key_id" doc:"Of who did it"`
	Action   string    `query:"action" doc:"Such as job.retry"`
	Target   string    `query:"target" doc:"What sort of thing it was done to, such as job"`
	TargetID string    `query:"target_id"`
	Outcome  string    `query:"outcome" enum:"done,refused,failed"`
	After    time.Time `query:"after"`
	Before   time.Time `query:"before"`
}

type auditOutput struct{ Body operator.AuditList }

// listAudit shows what operators did.
func (s *Server) listAudit(ctx context.Context, in *auditInput) (*auditOutput, error) {
	filters := []string{"audit", in.KeyID, in.Action, in.Target, in.TargetID, in.Outcome, in.After.String(), in.Before.String()}
	behind, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	var rows []store.AuditEntry
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.AuditLog(ctx, tx, store.AuditFilter{KeyID: in.KeyID, Action: in.Action, Target: in.Target, TargetID: in.TargetID,
			Outcome: in.Outcome, After: in.After, Before: in.Before, Behind: behind, Limit: in.Limit + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]operator.AuditEntry, len(rows))
	for i, r := range rows {
		list[i] = operator.AuditEntry{ID: r.ID, At: r.At.UTC(), KeyID: r.KeyID, KeyName: r.KeyName, Role: r.Role, SessionID: r.SessionID,
			Address: r.Address, RequestID: r.RequestID, Action: r.Action, Target: r.Target, TargetID: r.TargetID,
			OrganizationID: r.OrganizationID, Outcome: r.Outcome, Detail: r.Detail, Before: operator.Object(r.Before), After: operator.Object(r.After)}
	}
	p := pageOf(list, in.Limit, func(e operator.AuditEntry) string { return e.ID }, filters...)
	return &auditOutput{operator.AuditList(p)}, nil
}
