package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// DealView is a deal as lists have it.
type DealView struct {
	ID                string     `json:"id" format:"uuid"`
	ContactID         string     `json:"contact_id" format:"uuid"`
	Title             string     `json:"title"`
	Value             int64      `json:"value" doc:"In paise"`
	Currency          string     `json:"currency"`
	Stage             string     `json:"stage" enum:"lead,qualified,proposal,negotiation,won,lost"`
	Status            string     `json:"status" enum:"open,won,lost"`
	Probability       int        `json:"probability" doc:"Of winning it, per cent"`
	ExpectedCloseDate *date      `json:"expected_close_date" nullable:"true"`
	LostReason        *string    `json:"lost_reason" doc:"Of a lost deal alone"`
	StageChangedAt    time.Time  `json:"stage_changed_at"`
	ClosedAt          *time.Time `json:"closed_at" doc:"When it was won or lost"`
	Version           int64      `json:"version"`
	CreatedAt         time.Time  `json:"created_at"`
	UpdatedAt         time.Time  `json:"updated_at"`

	Contact *ContactView `json:"contact,omitempty" doc:"In lists with include=contact: the contact as it is now"`
}

// dealDetail is a deal as it is read by itself and answered by changes.
type dealDetail struct {
	DealView
	Insights []insightView `json:"insights" doc:"What was found out about the deal, one of each kind, the latest first"`
}

func dealDetailOf(d store.Deal) *versioned[dealDetail] {
	return versionedOf(detailTag(d.Version, d.Insights), dealDetail{dealViewOf(d), insightViewsOf(d.Insights)})
}

func dealViewOf(d store.Deal) DealView {
	return DealView{
		ID: d.ID, ContactID: d.ContactID, Title: d.Title, Value: d.Value, Currency: d.Currency, Stage: d.Stage,
		Status: d.Status, Probability: d.Probability, ExpectedCloseDate: dateOf(d.ExpectedCloseDate),
		LostReason: d.LostReason, StageChangedAt: d.StageChangedAt.UTC(), ClosedAt: utc(d.ClosedAt), Version: d.Version,
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
	}
}

type dealsInput struct {
	PageQuery
	Status    string `query:"status" enum:"open,won,lost"`
	Stage     string `query:"stage" enum:"lead,qualified,proposal,negotiation,won,lost"`
	ContactID string `query:"contact_id" format:"uuid"`
	Q         string `query:"q" maxLength:"200" doc:"Words that are all in the title, in any order, in capitals or not; 10 at most"`
	Include   string `query:"include" enum:"contact"`
}

// dealList is what a list of deals is kept as.
var dealList = cachetag.Entry{Name: "deal:list", Tags: []string{cachetag.Deals}, TTL: 5 * time.Minute}

// listDeals lists deals, newest first.
func (s *Server) listDeals(ctx context.Context, in *dealsInput) (*cached[page[DealView]], error) {
	contactID, ok := canonicalID(in.ContactID)
	if in.ContactID != "" && !ok {
		return nil, invalid(Fault{"/query/contact_id", "must be the id of a contact"})
	}
	q := strings.TrimSpace(in.Q)
	words, err := s.wordSearch(q)
	if err != nil {
		return nil, err
	}
	filters := []string{"deals", in.Status, in.Stage, contactID, q}
	before, err := parseCursor(in.Cursor, filters...)
	if err != nil {
		return nil, err
	}
	e := listEntry(dealList, in.PageQuery, append(filters, in.Include))
	if in.Include != "" {
		e.Tags = []string{cachetag.Deals, cachetag.Contacts}
	}
	if contactID != "" || words.Count() > 0 {
		e = notCached
	}
	f := store.DealFilter{Status: in.Status, Stage: in.Stage, ContactID: contactID, Before: before, Limit: in.Limit + 1}
	return readCached(ctx, s, e, func(ctx context.Context, organizationID string) (page[DealView], error) {
		rows, err := s.findDeals(ctx, organizationID, words, f)
		if err != nil {
			return page[DealView]{}, err
		}
		views := make([]DealView, len(rows))
		for i, d := range rows {
			views[i] = dealViewOf(d)
		}
		p := pageOf(views, in.Limit, func(v DealView) string { return v.ID }, filters...)
		if in.Include != "" {
			err = includeContacts(ctx, s, organizationID, p.Data, func(v *DealView) (string, **ContactView) { return v.ContactID, &v.Contact })
		}
		return p, err
	})
}

func (s *Server) findDeals(ctx context.Context, organizationID string, words store.Words, f store.DealFilter) ([]store.Deal, error) {
	if words.Count() == 0 {
		return s.DB.Deals(ctx, organizationID, f)
	}
	rows, err := s.DB.SearchDeals(ctx, organizationID, words, f)
	if errors.Is(err, store.ErrTooSlow) {
		return nil, searchTimeout(s.patience)
	}
	return rows, err
}

type dealInput struct {
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}

// getDeal reads one deal.
func (s *Server) getDeal(ctx context.Context, in *dealInput) (*versioned[dealDetail], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	d, err := s.DB.Deal(ctx, exchangeOf(ctx).caller.OrganizationID, id)
	if err != nil {
		return nil, err
	}
	return dealDetailOf(d).unless(in.IfNoneMatch), nil
}

// canonicalID is the form in which the database gives an id out.
func canonicalID(text string) (string, bool) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return "", false
	}
	return id.String(), true
}
