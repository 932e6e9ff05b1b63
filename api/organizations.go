package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/gst"
	"github.com/payaid/payaid/internal/store"
)

// OrganizationView is an organization as its members read it.
type OrganizationView struct {
	ID        string    `json:"id" format:"uuid"`
	Name      string    `json:"name"`
	State     string    `json:"state"`
	GSTIN     *string   `json:"gstin"`
	Email     *string   `json:"email" doc:"Where its people read mail"`
	Address   *string   `json:"address" doc:"Lines as on an envelope, for its invoices"`
	Plan      string    `json:"plan"`
	Currency  string    `json:"currency"`
	Timezone  string    `json:"timezone"`
	Settings  settings  `json:"settings"`
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func organizationViewOf(o store.Organization) (OrganizationView, error) {
	set, err := parseSettings(o.Settings)
	return OrganizationView{
		ID: o.ID, Name: o.Name, State: o.State, GSTIN: o.GSTIN, Email: o.Email, Address: o.Address, Plan: o.Plan, Currency: o.Currency,
		Timezone: o.Timezone, Settings: set, Version: o.Version,
		CreatedAt: o.CreatedAt.UTC(), UpdatedAt: o.UpdatedAt.UTC(),
	}, err
}

type newOrganization struct {
	OrganizationView
	APIKey firstKey `json:"api_key"`
}

type firstKey struct {
	ID     string   `json:"id" format:"uuid"`
	Name   string   `json:"name"`
	Key    string   `json:"key" doc:"Shown here only"`
	Scopes []string `json:"scopes"`
}

type createOrganizationInput struct {
	Body struct {
		Name    string  `json:"name" minLength:"1" maxLength:"200"`
		State   string  `json:"state" minLength:"1" maxLength:"64" doc:"Of India: its name, GST's code or its letters"`
		GSTIN   *string `json:"gstin,omitempty" nullable:"true" doc:"Of that state, with the right checksum"`
		Email   *string `json:"email,omitempty" nullable:"true" minLength:"3" maxLength:"254" doc:"One bare address"`
		Address *string `json:"address,omitempty" nullable:"true" minLength:"1" maxLength:"500" doc:"At most 8 lines as on an envelope"`
		Plan    string  `json:"plan,omitempty" nullable:"true" enum:"free,basic,pro,enterprise" default:"free"`
	}
}

// identify takes over who the organization is.
func (in *createOrganizationInput) identify(o *store.Organization) error {
	p := organizationPatch{Name: given(&in.Body.Name), State: given(&in.Body.State), GSTIN: given(in.Body.GSTIN),
		Email: given(in.Body.Email), Address: given(in.Body.Address)}
	_, faults := p.identify(o)
	if faults = append(faults, checkTaxpayer(o.State, o.GSTIN)...); len(faults) > 0 {
		return invalid(faults...)
	}
	return nil
}

// createOrganization makes an organization with a key for its first steps.
func (s *Server) createOrganization(ctx context.Context, in *createOrganizationInput) (*created[newOrganization], error) {
	var who store.Organization
	if err := in.identify(&who); err != nil {
		return nil, err
	}
	a, err := s.once(ctx, func(tx pgx.Tx) (answer, error) {
		id := outbox.NewID()
		text, prefix, hash := NewKey()
		if err := store.ActAs(ctx, tx, id); err != nil {
			return answer{}, err
		}
		o, err := store.CreateOrganization(ctx, tx, store.Organization{ID: id, Name: who.Name, State: who.State,
			GSTIN: who.GSTIN, Email: who.Email, Address: who.Address, Plan: in.Body.Plan, Settings: json.RawMessage("{}")})
		if err != nil {
			return answer{}, err
		}
		k, err := store.CreateAPIKey(ctx, tx, store.APIKey{OrganizationID: id, ID: outbox.NewID(), Name: "first key",
			Prefix: prefix, Scopes: []string{"read", "write", "jobs"}}, hash)
		if err != nil {
			return answer{}, err
		}
		view, err := organizationViewOf(o)
		if err != nil {
			return answer{}, err
		}
		body, err := encode(newOrganization{view, firstKey{ID: k.ID, Name: k.Name, Key: text, Scopes: k.Scopes}})
		return answer{status: http.StatusCreated, headers: answerHeaders{Location: "/api/organization"}, body: body}, err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[newOrganization](a), nil
}

type getOrganizationInput struct {
	IfNoneMatch string `header:"If-None-Match"`
}

func (s *Server) getOrganization(ctx context.Context, in *getOrganizationInput) (*cached[OrganizationView], error) {
	out, err := readCached(ctx, s, organizationConfig, func(ctx context.Context, id string) (OrganizationView, error) {
		o, err := s.DB.Organization(ctx, id)
		if err != nil {
			return OrganizationView{}, err
		}
		return organizationViewOf(o)
	})
	if err != nil {
		return nil, err
	}
	return out.withVersion(in.IfNoneMatch)
}

type patchOrganizationInput struct {
	IfMatch string `header:"If-Match" doc:"ETag that the change is meant for"`
	Body    organizationPatch
}

// organizationPatch is a JSON merge patch (RFC 7396): what is left out stays, null takes away.
type organizationPatch struct {
	Name     optional[string]        `json:"name,omitzero" minLength:"1" maxLength:"200"`
	State    optional[string]        `json:"state,omitzero" minLength:"1" maxLength:"64"`
	GSTIN    optional[string]        `json:"gstin,omitzero" nullable:"true"`
	Email    optional[string]        `json:"email,omitzero" nullable:"true" minLength:"3" maxLength:"254" doc:"One bare address"`
	Address  optional[string]        `json:"address,omitzero" nullable:"true" minLength:"1" maxLength:"500" doc:"At most 8 lines as on an envelope"`
	Settings optional[settingsPatch] `json:"settings,omitzero"`
}

func (s *Server) patchOrganization(ctx context.Context, in *patchOrganizationInput) (*versioned[OrganizationView], error) {
	var o store.Organization
	err := s.change(ctx, func(tx pgx.Tx) (facts []events.Fact, err error) {
		if o, err = store.LockOrganization(ctx, tx, exchangeOf(ctx).caller.OrganizationID); err != nil {
			return nil, err
		}
		if err := checkMatch(in.IfMatch, o.Version); err != nil {
			return nil, err
		}
		changed, err := in.Body.apply(&o)
		if err != nil || len(changed) == 0 {
			return nil, err
		}
		if err := checkChangedTaxpayer(o, changed); err != nil {
			return nil, err
		}
		if o, err = store.UpdateOrganization(ctx, tx, o); err != nil {
			return nil, err
		}
		return []events.Fact{events.OrganizationUpdated{OrganizationID: o.ID, Changed: changed, Version: o.Version}}, nil
	})
	if err != nil {
		return nil, err
	}
	view, err := organizationViewOf(o)
	return versionedOf(versionTag(o.Version), view), err
}

// apply changes o and names the fields that are different now.
func (p organizationPatch) apply(o *store.Organization) (changed []string, err error) {
	changed, faults := p.identify(o)
	if len(faults) > 0 {
		return nil, invalid(faults...)
	}
	if !p.Settings.set {
		return changed, nil
	}
	different, err := p.Settings.value.apply(o, p.Settings.null)
	if different {
		changed = append(changed, "settings")
	}
	return changed, err
}

// identify takes over who the organization is. Faults of the GSTIN and the state, which go together, are left
// to checkTaxpayer.
func (p organizationPatch) identify(o *store.Organization) (changed []string, faults []Fault) {
	var m merge
	trimmed := func(text string) (string, error) { return strings.TrimSpace(text), nil }
	m.text("name", &o.Name, p.Name, line)
	m.text("state", &o.State, p.State, trimmed)
	m.optionalText("gstin", &o.GSTIN, p.GSTIN, func(text string) (string, error) { return trimmed(strings.ToUpper(text)) })
	m.optionalText("email", &o.Email, p.Email, bareAddress)
	m.optionalText("address", &o.Address, p.Address, envelope)
	if p.Name.null {
		m.fault("/name", "can't be taken away")
	}
	if p.State.null {
		m.fault("/state", "can't be taken away")
	}
	return m.changed, m.faults
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// checkTaxpayer looks at where an organization is registered for the GST: in a state that there is, and by a
// number of that state.
func checkTaxpayer(state string, gstin *string) (faults []Fault) {
	home, err := gst.ParseState(state)
	switch {
	case err != nil:
		faults = append(faults, Fault{"/state", err.Error()})
	case !home.InIndia():
		faults = append(faults, Fault{"/state", "must be in India"})
	}
	if gstin == nil {
		return faults
	}
	registered, err := gst.CheckGSTIN(*gstin)
	switch {
	case err != nil:
		faults = append(faults, Fault{"/gstin", err.Error()})
	case len(faults) == 0 && registered != home:
		faults = append(faults, Fault{"/gstin", fmt.Sprintf("begins with %s, which is %s and not %s",
			registered.Code, registered.Name, home.Name)})
	}
	return faults
}

// checkChangedTaxpayer lets an organization from before the checks change what else it has, all but for a
// GSTIN that the database doesn't take any more.
func checkChangedTaxpayer(o store.Organization, changed []string) error {
	if slices.Contains(changed, "state") || slices.Contains(changed, "gstin") {
		if faults := checkTaxpayer(o.State, o.GSTIN); len(faults) > 0 {
			return invalid(faults...)
		}
		return nil
	}
	if o.GSTIN == nil || gst.HasChecksum(*o.GSTIN) {
		return nil
	}
	return invalid(Fault{"/gstin", "the one on record, " + *o.GSTIN + ", is mistyped: give the right one, or null, with this change"})
}
