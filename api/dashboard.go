package api

import (
	"context"
	"math"
	"time"

	"github.com/payaid/payaid/internal/cachetag"
	"github.com/payaid/payaid/internal/store"
)

// dashboardView is an organization's business at one moment. Amounts are in paise.
type dashboardView struct {
	Contacts       contactTotals  `json:"contacts"`
	Deals          dealTotals     `json:"deals"`
	Invoices       invoiceTotals  `json:"invoices"`
	RevenueByMonth []monthRevenue `json:"revenue_by_month" doc:"Payments of the last twelve months in the organization's timezone, oldest first"`
	GeneratedAt    time.Time      `json:"generated_at"`
}

type contactTotals struct {
	Total    int64 `json:"total"`
	ByStatus struct {
		Active   int64 `json:"active"`
		Inactive int64 `json:"inactive"`
		Lost     int64 `json:"lost"`
	} `json:"by_status"`
}

type dealTotals struct {
	Open          int64    `json:"open"`
	Won           int64    `json:"won"`
	Lost          int64    `json:"lost"`
	PipelineValue int64    `json:"pipeline_value" doc:"Of all open deals, in paise"`
	ByStage       perStage `json:"by_stage"`
	ValueByStage  perStage `json:"value_by_stage" doc:"In paise"`
}

type perStage struct {
	Lead        int64 `json:"lead"`
	Qualified   int64 `json:"qualified"`
	Proposal    int64 `json:"proposal"`
	Negotiation int64 `json:"negotiation"`
	Won         int64 `json:"won"`
	Lost        int64 `json:"lost"`
}

type invoiceTotals struct {
	Draft         int64 `json:"draft"`
	Sent          int64 `json:"sent"`
	Paid          int64 `json:"paid"`
	Overdue       int64 `json:"overdue" doc:"Their due date has passed in the organization's timezone"`
	Cancelled     int64 `json:"cancelled"`
	Outstanding   int64 `json:"outstanding" doc:"What is due of those sent and overdue, in paise"`
	OverdueAmount int64 `json:"overdue_amount" doc:"What is due of those overdue, in paise"`
}

type monthRevenue struct {
	Month string `json:"month" doc:"YYYY-MM"`
	Paid  int64  `json:"paid" doc:"In paise"`
}

func dashboardViewOf(d store.Dashboard, now time.Time) dashboardView {
	v := dashboardView{RevenueByMonth: make([]monthRevenue, len(d.Revenue)), GeneratedAt: now}
	for i, m := range d.Revenue {
		v.RevenueByMonth[i] = monthRevenue(m)
	}
	by := &v.Contacts.ByStatus
	by.Active, by.Inactive, by.Lost = d.Contacts["active"].Count, d.Contacts["inactive"].Count, d.Contacts["lost"].Count
	v.Contacts.Total = by.Active + by.Inactive + by.Lost

	v.Deals.ByStage = perStageOf(d.Deals, func(t store.Tally) int64 { return t.Count })
	v.Deals.ValueByStage = perStageOf(d.Deals, func(t store.Tally) int64 { return t.Amount })
	n, value := v.Deals.ByStage, v.Deals.ValueByStage
	v.Deals.Open, v.Deals.Won, v.Deals.Lost = n.Lead+n.Qualified+n.Proposal+n.Negotiation, n.Won, n.Lost
	v.Deals.PipelineValue = sumOfPaise(value.Lead, value.Qualified, value.Proposal, value.Negotiation)

	sent, overdue := d.Invoices["sent"], d.Invoices["overdue"]
	v.Invoices = invoiceTotals{Draft: d.Invoices["draft"].Count, Sent: sent.Count, Paid: d.Invoices["paid"].Count,
		Overdue: overdue.Count, Cancelled: d.Invoices["cancelled"].Count,
		Outstanding: sumOfPaise(sent.Amount, overdue.Amount), OverdueAmount: overdue.Amount}
	return v
}

func perStageOf(deals map[string]store.Tally, of func(store.Tally) int64) perStage {
	return perStage{Lead: of(deals[store.DealLead]), Qualified: of(deals[store.DealQualified]), Proposal: of(deals[store.DealProposal]),
		Negotiation: of(deals[store.DealNegotiation]), Won: of(deals[store.DealWon]), Lost: of(deals[store.DealLost])}
}

// sumOfPaise adds up what is not negative, and stops at the greatest int64 as the sums of the database do.
func sumOfPaise(amounts ...int64) (sum int64) {
	for _, a := range amounts {
		if sum > math.MaxInt64-a {
			return math.MaxInt64
		}
		sum += a
	}
	return sum
}

// loadDashboard reads how the business of an organization stands now.
func (s *Server) loadDashboard(ctx context.Context, organizationID string) (dashboardView, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	d, err := s.DB.Dashboard(ctx, organizationID, now)
	return dashboardViewOf(d, now), err
}

// dashboardMetrics is what the dashboard is kept as: a minute, as it depends on the date too. It is the one
// read that looks at all rows of an organization, so one process loads it for all.
var dashboardMetrics = cachetag.Entry{Name: "dashboard:metrics", Tags: []string{cachetag.Contacts, cachetag.Deals, cachetag.Invoices},
	TTL: time.Minute, Lease: 2 * time.Second}

// getDashboard tells how the business of the key's organization stands.
func (s *Server) getDashboard(ctx context.Context, _ *struct{}) (*cached[dashboardView], error) {
	return readCached(ctx, s, dashboardMetrics, s.loadDashboard)
}
