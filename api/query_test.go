package api

import (
	"strings"
	"testing"
)

// What a query says is heeded or refused: a filter that was dropped in silence would answer with too much.
func TestQueryIsHeededOrRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	for _, query := range []string{"q=50%", "status=lost%", "q=%zz", "status=lost;limit=1", "q=a;b", "q=%ff", "q=%00", "%00=1"} {
		g.call(t, key, "GET", "/api/contacts?"+query, "").problem(400, "bad_request")
	}
	for query, pointers := range map[string]string{
		"status=lost&status=active":    "/query/status",
		"limit=1&q=a&limit=2&q=a":      "/query/limit /query/q",
		"include=deals&colour=red":     "/query/colour",
		"colour=red&colour=blue%2Fsky": "/query/colour",
	} {
		g.call(t, key, "GET", "/api/contacts?"+query, "").problem(422, "validation_failed", strings.Fields(pointers)...)
	}
	for _, query := range []string{"", "&", "q=50%25", "q=a%3Bb&status=lost", "include=deals&include=invoices", "q=a+b", "q=%E2%82%B9"} {
		g.call(t, key, "GET", "/api/contacts?"+query, "").want(200)
	}
}
