package api

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestSearchContacts(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	_, other := g.organization(t)
	for _, c := range []string{
		`{"name":"Asha Rao","email":"asha@example.com","phone":"+91 98450 12345","company":"Rao Textiles"}`,
		`{"name":"Ravi Kumar","email":"ravi.kumar@example.com","phone":"080 2345 6789","status":"inactive"}`,
		`{"name":"Asha Kumar","company":"100% Foods","type":"customer"}`,
		`{"name":"Élodie_D'Souza","company":"A\\B Exports"}`,
		`{"name":"ಕುಮಾರ ಗೌಡ","phone":"9845067890"}`,
	} {
		g.contact(t, key, c)
	}
	g.contact(t, other, aContact)
	const asha, ravi, kumari, elodie, gowda = "Asha Rao", "Ravi Kumar", "Asha Kumar", "Élodie_D'Souza", "ಕುಮಾರ ಗೌಡ"
	for q, want := range map[string][]string{
		"":                     {gowda, elodie, kumari, ravi, asha},
		" \t ":                 {gowda, elodie, kumari, ravi, asha},
		"asha":                 {kumari, asha},
		"ASHA":                 {kumari, asha},
		"kumar asha":           {kumari},
		"sha uma":              {kumari},
		"asha asha":            {kumari, asha},
		"example.com":          {ravi, asha},
		"textiles":             {asha},
		"as":                   {kumari, asha},
		"sh":                   nil,
		"a":                    {elodie, kumari, asha},
		"k a":                  {kumari},
		"élodie":               {elodie},
		"ÉLODIE":               {elodie},
		"ಕುಮಾರ":                {gowda},
		"ಗೌ":                   {gowda},
		"100%":                 {kumari},
		"%":                    nil,
		"%%%":                  nil,
		"a%a":                  nil,
		"_d'":                  {elodie},
		"e_d":                  {elodie},
		"i_k":                  nil,
		`a\b`:                  {elodie},
		`\`:                    nil,
		"98450":                {gowda, asha},
		"98450-12":             {asha},
		"(984) 5012345":        {asha},
		"+91 98450 12345":      {asha},
		"919845012345":         {asha},
		"09845012345":          {asha},
		"+91-98450-67890":      {gowda},
		"0091 98450 67890":     {gowda},
		"09845067890":          {gowda},
		"080 2345":             {ravi},
		"98450 12345 asha":     {asha},
		"98":                   {gowda},
		"91":                   {asha},
		"5":                    nil,
		"nobody":               nil,
		"{}":                   nil,
		"'; DROP TABLE x; --":  nil,
		"asha&status=inactive": nil,
	} {
		for _, limit := range []int{1, 200} {
			if got := g.names(t, key, "q="+url.QueryEscape(q), limit); !slices.Equal(got, want) {
				t.Errorf("%q by %d: got %v, want %v", q, limit, got, want)
			}
		}
	}
	for query, want := range map[string][]string{
		"q=asha&status=active&type=customer": {kumari}, "q=asha&status=inactive": nil, "q=kumar&status=inactive": {ravi},
		"q=asha&stage=prospect": {kumari, asha}, "q=asha&type=lead": {asha}, "q=&status=inactive": {ravi},
	} {
		if got := g.names(t, key, query, 50); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	if got := g.names(t, other, "q=asha", 50); len(got) != 1 {
		t.Errorf("the other organization sees %v", got)
	}
	var p page[ContactView]
	g.call(t, key, "GET", "/api/contacts?limit=1&q=asha", "").want(200).json(&p)
	g.call(t, key, "GET", "/api/contacts?limit=1&q=kumar&cursor="+*p.NextCursor, "").problem(400, "invalid_cursor")
	g.call(t, key, "GET", "/api/contacts?q="+strings.Repeat("x", 201), "").problem(422, "validation_failed", "/query/q")
	g.call(t, key, "GET", "/api/contacts?q=a+b+c+d+e+f+g+h+i+j+k", "").problem(422, "validation_failed", "/query/q")
}

// What is changed or deleted is found no more by what it was.
func TestSearchFollowsChanges(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	id := g.contact(t, key, aContact).ID
	g.call(t, key, "PATCH", "/api/contacts/"+id, `{"name":"Uma","phone":"080 2345 6789"}`).want(200)
	for q, want := range map[string]int{"rao": 1, "asha+rao": 1, "uma": 1, "98450": 0, "0802345": 1} {
		if got := g.names(t, key, "q="+q, 50); len(got) != want {
			t.Errorf("%s: got %v, want %d", q, got, want)
		}
	}
	g.call(t, key, "DELETE", "/api/contacts/"+id, "").want(204)
	if got := g.names(t, key, "q=uma", 50); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// A search that takes too long is given up with a problem that says so, and its connection serves on.
func TestSearchIsGivenUp(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.patience = 50 * time.Millisecond
	_, key := g.organization(t)
	g.contact(t, key, aContact)
	owner, err := pgx.Connect(t.Context(), g.dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.Background())
	define := func(sql string) {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var was string
	if err := owner.QueryRow(t.Context(), `SELECT pg_get_functiondef('search_contacts'::regproc)`).Scan(&was); err != nil {
		t.Fatal(err)
	}
	define(strings.Replace(was, "BEGIN", "BEGIN PERFORM pg_sleep(60);", 1))
	r := g.call(t, key, "GET", "/api/contacts?q=asha", "")
	if p := r.problem(503, "search_timeout"); !strings.Contains(p.Detail, "50ms") || r.header.Get("Retry-After") == "" {
		t.Errorf("detail %q, headers %v", p.Detail, r.header)
	}
	define(was)
	if got := g.names(t, key, "q=asha", 50); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
