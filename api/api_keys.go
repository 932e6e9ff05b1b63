package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// KeyView is a key as its owner sees it later.
type KeyView struct {
	ID         string     `json:"id" format:"uuid"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix" doc:"The first characters, to recognise it by"`
	Scopes     []string   `json:"scopes"`
	RateLimit  *int       `json:"rate_limit" doc:"Requests in a window (of a minute, unless the operator chose another); null: the default"`
	IPAllow    []string   `json:"ip_allow" doc:"Addresses and networks that may use it; empty: all"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at" doc:"To the minute"`
	RevokedAt  *time.Time `json:"revoked_at"`
	CreatedAt  time.Time  `json:"created_at"`
}

func keyViewOf(k store.APIKey) KeyView {
	return KeyView{ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, RateLimit: k.RateLimit,
		IPAllow: k.IPAllow, ExpiresAt: utc(k.ExpiresAt), LastUsedAt: utc(k.LastUsedAt), RevokedAt: utc(k.RevokedAt),
		CreatedAt: k.CreatedAt.UTC()}
}

type newKeyView struct {
	KeyView
	Key string `json:"key" doc:"The secret; shown here only"`
}

type listKeysInput struct{ PageQuery }

type keysOutput struct{ Body page[KeyView] }

func (s *Server) listKeys(ctx context.Context, in *listKeysInput) (*keysOutput, error) {
	before, err := parseCursor(in.Cursor, "api-keys")
	if err != nil {
		return nil, err
	}
	rows, err := s.DB.APIKeys(ctx, exchangeOf(ctx).caller.OrganizationID, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	views := make([]KeyView, len(rows))
	for i, k := range rows {
		views[i] = keyViewOf(k)
	}
	return &keysOutput{pageOf(views, in.Limit, func(v KeyView) string { return v.ID }, "api-keys")}, nil
}

type createKeyInput struct {
	Body struct {
		Name      string     `json:"name" minLength:"1" maxLength:"100"`
		Scopes    []string   `json:"scopes" minItems:"1" maxItems:"5" enum:"read,write,jobs,admin,admin_read"`
		ExpiresAt *time.Time `json:"expires_at,omitempty" nullable:"true"`
		RateLimit *int       `json:"rate_limit,omitempty" nullable:"true" minimum:"1" maximum:"1000000"`
		IPAllow   []string   `json:"ip_allow,omitempty" maxItems:"50" doc:"Addresses and networks such as 203.0.113.0/24. What is left out of this, of expires_at and of rate_limit is as with the key that asks, and what is given may not go beyond it"`
	}
}

// createKey makes a key of the caller's organization that may do no more than the caller's.
func (s *Server) createKey(ctx context.Context, in *createKeyInput) (*created[newKeyView], error) {
	x := exchangeOf(ctx)
	if err := checkKey(x.caller, in); err != nil {
		return nil, err
	}
	a, err := s.once(ctx, func(tx pgx.Tx) (answer, error) {
		text, prefix, hash := NewKey()
		k, err := store.CreateAPIKey(ctx, tx, store.APIKey{OrganizationID: x.caller.OrganizationID, ID: outbox.NewID(),
			Name: in.Body.Name, Prefix: prefix, Scopes: in.Body.Scopes, RateLimit: in.Body.RateLimit,
			IPAllow: in.Body.IPAllow, ExpiresAt: in.Body.ExpiresAt}, hash)
		if err != nil {
			return answer{}, err
		}
		body, err := encode(newKeyView{keyViewOf(k), text})
		return answer{status: http.StatusCreated, body: body}, err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[newKeyView](a), nil
}

func checkKey(c caller, in *createKeyInput) error {
	var faults []Fault
	if t := in.Body.ExpiresAt; t != nil && !t.After(time.Now()) {
		faults = append(faults, Fault{"/expires_at", "must be in the future"})
	}
	for i, text := range in.Body.IPAllow {
		if _, err := ParseNetwork(text); err != nil {
			faults = append(faults, Fault{"/ip_allow/" + strconv.Itoa(i), "must be an address or a network such as 203.0.113.0/24"})
		}
	}
	if len(faults) == 0 {
		faults = bound(c.bounds, in)
	}
	if len(faults) > 0 {
		return invalid(faults...)
	}
	slices.Sort(in.Body.Scopes)
	in.Body.Scopes = slices.Compact(in.Body.Scopes)
	for _, name := range in.Body.Scopes {
		if one := scopesOf([]string{name}); c.scopes&one != one {
			return refuse("forbidden", "a key can't make one that may do more: it lacks the scope "+name)
		}
	}
	return nil
}

// bound keeps a new key within what its maker may: whoever has a key that is limited could else rid himself
// of the limits by making another. What is left out is as the maker has it.
func bound(maker *credential, in *createKeyInput) (faults []Fault) {
	if maker == nil {
		return nil
	}
	b := &in.Body
	if end := maker.ExpiresAt; end != nil {
		if b.ExpiresAt == nil {
			b.ExpiresAt = end
		} else if b.ExpiresAt.After(*end) {
			faults = append(faults, Fault{"/expires_at", "must not be later than " + end.UTC().Format(time.RFC3339Nano) + ", when the key that asks ends"})
		}
	}
	if most := maker.RateLimit; most != nil {
		if b.RateLimit == nil {
			b.RateLimit = most
		} else if *b.RateLimit > *most {
			faults = append(faults, Fault{"/rate_limit", "must not be above " + strconv.Itoa(*most) + ", the limit of the key that asks"})
		}
	}
	if len(maker.IPAllow) == 0 {
		return faults
	}
	if b.IPAllow == nil {
		b.IPAllow = maker.IPAllow
	} else if len(b.IPAllow) == 0 {
		faults = append(faults, Fault{"/ip_allow", "must not be empty, which allows all: the key that asks is bound to addresses"})
	}
	for i, text := range b.IPAllow {
		if p, err := ParseNetwork(text); err == nil && !maker.covers(p) {
			faults = append(faults, Fault{"/ip_allow/" + strconv.Itoa(i), "must lie in one of the networks that the key that asks is bound to"})
		}
	}
	return faults
}

type keyInput struct {
	ID string `path:"id"`
}

// revokeKey ends a key for good: at once in this process, within seconds in others.
func (s *Server) revokeKey(ctx context.Context, in *keyInput) (*struct{}, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	organizationID := exchangeOf(ctx).caller.OrganizationID
	var hash [32]byte
	err = s.DB.TxAs(ctx, organizationID, func(tx pgx.Tx) error {
		revoked, err := store.RevokeAPIKey(ctx, tx, organizationID, id)
		copy(hash[:], revoked)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.keys.revoked(hash)
	return nil, nil
}
