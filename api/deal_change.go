package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events"
	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

type createDealInput struct {
	Body struct {
		ContactID         string  `json:"contact_id" format:"uuid"`
		Title             string  `json:"title" minLength:"1" maxLength:"200"`
		Value             int64   `json:"value" minimum:"0" maximum:"9007199254740991" doc:"In paise"`
		Stage             string  `json:"stage,omitempty" enum:"lead,qualified,proposal,negotiation,won,lost" default:"lead"`
		Probability       *int    `json:"probability,omitempty" nullable:"true" minimum:"0" maximum:"100" doc:"Left out: what the stage stands for"`
		ExpectedCloseDate *date   `json:"expected_close_date,omitempty" nullable:"true"`
		LostReason        *string `json:"lost_reason,omitempty" nullable:"true" minLength:"1" maxLength:"1000" doc:"With the stage lost alone"`
	}
}

// createDeal makes a deal with a contact of the organization.
func (s *Server) createDeal(ctx context.Context, in *createDealInput) (*created[dealDetail], error) {
	b := in.Body
	d := store.Deal{OrganizationID: exchangeOf(ctx).caller.OrganizationID, ID: outbox.NewID(),
		Title: strings.TrimSpace(b.Title), Value: b.Value, Stage: b.Stage, Probability: dealProbability[b.Stage],
		ExpectedCloseDate: b.ExpectedCloseDate.time(), LostReason: b.LostReason}
	if b.Probability != nil {
		d.Probability = *b.Probability
	}
	var known bool
	d.ContactID, known = canonicalID(b.ContactID)
	faults := checkDeal(d)
	if !known {
		faults = append(faults, noContact)
	}
	if len(faults) > 0 {
		return nil, invalid(faults...)
	}
	a, err := s.changeOnce(ctx, func(tx pgx.Tx) (answer, []events.Fact, error) {
		d, err := store.CreateDeal(ctx, tx, d)
		if err != nil {
			return answer{}, nil, dealRefusal(err)
		}
		detail := dealDetailOf(d)
		body, err := encode(detail.Body)
		return answer{status: http.StatusCreated, headers: answerHeaders{Location: "/api/deals/" + d.ID, ETag: detail.ETag}, body: body},
			factsOfNewDeal(d), err
	})
	if err != nil {
		return nil, err
	}
	return createdFrom[dealDetail](a), nil
}

var noContact = Fault{"/contact_id", "there is no such contact"}

// dealRefusal translates what the database alone can know, as others change things meanwhile.
func dealRefusal(err error) error {
	switch {
	case errors.Is(err, store.ErrNoContact):
		return invalid(noContact)
	case errors.Is(err, store.ErrTransition):
		return refuse("invalid_transition", "the deal does not go to that stage from the one that it is in")
	}
	return err
}

type patchDealInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag that the change is meant for"`
	Body    dealPatch
}

// dealPatch is a JSON merge patch (RFC 7396): what is left out stays, null takes away.
type dealPatch struct {
	ContactID         optional[string] `json:"contact_id,omitzero" format:"uuid"`
	Title             optional[string] `json:"title,omitzero" minLength:"1" maxLength:"200"`
	Value             optional[int64]  `json:"value,omitzero" minimum:"0" maximum:"9007199254740991"`
	Stage             optional[string] `json:"stage,omitzero" enum:"lead,qualified,proposal,negotiation,won,lost"`
	Probability       optional[int]    `json:"probability,omitzero" nullable:"true" minimum:"0" maximum:"100" doc:"Left out while the stage changes, or null: what the stage stands for"`
	ExpectedCloseDate optional[date]   `json:"expected_close_date,omitzero" nullable:"true"`
	LostReason        optional[string] `json:"lost_reason,omitzero" nullable:"true" minLength:"1" maxLength:"1000"`
}

// patchDeal changes a deal, and moves it where the stage says.
func (s *Server) patchDeal(ctx context.Context, in *patchDealInput) (*versioned[dealDetail], error) {
	var d store.Deal
	err := s.change(ctx, func(tx pgx.Tx) ([]events.Fact, error) {
		was, err := dealToChange(ctx, tx, in.ID, in.IfMatch)
		if err != nil {
			return nil, err
		}
		if d, err = in.Body.applyTo(was); err != nil || len(factsOfDeal(was, d)) == 0 {
			return nil, err
		}
		if d, err = store.UpdateDeal(ctx, tx, d); err != nil {
			return nil, dealRefusal(err)
		}
		return factsOfDeal(was, d), nil
	})
	if err != nil {
		return nil, err
	}
	return dealDetailOf(d), nil
}

// dealToChange locks a deal in the version that a change is meant for.
func dealToChange(ctx context.Context, tx pgx.Tx, pathID, ifMatch string) (store.Deal, error) {
	id, err := parseID(pathID)
	if err != nil {
		return store.Deal{}, err
	}
	d, err := store.LockDeal(ctx, tx, exchangeOf(ctx).caller.OrganizationID, id)
	if err != nil {
		return d, err
	}
	return d, checkMatch(ifMatch, d.Version)
}

// applyTo is the deal as the patch wants it. Probability and reason follow the stage.
func (p dealPatch) applyTo(d store.Deal) (store.Deal, error) {
	from, faults := d.Stage, p.nulls()
	if p.ContactID.pointer() != nil {
		id, ok := canonicalID(p.ContactID.value)
		if d.ContactID = id; !ok {
			faults = append(faults, noContact)
		}
	}
	p.Title.value = strings.TrimSpace(p.Title.value)
	p.Title.into(&d.Title, d.Title)
	p.Value.into(&d.Value, d.Value)
	p.Stage.into(&d.Stage, d.Stage)
	if d.Stage != from {
		d.Probability, d.LostReason = dealProbability[d.Stage], nil
	}
	p.Probability.into(&d.Probability, dealProbability[d.Stage])
	if p.ExpectedCloseDate.set {
		d.ExpectedCloseDate = p.ExpectedCloseDate.pointer().time()
	}
	if p.LostReason.set {
		d.LostReason = p.LostReason.pointer()
	}
	if faults = append(faults, checkDeal(d)...); len(faults) > 0 {
		return d, invalid(faults...)
	}
	if allowed := nextStages(from); d.Stage != from && !slices.Contains(allowed, d.Stage) {
		return d, refuseTransition("a deal", from, d.Stage, allowed)
	}
	return d, nil
}

// nulls finds what a patch takes away though every deal has it.
func (p dealPatch) nulls() (faults []Fault) {
	for _, field := range []struct {
		name string
		null bool
	}{{"contact_id", p.ContactID.null}, {"title", p.Title.null}, {"value", p.Value.null}, {"stage", p.Stage.null}} {
		if field.null {
			faults = append(faults, Fault{"/" + field.name, "can't be taken away"})
		}
	}
	return faults
}

type deleteDealInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"ETag that the change is meant for"`
}

// deleteDeal deletes a deal.
func (s *Server) deleteDeal(ctx context.Context, in *deleteDealInput) (*struct{}, error) {
	return nil, s.change(ctx, func(tx pgx.Tx) ([]events.Fact, error) {
		d, err := dealToChange(ctx, tx, in.ID, in.IfMatch)
		if err != nil {
			return nil, err
		}
		gone := events.DealDeleted{DealID: d.ID, ContactID: d.ContactID, Version: d.Version + 1}
		return []events.Fact{gone}, store.DeleteDeal(ctx, tx, d)
	})
}
