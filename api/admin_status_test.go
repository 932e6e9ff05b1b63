package api

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/payaid/payaid/internal/store"
)

// Every page asks for the status. Those of a database that doesn't answer in time don't wait for each other, turn by turn.
func TestSlowStatusMakesNobodyQueue(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	tx, err := g.system.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE dead_events IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	const pages = 10
	began := time.Now()
	var all sync.WaitGroup
	for range pages {
		all.Go(func() { g.call(t, testAdminKey, "GET", "/api/admin/status", "").want(http.StatusServiceUnavailable) })
	}
	all.Wait()
	if took, most := time.Since(began), pages/2*lookTime; took > most {
		t.Errorf("%d pages took %v, want less than %v", pages, took, most)
	}
}

// No page waits for longer than a page may, whatever it asks for.
func TestPartsAreGivenUpInTime(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	token, _, err := g.SignIn(t.Context(), testAdminKey, someAddress, "test")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := g.system.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE mail_messages, backups, admin_sessions IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/admin/mail/standing", "/api/system/backups"} {
		began := time.Now()
		g.call(t, testAdminKey, "GET", path, "").problem(http.StatusServiceUnavailable, "too_slow")
		if took := time.Since(began); took > 4*lookTime {
			t.Errorf("%s took %v", path, took)
		}
	}
	if _, err := g.Session(t.Context(), token, someAddress); !errors.Is(err, store.ErrSlow) {
		t.Errorf("a session that can't be looked up: %v", err)
	}
}
