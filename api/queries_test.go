package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/events/outbox"
	"github.com/payaid/payaid/internal/store"
)

// Whatever is read takes at most so many queries and round trips; a thing with all that is shown with it, one
// round trip.
const (
	mostQueries = 3
	mostTrips   = 2

	mostQueriesOfDetail = 4
	mostTripsOfDetail   = 1
)

// queriesAsked has, for every route that reads, the ways to ask; %d stands for a page size.
var queriesAsked = map[string][]string{
	"/api/organization":        {""},
	"/api/api-keys":            {"limit=%d"},
	"/api/contacts":            {"limit=%d", "limit=%d&include=deals,invoices", "limit=%d&include=invoices", "limit=%d&q=crowd&include=deals,invoices", "limit=%d&status=active"},
	"/api/contacts/{id}":       {"", "include=deals,invoices"},
	"/api/deals":               {"limit=%d", "limit=%d&include=contact", "limit=%d&q=x&include=contact", "limit=%d&status=open"},
	"/api/deals/{id}":          {""},
	"/api/invoices":            {"limit=%d", "limit=%d&include=contact", "limit=%d&q=crowd&include=contact", "limit=%d&status=draft"},
	"/api/invoices/{id}":       {""},
	"/api/invoices/{id}/pdf":   {""},
	"/api/dashboard/metrics":   {""},
	"/api/ai/usage":            {"", "group_by=model", "from=2026-01-01&to=2026-03-31"},
	"/api/system/metrics":      {""},
	"/api/system/backups":      {"limit=%d"},
	"/api/system/index-health": {"", "index=jobs_pkey&measure=true"},
	"/api/ai/insights":         {"limit=%d", "limit=%d&kind=ai.lead_score"},
	"/api/mail":                {"limit=%d", "limit=%d&address=crowd@example.in", "limit=%d&state=queued"},
	"/api/mail/{id}":           {""},
	"/api/mail/suppressions":   {"limit=%d", "limit=%d&address=crowd@example.in"},
	"/api/jobs":                {"limit=%d", "limit=%d&status=queued"},
	"/api/jobs/{id}":           {""},

	"/api/mail/templates":      {"limit=%d", "limit=%d&name=hush"},
	"/api/mail/templates/{id}": {""},

	"/api/webhooks/callbacks":                     {""},
	"/api/webhooks/callbacks/deliveries":          {"limit=%d", "limit=%d&status=failed"},
	"/api/webhooks/callbacks/deliveries/{id}":     {""},
	"/api/webhooks":                               {"limit=%d", "limit=%d&status=enabled"},
	"/api/webhooks/{id}":                          {""},
	"/api/webhooks/{id}/deliveries":               {"limit=%d", "limit=%d&status=failed", "limit=%d&event_type=invoice.paid&purpose=event"},
	"/api/webhooks/{id}/deliveries/{delivery_id}": {""},
}

// A queryCounter counts what each request asks of the database, but for what chooses its organization and
// limits its time.
type queryCounter struct {
	mu             sync.Mutex
	queries, trips map[*exchange]int
	last           *exchange
}

