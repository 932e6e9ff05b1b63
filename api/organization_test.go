package api

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestCreateOrganization(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	r := g.call(t, testAdminKey, "POST", "/api/organizations", `{"name":"Acme","state":"Karnataka","gstin":"29ABCDE1234F1ZW","plan":"pro",
		"email":"accounts@acme.example","address":" 1, MG Road \n Bengaluru 560001"}`).want(201)
	var o map[string]any
	r.json(&o)
	for name, want := range map[string]any{"name": "Acme", "state": "Karnataka", "gstin": "29ABCDE1234F1ZW", "plan": "pro", "currency": "INR", "timezone": "Asia/Kolkata",
		"email": "accounts@acme.example", "address": "1, MG Road\nBengaluru 560001"} {
		if o[name] != want {
			t.Errorf("%s is %v", name, o[name])
		}
	}
	const standard = `"settings":{"ai":{"local_only":false,"monthly_budget":null,"mode":"interactive"},"reminders":{"enabled":false}}`
	if !strings.Contains(string(r.body), standard) {
		t.Errorf("settings of %s", r.body)
	}
	var made newOrganization
	r.json(&made)
	if strings.Join(made.APIKey.Scopes, " ") != "read write jobs" || !wellFormedKey(made.APIKey.Key) || made.APIKey.ID == "" || made.APIKey.Name == "" {
		t.Errorf("first key %+v", made.APIKey)
	}
	again := g.call(t, made.APIKey.Key, "GET", "/api/organization", "").want(200)
	var read OrganizationView
	if again.json(&read); read.ID != made.ID || strings.Contains(string(again.body), "api_key") {
		t.Errorf("read %s", again.body)
	}
	g.call(t, made.APIKey.Key, "POST", "/api/organizations", `{"name":"x","state":"y"}`).problem(403, "forbidden")
	for body, pointers := range map[string][]string{
		`{}`:                      {"/name", "/state"},
		`{"name":"","state":"x"}`: {"/name"},
		`{"name":5,"state":"x"}`:  {"/name"},
		`{"name":"x","state":"Goa","gstin":"29"}`:                 {"/gstin"},
		`{"name":"x","state":"Goa","gstin":"29ABCDE1234F1ZW"}`:    {"/gstin"}, // of Karnataka
		`{"name":"x","state":"29","gstin":"29ABCDE1234F1ZX"}`:     {"/gstin"}, // mistyped
		`{"name":"x","state":"KA","gstin":"29abcde1234f1zx"}`:     {"/gstin"},
		`{"name":" ","state":" "}`:                                {"/name", "/state"},
		`{"name":"x\ny","state":"KA"}`:                            {"/name"},
		`{"name":"x","state":"KA","gstin":""}`:                    {"/gstin"},
		`{"name":"x","state":"Bombay"}`:                           {"/state"},
		`{"name":"x","state":"Other Country"}`:                    {"/state"},
		`{"name":"x","state":"Bombay","gstin":"29ABCDE1234F1ZX"}`: {"/state", "/gstin"},
		`{"name":"x","state":"x","plan":"gold"}`:                  {"/plan"},
		`{"name":"x","state":"KA","email":"x"}`:                   {"/email"},
		`{"name":"x","state":"KA","email":"acme","address":" "}`:  {"/email", "/address"},
		`{"name":"x","state":"x","currency":"EUR"}`:               {"/currency"},
		`{"name":"x\u0000","state":"x"}`:                          {"/name"},
		`{"name":"` + strings.Repeat("x", 201) + `","state":"x"}`: {"/name"},
	} {
		g.call(t, testAdminKey, "POST", "/api/organizations", body).problem(422, "validation_failed", pointers...)
	}
	// A missing optional field may be null.
	g.call(t, testAdminKey, "POST", "/api/organizations", `{"name":"x","state":" orissa ","gstin":null,"plan":null}`).want(201)
	// What is on every invoice is kept as it is to be read.
	var tidied newOrganization
	g.call(t, testAdminKey, "POST", "/api/organizations", `{"name":" Acme ","state":" KA","gstin":" 29abcde1234f1zw "}`).want(201).json(&tidied)
	if tidied.Name != "Acme" || tidied.State != "KA" || *tidied.GSTIN != "29ABCDE1234F1ZW" {
		t.Errorf("got %+v", tidied.OrganizationView)
	}
	patch := func(body string) *reply { return g.call(t, tidied.APIKey.Key, "PATCH", "/api/organization", body) }
	patch(`{"name":" Acme","gstin":"29abcde1234f1zw","state":"KA "}`).want(200).json(&tidied)
	if tidied.Version != 1 {
		t.Errorf("the same in other letters is version %d", tidied.Version)
	}
	patch(`{"name":" "}`).problem(422, "validation_failed", "/name")
	patch(`{"name":"x\u0007"}`).problem(422, "validation_failed", "/name")
}

