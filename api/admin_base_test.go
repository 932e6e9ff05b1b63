package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/payaid/payaid/internal/store"
	"github.com/payaid/payaid/operator"
)

var someAddress = netip.MustParseAddr("203.0.113.7")

// readOnlyKey makes a key that sees all and changes nothing.
func (g *rig) readOnlyKey(t *testing.T) (id, key string) {
	t.Helper()
	var k newKeyView
	g.call(t, testAdminKey, "POST", "/api/api-keys", `{"name":"watcher","scopes":["admin_read"]}`).want(201).json(&k)
	return k.ID, k.Key
}

func (g *rig) audit(t *testing.T, query string) []operator.AuditEntry {
	t.Helper()
	var list operator.AuditList
	g.call(t, testAdminKey, "GET", "/api/admin/audit"+query, "").want(200).json(&list)
	return list.Data
}

// inside asks as a page does.
func (g *rig) inside(o Operator, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	g.Handler().ServeHTTP(w, httptest.NewRequestWithContext(As(context.Background(), o), method, path, nil))
	return w
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, client := g.organization(t)
	id, watcher := g.readOnlyKey(t)
	for key, code := range map[string]string{"": "unauthorized", "pay_wrong": "unauthorized", testAdminKey + "x": "unauthorized", client: "forbidden"} {
		var refused *Error
		if _, _, err := g.SignIn(t.Context(), key, someAddress, "test"); !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("signing in with %q: %v, want %s", key, err, code)
		}
	}
	token, o, err := g.SignIn(t.Context(), testAdminKey, someAddress, strings.Repeat("ü", 600)+"\x00\xff")
	if err != nil || !o.MayAct() || o.KeyName != "admin key of the configuration" {
		t.Fatalf("%+v, %v", o, err)
	}
	found, err := g.Session(t.Context(), token, someAddress)
	if err != nil || found != o {
		t.Errorf("the session is %+v, %v, want %+v", found, err, o)
	}
	if _, err := g.Session(t.Context(), token+"x", someAddress); !errors.Is(err, ErrNoSession) {
		t.Errorf("another token: %v", err)
	}
	if w := g.inside(o, "GET", "/api/admin/audit"); w.Code != 200 {
		t.Errorf("asking as the operator: %d %s", w.Code, w.Body)
	}
	if err := g.SignOut(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Session(t.Context(), token, someAddress); !errors.Is(err, ErrNoSession) {
		t.Errorf("after signing out: %v", err)
	}
	entries := g.audit(t, "?target=session&target_id="+o.SessionID)
	if len(entries) != 2 || entries[0].Action != "session.end" || entries[1].Action != "session.begin" || *entries[1].Address != someAddress.String() {
		t.Errorf("the audit log has %+v", entries)
	}
	// A key that is revoked takes its sessions with it.
	token, o, err = g.SignIn(t.Context(), watcher, someAddress, "test")
	if err != nil || o.MayAct() || o.KeyName != "watcher" {
		t.Fatalf("%+v, %v", o, err)
	}
	g.call(t, testAdminKey, "DELETE", "/api/api-keys/"+id, "").want(204)
	if _, err := g.Session(t.Context(), token, someAddress); !errors.Is(err, ErrNoSession) {
		t.Errorf("after the key was revoked: %v", err)
	}
}

