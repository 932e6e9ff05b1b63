package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDashboardOfNothing(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	before := time.Now()
	r := g.call(t, key, "GET", "/api/dashboard/metrics", "").want(200)
	var got struct {
		Contacts, Deals, Invoices json.RawMessage
		Revenue                   []monthRevenue `json:"revenue_by_month"`
		GeneratedAt               time.Time      `json:"generated_at"`
	}
	r.json(&got)
	for what, c := range map[string][2]string{
		"contacts": {string(got.Contacts), `{"total":0,"by_status":{"active":0,"inactive":0,"lost":0}}`},
		"deals": {string(got.Deals), `{"open":0,"won":0,"lost":0,"pipeline_value":0,` +
			`"by_stage":{"lead":0,"qualified":0,"proposal":0,"negotiation":0,"won":0,"lost":0},` +
			`"value_by_stage":{"lead":0,"qualified":0,"proposal":0,"negotiation":0,"won":0,"lost":0}}`},
		"invoices": {string(got.Invoices), `{"draft":0,"sent":0,"paid":0,"overdue":0,"cancelled":0,"outstanding":0,"overdue_amount":0}`},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: got %s, want %s", what, c[0], c[1])
		}
	}
	if got.GeneratedAt.Before(before.Add(-time.Millisecond)) || got.GeneratedAt.After(time.Now()) ||
		got.GeneratedAt.Nanosecond()%1000 != 0 {
		t.Errorf("generated at %s", got.GeneratedAt)
	}
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	this := got.GeneratedAt.In(kolkata)
	if len(got.Revenue) != 12 {
		t.Fatalf("%d months", len(got.Revenue))
	}
	for i, m := range got.Revenue {
		want := time.Date(this.Year(), this.Month()-time.Month(11-i), 1, 0, 0, 0, 0, time.UTC).Format("2006-01")
		if m.Month != want || m.Paid != 0 {
			t.Errorf("month %d is %+v, want %s", i, m, want)
		}
	}
	g.call(t, g.key(t, key, "write jobs"), "GET", "/api/dashboard/metrics", "").problem(403, "forbidden")
	g.call(t, "", "GET", "/api/dashboard/metrics", "").problem(401, "unauthorized")
}

func TestDashboardFollowsDeals(t *testing.T) {
	t.Parallel()
	g := newDealRig(t)
	for _, d := range []string{`"value":100`, `"value":20,"stage":"proposal"`, `"value":3,"stage":"won"`, `"value":4,"stage":"lost"`, `"value":5,"stage":"won"`} {
		g.post(d).want(201)
	}
	otherOrg, other := g.organization(t)
	g.insertContact(t, otherOrg)
	read := func(key string) string {
		var got struct{ Contacts, Deals json.RawMessage }
		g.call(t, key, "GET", "/api/dashboard/metrics", "").want(200).json(&got)
		return string(got.Contacts) + string(got.Deals)
	}
	want := `{"total":1,"by_status":{"active":1,"inactive":0,"lost":0}}` +
		`{"open":2,"won":2,"lost":1,"pipeline_value":120,` +
		`"by_stage":{"lead":1,"qualified":0,"proposal":1,"negotiation":0,"won":2,"lost":1},` +
		`"value_by_stage":{"lead":100,"qualified":0,"proposal":20,"negotiation":0,"won":8,"lost":4}}`
	if got := read(g.key); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := read(other); strings.Contains(got, `"value":8`) || !strings.Contains(got, `"open":0,"won":0`) {
		t.Errorf("another organization sees %s", got)
	}
}
