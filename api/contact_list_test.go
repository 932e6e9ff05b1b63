package api

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
)

// names reads a list to its end, a page of some size at a time, and gives who is in it.
func (g *rig) names(t testing.TB, key, query string, limit int) (names []string) {
	t.Helper()
	cursor := ""
	for {
		var p page[ContactView]
		g.call(t, key, "GET", fmt.Sprintf("/api/contacts?limit=%d&cursor=%s&%s", limit, cursor, query), "").want(200).json(&p)
		for _, c := range p.Data {
			names = append(names, c.Name)
		}
		if len(p.Data) > limit || p.HasMore != (p.NextCursor != nil) || p.HasMore && len(p.Data) < limit {
			t.Fatalf("%s: a page of %d with more %v and cursor %v", query, len(p.Data), p.HasMore, p.NextCursor)
		}
		if !p.HasMore {
			return names
		}
		cursor = url.QueryEscape(*p.NextCursor)
	}
}

func TestListContacts(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	if got := g.names(t, key, "", 50); len(got) != 0 {
		t.Errorf("nobody is %v", got)
	}
	for _, c := range []string{
		`{"name":"a"}`, `{"name":"b","type":"customer","stage":"customer"}`, `{"name":"c","status":"inactive"}`,
		`{"name":"d","type":"customer","status":"inactive"}`, `{"name":"e","type":"vendor","status":"lost"}`,
	} {
		g.contact(t, key, c)
	}
	for query, want := range map[string][]string{
		"":                              {"e", "d", "c", "b", "a"},
		"status=inactive":               {"d", "c"},
		"type=customer":                 {"d", "b"},
		"stage=prospect":                {"e", "d", "c", "a"},
		"type=customer&status=inactive": {"d"},
		"stage=contact":                 nil,
	} {
		for _, limit := range []int{1, 2, 5, 200} {
			if got := g.names(t, key, query, limit); !slices.Equal(got, want) {
				t.Errorf("%s by %d: got %v, want %v", query, limit, got, want)
			}
		}
	}
	var p page[ContactView]
	g.call(t, key, "GET", "/api/contacts?limit=1&status=inactive", "").want(200).json(&p)
	for _, query := range []string{"status=lost", "status=inactive&type=customer", "type=inactive", ""} {
		code, status := "invalid_cursor", 400
		if query == "type=inactive" {
			code, status = "validation_failed", 422
		}
		g.call(t, key, "GET", "/api/contacts?limit=1&"+query+"&cursor="+*p.NextCursor, "").problem(status, code)
	}
	for query, pointer := range map[string]string{
		"status=gone": "/query/status", "type=friend": "/query/type", "stage=won": "/query/stage",
		"limit=0": "/query/limit", "limit=201": "/query/limit", "colour=red": "/query/colour",
	} {
		g.call(t, key, "GET", "/api/contacts?"+query, "").problem(422, "validation_failed", pointer)
	}
}
