package api

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

type adminSuppressionsInput struct {
	PageQuery
	OrganizationID string `query:"organization"`
	Recipient      string `query:"recipient" maxLength:"254" doc:"A whole address in any capitals, or a domain such as @example.in"`
	Stream         string `query:"stream" maxLength:"32" pattern:"^([*]|[a-z][a-z0-9_-]*)$" doc:"* for the entries that are about all streams"`
	Reason         string `query:"reason" enum:"hard_bounce,soft_bounce,complaint,unsubscribe,manual"`
}

type adminSuppressionsOutput struct{ Body operator.SuppressionList }

// adminSuppressions lists what keeps mail from addresses, over all organizations, newest first.
func (s *Server) adminSuppressions(ctx context.Context, in *adminSuppressionsInput) (*adminSuppressionsOutput, error) {
	f := store.AnySuppressionFilter{Stream: in.Stream, Reason: in.Reason, Limit: in.Limit + 1}
	var err error
	if f.OrganizationID, err = optionalID("organization", in.OrganizationID); err != nil {
		return nil, err
	}
	if f.Address, f.Domain, err = s.recipient(in.Recipient); err != nil {
		return nil, invalid(Fault{"/query/recipient", err.Error()})
	}
	filters := []string{"admin-suppressions", f.OrganizationID, f.Address, f.Domain, f.Stream, f.Reason}
	if f.Before, err = parseCursor(in.Cursor, filters...); err != nil {
		return nil, err
	}
	var rows []store.AnySuppression
	err = s.lookAtAll(ctx, func(tx pgx.Tx) (err error) {
		rows, err = store.AnySuppressions(ctx, tx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	views := make([]operator.Suppression, len(rows))
	for i, n := range rows {
		views[i] = anySuppressionOf(n.Suppression, n.Organization)
	}
	p := pageOf(views, in.Limit, func(n operator.Suppression) string { return n.ID }, filters...)
	return &adminSuppressionsOutput{operator.SuppressionList(p)}, nil
}

func anySuppressionOf(n store.Suppression, organization *string) operator.Suppression {
	return operator.Suppression{ID: n.ID, OrganizationID: n.OrganizationID, Organization: organization, Address: n.Address, Stream: n.Stream,
		Reason: n.Reason, Detail: n.Detail, MessageID: n.MessageID, ExpiresAt: utc(n.ExpiresAt), CreatedAt: n.CreatedAt.UTC()}
}

type adminSuppressInput struct{ Body operator.NewSuppression }

type adminSuppressOutput struct{ Body operator.Suppression }

// suppressAny puts an address on the list of an organization. Where it is there already, what is there stays as the
// organization's own list has it.
func (s *Server) suppressAny(ctx context.Context, in *adminSuppressInput) (*adminSuppressOutput, error) {
	b := &in.Body
	own := &suppressInput{}
	own.Body.Address, own.Body.Stream, own.Body.Detail, own.Body.ExpiresAt = b.Address, b.Stream, b.Detail, b.ExpiresAt
	n, err := s.suppressionOf(own)
	if err != nil {
		return nil, err
	}
	n.OrganizationID = strings.ToLower(b.OrganizationID)
	var there *store.Suppression
	var name string
	err = s.act(ctx, act{Action: "suppression.add", Target: "suppression", ID: n.ID, OrganizationID: n.OrganizationID}, func(tx pgx.Tx, note *act) (err error) {
		if name, err = store.OrganizationName(ctx, tx, n.OrganizationID); err != nil {
			return err
		}
		if name == "" {
			return invalid(Fault{"/organization_id", "there is no such organization"})
		}
		was, err := store.SuppressionOf(ctx, tx, n.OrganizationID, n.Address, n.Stream)
		if err != nil {
			return err
		}
		if _, _, err := store.Suppress(ctx, tx, n); err != nil {
			return err
		}
		if there, err = store.SuppressionOf(ctx, tx, n.OrganizationID, n.Address, n.Stream); err != nil {
			return err
		}
		if there == nil {
			return store.ErrConflict
		}
		note.ID, note.Before, note.After = there.ID, suppressionNote(was), suppressionNote(there)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &adminSuppressOutput{anySuppressionOf(*there, &name)}, nil
}

// suppressionNote is what the audit log says of an entry: not whose address it is.
func suppressionNote(n *store.Suppression) any {
	if n == nil {
		return nil
	}
	return map[string]any{"stream": n.Stream, "reason": n.Reason, "expires_at": n.ExpiresAt, "version": n.Version}
}

// unsuppressAny takes an entry off the list of whatever organization.
func (s *Server) unsuppressAny(ctx context.Context, in *suppressionInput) (*struct{}, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return nil, s.act(ctx, act{Action: "suppression.remove", Target: "suppression", ID: id}, func(tx pgx.Tx, note *act) error {
		was, err := store.UnsuppressAny(ctx, tx, id)
		if err != nil {
			return err
		}
		note.OrganizationID, note.Before = was.OrganizationID, suppressionNote(&was)
		return nil
	})
}
