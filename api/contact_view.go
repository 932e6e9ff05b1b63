package api

import (
	"net/http"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// ContactView is a contact as its organization reads it.
type ContactView struct {
	ID              string     `json:"id" format:"uuid"`
	Name            string     `json:"name"`
	Email           *string    `json:"email"`
	Phone           *string    `json:"phone"`
	Company         *string    `json:"company"`
	Type            string     `json:"type" enum:"lead,customer,vendor,employee"`
	Stage           string     `json:"stage" enum:"prospect,contact,customer"`
	Status          string     `json:"status" enum:"active,inactive,lost"`
	Source          *string    `json:"source"`
	GSTIN           *string    `json:"gstin"`
	Address         *string    `json:"address" doc:"Lines as on an envelope"`
	City            *string    `json:"city"`
	State           *string    `json:"state"`
	LeadScore       *int       `json:"lead_score" minimum:"0" maximum:"100" doc:"Set by ai.lead_score; null until then"`
	Tags            []string   `json:"tags"`
	Notes           *string    `json:"notes"`
	LastContactedAt *time.Time `json:"last_contacted_at"`
	NextFollowUp    *time.Time `json:"next_follow_up"`
	Version         int64      `json:"version"`
	CreatedAt       time.Time  `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at"`

	Deals    []DealView    `json:"deals,omitzero" doc:"With include=deals: open ones first, then the newest; at most 5, in the detail 10"`
	Invoices []InvoiceView `json:"invoices,omitzero" doc:"With include=invoices: in a list the newest 3 that are sent or overdue, in the detail the newest 5"`
}

func contactViewOf(c store.Contact) ContactView {
	return ContactView{
		ID: c.ID, Name: c.Name, Email: c.Email, Phone: c.Phone, Company: c.Company, Type: c.Type, Stage: c.Stage,
		Status: c.Status, Source: c.Source, GSTIN: c.GSTIN, Address: c.Address, City: c.City, State: c.State, LeadScore: c.LeadScore,
		Tags: c.Tags, Notes: c.Notes, LastContactedAt: utc(c.LastContactedAt), NextFollowUp: utc(c.NextFollowUp),
		Version: c.Version, CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC(),
	}
}

// contactDetailView is a contact with how much there is of it, and what was found out about it.
type contactDetailView struct {
	ContactView
	Counts   contactCounts `json:"counts"`
	Insights []insightView `json:"insights" doc:"What was found out about the contact, one of each kind, the latest first"`
}

type contactCounts struct {
	Deals          int `json:"deals"`
	OpenDeals      int `json:"open_deals"`
	Invoices       int `json:"invoices"`
	UnpaidInvoices int `json:"unpaid_invoices" doc:"Sent or overdue"`
}

func contactDetailViewOf(c store.ContactDetail, with store.Include) contactDetailView {
	v := contactDetailView{contactViewOf(c.Contact), contactCounts(c.ContactCounts), insightViewsOf(c.Insights)}
	v.add(c.Related, with)
	return v
}

func contactPath(id string) string { return "/api/contacts/" + id }

type contactOutput struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Body         encoded[contactDetailView]
}

// contactOutputOf gives a contact's detail an ETag of its version and a sum of all that is shown: deals, invoices
// and insights come and go without a new version of the contact.
func contactOutputOf(c store.ContactDetail, with store.Include) (*contactOutput, error) {
	body, err := encode(contactDetailViewOf(c, with))
	if err != nil {
		return nil, err
	}
	return &contactOutput{Status: http.StatusOK, ETag: summedTag(c.Version, body), CacheControl: revalidate, Body: encoded[contactDetailView]{body}}, nil
}