func TestPatchOrganization(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	id, key := g.organization(t)
	get := g.call(t, key, "GET", "/api/organization", "").want(200)
	tag := get.header.Get("ETag")
	g.call(t, key, "GET", "/api/organization", "", "If-None-Match", tag).want(304)

	patch := func(body string, headers ...string) *reply {
		return g.call(t, key, "PATCH", "/api/organization", body, headers...)
	}
	same := patch(`{}`).want(200)
	if same.header.Get("ETag") != tag || len(g.facts(t, id)) != 0 {
		t.Error("an empty patch changed something")
	}
	var o OrganizationView
	r := patch(`{"name":"New","settings":{"ai":{"monthly_budget":50000,"mode":"relaxed"}}}`, "If-Match", tag).want(200)
	r.json(&o)
	if o.Name != "New" || o.State != "Karnataka" || *o.Settings.AI.MonthlyBudget != 50000 || o.Settings.AI.Mode != "relaxed" || o.Version != 2 {
		t.Errorf("got %s", r.body)
	}
	facts := g.facts(t, id)
	var changed struct{ Changed []string }
	if len(facts) != 1 || facts[0].typ != "organization.updated" || json.Unmarshal([]byte(facts[0].data), &changed) != nil || strings.Join(changed.Changed, " ") != "name settings" {
		t.Errorf("facts %+v", facts)
	}
	patch(`{"name":"Late"}`, "If-Match", tag).problem(412, "precondition_failed")
	patch(`{"name":"Late"}`, "If-Match", "W/"+r.header.Get("ETag")).problem(412, "precondition_failed")
	patch(`{"name":"Newer"}`, "If-Match", "*", "Content-Type", "application/merge-patch+json").want(200)
	patch(`{"gstin":"29ABCDE1234F1ZW","settings":{"ai":{"local_only":true},"reminders":{"enabled":true}}}`).want(200).json(&o)
	if *o.GSTIN != "29ABCDE1234F1ZW" || !o.Settings.AI.LocalOnly || o.Settings.AI.Mode != "relaxed" || !o.Settings.Reminders.Enabled {
		t.Errorf("got %+v", o)
	}
	o = OrganizationView{}
	patch(`{"gstin":null,"settings":{"ai":{"mode":null,"monthly_budget":null}}}`).want(200).json(&o)
	if o.GSTIN != nil || o.Settings.AI.Mode != "interactive" || o.Settings.AI.MonthlyBudget != nil || !o.Settings.AI.LocalOnly {
		t.Errorf("got %+v", o)
	}
	patch(`{"email":"a@acme.example","address":"Here"}`).want(200).json(&o)
	if *o.Email != "a@acme.example" || *o.Address != "Here" {
		t.Errorf("got %+v", o)
	}
	patch(`{"email":null,"address":null}`).want(200).json(&o)
	if o.Email != nil || o.Address != nil {
		t.Errorf("got %+v", o)
	}
	patch(`{"settings":{"ai":null}}`).want(200).json(&o)
	if o.Settings.AI.LocalOnly || !o.Settings.Reminders.Enabled {
		t.Errorf("got %+v", o.Settings)
	}
	patch(`{"settings":null}`).want(200).json(&o)
	if o.Settings.Reminders.Enabled {
		t.Errorf("got %+v", o.Settings)
	}
	for body, pointer := range map[string]string{
		`{"name":null}`:                                "/name",
		`{"name":""}`:                                  "/name",
		`{"plan":"pro"}`:                               "/plan",
		`{"settings":{"ai":{"mode":"fast"}}}`:          "/settings/ai/mode",
		`{"settings":{"ai":{"monthly_budget":-1}}}`:    "/settings/ai/monthly_budget",
		`{"settings":{"ai":{"monthly_budget":1.5}}}`:   "/settings/ai/monthly_budget",
		`{"settings":{"ai":{"colour":1}}}`:             "/settings/ai/colour",
		`{"settings":{"reminders":{"enabled":"yes"}}}`: "/settings/reminders/enabled",
		`{"settings":[]}`:                              "/settings",
		`{"gstin":"x"}`:                                "/gstin",
		`{"email":"Acme <a@acme.example>"}`:            "/email",
		`{"address":""}`:                               "/address",
		`{"gstin":"27AAPFU0939F1ZV"}`:                  "/gstin",
		`{"state":"Bombay"}`:                           "/state",
		`{"state":null}`:                               "/state",
		`{"settings":{"ai":{"monthly_budget":1e400}}}`: "/settings/ai/monthly_budget",
		`{"settings":{"ai":{"monthly_budget":1e3}}}`:   "/settings/ai/monthly_budget",
	} {
		p := patch(body).problem(422, "validation_failed")
		if p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %v, want %s", body, p.Errors, pointer)
		}
	}
}

func TestPatchesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key := g.organization(t)
	bodies := []string{`{"name":"N"}`, `{"state":"KA"}`, `{"gstin":"29ABCDE1234F1ZW"}`, `{"settings":{"ai":{"local_only":true}}}`}
	var wg sync.WaitGroup
	for _, body := range bodies {
		wg.Go(func() { g.call(t, key, "PATCH", "/api/organization", body).want(200) })
	}
	wg.Wait()
	var o OrganizationView
	g.call(t, key, "GET", "/api/organization", "").want(200).json(&o)
	if o.Name != "N" || o.State != "KA" || o.GSTIN == nil || !o.Settings.AI.LocalOnly || o.Version != 5 {
		t.Errorf("got %+v", o)
	}
}

// TestOrganizationFromBeforeTheChecks: what would not be taken today neither is a fault of ours nor stands in the
// way of what has nothing to do with it, except where the database refuses the row.
func TestOrganizationFromBeforeTheChecks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	id, key := g.organization(t)
	patch := func(body string) *reply { return g.call(t, key, "PATCH", "/api/organization", body) }
	g.exec(t, `UPDATE organizations SET state = 'Bombay' WHERE id = $1`, id)
	patch(`{"name":"New"}`).want(200)
	patch(`{"gstin":"27AAPFU0939F1ZV"}`).problem(422, "validation_failed", "/state")
	patch(`{"gstin":"27AAPFU0939F1ZV","state":"Maharashtra"}`).want(200)

	g.exec(t, `ALTER TABLE organizations DROP CONSTRAINT organizations_gstin_valid`)
	g.exec(t, `UPDATE organizations SET gstin = '27AAPFU0939F1ZW' WHERE id = $1`, id)
	g.exec(t, `ALTER TABLE organizations ADD CONSTRAINT organizations_gstin_valid CHECK (gstin_is_valid(gstin)) NOT VALID`)
	g.call(t, key, "GET", "/api/organization", "").want(200)
	p := patch(`{"name":"Newer"}`).problem(422, "validation_failed", "/gstin")
	if !strings.Contains(p.Errors[0].Detail, "27AAPFU0939F1ZW") {
		t.Errorf("detail %q does not name the number", p.Errors[0].Detail)
	}
	patch(`{"name":"Newer","gstin":"27AAPFU0939F1ZV"}`).want(200)
	patch(`{"name":"Newest"}`).want(200)
}

// exec runs a statement as the owner of the tables.
func (g *rig) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), g.dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}