// Operators sign one another out; who may only look can't.
func TestOperatorsSignOthersOut(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, watcher := g.readOnlyKey(t)
	token, o, err := g.SignIn(t.Context(), watcher, someAddress, "test")
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/admin/sessions/" + o.SessionID
	g.call(t, watcher, "DELETE", path, "").problem(http.StatusForbidden, "forbidden")
	if _, err := g.Session(t.Context(), token, someAddress); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	g.call(t, testAdminKey, "DELETE", path, "").want(http.StatusNoContent)
	if _, err := g.Session(t.Context(), token, someAddress); !errors.Is(err, ErrNoSession) {
		t.Errorf("after it was ended: %v", err)
	}
	g.call(t, testAdminKey, "DELETE", path, "").want(http.StatusNotFound)
	entries := g.audit(t, "?target=session&target_id="+o.SessionID)
	if len(entries) < 2 || entries[0].Outcome != "refused" || entries[1].Action != "session.end" || entries[1].Outcome != "done" {
		t.Errorf("the audit log has %+v", entries)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, older := range []string{"seen_at = seen_at - interval '61 minutes'", "created_at = created_at - interval '721 minutes'"} {
		token, _, err := g.SignIn(t.Context(), testAdminKey, someAddress, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.system.Pool().Exec(t.Context(), "UPDATE admin_sessions SET "+older); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Session(t.Context(), token, someAddress); !errors.Is(err, ErrNoSession) {
			t.Errorf("%s: %v", older, err)
		}
	}
	// A configuration with another key opens no session of the old one.
	token, _, err := g.SignIn(t.Context(), testAdminKey, someAddress, "")
	if err != nil {
		t.Fatal(err)
	}
	other := [32]byte{1}
	g.adminKey = &other
	if _, err := g.Session(t.Context(), token, someAddress); !errors.Is(err, ErrNoSession) {
		t.Errorf("after the admin key was changed: %v", err)
	}
}

// What a page may, its operator may; nobody becomes one from outside.
func TestInsideIsNotOutside(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var inner int
	g.Pages(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := exchangeOf(r.Context())
		again := httptest.NewRecorder()
		ctx := As(r.Context(), Operator{KeyID: "admin", OrganizationID: store.OperatorOrganization, Role: store.RoleReadOnly, Address: page.from})
		g.Handler().ServeHTTP(again, httptest.NewRequestWithContext(ctx, "GET", "/api/admin/audit", nil))
		inner = again.Code
		if got := again.Header().Get("X-Request-ID"); got != page.id {
			t.Errorf("the page's question has the request id %s, the page %s", got, page.id)
		}
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
	}))
	r := g.call(t, "", "GET", "/admin/x", "").want(200)
	if inner != 200 || r.header.Get("Content-Security-Policy") != "default-src 'self'" || r.header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("the page's question: %d; headers %v", inner, r.header)
	}
	g.call(t, "", "GET", "/api/admin/audit", "").problem(401, "unauthorized")
	_, client := g.organization(t)
	g.call(t, client, "GET", "/api/admin/audit", "").problem(403, "forbidden")
	_, watcher := g.readOnlyKey(t)
	g.call(t, watcher, "GET", "/api/admin/audit", "").want(200)
	g.call(t, watcher, "GET", "/api/contacts", "").problem(403, "forbidden")
	g.call(t, watcher, "POST", "/api/organizations", `{"name":"n","state":"Kerala"}`).problem(403, "forbidden")
}

// An act that is refused or fails changes nothing, and is in the audit log; what is in it stays.
func TestActsAreNoted(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	x := &exchange{server: g.Server, id: "req-1", from: someAddress, caller: Operator{KeyID: "admin", OrganizationID: store.OperatorOrganization, Role: store.RoleAdmin}.caller()}
	ctx := context.WithValue(t.Context(), exchangeKey{}, x)
	rename := func(to string, then error) error {
		return g.Server.act(ctx, act{Action: "test.rename", Target: "organization", ID: "o"}, func(tx pgx.Tx, note *act) error {
			note.Before, note.After = map[string]int{"n": 1}, map[string]int{"n": 2}
			_, err := tx.Exec(ctx, "UPDATE organizations SET name = $1", to)
			return errors.Join(err, then)
		})
	}
	if err := rename("done", nil); err != nil {
		t.Fatal(err)
	}
	for _, cause := range []error{store.ErrConflict, refuse("conflict", "not now"), errors.New("secret")} {
		if err := rename("not done", cause); !errors.Is(err, cause) {
			t.Errorf("%v became %v", cause, err)
		}
	}
	if err := rename("slow", g.Server.act(ctx, act{Action: "test.slow", Target: "x", ID: "y"}, func(tx pgx.Tx, _ *act) error {
		_, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)")
		return err
	})); !errors.Is(err, store.ErrSlow) {
		t.Errorf("a slow act: %v", err)
	}
	var name string
	if err := g.system.Pool().QueryRow(t.Context(), "SELECT name FROM organizations").Scan(&name); err != nil || name != "done" {
		t.Errorf("the name is %q, %v", name, err)
	}
	var got []string
	for _, e := range g.audit(t, "?action=test.rename") {
		detail := ""
		if e.Detail != nil {
			detail = *e.Detail
		}
		got = append(got, e.Outcome+" "+detail+string(e.Before)+string(e.After))
	}
	want := `failed too_slow{"n":1}null failed internal; the log has it under the request id{"n":1}null refused conflict: not now{"n":1}null ` +
		`refused conflict{"n":1}null done {"n":1}{"n":2}`
	if strings.Join(got, " ") != want {
		t.Errorf("the audit log has\n%s, want\n%s", strings.Join(got, " "), want)
	}
	for _, change := range []string{"DELETE FROM audit_log", "UPDATE audit_log SET action = 'a.b'", "TRUNCATE audit_log"} {
		if _, err := g.system.Pool().Exec(t.Context(), change); err == nil {
			t.Errorf("%s is let through", change)
		}
	}
}