func (c *queryCounter) count(ctx context.Context, sql string, trips int) {
	x := exchangeOf(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if x == nil || c.queries == nil || strings.Contains(sql, "authenticate_key") {
		return
	}
	c.last = x
	c.trips[x] += trips
	if sql != "" && !strings.HasPrefix(sql, "SELECT set_config(") {
		c.queries[x]++
	}
}

func (c *queryCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	c.count(ctx, d.SQL, 1)
	return ctx
}
func (c *queryCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *queryCounter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	// Whose the key is was forgotten meanwhile, on a slow machine.
	if !slices.ContainsFunc(d.Batch.QueuedQueries, func(q *pgx.QueuedQuery) bool { return strings.Contains(q.SQL, "authenticate_key") }) {
		c.count(ctx, "", 1)
	}
	return ctx
}
func (c *queryCounter) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	c.count(ctx, d.SQL, 0)
}
func (c *queryCounter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// of runs a request and gives what it asked.
func (c *queryCounter) of(request func()) (queries, trips int) {
	c.mu.Lock()
	c.queries, c.trips, c.last = map[*exchange]int{}, map[*exchange]int{}, nil
	c.mu.Unlock()
	request()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queries[c.last], c.trips[c.last]
}

// No route that reads asks more of the database for a longer page, and none asks much.
func TestReadsTakeFewQueries(t *testing.T) {
	t.Parallel()
	counter := &queryCounter{}
	g := newRig(t, func(c *Config) {
		traced, err := store.Open(t.Context(), store.PoolOptions{URL: c.DB.Pool().Config().ConnString(), Role: store.App,
			Name: "traced", Tracer: counter})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(traced.Close)
		c.DB = traced
	})
	org, key := g.organization(t)
	for range 12 {
		id := outbox.NewID()
		g.execute(t, `INSERT INTO contacts (organization_id, id, name) VALUES ($1, $2, 'crowd')`, org, id)
		g.insight(t, "contact", id, "ai.lead_score", `{}`)
		for range 6 {
			g.execute(t, insertADeal, org, outbox.NewID(), id)
			g.execute(t, insertAnInvoice, org, outbox.NewID(), id)
		}
		g.submit(t, key, aCompletion)
		g.mailed(t, org, nil, "crowd@example.in", "other@example.in")
		g.key(t, key, "read")
	}
	ids := make(map[string]string)
	for sort, makeOne := range belongings {
		ids[sort] = makeOne(g, t, key)
	}
	for range 12 {
		g.webhook(t, key, "")
		g.delivered(t, org, ids["/api/webhooks/"])
	}
	for _, rt := range g.routes() {
		if rt.method != "GET" || rt.scopes == 0 || rt.streams || strings.HasPrefix(rt.path, "/api/system/mail-sink") { // which has no rows
			continue
		}
		if strings.HasPrefix(rt.path, "/api/admin/") {
			continue // what operators ask is bounded by time, and looked at where there are many rows
		}
		if queriesAsked[rt.path] == nil {
			t.Errorf("this test doesn't ask %s: add it to queriesAsked", rt.path)
		}
		asker := key
		if rt.scopes&(admin|adminRead) != 0 {
			asker = testAdminKey
		}
		sort, _, detail := strings.Cut(rt.path, "{id}")
		path := rt.path
		if below, _, found := strings.Cut(path, "{delivery_id}"); found {
			path = strings.Replace(path, "{delivery_id}", parts[below](g, t, key, ids[sort]), 1)
		}
		path = strings.Replace(path, "{id}", ids[sort], 1)
		atMost, most := mostQueries, mostTrips
		if detail {
			atMost, most = mostQueriesOfDetail, mostTripsOfDetail
		}
		if rt.path == "/api/system/index-health" {
			atMost, most = 18, 14 // of the catalogue, savepoints among them, however many indexes there are
		}
		if rt.path == "/api/system/backups" {
			atMost = 7 // a page, and how things stand
		}
		if rt.path == "/api/system/metrics" {
			atMost, most = 12, 4 // of several things, over all organizations
		}
		for _, query := range queriesAsked[rt.path] {
			least := 0
			for _, size := range []int{1, 10, 200} {
				asked := path + "?" + query
				if strings.Contains(query, "%d") {
					asked = path + "?" + fmt.Sprintf(query, size)
				}
				queries, trips := counter.of(func() { g.call(t, asker, "GET", asked, "").want(200) })
				if queries == 0 {
					t.Errorf("%s asked nothing, so this test proves nothing", asked)
				}
				if least == 0 {
					least = queries
				}
				if queries > atMost || trips > most || queries > least {
					t.Errorf("%s: %d queries in %d round trips, and %d for the shortest page", asked, queries, trips, least)
				}
			}
		}
	}
}
