package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// suppressionView is an address that an organization sends nothing to.
type suppressionView struct {
	ID        string     `json:"id" format:"uuid" doc:"Stays while another reason takes the place of this one"`
	Address   string     `json:"address" doc:"In lower case"`
	Stream    string     `json:"stream" doc:"* for all streams"`
	Reason    string     `json:"reason" enum:"hard_bounce,soft_bounce,complaint,unsubscribe,manual" doc:"The gravest where several came together: complaint, hard_bounce, manual, unsubscribe, soft_bounce"`
	Detail    *string    `json:"detail" doc:"What a mail server said, or a person wrote"`
	MessageID *string    `json:"message_id" format:"uuid" doc:"The mail that led to it"`
	ExpiresAt *time.Time `json:"expires_at" doc:"null: never"`
	Version   int64      `json:"version"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

func suppressionViewOf(n store.Suppression) suppressionView {
	return suppressionView{ID: n.ID, Address: n.Address, Stream: n.Stream, Reason: n.Reason, Detail: n.Detail, MessageID: n.MessageID,
		ExpiresAt: utc(n.ExpiresAt), Version: n.Version, CreatedAt: n.CreatedAt.UTC(), UpdatedAt: n.UpdatedAt.UTC()}
}

type suppressionsInput struct {
	PageQuery
	Address string `query:"address" minLength:"3" maxLength:"254" doc:"The whole address, in any capitals"`
	Stream  string `query:"stream" maxLength:"32" pattern:"^([*]|[a-z][a-z0-9_-]*)$" doc:"* for the entries that are about all streams"`
	Reason  string `query:"reason" enum:"hard_bounce,soft_bounce,complaint,unsubscribe,manual"`
}

type suppressionsOutput struct{ Body page[suppressionView] }

// listSuppressions lists what is in force, newest first. An entry that has expired keeps nothing back, so it isn't
// shown.
func (s *Server) listSuppressions(ctx context.Context, in *suppressionsInput) (*suppressionsOutput, error) {
	address := ""
	if in.Address != "" {
		var err error
		if address, err = s.mailAddress(in.Address); err != nil {
			return nil, invalid(Fault{"/query/address", err.Error()})
		}
	}
	filters := []string{"suppressions", address, in.Stream, in.Reason}
	before, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	f := store.SuppressionFilter{Address: address, Stream: in.Stream, Reason: in.Reason, Before: before, Limit: in.Limit + 1}
	rows, err := s.DB.Suppressions(ctx, exchangeOf(ctx).caller.OrganizationID, f)
	if err != nil {
		return nil, err
	}
	views := make([]suppressionView, len(rows))
	for i, n := range rows {
		views[i] = suppressionViewOf(n)
	}
	return &suppressionsOutput{pageOf(views, in.Limit, func(v suppressionView) string { return v.ID }, filters...)}, nil
}

type suppressInput struct {
	Body struct {
		Address   string     `json:"address" minLength:"3" maxLength:"254" doc:"One bare address"`
		Stream    string     `json:"stream,omitempty" default:"*" maxLength:"32" pattern:"^([*]|[a-z][a-z0-9_-]*)$" doc:"* for all streams"`
		Reason    string     `json:"reason,omitempty" default:"manual" enum:"manual"`
		Detail    *string    `json:"detail,omitempty" nullable:"true" maxLength:"1000"`
		ExpiresAt *time.Time `json:"expires_at,omitempty" nullable:"true"`
	}
}

// suppress puts an address on the list by hand. Where it is already, a graver reason stays, and nothing that was to
// last ends sooner, but for an entry by hand: that becomes what the last one says.
func (s *Server) suppress(ctx context.Context, in *suppressInput) (*created[suppressionView], error) {
	n, err := s.suppressionOf(in)
	if err != nil {
		return nil, err
	}
	n.OrganizationID = exchangeOf(ctx).caller.OrganizationID
	a, err := s.once(ctx, func(tx pgx.Tx) (answer, error) {
		kept, _, err := store.Suppress(ctx, tx, n)
		if err != nil {
			return answer{}, err
		}
		// Where nothing of what is there was to change, it is still to be read.
		there, err := store.SuppressionOf(ctx, tx, n.OrganizationID, kept.Address, n.Stream)
		if err != nil {
			return answer{}, err
		}
		if there == nil {
			return answer{}, store.ErrConflict
		}
		status := http.StatusOK
		if there.ID == n.ID {
			status = http.StatusCreated
		}
		body, err := encode(suppressionViewOf(*there))
		return answer{status: status, body: body}, err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[suppressionView](a), nil
}

func (s *Server) suppressionOf(in *suppressInput) (store.Suppression, error) {
	b := &in.Body
	var faults []Fault
	address, err := s.mailAddress(b.Address)
	if err != nil {
		faults = append(faults, Fault{"/address", err.Error()})
	}
	if b.ExpiresAt != nil && !b.ExpiresAt.After(time.Now()) {
		faults = append(faults, Fault{"/expires_at", "must be in the future"})
	}
	if len(faults) > 0 {
		return store.Suppression{}, invalid(faults...)
	}
	return store.Suppression{ID: outbox.NewID(), Address: address, Stream: b.Stream, Reason: store.SuppressedByHand,
		Detail: b.Detail, ExpiresAt: b.ExpiresAt}, nil
}

// alreadyThere documents that what was to be made may be there, which is answered with 200.
func alreadyThere(register func(*Server, huma.API, route)) func(*Server, huma.API, route) {
	return func(s *Server, api huma.API, rt route) {
		register(s, api, rt)
		op := operationOf(s.openAPI.Paths[rt.path], rt.method)
		there := *op.Responses["201"]
		there.Description = "It was there already; this is what it is now"
		op.Responses["200"] = &there
	}
}

type suppressionInput struct {
	ID string `path:"id"`
}

// unsuppress takes one entry off the list.
func (s *Server) unsuppress(ctx context.Context, in *suppressionInput) (*struct{}, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	return nil, s.takeOff(ctx, func(tx pgx.Tx, organizationID string) ([]store.Suppression, error) {
		one, err := store.Unsuppress(ctx, tx, organizationID, id)
		return []store.Suppression{one}, err
	})
}

type unsuppressInput struct {
	Address string `query:"address" required:"true" minLength:"3" maxLength:"254" doc:"The whole address, in any capitals"`
	Stream  string `query:"stream" maxLength:"32" pattern:"^([*]|[a-z][a-z0-9_-]*)$" doc:"That entry alone; unless given, all that are about the address"`
}

// unsuppressAddress takes an address off the list.
func (s *Server) unsuppressAddress(ctx context.Context, in *unsuppressInput) (*struct{}, error) {
	address, err := s.mailAddress(in.Address)
	if err != nil {
		return nil, invalid(Fault{"/query/address", err.Error()})
	}
	return nil, s.takeOff(ctx, func(tx pgx.Tx, organizationID string) ([]store.Suppression, error) {
		return store.UnsuppressAddress(ctx, tx, organizationID, address, in.Stream)
	})
}

// takeOff removes entries, whatever their reason: also a complaint may be taken back by word of mouth. Who did so
// stays in the log, as there is no other record of it; whose address it was doesn't.
func (s *Server) takeOff(ctx context.Context, remove func(pgx.Tx, string) ([]store.Suppression, error)) error {
	x := exchangeOf(ctx)
	var removed []store.Suppression
	err := s.DB.TxAs(ctx, x.caller.OrganizationID, func(tx pgx.Tx) (err error) {
		removed, err = remove(tx, x.caller.OrganizationID)
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range removed {
		s.Log.Info("suppression taken off", "organization_id", n.OrganizationID, "suppression_id", n.ID, "stream", n.Stream,
			"reason", n.Reason, "key_id", x.caller.KeyID, "request_id", x.id)
	}
	return nil
}
